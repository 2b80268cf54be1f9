//! The query as it is typed: which part is what, what is wrong with it, what to mark in the rows. The server's
//! parser decides; this one says the same while typing, and is held to the same vectors.

const FIELD = /^(env|host|app|level|file|stream|id|@[A-Za-z_][\w-]*(?:\.[A-Za-z_][\w-]*)*)(:|>=|<=|>|<)/;
const ODD_FIELD = /^([A-Za-z_][\w-]*):(?!\/\/)(?=\S)/;
const OPERATORS = ['AND', 'OR', 'NOT'];

const ends = (char) => char === undefined || /\s/.test(char);

class Reader {
  constructor(text) {
    Object.assign(this, { text, at: 0, spans: [], terms: [], open: [], error: null, note: null });
  }

  span(kind, len, extra) {
    this.spans.push({ at: this.at, len, kind, ...extra });
    this.at += len;
  }

  fail(at, len, msg, hint) {
    this.error ??= { at, len, msg, hint };
  }

  all() {
    while (this.at < this.text.length) {
      if (ends(this.text[this.at])) this.at += 1;
      else this.token();
    }
    if (this.open.length) this.fail(this.open.at(-1), 1, 'this bracket is not closed', 'add ) or put the text in "quotes"');
    return this;
  }

  token() {
    const { text, at } = this;
    if (text[at] === '(') {
      this.open.push(at);
      return this.span('paren', 1);
    }
    if (text[at] === ')' && this.open.length) {
      this.open.pop();
      return this.span('paren', 1);
    }
    const operator = OPERATORS.find((word) => text.startsWith(word, at) && this.delimited(at + word.length));
    if (operator) {
      this.negate = operator === 'NOT';
      return this.span('operator', operator.length);
    }
    if (text[at] === '-' && !ends(text[at + 1])) {
      this.negate = true;
      return this.span('operator', 1);
    }
    this.primary();
    this.negate = false;
  }

  delimited(at) {
    return ends(this.text[at]) || this.text[at] === '(' || this.text[at] === ')';
  }

  primary() {
    const rest = this.text.slice(this.at);
    const field = FIELD.exec(rest);
    if (field) return this.field(field);
    const odd = ODD_FIELD.exec(rest);
    if (odd) this.note ??= `“${odd[1]}:” is read as text; fields of the line are written @${odd[1]}:`;
    this.value((term) => { if (!this.negate) this.terms.push(term); });
  }

  field([whole, name]) {
    this.span('field', whole.length, { name });
    if (this.text[this.at] === '(') {
      this.open.push(this.at);
      return this.span('paren', 1);
    }
    if (!this.delimited(this.at)) this.value(() => {});
  }

  value(keep) {
    const quote = this.text[this.at];
    if (quote === '"' || quote === "'") return this.quoted(quote, keep);
    if (quote === '/') {
      const regex = this.regex();
      if (regex) {
        keep({ regex: regex.source, ignoreCase: regex.ignoreCase });
        return this.span('regex', regex.len);
      }
    }
    const len = this.wordLength();
    const word = this.text.slice(this.at, this.at + len);
    if (word) keep({ text: word, wild: true });
    this.span(/[*?]/.test(word) ? 'wild' : 'word', Math.max(1, len));
  }

  quoted(quote, keep) {
    const close = this.text.indexOf(quote, this.at + 1);
    if (close < 0) {
      this.fail(this.at, 1, 'this quote is not closed', `add ${quote} where the text ends`);
      return this.span('phrase', this.text.length - this.at);
    }
    const inner = this.text.slice(this.at + 1, close);
    if (inner) keep({ text: inner, exact: quote === "'" });
    this.span(quote === '"' ? 'phrase' : 'exact', close + 1 - this.at);
  }

  /** A regex has no bare slash inside and ends its token; else it is a path, and text. */
  regex() {
    const found = /^\/((?:[^/\\]|\\.)+)\/(i?)(?=[\s)]|$)/s.exec(this.text.slice(this.at));
    return found && { source: found[1], ignoreCase: found[2] === 'i', len: found[0].length };
  }

  wordLength() {
    let depth = 0;
    let end = this.at;
    for (; !ends(this.text[end]); end += 1) {
      if (this.text[end] === '(') depth += 1;
      else if (this.text[end] === ')') {
        if (depth === 0 && this.open.length) break;
        depth = Math.max(0, depth - 1);
      }
    }
    return end - this.at;
  }
}

/** `{spans, terms, error, note}`; places are counted in UTF-16 units, as an input counts them. */
export function read(text) {
  return new Reader(text).all();
}

/** A place the server counted in bytes, in UTF-16 units. */
export function fromBytes(text, at) {
  const bytes = new TextEncoder().encode(text);
  return new TextDecoder().decode(bytes.subarray(0, at)).length;
}

const literal = (text) => text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');

function wildcards(word) {
  return word.replace(/^\*+|\*+$/g, '').split(/([*?])/)
    .map((piece) => (piece === '*' ? '.{0,200}?' : piece === '?' ? '.' : literal(piece))).join('');
}

/** True for a regex this browser runs in time that does not explode: few repeats, none of a group. */
function tame(source) {
  return !/\)[*+?{]/.test(source) && !/\\[1-9k]/.test(source) && (source.match(/[*+]|\{\d*,\}/g) ?? []).length <= 2;
}

/** Regular expressions that find what the query's positive terms found. */
export function marks(terms) {
  const found = [];
  const folded = terms.filter((term) => term.text && !term.exact)
    .map((term) => (term.wild ? wildcards(term.text) : literal(term.text))).filter(Boolean);
  const exact = terms.filter((term) => term.exact).map((term) => literal(term.text));
  if (folded.length) found.push(new RegExp(folded.join('|'), 'gis'));
  if (exact.length) found.push(new RegExp(exact.join('|'), 'gs'));
  for (const { regex, ignoreCase } of terms.filter((term) => term.regex && tame(term.regex))) {
    try {
      found.push(new RegExp(regex, ignoreCase ? 'gi' : 'g'));
    } catch { /* the server's syntax knows more than the browser's: those rows stay unmarked */ }
  }
  return found;
}

/** `name:value` as a term, quoted where the value would not survive as a word. */
export function fieldTerm(name, value) {
  const plain = /^[^\s"'()/*?][^\s"()*?]*$/.test(value);
  const quoted = value.includes('"') ? `'${value}'` : `"${value}"`;
  return `${name}:${plain ? value : quoted}`;
}

/** The query with a term added, or taken out if it stood there; `not` excludes. */
export function withTerm(query, term, not) {
  const wanted = `${not ? '-' : ''}${term}`;
  const opposite = not ? term : `-${term}`;
  const words = ` ${query.trim()} `;
  if (words.includes(` ${wanted} `)) return words.replace(` ${wanted} `, ' ').trim();
  const rest = words.replace(` ${opposite} `, ' ').trim();
  if (!rest) return wanted;
  const { spans } = read(rest);
  let depth = 0;
  const choice = spans.some((span) => {
    const piece = rest.slice(span.at, span.at + span.len);
    if (span.kind === 'paren') depth += piece === '(' ? 1 : -1;
    return depth === 0 && span.kind === 'operator' && piece === 'OR';
  });
  return choice ? `(${rest}) ${wanted}` : `${rest} ${wanted}`;
}
