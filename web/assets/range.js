//! From when to when: the button that says it, and the panel that changes it.

import { button, el, fill, icon } from './dom.js';
import { prefs } from './state.js';
import { editable, forServer, rangeBrief, rangeName, resolve } from './time.js';

const PRESETS = ['5m', '15m', '1h', '6h', '24h', '7d', '30d'];

export class RangePicker {
  /** `onChange(from, to)` when the reader chose another range. */
  constructor(onChange) {
    Object.assign(this, { onChange, from: 'now-1h', to: 'now' });
    this.label = el('span', { class: 'wide-only' });
    this.brief = el('span', { class: 'narrow-only', 'aria-hidden': 'true' });
    this.opener = el('button', {
      type: 'button', class: 'range', 'aria-haspopup': 'dialog', 'aria-expanded': 'false', on: { click: () => this.toggle() },
    }, icon('clock'), this.label, this.brief, icon('down'));
    this.panel = el('div', { class: 'popup', role: 'dialog', 'aria-label': 'Time range', hidden: true });
    this.node = el('div', { class: 'range-box' }, this.opener, this.panel);
    this.node.addEventListener('keydown', (event) => {
      if (event.key !== 'Escape' || this.panel.hidden) return;
      event.stopPropagation();
      this.close(true);
    });
    document.addEventListener('pointerdown', (event) => {
      if (!this.node.contains(event.target)) this.close(false);
    });
    this.say();
  }

  set(from, to) {
    Object.assign(this, { from, to });
    this.say();
  }

  /** Says the range again, for another zone. */
  say() {
    this.label.textContent = rangeName(this.from, this.to, prefs.utc);
    this.brief.textContent = rangeBrief(this.from, this.to, prefs.utc);
    this.opener.setAttribute('aria-label', this.label.textContent);
  }

  /** Both ends as they are now, in nanoseconds; null when one is no time. */
  span() {
    const now = Date.now();
    const [from, to] = [resolve(this.from, now), resolve(this.to, now)];
    return from === null || to === null ? null : [from, to];
  }

  toggle() {
    if (this.panel.hidden) this.open();
    else this.close(true);
  }

  /** With the focus back on the button when it was inside. */
  close(focus = this.panel.contains(document.activeElement)) {
    if (this.panel.hidden) return;
    this.panel.hidden = true;
    this.opener.setAttribute('aria-expanded', 'false');
    if (focus) this.opener.focus();
  }

  open() {
    const now = Date.now();
    const field = (name, value) => {
      const ns = value.startsWith('now') ? null : resolve(value, now);
      return el('input', { name, value: ns === null ? value : editable(ns, prefs.utc), spellcheck: 'false', autocomplete: 'off' });
    };
    const from = field('from', this.from);
    const to = field('to', this.to);
    const wrong = el('p', { class: 'wrong', role: 'alert', hidden: true });
    const apply = (event) => {
      event.preventDefault();
      event.stopPropagation();
      this.typed(from.value, to.value, wrong);
    };
    const presets = PRESETS.map((back) => button(rangeName(`now-${back}`, 'now'), () => this.pick(`now-${back}`, 'now'), {
      'aria-pressed': String(this.from === `now-${back}` && this.to === 'now'),
    }));
    const form = el('form', { on: { submit: apply } },
      el('label', null, 'From', from), el('label', null, 'To', to), wrong,
      el('p', { class: 'hint', text: `2026-11-21 10:04:22 (${prefs.utc ? 'UTC' : 'this computer’s zone'}), RFC 3339, now, now-15m` }),
      el('button', { class: 'primary', text: 'Use this range' }));
    fill(this.panel, el('div', { class: 'presets' }, ...presets), form);
    this.panel.hidden = false;
    this.opener.setAttribute('aria-expanded', 'true');
    (this.panel.querySelector('[aria-pressed=true]') ?? from).focus();
  }

  typed(fromText, toText, wrong) {
    const [from, to] = [forServer(fromText, prefs.utc), forServer(toText, prefs.utc)];
    const now = Date.now();
    const bad = from === null ? `“${fromText}” is not a time` : to === null ? `“${toText}” is not a time` : '';
    const turned = !bad && resolve(from, now) >= resolve(to, now);
    wrong.textContent = bad || 'the range ends before it begins';
    wrong.hidden = !bad && !turned;
    if (wrong.hidden) this.pick(from, to);
  }

  pick(from, to) {
    this.close(true);
    this.set(from, to);
    this.onChange(from, to);
  }
}
