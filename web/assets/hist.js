//! How many events when, stacked by level. Drag or keys zoom; refinements replace what stood.

import { count, el } from './dom.js';
import { LEVELS } from './row.js';
import { NS_PER_SECOND, clock, date, millis, span } from './time.js';

const TICKS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400, 172800, 604800];
const AXIS = 18;
/** Room above the bars for what the highest is. */
const HEAD = 17;

export class Histogram {
  /** `onZoom(fromNs, toNs)` and `onOut()` are asked for by the reader; `utc()` tells the zone. */
  constructor(parts) {
    Object.assign(this, parts, { frame: null, bar: -1, drag: null, searched: null, total: null });
    this.canvas = el('canvas');
    this.tip = el('div', { class: 'hist-tip', hidden: true, 'aria-live': 'polite' });
    this.peak = el('span', { class: 'hist-peak' });
    this.table = el('table');
    this.swatches = el('div', { hidden: true }, ...LEVELS.map((level) => el('i', { class: 'swatch', data: { level } })));
    this.node = el('div', {
      class: 'hist', tabindex: '0', role: 'group',
      'aria-label': 'Events over time. Arrow keys move between bars, Enter zooms in, Backspace zooms out.',
    }, this.canvas, this.peak, this.tip, el('div', { class: 'unseen' }, this.table), this.swatches);
    this.listen();
  }

  listen() {
    const c = this.canvas;
    c.addEventListener('pointerdown', (event) => {
      if (!this.frame) return;
      c.setPointerCapture(event.pointerId);
      this.drag = { from: event.offsetX, to: event.offsetX };
    });
    c.addEventListener('pointermove', (event) => {
      if (this.drag) this.drag.to = event.offsetX;
      this.point(this.barAt(event.offsetX));
    });
    c.addEventListener('pointerup', () => this.dropped());
    c.addEventListener('pointercancel', () => { this.drag = null; this.draw(); });
    c.addEventListener('pointerleave', () => { if (!this.drag) this.point(-1); });
    c.addEventListener('dblclick', () => this.onOut());
    this.node.addEventListener('keydown', (event) => this.key(event));
    this.node.addEventListener('blur', () => this.point(-1));
    new ResizeObserver(() => this.draw()).observe(this.node);
  }

  get bars() {
    return this.frame?.counts[0]?.length ?? 0;
  }

  clear() {
    Object.assign(this, { frame: null, searched: null, bar: -1, total: null });
    this.peak.textContent = '';
    this.tip.hidden = true;
    this.table.replaceChildren();
    this.draw();
  }

  /** One `hits` line: `{from, step, levels, counts}`, one list of counts a level. */
  take(frame) {
    this.frame = { ...frame, from: BigInt(frame.from), step: BigInt(frame.step) };
    this.sums = Array.from({ length: this.bars }, (_, i) => frame.counts.reduce((sum, level) => sum + level[i], 0));
    this.most = Math.max(1, ...this.sums);
    const sum = this.sums.reduce((a, b) => a + b, 0);
    const done = frame.done !== false;
    this.total = done ? { sum, exact: frame.exact !== false } : null;
    this.peak.textContent = sum ? `Highest bar ${this.about}${count(this.most)} in ${span(Number(this.frame.step) / 1e9)}` : '';
    if (done) this.fillTable();
    this.draw();
  }

  /** Counts that may hold copies not collapsed yet are marked. */
  get about() {
    return this.frame?.exact === false ? '≈ ' : '';
  }

  /** Says why there are no bars. */
  fail(why) {
    this.peak.textContent = `no counts: ${why}`;
  }

  /** The part between the oldest end and this time is not searched yet. */
  reach(ns) {
    this.searched = ns === null ? null : BigInt(ns);
    this.draw();
  }

  fillTable() {
    const rows = this.sums.map((sum, i) => (sum ? el('tr', null, el('td', { text: this.barName(i) }), el('td', { text: count(sum) })) : null));
    this.table.replaceChildren(el('caption', { text: 'Events over time' }), ...rows.filter(Boolean));
  }

  startOf(bar) {
    return this.frame.from + this.frame.step * BigInt(bar);
  }

  barName(bar) {
    const utc = this.utc();
    const [a, b] = [millis(this.startOf(bar)), millis(this.startOf(bar + 1))];
    return `${date(a, utc)} ${clock(a, utc)} – ${clock(b, utc)}`;
  }

  barAt(x) {
    return Math.max(0, Math.min(this.bars - 1, Math.floor((x / this.canvas.clientWidth) * this.bars)));
  }

  point(bar) {
    if (!this.frame) return;
    this.bar = bar;
    this.tip.hidden = bar < 0;
    if (bar >= 0) {
      const levels = this.frame.levels.map((level, i) => [level, this.frame.counts[i][bar]]).filter(([, n]) => n)
        .map(([level, n]) => el('span', { class: 'tip-level' }, el('i', { class: 'swatch', data: { level } }), `${level} ${this.about}${count(n)}`));
      this.tip.replaceChildren(el('b', { text: this.barName(bar) }), ...(levels.length ? levels : [el('span', { text: 'nothing' })]));
      const x = ((bar + 0.5) / this.bars) * this.canvas.clientWidth;
      const half = this.tip.offsetWidth / 2;
      this.tip.style.left = `${Math.max(half, Math.min(x, this.canvas.clientWidth - half))}px`;
    }
    this.draw();
  }

  dropped() {
    const { drag } = this;
    this.drag = null;
    if (!drag) return;
    const [a, b] = [Math.min(drag.from, drag.to), Math.max(drag.from, drag.to)];
    if (b - a >= 5) this.onZoom(this.startOf(this.barAt(a)), this.startOf(this.barAt(b) + 1));
    else this.draw();
  }

  key(event) {
    const { key } = event;
    if (!this.frame || !this.bars) return;
    if (key === 'ArrowLeft' || key === 'ArrowRight') {
      const by = key === 'ArrowLeft' ? -1 : 1;
      this.point(Math.max(0, Math.min(this.bars - 1, this.bar < 0 ? this.bars - 1 : this.bar + by)));
    } else if (key === 'Enter' && this.bar >= 0) this.onZoom(this.startOf(this.bar), this.startOf(this.bar + 1));
    else if (key === 'Backspace') this.onOut();
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  draw() {
    this.pending ||= requestAnimationFrame(() => {
      this.pending = 0;
      this.paint();
    });
  }

  paint() {
    const width = this.node.clientWidth;
    if (!width) return;
    this.tall = this.node.clientHeight;
    const ratio = devicePixelRatio || 1;
    const [w, h] = [Math.round(width * ratio), Math.round(this.tall * ratio)];
    if (this.canvas.width !== w || this.canvas.height !== h) Object.assign(this.canvas, { width: w, height: h });
    const ink = this.canvas.getContext('2d');
    ink.setTransform(ratio, 0, 0, ratio, 0, 0);
    ink.clearRect(0, 0, width, this.tall);
    const style = getComputedStyle(this.node);
    this.paintAxis(ink, width, style);
    if (!this.frame) return;
    this.paintBars(ink, width);
    this.paintOver(ink, width, style);
  }

  paintBars(ink, width) {
    const colours = new Map([...this.swatches.children].map((node) => [node.dataset.level, getComputedStyle(node).backgroundColor]));
    const high = this.tall - AXIS - HEAD;
    const slot = width / this.bars;
    const gap = slot > 4 ? 1 : 0;
    const foot = new Float64Array(this.bars).fill(this.tall - AXIS);
    for (const level of LEVELS) {
      const at = this.frame.levels.indexOf(level);
      if (at < 0) continue;
      ink.fillStyle = colours.get(level);
      this.frame.counts[at].forEach((n, bar) => {
        if (!n) return;
        const tall = Math.max(1, (n / this.most) * high);
        foot[bar] -= tall;
        ink.fillRect(bar * slot, foot[bar], Math.max(1, slot - gap), tall);
      });
    }
  }

  paintAxis(ink, width, style) {
    ink.strokeStyle = style.borderBottomColor;
    ink.beginPath();
    ink.moveTo(0, this.tall - AXIS + 0.5);
    ink.lineTo(width, this.tall - AXIS + 0.5);
    ink.stroke();
    if (!this.bars) return;
    const seconds = (Number(this.frame.step) / 1e9) * this.bars;
    const tick = TICKS.find((step) => (step / seconds) * width >= 84) ?? TICKS.at(-1);
    const utc = this.utc();
    const start = millis(this.frame.from) / 1000;
    let free = 0;
    const zone = utc ? 0 : -new Date(start * 1000).getTimezoneOffset() * 60;
    ink.fillStyle = style.color;
    ink.font = `11px ${style.fontFamily}`;
    for (let at = Math.ceil((start + zone) / tick) * tick - zone; at < start + seconds; at += tick) {
      const x = Math.round(((at - start) / seconds) * width) + 0.5;
      const label = tick >= 86400 ? date(at * 1000, utc).slice(5) : clock(at * 1000, utc).slice(0, tick < 60 ? 8 : 5);
      const wide = ink.measureText(label).width;
      const left = x + wide + 4 < width ? x + 4 : x - wide - 4;
      if (left < free) continue;
      free = left + wide + 8;
      ink.fillRect(x - 0.5, this.tall - AXIS, 1, 4);
      ink.fillText(label, left, this.tall - 5);
    }
  }

  paintOver(ink, width, style) {
    const full = Number(this.frame.step) * this.bars;
    if (this.searched !== null) {
      const x = (Number(this.searched - this.frame.from) / full) * width;
      ink.globalAlpha = 0.6;
      ink.fillStyle = style.backgroundColor;
      ink.fillRect(0, 0, Math.max(0, x), this.tall - AXIS);
      ink.globalAlpha = 1;
    }
    ink.fillStyle = style.outlineColor;
    if (this.drag) {
      ink.globalAlpha = 0.22;
      ink.fillRect(Math.min(this.drag.from, this.drag.to), 0, Math.abs(this.drag.to - this.drag.from), this.tall - AXIS);
    } else if (this.bar >= 0) {
      ink.globalAlpha = 0.16;
      ink.fillRect((this.bar / this.bars) * width, 0, Math.max(2, width / this.bars), this.tall - AXIS);
    }
    ink.globalAlpha = 1;
  }
}

/** How many bars fit. */
export const barsFor = (width) => Math.max(40, Math.min(300, Math.floor(width / 5)));

/** The same span, moved or stretched: `by` in halves of it. */
export function shifted(from, to, by) {
  const half = (to - from) / 2n;
  return [from + half * BigInt(by), to + half * BigInt(by)];
}

export function zoomed(from, to, inward) {
  const quarter = (to - from) / 4n;
  if (!inward) return [from - quarter * 2n, to + quarter * 2n];
  return to - from > NS_PER_SECOND ? [from + quarter, to - quarter] : [from, to];
}
