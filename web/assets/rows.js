//! The rows a search has brought: in order, each once, and never moved again once the server called them settled.

import { order } from './time.js';

/** By time, then by id, whose text order is that of tailer, stream and offset: the server's own order. */
const compare = (a, b) => order(a.t, b.t) || (a.id === b.id ? 0 : a.id < b.id ? -1 : 1);

export class Rows {
  /** `forward`: oldest first; else newest first, as incidents are read. */
  constructor(forward = false) {
    this.list = [];
    this.settled = 0;
    this.late = 0;
    this.compare = forward ? compare : (a, b) => compare(b, a);
    this.forward = forward;
  }

  /** Puts events where they belong. Returns the first index that changed, or the length when none did. */
  add(events) {
    const batch = events.toSorted(this.compare);
    const last = this.list.at(-1);
    if (!last || this.compare(last, batch[0]) < 0) return this.append(batch);
    const fresh = batch.filter((event) => this.belongs(event));
    return fresh.length ? this.merge(fresh) : this.list.length;
  }

  append(batch) {
    const from = this.list.length;
    for (const event of batch) {
      const last = this.list.at(-1);
      if (last?.id !== event.id) this.list.push(event);
    }
    return from;
  }

  /** A row before the settled line came too late: it is counted, not pushed between rows being read. */
  belongs(event) {
    if (!this.settled || this.compare(event, this.list[this.settled - 1]) > 0) return true;
    if (this.find(event) < 0) this.late += 1;
    return false;
  }

  merge(batch) {
    const from = this.lowerBound(batch[0]);
    const tail = this.list.splice(from);
    let [i, j] = [0, 0];
    while (i < tail.length || j < batch.length) {
      const old = j >= batch.length || (i < tail.length && this.compare(tail[i], batch[j]) <= 0);
      this.append([old ? tail[i++] : batch[j++]]);
    }
    return from;
  }

  /** Nothing newer (or, forward, older) than this will come between what stands. */
  settle(ns) {
    const done = (event) => (this.forward ? order(event.t, ns) <= 0 : order(event.t, ns) >= 0);
    while (this.settled < this.list.length && done(this.list[this.settled])) this.settled += 1;
  }

  settleAll() {
    this.settled = this.list.length;
  }

  lowerBound(event) {
    let [low, high] = [0, this.list.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.compare(this.list[middle], event) < 0) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** Where a row stands, or -1. */
  find(event) {
    const at = this.lowerBound(event);
    return this.list[at]?.id === event.id ? at : -1;
  }
}
