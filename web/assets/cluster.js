//! Who is in the cluster, how each one is, and whether anything is missing because of it.

import { json } from './api.js';
import { inRow } from './clean.js';
import { bytes, button, count, el, fill } from './dom.js';
import { fieldTerm } from './query.js';
import { go, onChoice, prefs } from './state.js';
import { clock, date, millis, span } from './time.js';

const EVERY_MS = 5_000;
const ROLES = ['tailer', 'buck', 'porter', 'web'];
const SHOWN = new Set(['role', 'roles', 'name', 'node', 'state', 'id', 'why']);
const GOOD = new Set(['up', 'ok', 'alive', 'ready', 'good', 'healthy', 'here']);
const WARN = new Set(['slow', 'late', 'retiring', 'draining', 'quiet', 'unknown', 'starting', 'unheard']);

const toneOf = (state) => (GOOD.has(state) ? 'good' : WARN.has(state) ? 'warn' : 'bad');

/** Nodes as the header counts them: how many are well, of how many. */
export function tally(cluster) {
  const nodes = cluster.nodes ?? [];
  return { up: nodes.filter((node) => toneOf(node.state) === 'good').length, of: nodes.length };
}

function isTime(name, value) {
  return /^\d{18,19}$/.test(value) && !/bytes|count|seq|offset/.test(name);
}

/** A value by the unit its name ends with. */
function say(name, value) {
  if (value === null || value === undefined || value === '') return null;
  if (Array.isArray(value)) return value.map((item) => say(name, item)).filter(Boolean).join(', ');
  if (typeof value === 'object') return Object.entries(value).map(([key, inner]) => `${key} ${say(key, inner)}`).join(', ');
  if (typeof value === 'boolean') return value ? 'yes' : 'no';
  if (isTime(name, String(value))) {
    const ms = millis(String(value));
    const ago = (Date.now() - ms) / 1000;
    return ago >= 0 && ago < 86_400 ? `${span(Math.floor(ago))} ago` : `${date(ms, prefs.utc)} ${clock(ms, prefs.utc)}`;
  }
  if (typeof value === 'number') {
    if (/bytes|_free$|_used$/.test(name)) return bytes(value);
    if (/_ms$/.test(name)) return value < 1000 ? `${count(value)} ms` : span(value / 1000);
    if (/_s$|seconds$|^uptime/.test(name)) return span(value);
    return count(value);
  }
  return inRow(String(value));
}

const label = (name) => name.replace(/^porter_/, '').replace(/_(ms|s|bytes|ns)$/, '').replaceAll('_', ' ');

export class ClusterPage {
  constructor() {
    this.summary = el('div', { class: 'cluster-summary', role: 'status' });
    this.groups = el('div', { class: 'cluster-groups' });
    this.node = el('section', { class: 'page cluster' }, this.summary, this.groups);
    this.actions = {};
    this.answer = null;
    this.opened = new Set();
    onChoice((name) => { if (name === 'utc' && this.answer) this.draw(); });
  }

  show() {
    clearInterval(this.timer);
    this.timer = setInterval(() => { if (!document.hidden) this.load(); }, EVERY_MS);
    this.load();
  }

  hide() {
    clearInterval(this.timer);
  }

  async load() {
    try {
      this.answer = await json('cluster');
      this.draw();
    } catch (error) {
      fill(this.summary, el('span', { class: 'say say-bad', text: `${error.message}${this.answer ? '; what stands below is old' : ''}` }),
        button('Try again', () => this.load()));
    }
  }

  draw() {
    const { answer } = this;
    const { up, of } = tally(answer);
    const whole = this.completeness(answer.completeness);
    fill(this.summary, el('h1', { text: up === of ? `All ${of} nodes are well` : `${up} of ${of} nodes are well` }), ...whole, this.facts(answer));
    const nodes = [...(answer.nodes ?? [])];
    const roles = [...new Set([...ROLES, ...nodes.map((node) => node.role)])];
    fill(this.groups, ...roles.map((role) => this.group(role, nodes.filter((node) => node.role === role))));
  }

  /** A sentence, or an object with one. */
  completeness(value) {
    if (!value) return [];
    const text = typeof value === 'string' ? value : (value.text ?? value.say ?? say('completeness', value));
    const tone = typeof value === 'object' && value.complete === false ? 'warn' : 'plain';
    return [el('p', { class: `say-${tone}`, text })];
  }

  /** What else the server says of the whole cluster. */
  facts(answer) {
    const facts = Object.entries(answer).filter(([name, value]) => !['nodes', 'completeness', 'k'].includes(name) && say(name, value));
    return facts.length ? el('dl', { class: 'facts' }, ...facts.map(([name, value]) => this.fact(name, value))) : null;
  }

  fact(name, value) {
    return el('div', null, el('dt', { text: label(name) }), el('dd', { text: say(name, value) }));
  }

  group(role, nodes) {
    if (!nodes.length) return null;
    return el('section', { class: 'group' },
      el('h2', null, `${role}s`, el('span', { class: 'facet-size', text: count(nodes.length) })),
      el('div', { class: 'cards' }, ...nodes.map((node) => this.card(node))));
  }

  card(node) {
    const name = String(node.name ?? node.node ?? node.id ?? 'unnamed');
    const tone = toneOf(node.state);
    const facts = Object.entries(node).filter(([key, value]) => !SHOWN.has(key) && say(key, value));
    const counted = facts.filter(([, value]) => value !== 0);
    const zeros = facts.filter(([, value]) => value === 0);
    const more = el('details', null, el('summary', { text: `${zeros.length} at zero` }),
      el('dl', null, ...zeros.map(([key, value]) => this.fact(key, value))));
    more.open = this.opened.has(name);
    more.addEventListener('toggle', () => (more.open ? this.opened.add(name) : this.opened.delete(name)));
    return el('article', { class: `card card-${tone}` },
      el('header', null, el('i', { class: `dot dot-${tone}`, 'aria-hidden': 'true' }), el('h3', { text: inRow(name), title: node.id ?? '' }),
        el('span', { class: `say-${tone}`, text: node.state ?? 'unknown' })),
      node.why ? el('p', { class: `say-${tone}`, text: node.why }) : null,
      el('dl', null, ...counted.map(([key, value]) => this.fact(key, value))),
      zeros.length ? more : null,
      tone === 'good' ? null : button('Its own logs', () => go('search', { q: fieldTerm('host', node.host ?? name), from: 'now-1h', to: 'now' }), { class: 'link' }));
  }
}
