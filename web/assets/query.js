//! The query as it is typed: which part is what, what is not closed, what to mark in the rows. A twin of the
//! server's scanner and parser for the colours; what a regex or a value means stays the server's to say.

/** Only after `@name` is `=` an operator: lines are full of `level=error`. */
const FIELD = /^(?:(?:env|host|app|level|file|stream|id)(?=[:<>])|@[\w@$\-\u0080-\u009f\u00a1-\uffff]+(?:\.[\w@$\-\u0080-\u009f\u00a1-\uffff]+)*(?=[:<>]|!?=))/;
const OPERATOR = /^(?::|[<>!]?=|<|>)/;
const REGEX = /^\/((?:[^/\\]|\\[^])+)\/(i?)(?=[ \t\n\f\r\u00a0)]|$)/;
const KEYWORDS = ['AND', 'OR', 'NOT'];

const isSpace = (char) => ' \t\n\f\r\u00a0'.includes(char);

class Reader {
  constructor(text) {
    Object.assign(this, { text, at: 0, open: 0, spans: [], terms: [] });
  }

  get rest() {
    return this.text.slice(this.at);
  }

  take(len, kind) {
    this.spans.push({ at: this.at, len, kind });
    this.at += len;
  }

  endsGroup(at) {
    return at >= this.text.length || (this.open > 0 && this.text[at] === ')');
  }

  endsTerm(at) {
    return this.endsGroup(at) || isSpace(this.text[at]);
  }

  afterSpace(at) {
    while (at < this.text.length && isSpace(this.text[at])) at += 1;
    return at;
  }

  /** The operator that stands here, if something it can join stands after it. */
  keyword() {
    return KEYWORDS.find((word) => {
      const after = this.at + word.length;
      return this.text.startsWith(word, this.at) && (this.text[after] === '(' || this.endsTerm(after)) && !this.endsGroup(this.afterSpace(after));
    });
  }

  or(inField, not) {
    this.and(inField, not);
    while (this.keyword() === 'OR') {
      this.take(2, 'operator');
      this.and(inField, not);
    }
  }

  and(inField, not) {
    for (let joins = false; ;) {
      this.at = this.afterSpace(this.at);
      if (this.endsGroup(this.at)) return;
      const keyword = joins ? this.keyword() : undefined;
      if (keyword === 'OR') return;
      if (keyword === 'AND') this.take(3, 'operator');
      else this.unary(inField, not);
      joins = keyword !== 'AND';
    }
  }

  unary(inField, not) {
    for (; this.keyword() === 'NOT'; not = !not) {
      this.take(3, 'operator');
      this.at = this.afterSpace(this.at);
    }
    if (this.text[this.at] === '-' && !this.endsTerm(this.at + 1) && !'->='.includes(this.text[this.at + 1])) {
      this.take(1, 'operator');
      not = !not;
    }
    this.primary(inField, not);
  }

  primary(inField, not) {
    const { rest } = this;
    if (rest[0] === '(' && rest[1] !== ')') return this.group(inField, not);
    const field = !inField && FIELD.exec(rest)?.[0];
    const operator = field && OPERATOR.exec(rest.slice(field.length))[0];
    if (field && !this.endsTerm(this.at + field.length + operator.length)) {
      this.take(field.length, 'field');
      this.take(operator.length, 'operator');
      const whole = !/[<>]/.test(operator);
      if (whole && this.text[this.at] === '(' && this.text[this.at + 1] !== ')') return this.group(true, not);
      return this.value(true, true, whole);
    }
    return this.value(inField, not, true);
  }

  group(inField, not) {
    const at = this.at;
    this.open += 1;
    this.take(1, 'paren');
    this.or(inField, not);
    if (this.text[this.at] !== ')') throw { at, len: 1, msg: 'no closing )', hint: 'close the group, or put quotes around the text' };
    this.open -= 1;
    this.take(1, 'paren');
  }

  /** A value of a field, or a term of the line: only those that must be there are marked in it. */
  value(inField, not, mayBeRegex) {
    const keep = (term) => { if (!inField && !not) this.terms.push(term); };
    const { rest } = this;
    if (rest[0] === '"' || rest[0] === "'") return this.quoted(rest[0], keep);
    const regex = mayBeRegex && REGEX.exec(rest);
    if (regex) {
      keep({ regex: regex[1].replaceAll('\\/', '/'), ignoreCase: regex[2] === 'i' });
      return this.take(regex[0].length, 'regex');
    }
    const len = this.wordLength();
    keep({ text: rest.slice(0, len), wild: true });
    return this.take(len, inField ? 'value' : 'word');
  }

  /** Within quotes a backslash takes the meaning from a quote of that kind and from a backslash only. */
  quoted(quote, keep) {
    let inside = '';
    for (let at = this.at + 1; at < this.text.length; at += 1) {
      const [char, next] = [this.text[at], this.text[at + 1]];
      if (char === quote) {
        if (inside) keep({ text: inside, exact: quote === "'" });
        return this.take(at + 1 - this.at, quote === '"' ? 'phrase' : 'exact');
      }
      const escapes = char === '\\' && (next === quote || next === '\\');
      inside += escapes ? next : char;
      at += escapes ? 1 : 0;
    }
    throw { at: this.at, len: 1, msg: `no closing ${quote}`, hint: 'close the quote, or put a letter of the word before it' };
  }

  /** Parentheses that pair up within a word belong to it: `main()`. */
  wordLength() {
    let depth = 0;
    let end = this.at;
    for (; end < this.text.length && !isSpace(this.text[end]); end += 1) {
      if (this.text[end] === '(') depth += 1;
      else if (this.text[end] === ')' && depth > 0) depth -= 1;
      else if (this.text[end] === ')' && this.open > 0) break;
    }
    return end - this.at;
  }
}

/** `{spans, terms, error}`; places are counted in UTF-16 units, as an input counts them. */
export function read(text) {
  const reader = new Reader(text);
  let error = null;
  try {
    reader.or(false, false);
  } catch (thrown) {
    if (thrown instanceof Error) throw thrown;
    error = thrown;
  }
  return { spans: reader.spans, terms: reader.terms, error };
}

/** A place the server counted in bytes, in UTF-16 units. */
export function fromBytes(text, at) {
  return new TextDecoder().decode(new TextEncoder().encode(text).subarray(0, at)).length;
}

/** Text as a regular expression that finds just it. */
export const literal = (text) => text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');

function wildcards(word) {
  const piece = (part) => (part === '*' ? '.{0,200}?' : part === '?' ? '.' : literal(part));
  return word.replace(/^\*+|\*+$/g, '').split(/([*?])/).map(piece).join('');
}

/** True for a regex this browser runs in time that does not explode: few repeats, none of a group. */
function tame(source) {
  return !/\)[*+?{]/.test(source) && !/\\[1-9k]/.test(source) && (source.match(/[*+]|\{\d*,\}/g) ?? []).length <= 2;
}

/** Regular expressions that find what the query's positive terms found. */
export function marks(terms) {
  const found = [];
  const words = terms.filter((term) => term.text && !term.exact).map((term) => (term.wild ? wildcards(term.text) : literal(term.text)));
  const exact = terms.filter((term) => term.exact).map((term) => literal(term.text));
  if (words.some(Boolean)) found.push(new RegExp(words.filter(Boolean).join('|'), 'gis'));
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
  return `${name}:${plain ? value : `"${value.replace(/["\\]/g, '\\$&')}"`}`;
}

/** The query with a term added, or taken out if it stood there; `not` excludes. */
export function withTerm(query, term, not) {
  const wanted = `${not ? '-' : ''}${term}`;
  const words = ` ${query.trim()} `;
  if (words.includes(` ${wanted} `)) return words.replace(` ${wanted} `, () => ' ').trim();
  const rest = words.replace(` ${not ? term : `-${term}`} `, () => ' ').trim();
  const { spans } = read(rest);
  let depth = 0;
  const choice = spans.some(({ at, len, kind }) => {
    const piece = rest.slice(at, at + len);
    if (kind === 'paren') depth += piece === '(' ? 1 : -1;
    return depth === 0 && kind === 'operator' && piece === 'OR';
  });
  return `${choice ? `(${rest})` : rest} ${wanted}`.trim();
}
