//! What a reader chose, kept in this browser: zone, theme, wrapping, single-letter keys, facets.

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
