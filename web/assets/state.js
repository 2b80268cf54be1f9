//! What the page remembers: where it is, in its address (`#/search?q=…&from=…&to=…`), and what a reader chose,
//! in this browser. Reading either never fails; what is unknown is left out.

const PAGES = ['search', 'live', 'cluster', 'context'];
const LONGEST = 4096;

/** The page and its parameters as they stand in the address. */
export function place() {
  const [path, rest = ''] = location.hash.replace(/^#\/?/, '').split(/\?(.*)/s);
  const page = PAGES.includes(path) ? path : 'search';
  const params = {};
  for (const [name, value] of new URLSearchParams(rest)) params[name] = value.slice(0, LONGEST);
  return { page, params };
}

/** The address of a page with these parameters; empty ones are left out, save `q`, whose presence means "run". */
export function address(page, params = {}) {
  const search = new URLSearchParams();
  for (const [name, value] of Object.entries(params)) {
    if (value == null || (value === '' && name !== 'q')) continue;
    search.set(name, value);
  }
  const text = search.toString();
  return `#/${page}${text ? `?${text}` : ''}`;
}

/** Goes there as a new step of the browser's history, unless we stand there already. */
export function go(page, params) {
  const next = address(page, params);
  if (next !== location.hash) history.pushState(null, '', next);
  dispatchEvent(new Event('tailbuck:address'));
}

/** The whole address of a page, to be sent to someone. */
export const shareable = (page, params) => `${location.origin}${location.pathname}${address(page, params)}`;

const DEFAULTS = { utc: true, theme: 'auto', wrap: false, letters: true, facets: true };
const KEY = 'tailbuck.prefs';
const listeners = new Set();

function load() {
  try {
    return { ...DEFAULTS, ...JSON.parse(localStorage.getItem(KEY) ?? '{}') };
  } catch {
    return { ...DEFAULTS };
  }
}

export const prefs = load();

/** Changes one choice, keeps it if the browser lets us, and tells everyone who shows it. */
export function choose(name, value) {
  prefs[name] = value;
  try {
    localStorage.setItem(KEY, JSON.stringify(prefs));
  } catch { /* private mode: it holds until the page closes */ }
  for (const listener of listeners) listener(name, value);
}

/** Calls `act(name, value)` at each change. */
export function onChoice(act) {
  listeners.add(act);
}

export const isDark = () =>
  prefs.theme === 'dark' || (prefs.theme === 'auto' && matchMedia('(prefers-color-scheme: dark)').matches);
