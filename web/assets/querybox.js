//! The box a query is typed into: its parts coloured while typing, what is wrong underlined and said below.

import { Refused, json } from './api.js';
import { el } from './dom.js';
import { fromBytes, read } from './query.js';

export class QueryBox {
  /** `label` names the box; `brief` is said in it where `placeholder` has no room. */
  constructor(label, placeholder, brief = placeholder) {
    this.mirror = el('div', { class: 'mirror', 'aria-hidden': 'true' });
    this.note = el('p', { class: 'query-note', id: `note-${label.replaceAll(' ', '-')}`, 'aria-live': 'polite' });
    this.input = el('input', {
      class: 'query', name: 'q', type: 'text', spellcheck: 'false', autocomplete: 'off', autocapitalize: 'off',
      'aria-label': label, 'aria-describedby': this.note.id, enterkeyhint: 'search', maxlength: 4096,
      on: { input: () => this.typed(), scroll: () => this.follow() },
    });
    this.node = el('div', { class: 'query-box' }, this.mirror, this.input, this.note);
    this.refused = null;
    const narrow = matchMedia('(max-width: 720px)');
    const place = () => { this.input.placeholder = narrow.matches ? brief : placeholder; };
    narrow.addEventListener('change', place);
    place();
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
    this.refused = this.placed(error);
    const { at, len } = this.refused;
    this.show(read(this.input.value), this.refused);
    this.input.focus();
    if (at !== undefined) this.input.setSelectionRange(at, at + len);
  }

  typed() {
    this.refused = null;
    const parsed = read(this.input.value);
    this.show(parsed, parsed.error);
    clearTimeout(this.pause);
    if (!parsed.error && this.input.value.trim()) this.pause = setTimeout(() => this.check(), 300);
  }

  /** When typing pauses, the server says what only it knows: a bad regex, a level there is none of, a word that
   *  looks like a field. */
  async check() {
    const text = this.input.value;
    const answer = await json('parse', { q: text }).catch((error) => ({ error }));
    if (text !== this.input.value || this.refused) return;
    if (answer.error instanceof Refused && answer.error.code === 'bad_query') this.show(read(text), this.placed(answer.error));
    const said = answer.warnings?.[0]?.msg ?? answer.spans?.find((span) => span.note)?.note;
    if (said) this.note.textContent = said;
  }

  placed({ at, len, message, hint }) {
    const text = this.input.value;
    const start = at === undefined ? undefined : fromBytes(text, at);
    return { at: start, len: Math.max(1, fromBytes(text, (at ?? 0) + (len ?? 1)) - (start ?? 0)), msg: message, hint };
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
    this.note.textContent = wrong ? `${place}${wrong.msg}${wrong.hint ? `; ${wrong.hint}` : ''}` : '';
  }

  follow() {
    this.mirror.scrollLeft = this.input.scrollLeft;
  }
}
