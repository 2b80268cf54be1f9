//! A list of any length that draws only what is seen. Rows are pooled; the place being read never moves by
//! itself; beyond the height a browser can make an element, scrolling is scaled.

const TALLEST = 15_000_000;
const OVERSCAN = 6;

export class List {
  /**
   * `make()` gives an empty row node, `draw(node, row, index)` fills it, `find(row)` says where a row stands now,
   * `measure(row)` gives a row's height or null where all are `this.height`, `onMove` hears of scrolling,
   * `onPick(row, index)` of a new cursor, `onOpen(index)` of a row to be opened, `follows()` says whether the end
   * is to be kept in view.
   */
  constructor(label, parts) {
    Object.assign(this, { rows: [], height: 22, top: 0, cursor: -1, openRow: null, extra: 0, spare: 0, stamp: 0, expected: 0, scale: 1 }, parts);
    this.tops = null;
    this.shown = new Map();
    this.free = [];
    this.end = new AbortController();
    this.node = document.createElement('div');
    this.node.className = 'list';
    this.node.tabIndex = 0;
    for (const [name, value] of [['role', 'grid'], ['aria-label', label], ['aria-colcount', '5']]) this.node.setAttribute(name, value);
    this.body = document.createElement('div');
    this.body.className = 'list-body';
    this.node.append(this.body);
    this.listen();
  }

  listen() {
    const { signal } = this.end;
    this.node.addEventListener('scroll', () => this.scrolled(), { signal, passive: true });
    this.node.addEventListener('wheel', (event) => this.wheel(event), { signal, passive: false });
    this.node.addEventListener('click', (event) => {
      const row = event.target.closest('.row');
      if (!row || !getSelection().isCollapsed) return;
      this.pick(row.index);
      this.onOpen?.(row.index);
    }, { signal });
    this.sizes = new ResizeObserver(() => this.resized());
    this.sizes.observe(this.node);
    this.openSizes = new ResizeObserver(([entry]) => {
      const tall = Math.ceil(entry.borderBoxSize[0].blockSize);
      if (tall !== this.extra && this.openNode) this.keepPlace(() => { this.extra = tall; });
    });
  }

  destroy() {
    this.end.abort();
    this.sizes.disconnect();
    this.openSizes.disconnect();
    cancelAnimationFrame(this.frame);
    this.node.remove();
  }

  resized() {
    const { clientHeight, clientWidth } = this.node;
    if (!clientHeight || (clientHeight === this.view && clientWidth === this.width)) return;
    const wider = clientWidth !== this.width;
    this.keepEnd(() => {
      this.view = clientHeight;
      this.width = clientWidth;
      if (wider) this.onWidth?.(clientWidth);
      this.layout(wider ? 0 : this.rows.length);
    });
  }

  /** As `keepPlace`; a list that follows its end stays at its end. */
  keepEnd(act) {
    const follows = this.follows?.();
    this.keepPlace(act);
    if (follows) this.toEnd();
  }

  /** Forgets everything and shows these rows from the start. */
  reset(rows) {
    this.close();
    Object.assign(this, { rows, cursor: -1 });
    this.node.removeAttribute('aria-activedescendant');
    this.layout(0);
    this.setTop(0);
  }

  /** Draws every row again: another zone, other marks. */
  redraw() {
    this.stamp += 1;
    this.drawSoon();
  }

  /** Another way to measure rows (wrapped or not, narrow or wide). */
  remeasure(height, measure) {
    this.keepEnd(() => {
      this.height = height;
      this.measure = measure;
      this.stamp += 1;
      this.layout(0);
    });
  }

  layout(from) {
    const rows = this.rows;
    if (this.measure) {
      const need = rows.length + 1;
      if (!this.tops || this.tops.length < need) {
        const grown = new Float64Array(Math.max(1024, need * 2));
        if (this.tops) grown.set(this.tops);
        else from = 0;
        this.tops = grown;
      }
      for (let i = from; i < rows.length; i += 1) this.tops[i + 1] = this.tops[i] + this.measure(rows[i]);
    } else {
      this.tops = null;
    }
    this.node.setAttribute('aria-rowcount', rows.length);
    if (this.follows && !this.openRow) this.spare = this.toWholeRow();
  }

  /** Room below the last row, so that at the end the row at the top edge is seen whole. */
  toWholeRow() {
    this.spare = 0;
    const over = this.total() - (this.view ?? 0);
    if (over <= 0) return 0;
    const at = this.indexAt(over);
    const spare = this.offset(at) < over ? this.offset(at) + this.tallOf(at) - over : 0;
    return spare < 3 * this.height ? spare : 0;
  }

  offset(index) {
    const base = this.tops ? this.tops[index] : index * this.height;
    return base + (this.openRow && index > this.openAt ? this.extra : 0);
  }

  indexAt(y) {
    let [low, high] = [0, this.rows.length - 1];
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (this.offset(middle) <= y) low = middle;
      else high = middle - 1;
    }
    return Math.max(0, low);
  }

  total() {
    const base = this.tops ? this.tops[this.rows.length] : this.rows.length * this.height;
    return base + this.spare + (this.openRow ? this.extra : 0);
  }

  /** Runs `act`, which may change rows or heights, and puts the row at the top edge back where it was. */
  keepPlace(act) {
    this.sync();
    const pinned = this.top < 1 && !this.openRow ? null : this.rows[this.indexAt(this.top)];
    const into = pinned ? this.top - this.offset(this.indexAt(this.top)) : 0;
    const at = this.rows[this.cursor];
    act();
    if (at) this.cursor = this.find(at);
    if (this.openRow) this.openAt = this.find(this.openRow);
    if (this.openRow && this.openAt < 0) this.close();
    const now = pinned ? this.find(pinned) : 0;
    this.setTop(pinned && now >= 0 ? this.offset(now) + into : pinned ? this.top : 0);
  }

  setTop(top) {
    const total = this.total();
    const tall = Math.min(total, TALLEST);
    if (this.tall !== tall) {
      this.tall = tall;
      this.body.style.height = `${tall}px`;
    }
    const room = Math.max(0, total - (this.view ?? 0));
    this.scale = total > TALLEST ? room / (TALLEST - this.view) : 1;
    this.top = Math.max(0, Math.min(top, room));
    this.expected = this.top / this.scale;
    if (Math.abs(this.node.scrollTop - this.expected) >= 0.5) this.node.scrollTop = this.expected;
    this.drawSoon();
  }

  /** The browser scrolls before it tells: what it has not told yet counts too. */
  sync() {
    const real = this.node.scrollTop;
    if (Math.abs(real - this.expected) < 1) return;
    this.top = real * this.scale;
    this.expected = real;
  }

  scrolled() {
    this.sync();
    this.drawSoon();
    this.onMove?.();
  }

  wheel(event) {
    if (this.scale === 1 || event.ctrlKey) return;
    event.preventDefault();
    const unit = event.deltaMode === 1 ? this.height : event.deltaMode === 2 ? this.view : 1;
    this.setTop(this.top + event.deltaY * unit);
    this.onMove?.();
  }

  atEnd() {
    return this.top >= this.total() - (this.view ?? 0) - 4;
  }

  toEnd() {
    this.setTop(Number.MAX_SAFE_INTEGER);
  }

  drawSoon() {
    this.frame ||= requestAnimationFrame(() => {
      this.frame = 0;
      this.paint();
    });
  }

  paint() {
    if (!this.view) return;
    const first = Math.max(0, this.indexAt(this.top) - OVERSCAN);
    const last = Math.min(this.rows.length - 1, this.indexAt(this.top + this.view) + OVERSCAN);
    for (const [index, node] of this.shown) {
      if (index >= first && index <= last) continue;
      this.shown.delete(index);
      this.free.push(node);
    }
    const shift = this.node.scrollTop - this.top;
    for (let index = first; index <= last; index += 1) this.place(index, shift);
    for (const node of this.free) if (!node.hidden) node.hidden = true;
    if (this.openNode) move(this.openNode, this.offset(this.openAt) + this.tallOf(this.openAt) + shift);
    this.node.setAttribute('aria-activedescendant', this.shown.get(this.cursor)?.id ?? '');
  }

  tallOf(index) {
    return this.tops ? this.tops[index + 1] - this.tops[index] : this.height;
  }

  place(index, shift) {
    let node = this.shown.get(index);
    if (!node) {
      node = this.free.pop() ?? this.newNode();
      node.hidden = false;
      this.shown.set(index, node);
    }
    const row = this.rows[index];
    if (node.row !== row || node.stamp !== this.stamp || node.index !== index) {
      Object.assign(node, { row, index, stamp: this.stamp });
      node.setAttribute('aria-rowindex', index + 1);
      node.style.height = `${this.tallOf(index)}px`;
      this.draw(node, row, index);
    }
    node.classList.toggle('cursor', index === this.cursor);
    node.classList.toggle('open', row === this.openRow);
    move(node, this.offset(index) + shift);
  }

  newNode() {
    const node = this.make();
    node.id = `r${(List.made = (List.made ?? 0) + 1)}`;
    this.body.append(node);
    return node;
  }

  /** Puts the cursor on a row and brings it into view. */
  pick(index, middle = false) {
    if (!this.rows.length) return;
    this.cursor = Math.max(0, Math.min(index, this.rows.length - 1));
    const [y, tall] = [this.offset(this.cursor), this.tallOf(this.cursor)];
    if (middle && (y < this.top || y + tall > this.top + this.view)) this.setTop(y - this.view / 3);
    else if (y < this.top) this.setTop(y);
    else if (y + tall > this.top + this.view) this.setTop(y + tall - this.view);
    this.drawSoon();
    this.onPick?.(this.rows[this.cursor], this.cursor);
  }

  /** Moves the cursor by rows, or to the top edge when there is none yet. */
  step(by) {
    this.pick(this.cursor < 0 ? this.indexAt(this.top) : this.cursor + by);
  }

  page(by) {
    this.step(by * Math.max(1, Math.floor(this.view / this.height) - 2));
  }

  /** Shows `panel` below a row; one at a time. */
  open(index, panel) {
    this.close();
    this.keepPlace(() => {
      this.openRow = this.rows[index];
      this.openAt = index;
      this.openNode = panel;
      this.extra = 0;
    });
    this.body.append(panel);
    this.openSizes.observe(panel);
  }

  close() {
    if (!this.openRow) return;
    this.openSizes.disconnect();
    this.openNode.remove();
    const closing = () => { this.openRow = null; this.openNode = null; this.extra = 0; };
    if (this.find(this.openRow) >= 0) this.keepPlace(closing);
    else closing();
    this.drawSoon();
  }
}

function move(node, y) {
  if (node.y === y) return;
  node.y = y;
  node.style.transform = `translateY(${y}px)`;
}
