//! One search as the server tells it: its rows, how far it got, how complete it is, and the sentence that says so.

import { bytes, count } from './dom.js';
import { Rows } from './rows.js';
import { clock, date, millis } from './time.js';

export class Run {
  constructor(forward = false) {
    this.rows = new Rows(forward);
    this.forward = forward;
    this.state = 'running';
    this.progress = null;
    this.away = {};
    this.range = null;
    this.nodes = null;
    this.end = null;
    this.error = null;
  }

  get busy() {
    return this.state === 'running' || this.state === 'streaming';
  }

  /** Goes on behind a limit or a stop, into the same rows. */
  goOn() {
    Object.assign(this, { state: this.rows.list.length ? 'streaming' : 'running', end: null, error: null, progress: null });
  }

  /** Takes one frame. Returns the first row that changed, or null when none did. */
  take(frame) {
    switch (frame.k) {
      case 'start':
        this.qid = frame.qid;
        this.nodes = frame.nodes;
        this.range ??= frame.range;
        return null;
      case 'ev':
        this.state = 'streaming';
        return frame.e.length ? this.rows.add(frame.e) : null;
      case 'settled':
        this.rows.settle(frame.to);
        return null;
      case 'prog':
        this.progress = frame;
        this.away = frame.nodes ?? this.away;
        return null;
      case 'end':
        return this.finish(frame);
      default:
        return null;
    }
  }

  finish(frame) {
    this.end = frame;
    this.state = frame.why;
    this.rows.settleAll();
    return null;
  }

  /** The connection is gone, the server refused, or the reader pressed stop: what came stays. */
  interrupt(state, error = null) {
    this.state = state;
    this.error = error;
    this.rows.settleAll();
  }

  /** Share done, 0 to 1, or null while nobody knows. */
  get share() {
    return this.progress?.total ? Math.min(1, this.progress.done / this.progress.total) : null;
  }

  /** How far it looked, as a time in nanoseconds. */
  get reached() {
    return this.progress?.scanned_to ?? this.rows.list.at(-1)?.t ?? null;
  }

  get missing() {
    return this.end?.missing ?? [];
  }
}

const moment = (ns, utc, withDay) => (withDay ? `${date(millis(ns), utc)} ` : '') + clock(millis(ns), utc);

/** One number: of all that match when it is known, else of what is loaded. `total` is the histogram's. */
function tally(run, total) {
  const loaded = run.rows.list.length;
  const all = run.end?.matches;
  const word = (n) => (n === 1 ? 'match' : 'matches');
  if (run.state === 'complete' && all !== undefined) return `${run.end.exact === false ? '≈ ' : ''}${count(all)} ${word(all)}`;
  const of = total?.sum > loaded ? ` of ${total.exact ? '' : '≈ '}${count(total.sum)}` : '';
  if (run.state === 'limit') return `${run.forward ? 'Oldest' : 'Newest'} ${count(loaded)}${of} matches`;
  return `${count(loaded)} ${word(loaded)}${run.busy ? ' so far' : ''}`;
}

function reach(run, utc, withDay) {
  if (!run.reached) return '';
  const at = moment(run.reached, utc, withDay);
  if (run.state === 'limit') return `more ${run.forward ? 'after' : 'before'} ${at}`;
  if (run.state === 'stopped') return `stopped at ${at}`;
  if (run.state === 'timeout') return `out of time at ${at}`;
  return run.busy ? `searched ${run.forward ? 'up' : 'back'} to ${at}` : '';
}

function completeness(run) {
  const said = run.end?.complete;
  if (said) return { tone: run.missing.length ? 'warn' : 'good', text: said };
  const away = Object.entries(run.away).map(([node, why]) => `${node} ${why}`).join(', ');
  if (run.state === 'complete') {
    return { tone: 'good', text: away ? `Complete: ${away}, other copies answered` : 'Complete' };
  }
  return away ? { tone: 'warn', text: away } : null;
}

/** What the status line says: pieces of text, each with a tone. */
export function sentence(run, utc, withDay, total = null) {
  if (run.state === 'gone') return [{ tone: 'bad', text: `${run.error?.message ?? 'the server does not answer'}` }, { text: tally(run, total) }];
  if (run.state === 'running' && !run.progress) return [{ text: 'Searching…' }];
  const pieces = [{ tone: 'strong', text: tally(run, total) }];
  const far = reach(run, utc, withDay);
  if (far) pieces.push({ tone: run.state === 'limit' ? 'aside' : '', text: far });
  if (run.busy && run.share !== null) pieces.push({ text: `${Math.round(run.share * 100)} %` });
  if (run.progress?.bytes) pieces.push({ tone: 'aside', text: `${bytes(run.progress.bytes)} read` });
  if (run.rows.late) pieces.push({ tone: 'warn', text: `${count(run.rows.late)} came late: run again to see them in place` });
  const whole = completeness(run);
  if (whole) pieces.push(whole);
  return pieces;
}
