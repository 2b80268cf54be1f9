//! Elements, made by hand. Log text reaches the page here and only as text: nothing takes markup.

const isThere = (value) => value != null && value !== false;

/** Makes an element. `props`: class, text, on (events), data (dataset), else attributes; children may be text. */
export function el(tag, props, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(props ?? {})) {
    if (!isThere(value)) continue;
    if (name === 'class') node.className = value;
    else if (name === 'text') node.textContent = value;
    else if (name === 'on') for (const [kind, act] of Object.entries(value)) node.addEventListener(kind, act);
    else if (name === 'data') Object.assign(node.dataset, value);
    else node.setAttribute(name, value === true ? '' : value);
  }
  node.append(...children.filter(isThere));
  return node;
}

/** A button that never submits a form. */
export function button(text, act, props = {}) {
  return el('button', { type: 'button', text, on: { click: act }, ...props });
}

/** Puts `children` in place of what stood in `node`. */
export function fill(node, ...children) {
  node.replaceChildren(...children.filter(isThere));
}

const icons = {
  theme: 'M8 1.5a6.5 6.5 0 1 0 0 13zM8 1.5a6.5 6.5 0 0 1 0 13',
  down: 'M4 6l4 4 4-4',
  clock: 'M8 1.8a6.2 6.2 0 1 0 0 12.4A6.2 6.2 0 0 0 8 1.8zM8 4.6V8l2.4 1.6',
  search: 'M7 2.2a4.8 4.8 0 1 0 0 9.6 4.8 4.8 0 0 0 0-9.6zM10.6 10.6L14 14',
  stop: 'M4.5 4.5h7v7h-7z',
  pause: 'M5.5 3.5v9M10.5 3.5v9',
  play: 'M5 3.2l7.4 4.8L5 12.8z',
  filter: 'M2 3.5h12M4.5 8h7M6.5 12.5h3',
  wrap: 'M2 3.5h12M2 8h9a2.5 2.5 0 0 1 0 5H8M9.5 11L8 13l1.5 2M2 13h3',
  link: 'M6.3 9.7l3.4-3.4M7.5 4.5L9 3a2.8 2.8 0 0 1 4 4l-1.5 1.5M8.5 11.5L7 13a2.8 2.8 0 0 1-4-4l1.5-1.5',
};

/** A small drawing that says nothing to a screen reader. */
export function icon(name) {
  const ns = 'http://www.w3.org/2000/svg';
  const svg = document.createElementNS(ns, 'svg');
  svg.setAttribute('viewBox', '0 0 16 16');
  svg.setAttribute('class', `icon icon-${name}`);
  svg.setAttribute('aria-hidden', 'true');
  const path = document.createElementNS(ns, 'path');
  path.setAttribute('d', icons[name]);
  svg.append(path);
  return svg;
}

/** Says on a button what it would do now; touched only when that changes, so that no click is lost. */
export function sign(node, drawing, name) {
  if (node.textContent === name) return;
  fill(node, icon(drawing), el('span', { text: name }));
  node.setAttribute('aria-label', name);
}

let toastTimer = 0;

/** A sentence at the foot of the page for a moment; also read aloud. */
export function toast(text) {
  const node = document.getElementById('toast');
  node.textContent = text;
  node.hidden = false;
  clearTimeout(toastTimer);
  toastTimer = setTimeout(() => { node.hidden = true; }, 2600);
}

/** Copies text and says so, or says that the browser refused. */
export async function copy(text, what) {
  try {
    await navigator.clipboard.writeText(text);
    toast(`${what} copied`);
  } catch {
    toast('the browser did not let us copy');
  }
}

const grouped = new Intl.NumberFormat('en-GB');

/** 18204 as 18,204. */
export const count = (number) => grouped.format(number);

/** Bytes as people say them. */
export function bytes(number) {
  const units = ['B', 'kB', 'MB', 'GB', 'TB', 'PB'];
  let step = 0;
  let left = number;
  while (left >= 1000 && step < units.length - 1) { left /= 1000; step += 1; }
  return `${left < 10 && step ? left.toFixed(1) : Math.round(left)} ${units[step]}`;
}
