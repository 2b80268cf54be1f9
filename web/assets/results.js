//! The rows of a search on the screen: columns, wrapping, the cursor, finding in what is loaded, and what stands
//! there when there are no rows.

import { inRow } from './clean.js';
import { button, count, el, fill } from './dom.js';
import { literal } from './query.js';
import { columns, draw, levelOf, make } from './row.js';
import { prefs } from './state.js';
import { date, millis } from './time.js';
import { List } from './vlist.js';

const EXAMPLES = ['"connection reset"', 'level:error -healthz', '/timeout after \\d+ms/i', 'host:web* 10:04:22'];
const NARROW = 640;
const LINE = 20;
const PAD = 2;

export class ResultList {
  /** `onOpen(event)` gives the panel to show below an opened row. */
  constructor({ onOpen }) {
    this.onOpen = onOpen;
    this.rows = null;
    this.look = { utc: prefs.utc, withDay: false, wrap: prefs.wrap, marks: [] };
    this.marks = [];
    this.widths = { h: 4, a: 3 };
    this.flags = new Set();
    this.list = new List('Matching events, one a row', {
      make,
      draw: (node, event) => {
        draw(node, event, this.look);
        node.classList.toggle('flagged', this.flags.has(event.id));
      },
      find: (event) => this.rows?.find(event) ?? -1,
      onOpen: (index) => this.open(index),
      onWidth: (width) => this.widen(width),
    });
    this.heads = el('div', { class: 'heads', 'aria-hidden': 'true' },
      ...['Time', 'Host', 'App', '', 'Line'].map((text) => el('span', { text })));
    this.blank = el('div', { class: 'blank' });
    this.findInput = el('input', { class: 'find-text', placeholder: 'Find in the loaded rows', 'aria-label': 'Find in the loaded rows', spellcheck: 'false' });
    this.findCount = el('span', { class: 'find-count', role: 'status' });
    this.finder = el('form', { class: 'finder', hidden: true, on: { submit: (event) => { event.preventDefault(); this.findNext(1); } } },
      this.findInput, this.findCount, button('Previous', () => this.findNext(-1)), button('Next', () => this.findNext(1)), button('Close', () => this.closeFind()));
    this.findInput.addEventListener('input', () => this.findTyped());
    this.node = el('div', { class: 'results-main' }, this.finder, this.heads, this.list.node, this.blank);
    this.actions = this.makeActions();
  }

  makeActions() {
    const { list } = this;
    const level = (name, by) => () => this.jump(by, (event) => (name === 'error' ? ['error', 'critical'].includes(levelOf(event)) : levelOf(event) === name));
    return {
      down: () => list.step(1), up: () => list.step(-1), pageDown: () => list.page(1), pageUp: () => list.page(-1),
      first: () => list.pick(0), last: () => list.pick(list.rows.length - 1), open: () => this.open(list.cursor),
      nextError: level('error', 1), lastError: level('error', -1), nextWarning: level('warn', 1), lastWarning: level('warn', -1),
      find: () => this.openFind(), nextFound: () => this.findNext(1), lastFound: () => this.findNext(-1),
      flag: () => this.flag(), nextFlag: () => this.jump(1, (event) => this.flags.has(event.id)), lastFlag: () => this.jump(-1, (event) => this.flags.has(event.id)),
    };
  }

  /** Starts over with the rows of another search. */
  begin(rows, marks, span) {
    this.rows = rows;
    this.marks = marks;
    this.widths = { h: 4, a: 3 };
    Object.assign(this.look, { marks, withDay: span ? date(millis(span[0]), prefs.utc) !== date(millis(span[1]), prefs.utc) : false });
    this.node.classList.toggle('with-day', this.look.withDay);
    this.showBlank();
    this.list.reset(rows.list);
    this.fitColumns([]);
  }

  /** Lets `act` change the rows; it returns the first that changed, or null. */
  changing(events, act) {
    this.fitColumns(events);
    let from = null;
    this.list.keepPlace(() => {
      from = act();
      if (from !== null) this.list.layout(from);
    });
    if (this.findText) this.sayFound();
  }

  /** Host and app columns grow with what they hold, up to a point; they never shrink under the reader. */
  fitColumns(events) {
    const was = { ...this.widths };
    for (const event of events) {
      this.widths.h = Math.max(this.widths.h, Math.min(22, event.h?.length ?? 0));
      this.widths.a = Math.max(this.widths.a, Math.min(18, event.a?.length ?? 0));
    }
    if (events.length && was.h === this.widths.h && was.a === this.widths.a) return;
    this.node.style.setProperty('--host', `${this.widths.h}ch`);
    this.node.style.setProperty('--app', `${this.widths.a}ch`);
    if (this.look.wrap) this.measure();
  }

  widen(width) {
    this.node.classList.toggle('narrow', width < NARROW);
    this.measure();
  }

  /** Chooses how tall rows are: one line, two on a narrow screen, or as many as wrapping needs. */
  measure() {
    const { list } = this;
    const narrow = (list.width ?? 1000) < NARROW;
    const first = narrow ? LINE : 0;
    list.node.classList.toggle('wrap', this.look.wrap);
    if (!this.look.wrap) return list.remeasure(first + LINE + PAD, null);
    const fits = this.columnsThatFit(narrow);
    return list.remeasure(first + LINE + PAD, (event) => first + Math.max(1, Math.ceil(columns(event.m) / fits)) * LINE + PAD);
  }

  columnsThatFit(narrow) {
    const probe = make();
    probe._m.textContent = '0'.repeat(100);
    probe.classList.add('probe');
    this.list.body.append(probe);
    const one = probe._m.scrollWidth / 100 || 7.2;
    probe.remove();
    const time = this.look.withDay ? 18 : 12;
    const taken = narrow ? 20 : 34 + 8 + 48 + (time + this.widths.h + this.widths.a + 1) * one;
    return Math.max(10, Math.floor((this.list.width - taken) / one));
  }

  current() {
    return this.list.rows[this.list.cursor];
  }

  open(index) {
    const event = this.list.rows[index];
    if (!event) return;
    if (this.list.openRow === event) this.list.close();
    else this.list.open(index, this.onOpen(event));
  }

  /** Closes what is open; false when nothing was. */
  closeAll() {
    if (!this.finder.hidden) return this.closeFind();
    if (!this.list.openRow) return false;
    this.list.close();
    return true;
  }

  jump(by, wanted) {
    const { rows, cursor } = this.list;
    for (let i = cursor + by; i >= 0 && i < rows.length; i += by) {
      if (wanted(rows[i])) return this.list.pick(i, true);
    }
    return undefined;
  }

  flag() {
    const event = this.current();
    if (!event) return;
    if (!this.flags.delete(event.id)) this.flags.add(event.id);
    this.list.redraw();
  }

  openFind() {
    this.finder.hidden = false;
    this.findInput.select();
    this.findInput.focus();
    this.findTyped();
  }

  closeFind() {
    this.finder.hidden = true;
    this.findInput.value = '';
    this.findTyped();
    this.list.node.focus();
    return true;
  }

  findTyped() {
    this.findText = this.findInput.value.toLowerCase();
    this.look.marks = this.findText ? [...this.marks, new RegExp(literal(this.findText), 'gi')] : this.marks;
    this.list.redraw();
    this.sayFound();
  }

  sayFound() {
    if (!this.findText) return fill(this.findCount);
    const found = this.list.rows.reduce((n, event) => n + (this.holds(event) ? 1 : 0), 0);
    return fill(this.findCount, `${count(found)} of ${count(this.list.rows.length)} rows`);
  }

  holds(event) {
    return inRow(event.m).toLowerCase().includes(this.findText);
  }

  /** To the next row the find box matches; without one, simply the next match, which is the next row. */
  findNext(by) {
    if (this.findText) this.jump(by, (event) => this.holds(event));
    else this.list.step(by);
  }

  chosen(name) {
    if (name === 'utc') {
      this.look.utc = prefs.utc;
      this.list.redraw();
    }
    if (name === 'wrap') {
      this.look.wrap = prefs.wrap;
      this.measure();
    }
  }

  /** What to show in place of rows; nothing to show the rows. */
  showBlank(...content) {
    this.blank.hidden = !content.length;
    fill(this.blank, ...content);
  }
}

/** A centred title, a sentence and what can be done. */
export function blank(title, text, ...more) {
  return [el('h2', { text: title }), text ? el('p', { text }) : null, ...more];
}

/** What stands there before anything was asked. */
export function welcome(ask) {
  const tries = EXAMPLES.map((q) => button(q, () => ask({ q }), { class: 'example' }));
  return blank('Find any string in everything that was logged', 'Three bytes or more, anywhere in a line. Press / to type, ? for help.',
    el('div', { class: 'choices' }, ...tries), button('Show the newest lines', () => ask({ q: '' }), { class: 'primary' }));
}

export const UNREAD = ['The query cannot be read', 'The place is marked above.'];

/** What stands there when the same question was being asked while the page went away. */
export function tornAway(again) {
  return blank('This search did not end well last time', 'The page went away before the answer was drawn, so it was not asked again by itself.',
    button('Run it anyway', again, { class: 'primary' }));
}

/** What stands where the rows of a search would be, while there are none. */
export function instead(run, ask, retry) {
  const { state, error } = run;
  if (state === 'complete' || state === 'limit') return nothingFound(run.missing.length > 0, ask);
  if (state === 'gone') {
    const wait = run.retryAt ? Math.max(0, Math.ceil((run.retryAt - Date.now()) / 1000)) : 0;
    return blank('The server does not answer', wait ? `Trying again in ${wait} s.` : error.message, button('Try now', retry, { class: 'primary' }));
  }
  if (state === 'refused') {
    if (error.code === 'bad_query') return blank(...UNREAD);
    return blank(error.status === 401 ? 'Sign in first' : 'The server refused', error.message);
  }
  if (state === 'stopped') return blank('Stopped', 'Nothing had been found yet.');
  return [el('p', { class: 'quiet-wait', text: 'Searching…' })];
}

/** What stands there when nothing matched: wider ranges to try. */
function nothingFound(lacks, ask) {
  const widen = [['24h', '24 hours'], ['7d', '7 days'], ['30d', '30 days']]
    .map(([back, name]) => button(`Last ${name}`, () => ask({ from: `now-${back}`, to: 'now' })));
  const text = lacks ? 'In what answered. Some of the range could not be searched; see above.' : 'Nothing in this range matches.';
  return blank('No matches', text, el('div', { class: 'choices' }, ...widen));
}
