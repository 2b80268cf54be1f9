//! Which levels, hosts and apps the loaded rows have, and how many of each. Of the loaded rows, and it says so.

import { inRow } from './clean.js';
import { button, count, el, fill } from './dom.js';
import { LEVELS, levelOf } from './row.js';

const SHOWN = 8;
const KINDS = [
  ['level', levelOf],
  ['host', (event) => event.h ?? ''],
  ['app', (event) => event.a ?? ''],
];

export class Facets {
  /** `onTerm(name, value, not)` when a value is taken or excluded. */
  constructor(onTerm) {
    this.onTerm = onTerm;
    this.node = el('aside', { class: 'facets', 'aria-label': 'Values in the loaded rows' });
    this.wide = new Set();
    this.reset();
  }

  reset() {
    this.counts = new Map(KINDS.map(([kind]) => [kind, new Map()]));
    this.rows = 0;
    this.due();
  }

  /** Counts more rows. */
  add(events) {
    this.rows += events.length;
    for (const [kind, valueOf] of KINDS) {
      const counts = this.counts.get(kind);
      for (const event of events) {
        const value = valueOf(event);
        counts.set(value, (counts.get(value) ?? 0) + 1);
      }
    }
    this.due();
  }

  /** Draws at most four times a second. */
  due() {
    this.timer ||= setTimeout(() => {
      this.timer = 0;
      this.draw();
    }, this.rows ? 250 : 0);
  }

  draw() {
    const title = el('p', { class: 'facets-of', text: this.rows ? `Of the ${count(this.rows)} rows loaded` : 'No rows loaded' });
    fill(this.node, title, ...KINDS.map(([kind]) => this.group(kind)));
  }

  group(kind) {
    const counts = this.counts.get(kind);
    if (!counts.size) return null;
    const entries = [...counts];
    if (kind === 'level') entries.sort((a, b) => LEVELS.indexOf(a[0]) - LEVELS.indexOf(b[0]));
    else entries.sort((a, b) => b[1] - a[1] || (a[0] < b[0] ? -1 : 1));
    const most = Math.max(...counts.values());
    const all = kind === 'level' || this.wide.has(kind);
    const shown = all ? entries.slice(0, 200) : entries.slice(0, SHOWN);
    const rest = entries.length - shown.length;
    return el('section', { class: 'facet' },
      el('h3', null, kind, kind === 'level' ? null : el('span', { class: 'facet-size', text: count(counts.size) })),
      el('ul', null, ...shown.map(([value, n]) => this.value(kind, value, n, most))),
      rest > 0 && !all ? button(`${rest} more`, () => { this.wide.add(kind); this.draw(); }, { class: 'link' }) : null);
  }

  value(kind, value, n, most) {
    const name = inRow(value) || 'none';
    const bar = el('i', { class: 'facet-bar', data: kind === 'level' ? { level: value } : {} });
    bar.style.width = `calc((100% - 12px) * ${Math.max(0.01, n / most)})`;
    const take = el('button', {
      type: 'button', class: 'facet-value', title: `Only ${kind} ${name}`, disabled: !value,
      on: { click: () => this.onTerm(kind, value, false) },
    }, el('span', { class: 'facet-name', text: name }), el('span', { class: 'facet-count', text: count(n) }), bar);
    const not = button('−', () => this.onTerm(kind, value, true), {
      class: 'facet-not', disabled: !value, 'aria-label': `Without ${kind} ${name}`, title: `Without ${kind} ${name}`,
    });
    return el('li', null, take, not);
  }
}
