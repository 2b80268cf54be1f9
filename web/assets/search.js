//! The search page: ask, watch the answer come, read it, narrow it. What a search brought is kept by `run.js`.

import { Gone, Refused, backoff, ndjson, stop } from './api.js';
import { button, count, el, fill, icon, sign, toast } from './dom.js';
import { copyJson, copyLine, copyLink, openContext, panel } from './event.js';
import { Facets } from './facets.js';
import { Histogram, barsFor, shifted, zoomed } from './hist.js';
import { fieldTerm, marks, read, withTerm } from './query.js';
import { QueryBox } from './querybox.js';
import { RangePicker } from './range.js';
import { ResultList, UNREAD, blank, instead, tornAway, welcome } from './results.js';
import { Rows } from './rows.js';
import { Run, sentence } from './run.js';
import { address, choose, go, onChoice, prefs, shareable } from './state.js';
import { rfc3339 } from './time.js';

const FIRST_LIMIT = 1_000;
const MORE_LIMIT = 5_000;
const GUARD = 'tailbuck.searching';

/** What was being asked when this page was last torn away, if it was: that alone is not asked again by itself. */
let crashed = sessionStorage.getItem(GUARD);
sessionStorage.removeItem(GUARD);
// A page left in good order is not one that crashed.
addEventListener('pagehide', () => sessionStorage.removeItem(GUARD));

export class SearchPage {
  constructor() {
    this.box = new QueryBox('Search', 'Any text, "a phrase", host:web*, level:error, /regex/, -not', 'Any text, level:error');
    this.range = new RangePicker((from, to) => this.ask({ from, to }));
    this.runButton = el('button', { class: 'primary run' });
    this.form = el('form', { class: 'ask', role: 'search', on: { submit: (event) => this.submitted(event) } },
      this.box.node, this.range.node, this.runButton);
    this.hist = new Histogram({ utc: () => prefs.utc, onZoom: (a, b) => this.zoomTo(a, b), onOut: () => this.zoom(false) });
    this.told = el('div', { class: 'told', role: 'status' });
    this.offers = el('span');
    this.tools = this.makeTools();
    this.status = el('div', { class: 'status' }, this.told, this.offers, el('div', { class: 'offers' }, ...Object.values(this.tools)));
    this.meter = el('div', { class: 'meter' }, el('i'));
    this.facets = new Facets((name, value, not) => this.term(name, value, not));
    this.results = new ResultList({ onOpen: (event) => panel(event, (...term) => this.term(...term)) });
    this.node = el('section', { class: 'page search idle' }, this.form, this.hist.node, this.meter, this.status,
      el('div', { class: 'results' }, this.facets.node, this.results.node));
    this.actions = this.makeActions();
    onChoice((name) => this.chosen(name));
    this.rest();
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
    this.range.close();
    if (!('q' in params)) return this.rest();
    this.asked = wanted;
    const torn = crashed === wanted;
    crashed = null;
    return torn ? this.clear(...tornAway(() => this.start())) : this.start();
  }

  /** Nothing is asked: back to the beginning. */
  rest() {
    this.asked = null;
    this.clear(...welcome((change) => this.ask(change)));
  }

  /** Takes away what another search left, and shows this instead. */
  clear(...content) {
    this.halt();
    this.run = null;
    this.node.classList.add('idle');
    this.results.begin(new Rows(), [], null);
    this.results.showBlank(...content);
    this.say();
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
    crashed = null;
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
    if (parsed.error) {
      this.box.typed();
      return this.clear(...blank(...UNREAD));
    }
    this.node.classList.remove('idle');
    this.run = new Run(this.params.dir === 'forward');
    this.results.begin(this.run.rows, marks(parsed.terms), this.range.span());
    this.facets.reset();
    this.hist.clear();
    this.tries = 0;
    this.fetch({});
    return this.fetchHits();
  }

  halt() {
    clearTimeout(this.retry);
    this.abort?.abort();
    this.abort = new AbortController();
  }

  async fetch(more) {
    const { run, abort: { signal } } = this;
    const { q, from, to, dir, limit } = this.params;
    clearTimeout(this.calm);
    sessionStorage.setItem(GUARD, this.asked);
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
    this.calm = setTimeout(() => sessionStorage.removeItem(GUARD), 2_000);
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
      this.node.classList.toggle('idle', !run.rows.list.length);
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
        if (frame.k !== 'hits') continue;
        this.hist.take(frame);
        this.say();
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
    if (!this.results.closeAll()) this.stop();
  }

  zoomTo(from, to) {
    this.ask({ from: rfc3339(from), to: rfc3339(to) });
  }

  zoom(inward) {
    const span = this.range.span();
    if (span) this.zoomTo(...zoomed(...span, inward));
  }

  shift(by) {
    const span = this.range.span();
    if (span) this.zoomTo(...shifted(...span, by));
  }

  async share() {
    const span = this.range.span();
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
    sign(this.runButton, busy ? 'stop' : 'search', busy ? 'Stop' : 'Run');
    this.runButton.classList.toggle('stopping', busy);
    this.meter.dataset.state = busy ? (run.share === null ? 'unknown' : 'known') : 'off';
    this.meter.firstChild.style.width = `${(run?.share ?? 1) * 100}%`;
    this.node.classList.toggle('no-facets', !prefs.facets);
    for (const name of ['facets', 'wrap']) this.tools[name].setAttribute('aria-pressed', String(prefs[name]));
    if (!run) return;
    this.results.list.node.setAttribute('aria-busy', String(busy));
    const pieces = run.state === 'refused' ? [{ tone: 'bad', text: run.error.message }] : sentence(run, prefs.utc, this.results.look.withDay, this.hist.total);
    fill(this.told, ...pieces.map(({ tone, text }) => el('span', { class: tone ? `say say-${tone}` : 'say', text })));
    fill(this.offers, this.offer(run));
    this.drawBlank(run);
  }

  /** What may be done about an answer that is not all of it. */
  offer(run) {
    if (run.state === 'limit') return el('button', { type: 'button', on: { click: () => this.more() } }, el('span', { class: 'wide-only', text: 'Load' }), `${count(MORE_LIMIT)} more`);
    if ((run.state === 'stopped' && run.reached) || (run.state === 'timeout' && run.end.cursor)) return button('Go on', () => this.more());
    return run.state === 'gone' ? button('Try again', () => this.start()) : null;
  }

  makeTools() {
    const tool = (sign, name, title, act) => el('button', { type: 'button', class: 'quiet', title, 'aria-label': name, data: { tool: sign }, on: { click: act } },
      icon(sign), el('span', { class: 'wide-only', text: name }));
    return {
      facets: tool('filter', 'Values', 'Show the values of loaded rows', () => choose('facets', !prefs.facets)),
      wrap: tool('wrap', 'Wrap', 'Wrap long lines (l)', () => choose('wrap', !prefs.wrap)),
      link: tool('link', 'Copy link', 'A link to these exact times', () => this.share()),
    };
  }

  drawBlank(run) {
    if (run.rows.list.length) return this.results.showBlank();
    if (run.state === 'gone' && run.retryAt > Date.now()) setTimeout(() => this.say(), 500);
    return this.results.showBlank(...instead(run, (change) => this.ask(change), () => this.start()));
  }
}
