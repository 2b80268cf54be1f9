//! Log text made safe to look at: what cannot be seen is shown, what would turn text around does nothing.
//! The table is the same as in `clean.rs`; both are held to `testdata/clean.json`.

const UNSEEN =
  /[\u0000-\u001f\u007f-\u009f\u00ad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\u{e0000}-\u{e007f}]/gu;
const COLOUR = /\u001b\[[0-9;:]*m/g;

function name(char) {
  const code = char.codePointAt(0);
  if (code < 0x20) return String.fromCharCode(0x2400 + code);
  if (code === 0x7f) return '\u2421';
  return `<U+${code.toString(16).toUpperCase().padStart(4, '0')}>`;
}

/** Every control and direction mark as a visible sign; tabs stay. */
export function visible(text) {
  return text.replace(UNSEEN, (char) => (char === '\t' ? char : name(char)));
}

/** For one row: terminal colours left out, tabs as four spaces, the rest as `visible`. */
export function inRow(text) {
  if (text.search(UNSEEN) < 0) return text;
  return visible(text.replace(COLOUR, '')).replaceAll('\t', '    ');
}
