//! Who is in the cluster, how each one is, and whether anything is missing because of it.

import { json } from './api.js';
import { inRow } from './clean.js';
import { bytes, button, count, el, fill } from './dom.js';
import { fieldTerm } from './query.js';
import { go, onChoice, prefs } from './state.js';
import { clock, date, millis, span } from './time.js';

const EVERY_MS = 5_000;
const ROLES = ['tailer', 'buck', 'porter', 'web'];
/** What a card says elsewhere. */
const SHOWN = new Set(['role', 'name', 'state', 'id', 'why', 'host']);
const TONES = { up: 'good', unheard: 'warn' };

const toneOf = (state) => TONES[state] ?? 'bad';

/** Nodes as the header counts them: how many are well, of how many. */
export function tally(cluster) {
  const nodes = cluster.nodes ?? [];
  return { up: nodes.filter((node) => toneOf(node.state) === 'good').length, of: nodes.length };
}

/** A value by the unit its name ends with. */
function say(name, value) {
  if (value == null || value === '') return null;
  if (name === 'clock_ahead_ms') return `${count(Math.abs(value))} ms ${value < 0 ? 'behind' : 'ahead'}`;
  if (/^\d{18,19}$/.test(value)) {
    const ms = millis(value);
    const ago = (Date.now() - ms) / 1000;
    return ago >= 0 && ago < 86_400 ? `${span(Math.floor(ago))} ago` : `${date(ms, prefs.utc)} ${clock(ms, prefs.utc)}`;
  }
  if (typeof value === 'number') {
    if (/bytes|^memory/.test(name)) return bytes(value);
    if (/_s$/.test(name)) return span(value);
    return count(value);
  }
  return inRow(String(value));
}

/** What a person calls each figure, what it means, and in which order: it stands in the page itself. */
const FIGURES = new Map([...document.getElementById('figures').content.children].map((node, at) => [node.id, { at, name: node.textContent, title: node.title }]));
const place = ([name]) => FIGURES.get(name)?.at ?? FIGURES.size;
const byName = new Intl.Collator('en', { numeric: true }).compare;

const label = (name) => FIGURES.get(name)?.name ?? name.replace(/_(ms|s|bytes|ns)$/, '').replaceAll('_', ' ');
const nameOf = (node) => String(node.name ?? node.id);

export class ClusterPage {
  constructor() {
    this.zeros = false;
    this.switch = button('', () => { this.zeros = !this.zeros; this.draw(); }, { class: 'link' });
    this.summary = el('div', { class: 'cluster-summary', role: 'status' });
    this.groups = el('div', { class: 'cluster-groups' });
    this.node = el('section', { class: 'page cluster' }, this.summary, this.groups, this.switch);
    this.actions = {};
    this.answer = null;
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
    fill(this.summary, el('h1', { title: `Roster ${answer.roster}`, text: up === of ? `All ${of} nodes are well` : `${up} of ${of} nodes are well` }), this.completeness(answer.completeness));
    const nodes = (answer.nodes ?? []).toSorted((a, b) => byName(nameOf(a), nameOf(b)));
    const roles = [...new Set([...ROLES, ...nodes.map((node) => node.role)])];
    fill(this.groups, ...roles.map((role) => this.group(role, nodes.filter((node) => node.role === role))));
    this.switch.textContent = this.zeros ? 'Hide figures that are zero' : 'Show figures that are zero';
    this.switch.setAttribute('aria-expanded', String(this.zeros));
  }

  /** What a search of the last minutes would say of itself. */
  completeness({ text, complete } = {}) {
    return text ? el('p', { class: `say-${complete === false ? 'warn' : 'plain'}`, text }) : null;
  }

  fact(name, value) {
    return el('div', { title: FIGURES.get(name)?.title }, el('dt', { text: label(name) }), el('dd', { text: say(name, value) }));
  }

  group(role, nodes) {
    if (!nodes.length) return null;
    return el('section', { class: 'group' },
      el('h2', null, `${role}s`, el('span', { class: 'facet-size', text: count(nodes.length) })),
      el('div', { class: 'cards' }, ...nodes.map((node) => this.card(node))));
  }

  card(node) {
    const name = nameOf(node);
    const tone = toneOf(node.state);
    const facts = Object.entries(node).filter(([key, value]) => !SHOWN.has(key) && say(key, value) && (value !== 0 || this.zeros));
    facts.sort((a, b) => place(a) - place(b));
    return el('article', { class: `card card-${tone}` },
      el('header', null, el('i', { class: `dot dot-${tone}`, 'aria-hidden': 'true' }), el('h3', { text: inRow(name), title: node.id ?? '' }),
        el('span', { class: `say-${tone}`, text: node.state ?? 'unknown' })),
      node.why ? el('p', { class: `say-${tone}`, text: node.why }) : null,
      el('dl', null, ...facts.map(([key, value]) => this.fact(key, value))),
      tone === 'good' ? null : button('Its own logs', () => go('search', { q: fieldTerm('host', node.host ?? name), from: 'now-1h', to: 'now' }), { class: 'link' }));
  }
}
