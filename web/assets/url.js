//! The page's state in its address: `#/search?q=…&from=…&to=…`. Reading never fails; what is unknown is left out.

const PAGES = ['search', 'live', 'cluster', 'context'];
const LONGEST = 4096;

/** The page and its parameters as they stand in the address. */
export function read() {
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
    if (value === undefined || value === null || (value === '' && name !== 'q')) continue;
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

/** Changes the address in place: for state that is not worth a step back. */
export function amend(page, params) {
  history.replaceState(null, '', address(page, params));
}

/** The whole address of a page, to be sent to someone. */
export const shareable = (page, params) => `${location.origin}${location.pathname}${address(page, params)}`;
