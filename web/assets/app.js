//! The frame of the page: which page is shown, the header, the choices. Everything else is a page's own.

import { json } from './api.js';
import { ClusterPage, tally } from './cluster.js';
import { el, fill, icon, toast } from './dom.js';
import { ContextPage } from './event.js';
import { help, listen } from './keys.js';
import { LivePage } from './live.js';
import { SearchPage } from './search.js';
import { address, choose, isDark, onChoice, place, prefs } from './state.js';

const MAKERS = { search: () => new SearchPage(), live: () => new LivePage(), cluster: () => new ClusterPage(), context: () => new ContextPage() };
const TITLES = { search: 'Search', live: 'Live', cluster: 'Cluster', context: 'Lines around' };
const HEALTH_MS = 15_000;

const pages = {};
const last = {};
let current = '';
let shown = null;

function show() {
  shown = location.hash;
  const { page, params } = place();
  const stage = document.getElementById('stage');
  if (current && current !== page) pages[current].hide?.();
  current = page;
  last[page] = params;
  pages[page] ??= MAKERS[page]();
  const { node } = pages[page];
  if (!node.isConnected) stage.append(node);
  for (const name of Object.keys(pages)) pages[name].node.hidden = name !== page;
  for (const link of document.querySelectorAll('nav a')) {
    const here = link.dataset.page === page;
    if (here) link.setAttribute('aria-current', 'page');
    else link.removeAttribute('aria-current');
    link.href = address(link.dataset.page, last[link.dataset.page] ?? {});
  }
  document.title = `${params.q ? `${params.q} · ` : ''}${TITLES[page]} · tailbuck`;
  pages[page].show(params);
}

/** The browser tells of one step more than once. */
function stepped() {
  if (location.hash !== shown) show();
}

function goTo(page) {
  location.hash = address(page, last[page] ?? {});
}

function turnTheme() {
  choose('theme', isDark() ? 'light' : 'dark');
  toast(`${prefs.theme} theme`);
}

function turnZone() {
  choose('utc', !prefs.utc);
  toast(prefs.utc ? 'times in UTC' : 'times in this computer’s zone');
}

const everywhere = {
  zone: turnZone, theme: turnTheme, help: () => help(actions()),
  search: () => goTo('search'), live: () => goTo('live'), cluster: () => goTo('cluster'),
};

function actions() {
  return { ...everywhere, ...pages[current]?.actions };
}

function drawChoices() {
  if (prefs.theme === 'auto') delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = prefs.theme;
  document.getElementById('zone').textContent = prefs.utc ? 'UTC' : 'Local';
}

async function health() {
  if (document.hidden) return;
  const node = document.getElementById('health');
  try {
    const { up, of } = tally(await json('cluster'));
    fill(node, el('i', { class: `dot dot-${up === of ? 'good' : up ? 'warn' : 'bad'}` }), `${up}/${of}`, el('span', { class: 'wide-only', text: ' nodes' }));
    node.title = up === of ? 'Every node is well' : `${up} of ${of} nodes are well`;
  } catch {
    fill(node, el('i', { class: 'dot dot-bad' }), 'no answer');
    node.title = 'The server does not answer';
  }
}

/** This page's modules stand in a folder named by their build; a server of another build has another page. */
async function freshness() {
  const own = import.meta.url.split('/').at(-2);
  const { build } = await json('buildinfo').catch(() => ({}));
  document.getElementById('stale').hidden = !build || build === own;
}

function start() {
  fill(document.getElementById('theme'), icon('theme'));
  document.getElementById('skip').addEventListener('click', () => document.getElementById('stage').focus());
  document.getElementById('stale').addEventListener('click', () => location.reload());
  document.getElementById('zone').addEventListener('click', turnZone);
  document.getElementById('theme').addEventListener('click', turnTheme);
  document.getElementById('help-button').addEventListener('click', () => help(actions()));
  for (const name of ['hashchange', 'popstate']) addEventListener(name, stepped);
  addEventListener('tailbuck:address', show);
  onChoice(drawChoices);
  drawChoices();
  listen(actions);
  show();
  health();
  setInterval(() => { health(); freshness(); }, HEALTH_MS);
}

start();
