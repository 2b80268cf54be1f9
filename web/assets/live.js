//! The live tail: rows as they are written, at the foot. It stands still the moment the reader looks up, counts
//! what waits, and says exactly what was left out.

import { Refused, backoff, events } from './api.js';
import { button, count, el, fill, icon, sign } from './dom.js';
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
    this.box = new QueryBox('Live query', 'What to follow; empty for everything', 'Everything, or a query');
    this.button = button('', () => (this.fresh ? this.submitted() : this.toggle()), { class: 'run' });
    this.form = el('form', { class: 'ask', on: { submit: (event) => { event.preventDefault(); this.submitted(); } } }, this.box.node, this.button);
    this.box.input.addEventListener('input', () => this.say());
    this.told = el('span', { class: 'say' });
    this.waits = el('span');
    this.pill = el('button', { type: 'button', class: 'pill', hidden: true, on: { click: () => this.toEnd() } }, icon('down'), this.waits);
    this.rates = el('div', { class: 'rates' });
    this.gaps = el('div', { class: 'gaps' });
    this.aloud = el('p', { class: 'unseen', role: 'log', 'aria-live': 'polite' });
    this.results = new ResultList({ onOpen: (event) => panel(event, (...term) => this.term(...term)) });
    this.list = this.results.list;
    this.list.onMove = () => this.moved();
    this.list.follows = () => !this.still;
    this.list.node.setAttribute('aria-label', 'Events as they are written');
    this.node = el('section', { class: 'page live' }, this.form, this.results.node, this.gaps,
      el('div', { class: 'foot' }, this.told, this.pill, this.rates), this.aloud);
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

  /** Whether what is in the box is not what is followed. */
  get fresh() {
    return !this.abort || this.abort.signal.aborted || this.box.value.trim() !== this.asked;
  }

  submitted() {
    if (this.fresh) go('live', { q: this.box.value.trim() });
    else if (this.still) this.toEnd();
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
    this.paused = this.up = false;
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
    else if (frame.k === 'past' && (frame.missing.length || frame.why !== 'complete')) this.note(`Earlier rows, ${frame.why}: ${frame.complete}`);
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

  /** Whether the reader has left the foot of the list; a list that became taller or lower was not left. */
  look() {
    if (this.list.node.clientHeight !== this.list.view) this.list.resized();
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
    this.note(`${node ?? 'A node'} not heard ${until}: rows may be missing here.`);
  }

  note(text) {
    const line = el('p', { class: 'gap' }, el('span', { text }));
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
    const { fresh, still } = this;
    const name = fresh ? 'Follow' : still ? 'Resume' : 'Pause';
    sign(this.button, name === 'Pause' ? 'pause' : 'play', name);
    this.button.classList.toggle('primary', name !== 'Pause');
    const [tone, told] = this.trouble ? ['bad', this.trouble] : still ? ['warn', 'Standing still'] : ['good', 'Following'];
    this.told.className = `say say-${tone}`;
    this.told.textContent = told;
    this.pill.hidden = !still || !this.waiting.length;
    this.waits.textContent = `${count(this.waiting.length)} new`;
    fill(this.rates, ...this.lost(), ...this.speeds());
    if (this.ring.length) this.results.showBlank();
    else this.results.showBlank(...blank('Waiting for the next line', 'Rows appear here as they are written, the last 30 seconds first.'));
  }

  /** What is not on the screen, exactly counted. */
  lost() {
    return [[this.dropped, 'rows left out so far', 'say say-warn'], [this.rate?.left_out, 'left out by bucks', 'say say-warn'], [this.letGo, 'oldest rows let go', 'say']]
      .filter(([n]) => n).map(([n, what, name]) => el('span', { class: name, text: `${count(n)} ${what}` }));
  }

  speeds() {
    const r = this.rate ?? {};
    const rate = (name, value, title) => el('span', { class: name === 'match' ? 'rate' : 'rate wide-only', title }, `${name} `, el('b', { text: value }));
    const lines = [['in', r.in, 'Lines written'], ['match', r.match, 'Lines the query fits'], ['shown', r.sent, 'Lines sent to this page'],
      ['dropped', r.drop, 'Lines that were too many to send'], ['copies', r.dup, 'Second copies, collapsed']];
    const said = lines.filter(([, n]) => n !== undefined).map(([name, n, title]) => rate(name, `${count(Math.round(n))}/s`, title));
    return r.lag_ms === undefined ? said : [...said, rate('lag', `${(r.lag_ms / 1000).toFixed(1)} s`, 'From a line’s time to this page')];
  }
}
