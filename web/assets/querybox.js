//! The box a query is typed into: its parts coloured while typing, what is wrong underlined and said below.

import { el } from './dom.js';
import { fromBytes, read } from './query.js';

export class QueryBox {
  /** `label` names the box; `tools` stand after the input on its line. */
  constructor(label, placeholder) {
    this.mirror = el('div', { class: 'mirror', 'aria-hidden': 'true' });
    this.note = el('p', { class: 'query-note', id: `note-${label.replaceAll(' ', '-')}`, 'aria-live': 'polite' });
    this.input = el('input', {
      class: 'query', name: 'q', type: 'text', spellcheck: 'false', autocomplete: 'off', autocapitalize: 'off', placeholder,
      'aria-label': label, 'aria-describedby': this.note.id, enterkeyhint: 'search', maxlength: 4096,
      on: { input: () => this.typed(), scroll: () => this.follow() },
    });
    this.node = el('div', { class: 'query-box' }, this.mirror, this.input);
    this.refused = null;
  }

  get value() {
    return this.input.value;
  }

  set value(text) {
    if (this.input.value === text) return;
    this.input.value = text;
    this.typed();
  }

  /** Shows what the server found wrong; gone at the next key. */
  refuse(error) {
    const text = this.input.value;
    const at = error.at === undefined ? undefined : fromBytes(text, error.at);
    const len = error.len === undefined ? 1 : fromBytes(text, (error.at ?? 0) + error.len) - (at ?? 0);
    this.refused = { at, len: Math.max(1, len), msg: error.message, hint: error.hint };
    this.show(read(text), this.refused);
    this.input.focus();
    if (at !== undefined) this.input.setSelectionRange(at, at + this.refused.len);
  }

  typed() {
    this.refused = null;
    const parsed = read(this.input.value);
    this.parsed = parsed;
    this.show(parsed, parsed.error);
  }

  show(parsed, wrong) {
    const text = this.input.value;
    const pieces = [];
    let at = 0;
    for (const span of parsed.spans) {
      if (span.at > at) pieces.push(text.slice(at, span.at));
      const bad = wrong?.at !== undefined && wrong.at < span.at + span.len && wrong.at + wrong.len > span.at;
      pieces.push(el('span', { class: `tok tok-${span.kind}${bad ? ' tok-bad' : ''}`, text: text.slice(span.at, span.at + span.len) }));
      at = span.at + span.len;
    }
    this.mirror.replaceChildren(...pieces, text.slice(at));
    this.follow();
    this.input.setAttribute('aria-invalid', String(Boolean(wrong)));
    this.note.className = `query-note${wrong ? ' wrong' : ''}`;
    const place = wrong?.at !== undefined ? `Character ${wrong.at + 1}: ` : '';
    this.note.textContent = wrong ? `${place}${wrong.msg}${wrong.hint ? `. ${wrong.hint}` : ''}` : (parsed.note ?? '');
  }

  follow() {
    this.mirror.scrollLeft = this.input.scrollLeft;
  }
}
