//! One event opened: its whole line, its fields, and what can be done with it; and the lines around it in its file.

import { json } from './api.js';
import { inRow, visible } from './clean.js';
import { button, copy, count, el, fill } from './dom.js';
import { fieldTerm } from './query.js';
import { draw, make } from './row.js';
import { go, onChoice, prefs, shareable } from './state.js';
import { full, rfc3339 } from './time.js';
import { List } from './vlist.js';

/** A long line is shown by pieces: laying out a whole megabyte would stop the page. */
const PIECE = 8_192;
/** What the bits of `fl` mean, as the server's flags have them. */
const NOTES = ['goes on the line before', 'a piece of a longer line', 'no newline at its end', 'no time of its own: when it was filed', 'redacted', 'zone or year of its time guessed', 'no line of the file: bytes that were lost unread'];

/** What an event's line is copied as: its bytes, nothing added. */
export const copyLine = (event) => copy(event.m, 'line');
export const copyJson = (event) => copy(JSON.stringify(event, (name, value) => (name === 'number' ? undefined : value)), 'event');
export const copyLink = (event) => copy(shareable('context', { id: event.id }), 'link');
export const openContext = (event) => go('context', { id: event.id });

function wholeLine(event) {
  const pre = el('pre', { class: 'whole' });
  const rest = button('', () => show(), { class: 'link' });
  let at = 0;
  const show = () => {
    pre.append(visible(event.m.slice(at, at + PIECE)));
    at += PIECE;
    rest.textContent = `Show more: ${count(event.m.length - at)} characters are left`;
    rest.hidden = at >= event.m.length;
  };
  show();
  return el('div', null, pre, rest);
}

/** Longer lines are not looked through for fields, and no more fields than this are shown. */
const FIELDS_LINE = 65_536;
const FIELDS_MAX = 100;
const DEPTH_MAX = 16;
/** What a query can name, and what its one line can hold. */
const NAME = /^@[\w@$\-\u0080-\uffff]+(\.[\w@$\-\u0080-\uffff]+)*$/;
const VALUE = /^[^\0-\x1f\x7f]{1,200}$/;
const PAIR = /(?<![^\s,;()[\]{}<>|&?"'=])([^\s,;()[\]{}<>|&?"'=]+)=("(?:\\[^]|[^"\\])*"|'(?:\\[^]|[^'\\])*'|\S*)/g;

/** Numbers stay as they are written: that is what a query compares. */
const asWritten = (key, value, written) => (typeof value === 'number' ? (written?.source ?? String(value)) : value);

function flatten(value, path, found) {
  if (path.length > DEPTH_MAX || found.length >= FIELDS_MAX) return;
  if (value !== null && typeof value === 'object') {
    for (const [key, inner] of Object.entries(value)) flatten(inner, Array.isArray(value) ? path : [...path, key], found);
  } else found.push([path.join('.'), String(value)]);
}

/** Without its quotes, or what belongs to the sentence around it. */
function bare(value) {
  if (value.length > 1_000) return value;
  if (/^(["']).*\1$/s.test(value) && value.length > 1) return value.slice(1, -1).replace(/\\(["'\\])/g, '$1');
  let text = value;
  for (;;) {
    const opener = { ',': '', ';': '', ')': '(', ']': '[', '}': '{' }[text.at(-1)];
    if (opener === undefined || (opener && text.slice(0, -1).includes(opener))) return text;
    text = text.slice(0, -1);
  }
}

/** The fields of a line of JSON or logfmt, or of text with either in it: what `@name:value` asks. */
export function fieldsIn(line) {
  const found = [];
  const text = line.slice(0, FIELDS_LINE).trimStart();
  const at = text.startsWith('{') ? 0 : text.indexOf('{"');
  try {
    if (at >= 0) flatten(JSON.parse(text.slice(at, text.lastIndexOf('}') + 1), asWritten), [], found);
  } catch { /* not JSON, or cut off */ }
  for (const [, key, value] of at === 0 ? [] : text.matchAll(PAIR)) {
    if (found.length >= FIELDS_MAX) break;
    found.push([key, bare(value)]);
  }
  return found.map(([name, value]) => [`@${name}`, value]);
}

function fieldsOf(event) {
  const place = event.p === undefined ? null : `${event.p}${event.o === undefined ? '' : ` @ ${count(event.o)}`}`;
  const fields = [
    ['time', prefs.utc ? full(event.t, true) : `${full(event.t, false)}  ·  ${full(event.t, true)}`],
    ['host', event.h, 'host', event.h],
    ['app', event.a, 'app', event.a],
    ['level', event.l, 'level', event.l],
    ['file', place, 'file', event.p],
    ['environment', event.e, 'env', event.e],
    ['copies', event.c?.join(', ')],
    ['note', [...NOTES.filter((_, bit) => (event.fl ?? 0) & (1 << bit)), event.m.endsWith('\r') && 'ends with CR LF'].filter(Boolean).join('; ')],
    ['stream', event.s, 'stream', event.s],
    ['id', event.id],
  ];
  for (const [name, value] of Object.entries(event.f ?? {})) {
    const text = typeof value === 'string' ? value : JSON.stringify(value);
    fields.push([name, text, name.startsWith('@') ? name : null, text]);
  }
  return fields.filter(([, shown]) => shown != null && shown !== '');
}

function row([name, shown, field, value], onTerm) {
  const pair = field && onTerm
    ? [button('+', () => onTerm(field, value, false), { 'aria-label': `Only ${fieldTerm(field, value)}`, title: 'Only these' }),
      button('−', () => onTerm(field, value, true), { 'aria-label': `Without ${fieldTerm(field, value)}`, title: 'Without these' })]
    : [];
  return el('div', { class: 'field' }, el('dt', { text: inRow(name) }), el('dd', null, el('span', { class: 'value', text: visible(shown) }), ...pair));
}

/** The panel below an opened row. `onTerm(name, value, not)` filters; without it there is nothing to filter. */
export function panel(event, onTerm) {
  const tools = el('div', { class: 'tools' },
    event.p === undefined && event.o === undefined ? null : button('Lines around it', () => openContext(event), { class: 'primary' }),
    button('Copy line', () => copyLine(event)),
    button('Copy JSON', () => copyJson(event)),
    button('Copy link', () => copyLink(event)));
  const own = fieldsIn(event.m).map(([name, value]) => row([name, value, NAME.test(name) && VALUE.test(value) ? name : null, value], onTerm));
  const cell = el('div', { role: 'gridcell' }, tools, wholeLine(event), el('div', { class: 'sides' },
    own.length ? el('dl', { class: 'fields', 'aria-label': 'Fields of the line' }, ...own) : null,
    el('dl', { class: 'fields', 'aria-label': 'The event' }, ...fieldsOf(event).map((field) => row(field, onTerm)))));
  return el('div', { class: 'panel', role: 'row' }, cell);
}

/** The lines that stand before and after one event in its file, by offset, whatever their times say. */
export class ContextPage {
  constructor() {
    this.title = el('h1', { class: 'context-title' });
    this.lacks = el('p', { class: 'gap', hidden: true });
    this.notice = el('div', { class: 'blank', hidden: true });
    this.list = new List('Lines around one event', {
      make,
      draw: (node, event) => {
        draw(node, event, { utc: prefs.utc, withDay: true, wrap: false, marks: [] });
        node.classList.toggle('wanted', event.id === this.id);
        node.classList.toggle('after-hole', this.holes.some((hole) => hole[1] === event.o));
      },
      find: (event) => this.list.rows.indexOf(event),
      onOpen: (index) => this.open(index),
    });
    const back = button('← Back', () => history.back(), { class: 'link' });
    this.older = button('50 more before', () => this.more(50, 0));
    this.newer = button('50 more after', () => this.more(0, 50));
    this.node = el('section', { class: 'page context' },
      el('div', { class: 'bar' }, back, this.title, el('span', { class: 'grow' }), this.older, this.newer), this.lacks, this.notice, this.list.node);
    this.actions = {
      down: () => this.list.step(1), up: () => this.list.step(-1), open: () => this.open(this.list.cursor),
      first: () => this.list.pick(0), last: () => this.list.pick(this.list.rows.length - 1),
      pageDown: () => this.list.page(1), pageUp: () => this.list.page(-1), escape: () => history.back(),
      copyLine: () => this.withCursor(copyLine), copyJson: () => this.withCursor(copyJson), link: () => this.withCursor(copyLink),
    };
    onChoice((name) => { if (name === 'utc') this.list.redraw(); });
  }

  withCursor(act) {
    const event = this.list.rows[this.list.cursor];
    if (event) act(event);
  }

  show({ id }) {
    if (id === this.id && this.list.rows.length) return;
    Object.assign(this, { id, before: 50, after: 50 });
    this.list.reset([]);
    this.load();
  }

  more(before, after) {
    this.before += before;
    this.after += after;
    this.load();
  }

  async load() {
    const id = this.id;
    this.say('Reading the file’s lines…');
    try {
      const answer = await json('context', { id, before: this.before, after: this.after });
      if (id === this.id) this.take(answer);
    } catch (error) {
      this.say(error.message, button('Try again', () => this.load(), { class: 'primary' }));
    }
  }

  say(text, ...more) {
    this.notice.hidden = !text || (this.list.rows.length > 0 && !more.length);
    fill(this.notice, el('p', { text }), ...more);
  }

  take({ before = [], event, after = [], holes = [], missing = [], complete }) {
    const rows = [...before, event, ...after].filter(Boolean);
    if (!event) return this.say('This event is not here any more, or not yet.');
    this.holes = holes;
    this.lacks.textContent = missing.length ? complete : holes.length ? 'Bytes are missing above dashed lines.' : '';
    this.lacks.hidden = !this.lacks.textContent;
    this.list.reset(rows);
    this.list.pick(before.length, true);
    this.list.setTop(Math.max(0, (before.length - 8) * this.list.height));
    this.title.textContent = `${inRow(event.h ?? '')} ${inRow(event.p ?? '')}`;
    this.list.node.style.setProperty('--host', `${Math.min(22, event.h?.length ?? 4)}ch`);
    this.list.node.style.setProperty('--app', `${Math.min(18, event.a?.length ?? 3)}ch`);
    this.title.title = rfc3339(event.t);
    this.older.disabled = before.length < this.before;
    this.newer.disabled = after.length < this.after;
    this.say('');
    return null;
  }

  open(index) {
    const event = this.list.rows[index];
    if (!event) return;
    if (this.list.openRow === event) this.list.close();
    else this.list.open(index, panel(event, null));
  }
}
