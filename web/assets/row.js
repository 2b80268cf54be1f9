//! One row of a list: time, host, app, level, line; with what matched marked.

import { inRow } from './clean.js';
import { el } from './dom.js';
import { rowTime } from './time.js';

const LETTERS = { critical: 'C', error: 'E', warn: 'W', notice: 'N', info: 'I', debug: 'D', trace: 'T', unknown: '·' };
/** What one row shows of a long line; the opened row shows all of it. */
const CUT = 1_000;
const CUT_WRAPPED = 4_000;
const REGEX_CUT = 300;
const MARKS_MAX = 100;

/** Levels, worst first: the order of stacks, lists and letters. */
export const LEVELS = Object.keys(LETTERS);

export const levelOf = (event) => (event.l in LETTERS ? event.l : 'unknown');

/** A row with nothing in it. */
export function make() {
  const node = el('div', { class: 'row', role: 'row' });
  for (const name of ['t', 'h', 'a', 'l', 'm']) node.append((node[`_${name}`] = el('span', { class: name, role: 'gridcell' })));
  return node;
}

/** Fills a row; `look` is `{utc, withDay, wrap, marks}`. */
export function draw(node, event, look) {
  const level = levelOf(event);
  node.dataset.level = level;
  node._t.textContent = rowTime(event.t, look.utc, look.withDay);
  node._h.textContent = inRow(event.h ?? '');
  node._a.textContent = inRow(event.a ?? '');
  node._l.textContent = LETTERS[level];
  node._l.setAttribute('aria-label', level);
  const cut = look.wrap ? CUT_WRAPPED : CUT;
  const line = event.m.length > cut ? event.m.slice(0, cut) : withoutReturn(event.m);
  mark(node._m, inRow(line), look.marks);
  if (event.m.length > cut) node._m.append(el('span', { class: 'more', text: ` … ${event.m.length - cut} more characters: open the row` }));
}

/** Half of a line's end as some systems write it says nothing in a row; the opened row has it. */
export const withoutReturn = (line) => (line.endsWith('\r') ? line.slice(0, -1) : line);

/** How many columns a text takes in a fixed-width font. */
export function columns(text) {
  const line = text.length > CUT_WRAPPED ? `${text.slice(0, CUT_WRAPPED)}${' '.repeat(44)}` : withoutReturn(text);
  if (/^[\x20-\x7e]*$/.test(line)) return line.length;
  let wide = 0;
  for (const char of inRow(line)) wide += char.codePointAt(0) >= 0x1100 ? 2 : 1;
  return wide;
}

function ranges(text, marks) {
  const found = [];
  for (const regex of marks) {
    const heavy = /[*+]|,\}/.test(regex.source);
    const within = heavy && text.length > REGEX_CUT ? text.slice(0, REGEX_CUT) : text;
    for (const match of within.matchAll(regex)) {
      if (match[0]) found.push([match.index, match.index + match[0].length]);
      if (found.length >= MARKS_MAX) break;
    }
  }
  return found.sort((a, b) => a[0] - b[0]);
}

/** Text with every match in a `mark`. */
export function mark(node, text, marks) {
  const found = marks.length ? ranges(text, marks) : [];
  if (!found.length) {
    node.textContent = text;
    return;
  }
  const pieces = [];
  let at = 0;
  for (const [from, to] of found) {
    if (to <= at) continue;
    const start = Math.max(from, at);
    if (start > at) pieces.push(text.slice(at, start));
    pieces.push(el('mark', { text: text.slice(start, to) }));
    at = to;
  }
  node.replaceChildren(...pieces, text.slice(at));
}
