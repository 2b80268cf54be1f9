//! The search page: ask, watch the answer come, read it, narrow it. What a search brought is kept by `run.js`.

import { Gone, Refused, backoff, ndjson, stop } from './api.js';
import { button, count, el, fill, icon, toast } from './dom.js';
import { copyJson, copyLine, copyLink, openContext, panel } from './event.js';
import { Facets } from './facets.js';
import { Histogram, barsFor, shifted, zoomed } from './hist.js';
import { fieldTerm, marks, read, withTerm } from './query.js';
import { QueryBox } from './querybox.js';
import { RangePicker } from './range.js';
import { ResultList, blank, nothingFound, welcome } from './results.js';
import { Run, sentence } from './run.js';
import { address, choose, go, onChoice, prefs, shareable } from './state.js';
import { resolve, rfc3339 } from './time.js';

const FIRST_LIMIT = 1_000;
const MORE_LIMIT = 5_000;
const GUARD = 'tailbuck.searching';

export class SearchPage {
  constructor() {
    this.box = new QueryBox('Search', 'Any text, "a phrase", host:web*, level:error, /regex/, -not');
    this.range = new RangePicker((from, to) => this.ask({ from, to }));
    this.runButton = el('button', { class: 'primary run' });
    this.form = el('form', { class: 'ask', role: 'search', on: { submit: (event) => this.submitted(event) } },
      this.box.node, this.range.node, this.runButton);
    this.hist = new Histogram({ utc: () => prefs.utc, onZoom: (a, b) => this.zoomTo(a, b), onOut: () => this.zoom(false) });
    this.status = el('div', { class: 'status', role: 'status' });
    this.meter = el('div', { class: 'meter' }, el('i'));
    this.facets = new Facets((name, value, not) => this.term(name, value, not));
    this.results = new ResultList({ onOpen: (event) => panel(event, (...term) => this.term(...term)) });
    this.node = el('section', { class: 'page search idle' }, this.form, this.box.note, this.hist.node, this.meter, this.status,
      el('div', { class: 'results' }, this.facets.node, this.results.node));
    this.run = null;
    this.actions = this.makeActions();
    onChoice((name) => this.chosen(name));
    this.rest();
    this.say();
  }

  makeActions() {
    const event = (act) => () => { const at = this.results.current(); if (at) act(at); };
    return {
      ...this.results.actions,
      query: () => this.box.input.select(), run: () => this.ask({}), escape: () => this.escape(),
      context: event(openContext), copyLine: event(copyLine), copyJson: event(copyJson), link: event(copyLink),
      filter: event((at) => this.term('host', at.h, false)), exclude: event((at) => this.term('host', at.h, true)),
      zoomIn: () => this.zoom(true), zoomOut: () => this.zoom(false), earlier: () => this.shift(-1), later: () => this.shift(1),
      range: () => this.range.toggle(), wrap: () => choose('wrap', !prefs.wrap), facets: () => choose('facets', !prefs.facets),
      share: () => this.share(),
    };
  }

  /** The address changed: show what it says, and run it unless it is what stands here. */
  show(params) {
    const { q = '', from = 'now-1h', to = 'now' } = params;
    const wanted = JSON.stringify([q, from, to, params.dir ?? '']);
    this.params = { ...params, q, from, to };
    if (wanted === this.asked) return;
    this.box.value = q;
    this.range.set(from, to);
    if (!('q' in params)) return this.rest();
    this.asked = wanted;
    return sessionStorage.getItem(GUARD) ? this.guarded() : this.start();
  }

  /** Nothing is asked: back to the beginning. */
  rest() {
    this.halt();
    Object.assign(this, { run: null, asked: null });
    this.node.classList.add('idle');
    this.results.list.reset([]);
    this.results.showBlank(...welcome((change) => this.ask(change)));
  }

  current() {
    return { ...this.params, q: this.box.value.trim(), from: this.range.from, to: this.range.to };
  }

  submitted(event) {
    event.preventDefault();
    if (this.run?.busy && this.box.value.trim() === this.params.q) this.stop();
    else this.ask({});
  }

  /** Runs what is in the box, changed by `change`; the same question again is asked again. */
  ask(change) {
    this.asked = null;
    sessionStorage.removeItem(GUARD);
    const params = { ...this.current(), ...change };
    if (address('search', params) === location.hash) this.show(params);
    else go('search', params);
  }

  term(name, value, not) {
    if (value) this.ask({ q: withTerm(this.box.value, fieldTerm(name, value), not) });
  }

  start() {
    this.halt();
    const parsed = read(this.params.q);
    if (parsed.error) return this.box.typed();
    this.node.classList.remove('idle');
    this.run = new Run(this.params.dir === 'forward');
    this.results.begin(this.run.rows, marks(parsed.terms), this.span());
    this.facets.reset();
    this.hist.clear();
    this.tries = 0;
    this.fetch({});
    return this.fetchHits();
  }

  span() {
    const now = Date.now();
    const [from, to] = [resolve(this.range.from, now), resolve(this.range.to, now)];
    return from === null || to === null ? null : [from, to];
  }

  halt() {
    clearTimeout(this.retry);
    this.abort?.abort();
    this.abort = new AbortController();
  }

  async fetch(more) {
    const { run, abort: { signal } } = this;
    const { q, from, to, dir, limit } = this.params;
    sessionStorage.setItem(GUARD, '1');
    this.say();
    try {
      const asked = { q, from, to, limit: limit ?? FIRST_LIMIT, dir: dir ?? 'back', ...more };
      for await (const frame of ndjson('search', asked, signal)) this.take(run, frame);
      if (run.busy) throw new Gone('the answer ended too early');
    } catch (error) {
      if (signal.aborted) return;
      this.failed(run, error);
    }
    this.say();
    setTimeout(() => sessionStorage.removeItem(GUARD), 2_000);
  }

  take(run, frame) {
    if (frame.k === 'ev') {
      const before = run.rows.list.length;
      this.results.changing(frame.e, () => run.take(frame));
      if (run.rows.list.length > before) this.facets.add(frame.e);
    } else run.take(frame);
    if (run.busy && run.reached && run.range) this.hist.reach(run.forward ? null : run.reached);
    if (frame.k === 'end') this.hist.reach(frame.why === 'complete' ? null : run.reached);
    this.say();
  }

  failed(run, error) {
    if (error instanceof Refused) {
      run.interrupt('refused', error);
      this.abort.abort();
      if (error.code === 'bad_query') this.box.refuse(error);
      this.node.classList.add('idle');
      return null;
    }
    run.interrupt('gone', error instanceof Gone ? error : new Gone(`this page failed: ${error.message}`));
    if (run.rows.list.length || run.error !== error) return null;
    const wait = backoff(this.tries);
    this.tries += 1;
    run.retryAt = Date.now() + wait * 1000;
    this.retry = setTimeout(() => { run.goOn(); this.fetch({}); this.fetchHits(); }, wait * 1000);
    return null;
  }

  async fetchHits() {
    const { signal } = this.abort;
    const { q, from, to } = this.params;
    const buckets = barsFor(this.hist.node.clientWidth);
    try {
      for await (const frame of ndjson('hits', { q, from, to, buckets, by: 'level' }, signal)) {
        if (frame.k === 'hits') this.hist.take(frame);
      }
    } catch (error) {
      if (!signal.aborted && this.run?.state !== 'refused' && this.run?.state !== 'gone') this.hist.fail(error.message);
    }
  }

  stop() {
    if (!this.run?.busy) return;
    const { qid } = this.run;
    this.halt();
    if (qid) stop(qid).catch(() => {});
    this.run.interrupt('stopped');
    this.hist.reach(this.run.reached);
    sessionStorage.removeItem(GUARD);
    this.say();
  }

  /** More behind a limit (its cursor says where), or the rest of a stopped search. */
  more() {
    const { run } = this;
    const cursor = run.end?.cursor;
    const edge = run.reached;
    run.goOn();
    if (cursor) this.fetch({ cursor, limit: MORE_LIMIT });
    else this.fetch(run.forward ? { from: rfc3339(edge) } : { to: rfc3339(BigInt(edge) + 1n) });
  }

  escape() {
    if (this.results.closeAll()) return;
    this.stop();
  }

  zoomTo(from, to) {
    this.ask({ from: rfc3339(from), to: rfc3339(to) });
  }

  zoom(inward) {
    const span = this.span();
    if (span) this.zoomTo(...zoomed(...span, inward));
  }

  shift(by) {
    const span = this.span();
    if (span) this.zoomTo(...shifted(...span, by));
  }

  async share() {
    const span = this.span();
    const frozen = span ? { from: rfc3339(span[0]), to: rfc3339(span[1]) } : {};
    await navigator.clipboard.writeText(shareable('search', { ...this.current(), ...frozen })).catch(() => {});
    toast('link to these exact times copied');
  }

  chosen(name) {
    if (name === 'facets') this.node.classList.toggle('no-facets', !prefs.facets);
    if (name === 'theme' || name === 'utc') this.hist.draw();
    if (name === 'utc') this.range.say();
    this.say();
    this.results.chosen(name);
  }

  /** Draws the status line once a frame. */
  say() {
    this.saying ||= requestAnimationFrame(() => {
      this.saying = 0;
      this.drawStatus();
    });
  }

  drawStatus() {
    const { run } = this;
    const busy = Boolean(run?.busy);
    fill(this.runButton, icon(busy ? 'stop' : 'search'), busy ? 'Stop' : 'Run');
    this.runButton.classList.toggle('stopping', busy);
    this.meter.dataset.state = busy ? (run.share === null ? 'unknown' : 'known') : 'off';
    this.meter.firstChild.style.width = `${(run?.share ?? 1) * 100}%`;
    this.node.classList.toggle('no-facets', !prefs.facets);
    if (!run) return;
    this.results.list.node.setAttribute('aria-busy', String(busy));
    const pieces = run.state === 'refused' ? [{ tone: 'bad', text: run.error.message }] : sentence(run, prefs.utc, this.results.look.withDay);
    fill(this.status, ...pieces.map(({ tone, text }) => el('span', { class: tone ? `say say-${tone}` : 'say', text })), ...this.offers(run));
    this.drawBlank(run);
  }

  offers(run) {
    const offers = [el('span', { class: 'grow' })];
    if (run.state === 'limit') offers.push(button(`Load ${count(MORE_LIMIT)} more`, () => this.more()));
    if (run.state === 'stopped' && run.reached) offers.push(button('Go on', () => this.more()));
    if (run.state === 'timeout' && run.end.cursor) offers.push(button('Go on', () => this.more()));
    if (run.state === 'gone') offers.push(button('Try again', () => this.start()));
    offers.push(button('Values', () => choose('facets', !prefs.facets), { class: 'quiet', data: { tool: 'values' }, 'aria-pressed': String(prefs.facets), title: 'Show the values of loaded rows' }));
    offers.push(button('Wrap', () => choose('wrap', !prefs.wrap), { class: 'quiet', 'aria-pressed': String(prefs.wrap), title: 'Wrap long lines' }));
    offers.push(button('Copy link', () => this.share(), { class: 'quiet', title: 'A link to these exact times' }));
    return offers;
  }

  /** What stands where rows would be, while there are none. */
  drawBlank(run) {
    if (run.rows.list.length) return this.results.showBlank();
    if (run.state === 'complete' || run.state === 'limit') return this.results.showBlank(...nothingFound(run.missing.length > 0, (change) => this.ask(change)));
    if (run.state === 'gone') {
      const wait = run.retryAt ? Math.max(0, Math.ceil((run.retryAt - Date.now()) / 1000)) : null;
      if (wait) setTimeout(() => this.say(), 500);
      return this.results.showBlank(...blank('The server does not answer', wait ? `Trying again in ${wait} s.` : run.error.message,
        button('Try now', () => this.start(), { class: 'primary' })));
    }
    if (run.state === 'refused') {
      const title = run.error.status === 401 ? 'Sign in first' : run.error.code === 'bad_query' ? 'The query cannot be read' : 'The server refused';
      return this.results.showBlank(...blank(title, run.error.code === 'bad_query' ? 'The place is marked above.' : run.error.message));
    }
    if (run.state === 'stopped') return this.results.showBlank(...blank('Stopped', 'Nothing had been found yet.'));
    return this.results.showBlank(el('p', { class: 'quiet-wait', text: 'Searching…' }));
  }

  guarded() {
    this.results.showBlank(...blank('This search did not end well last time', 'The page went away before the answer was drawn, so it was not asked again by itself.',
      button('Run it anyway', () => this.ask({}), { class: 'primary' })));
  }
}
