//! The live tail: rows as they are written, at the foot. It stands still the moment the reader looks up, counts
//! what waits, and says exactly what was left out.

import { Refused, backoff, events } from './api.js';
import { button, count, el, fill, icon } from './dom.js';
import { copyJson, copyLine, copyLink, openContext, panel } from './event.js';
import { fieldTerm, marks, read, withTerm } from './query.js';
import { QueryBox } from './querybox.js';
import { ResultList, blank } from './results.js';
import { go, onChoice, prefs } from './state.js';
import { order, rowTime } from './time.js';

/** Rows kept on screen, and as many waiting while the reader looks elsewhere; older ones are let go and counted. */
const RING = 20_000;
const SILENCE_MS = 12_000;
const KNOWN = 4_000;

export class LivePage {
  constructor() {
    this.box = new QueryBox('Live query', 'What to follow; empty for everything');
    this.follow = button('', () => this.toggle(), { class: 'run' });
    this.form = el('form', { class: 'ask', on: { submit: (event) => { event.preventDefault(); go('live', { q: this.box.value.trim() }); } } },
      this.box.node, el('button', { class: 'primary run' }, icon('play'), 'Follow'), this.follow);
    this.rates = el('div', { class: 'status rates' });
    this.gaps = el('div', { class: 'gaps' });
    this.pill = button('', () => this.toEnd(), { class: 'pill', hidden: true });
    this.aloud = el('p', { class: 'unseen', role: 'log', 'aria-live': 'polite' });
    this.results = new ResultList({ onOpen: (event) => panel(event, (...term) => this.term(...term)) });
    this.list = this.results.list;
    this.list.onMove = () => this.moved();
    this.list.node.setAttribute('aria-label', 'Events as they are written');
    this.results.node.append(this.pill);
    this.node = el('section', { class: 'page live' }, this.form, this.box.note, this.rates, this.gaps, this.results.node, this.aloud);
    this.rate = null;
    this.forget();
    this.actions = this.makeActions();
    onChoice((name) => this.results.chosen(name));
    this.say();
  }

  makeActions() {
    const event = (act) => () => { const at = this.results.current(); if (at) act(at); };
    return {
      ...this.results.actions,
      query: () => this.box.input.select(), run: () => this.form.requestSubmit(), pause: () => this.toggle(), last: () => this.toEnd(),
      escape: () => this.results.closeAll(), context: event(openContext),
      copyLine: event(copyLine), copyJson: event(copyJson), link: event(copyLink),
    };
  }

  forget() {
    Object.assign(this, { ring: [], base: 0, next: 0, waiting: [], dropped: 0, letGo: 0, seen: new Set(), mark: null, errors: 0 });
    this.results.begin({ list: this.ring, find: (event) => this.find(event) }, [], null);
    this.gaps.replaceChildren();
  }

  /** Rows carry their number, so that one is found however many were let go before it. */
  find(event) {
    const at = event.number - this.base;
    return this.ring[at] === event ? at : -1;
  }

  show({ q = '' }) {
    this.shown = true;
    if (this.asked === q && this.abort && !this.abort.signal.aborted) return;
    this.box.value = q;
    this.begin(q);
  }

  /** Another page is shown: nothing is followed behind the reader's back. */
  hide() {
    this.shown = false;
    this.abort?.abort();
    this.paused = false;
  }

  begin(q) {
    const parsed = read(q);
    if (parsed.error) return this.box.typed();
    this.abort?.abort();
    this.abort = new AbortController();
    this.asked = q;
    this.paused = false;
    this.forget();
    this.results.look.marks = this.results.marks = marks(parsed.terms);
    this.announce();
    return this.listen(this.abort);
  }

  async listen(abort) {
    for (let tries = 0; !abort.signal.aborted; tries += 1) {
      const error = await this.once(abort, () => { tries = 0; });
      if (abort.signal.aborted) return;
      if (error instanceof Refused) return this.refused(error);
      const wait = backoff(tries);
      this.trouble = `${error?.message ?? 'the server ended the stream'}; trying again in ${Math.ceil(wait)} s`;
      this.say();
      await new Promise((resolve) => { setTimeout(resolve, wait * 1000); });
    }
  }

  /** One connection, until it breaks or falls silent. Resumes where the last one stood. */
  async once(abort, alive) {
    const link = new AbortController();
    abort.signal.addEventListener('abort', () => link.abort(), { once: true });
    let silence = 0;
    const heard = () => {
      clearTimeout(silence);
      silence = setTimeout(() => link.abort(), SILENCE_MS);
    };
    heard();
    try {
      for await (const frame of events('live', { q: this.asked, since: this.mark ?? '-30s' }, link.signal)) {
        heard();
        alive();
        this.trouble = '';
        this.take(frame);
      }
      return null;
    } catch (error) {
      return link.signal.aborted && !abort.signal.aborted ? new Error('nothing heard for 12 s') : error;
    } finally {
      clearTimeout(silence);
      link.abort();
    }
  }

  refused(error) {
    this.abort.abort();
    this.trouble = error.message;
    if (error.code === 'bad_query') this.box.refuse(error);
    this.say();
  }

  take(frame) {
    if (frame.k === 'ev') {
      this.dropped += frame.drop ?? 0;
      this.mark = frame.w ?? frame.e?.at(-1)?.t ?? this.mark;
      this.push((frame.e ?? []).filter((event) => this.isNew(event)));
    } else if (frame.k === 'rate') this.rate = frame;
    else if (frame.k === 'gap') this.gap(frame);
    this.say();
  }

  /** After a reconnect the server may repeat what it sent last. */
  isNew({ id }) {
    if (this.seen.has(id)) return false;
    this.seen.add(id);
    if (this.seen.size > KNOWN) this.seen.delete(this.seen.values().next().value);
    return true;
  }

  push(batch) {
    this.look();
    this.errors += batch.filter((event) => event.l === 'error' || event.l === 'critical').length;
    if (this.still) {
      this.waiting.push(...batch);
      const over = this.waiting.length - RING;
      if (over > 0) {
        this.waiting.splice(0, over);
        this.letGo += over;
      }
    } else if (batch.length) this.append(batch);
  }

  append(batch) {
    this.results.changing(batch, () => {
      for (const event of batch) {
        event.number = this.next++;
        this.ring.push(event);
      }
      const over = this.ring.length - RING;
      if (over < RING / 10) return this.ring.length - batch.length;
      this.ring.splice(0, over);
      this.base += over;
      this.letGo += over;
      return 0;
    });
    this.list.toEnd();
  }

  /** Paused, or reading further up, or a row is open: rows stand still. */
  get still() {
    return this.paused || this.up || Boolean(this.list.openRow);
  }

  moved() {
    this.look();
    if (!this.still) this.release();
    this.say();
  }

  /** Whether the reader has left the foot of the list. */
  look() {
    this.list.sync();
    this.up = !this.list.atEnd();
  }

  release() {
    const batch = this.waiting;
    this.waiting = [];
    if (batch.length) this.append(batch);
  }

  toEnd() {
    this.paused = false;
    this.list.close();
    this.up = false;
    this.release();
    this.list.toEnd();
    this.say();
  }

  toggle() {
    if (this.still) return this.toEnd();
    this.paused = true;
    return this.say();
  }

  gap({ node, from, to }) {
    const utc = prefs.utc;
    const until = to && order(from, to) <= 0 ? `from ${rowTime(from, utc, false)} to ${rowTime(to, utc, false)}` : `since ${rowTime(from, utc, false)}`;
    const line = el('p', { class: 'gap' }, el('span', { text: `${node ?? 'A node'} not heard ${until}: rows may be missing here.` }));
    line.append(button('Dismiss', () => line.remove(), { class: 'link' }));
    this.gaps.append(line);
    while (this.gaps.children.length > 4) this.gaps.firstChild.remove();
  }

  term(name, value, not) {
    go('live', { q: withTerm(this.box.value, fieldTerm(name, value), not) });
  }

  announce() {
    clearInterval(this.announcer);
    this.announcer = setInterval(() => {
      if (!this.shown || !this.rate) return;
      this.aloud.textContent = `${count(Math.round(this.rate.match ?? 0))} per second, ${count(this.errors)} errors`;
      this.errors = 0;
    }, 10_000);
  }

  say() {
    this.saying ||= requestAnimationFrame(() => {
      this.saying = 0;
      this.drawStatus();
    });
  }

  drawStatus() {
    fill(this.follow, icon(this.still ? 'play' : 'pause'), this.still ? 'Resume' : 'Pause');
    this.follow.hidden = !this.ring.length;
    const r = this.rate ?? {};
    const rate = (name, value) => (value === undefined ? null : el('span', { class: 'rate' }, `${name} `, el('b', { text: `${count(Math.round(value))}/s` })));
    const state = this.trouble ? ['bad', this.trouble] : this.still ? ['warn', 'Standing still'] : ['good', 'Following'];
    fill(this.rates, el('span', { class: `say say-${state[0]}`, text: state[1] }),
      rate('in', r.in), rate('match', r.match), rate('shown', r.sent), rate('dropped', r.drop), rate('copies', r.dup),
      r.lag_ms === undefined ? null : el('span', { class: 'rate' }, 'lag ', el('b', { text: `${(r.lag_ms / 1000).toFixed(1)} s` })),
      this.dropped ? el('span', { class: 'say say-warn', text: `${count(this.dropped)} rows left out so far` }) : null,
      r.left_out ? el('span', { class: 'say say-warn', text: `${count(r.left_out)} left out by bucks` }) : null,
      this.letGo ? el('span', { class: 'say', text: `${count(this.letGo)} oldest rows let go` }) : null);
    this.pill.hidden = !this.still || !this.waiting.length;
    this.pill.replaceChildren(icon('down'), `${count(this.waiting.length)} new`);
    if (this.ring.length) this.results.showBlank();
    else this.results.showBlank(...blank('Waiting for the next line', 'Rows appear here as they are written, with the last 30 seconds before them.'));
  }
}
