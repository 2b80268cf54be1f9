//! The keyboard: which key does what, and the list of them. Single letters can be switched off.

import { button, el, fill } from './dom.js';
import { choose, prefs } from './state.js';

/** Key, action, what it does. The same action may have several keys. */
const KEYS = [
  ['/', 'query', 'Go to the query'],
  ['Ctrl+Enter', 'run', 'Run the query, from anywhere'],
  ['Escape', 'escape', 'Close what is open, stop the query'],
  ['j', 'down', 'Next row'], ['ArrowDown', 'down'],
  ['k', 'up', 'Previous row'], ['ArrowUp', 'up'],
  [' ', 'pageDown', 'A page down'], ['PageDown', 'pageDown'],
  ['b', 'pageUp', 'A page up'], ['PageUp', 'pageUp'],
  ['g', 'first', 'First loaded row'], ['Home', 'first'],
  ['G', 'last', 'Last loaded row'], ['End', 'last'],
  ['Enter', 'open', 'Open or close the row'], ['o', 'open'],
  ['e', 'nextError', 'Next error'], ['E', 'lastError', 'Previous error'],
  ['w', 'nextWarning', 'Next warning'], ['W', 'lastWarning', 'Previous warning'],
  ['Ctrl+f', 'find', 'Find in the loaded rows'],
  ['n', 'nextFound', 'Next place found'], ['N', 'lastFound', 'Previous place found'],
  ['c', 'copyLine', 'Copy the line'], ['C', 'copyJson', 'Copy the event as JSON'], ['y', 'link', 'Copy a link to the event'],
  ['x', 'context', 'Lines around it in its file'],
  ['f', 'filter', 'Only this row’s host'], ['F', 'exclude', 'Without this row’s host'],
  ['m', 'flag', 'Bookmark the row'], ['u', 'nextFlag', 'Next bookmark'], ['U', 'lastFlag', 'Previous bookmark'],
  ['z', 'zoomIn', 'Zoom in'], ['Z', 'zoomOut', 'Zoom out'],
  ['[', 'earlier', 'Half the range earlier'], [']', 'later', 'Half the range later'],
  ['t', 'range', 'Time range'], ['T', 'zone', 'UTC or local time'],
  ['l', 'wrap', 'Wrap long lines'], ['d', 'theme', 'Light or dark theme'],
  ['p', 'pause', 'Pause or resume'],
  ['1', 'search', 'Search'], ['2', 'live', 'Live'], ['3', 'cluster', 'Cluster'],
  ['?', 'help', 'This help'],
];

const NAMES = { ' ': 'Space', ArrowDown: '↓', ArrowUp: '↑', Escape: 'Esc', PageDown: 'PgDn', PageUp: 'PgUp' };

function keyOf(event) {
  const key = event.ctrlKey || event.metaKey ? `Ctrl+${event.key}` : event.key;
  return event.altKey ? '' : key;
}

const isTyping = (target) => target.matches('input, textarea, select, [contenteditable]');

/** Which action a key press asks for, if any. */
function actionFor(event) {
  const key = keyOf(event);
  const found = KEYS.find(([name]) => name === key);
  if (!found) return null;
  if (isTyping(event.target) && !['Ctrl+Enter', 'Escape', 'Ctrl+f'].includes(key)) return null;
  if (event.target.closest('dialog')) return null;
  if (['Enter', ' '].includes(key) && event.target.closest('button, a, summary')) return null;
  if (key.length === 1 && key !== ' ' && !prefs.letters) return null;
  return found[1];
}

/** Listens for keys; `actions()` gives what can be done at the moment, by name. */
export function listen(actions) {
  document.addEventListener('keydown', (event) => {
    if (event.defaultPrevented) return;
    const act = actions()[actionFor(event) ?? ''];
    if (!act) return;
    if (event.key === 'Escape' && isTyping(event.target)) event.target.blur();
    event.preventDefault();
    act();
  });
}

/** What may be typed, which stands in the page itself, and the keys that do something here: in a dialog. */
export function help(actions) {
  const rows = KEYS.filter(([, action, text]) => text && actions[action]).map(([, action, text]) => {
    const keys = KEYS.filter(([, same]) => same === action).flatMap(([key], i) => [i ? ' ' : null, el('kbd', { text: NAMES[key] ?? key })]);
    return el('div', null, el('dt', null, ...keys.filter(Boolean)), el('dd', { text }));
  });
  const letters = el('input', { type: 'checkbox', on: { change: () => choose('letters', letters.checked) } });
  letters.checked = prefs.letters;
  const dialog = document.getElementById('help');
  fill(dialog,
    el('header', null, el('h2', { text: 'Help' }), button('Close', () => dialog.close())),
    document.getElementById('syntax').content.cloneNode(true),
    el('h3', { text: 'Keys' }),
    el('dl', { class: 'keys' }, ...rows),
    el('label', { class: 'letters' }, letters, 'Keys that are a single letter or sign are on'));
  dialog.showModal();
}
