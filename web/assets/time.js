//! Times: nanoseconds travel as decimal strings, because a JavaScript number cannot hold them.

const UNITS = { s: 1, m: 60, h: 3600, d: 86400, w: 604800 };
const WORDS = { s: 'second', m: 'minute', h: 'hour', d: 'day', w: 'week' };
const two = (n) => String(n).padStart(2, '0');
const three = (n) => String(n).padStart(3, '0');

export const NS_PER_SECOND = 1_000_000_000n;

/** Milliseconds since 1970 of a time in nanoseconds. */
export function millis(ns) {
  return Number(BigInt(ns) / 1_000_000n);
}

/** How two such strings compare, oldest first. Almost all have nineteen digits. */
export function order(a, b) {
  if (a === b) return 0;
  if (a.length === b.length && a.charCodeAt(0) !== 45) return a < b ? -1 : 1;
  return BigInt(a) < BigInt(b) ? -1 : 1;
}

function parts(ms, utc) {
  const d = new Date(ms);
  return utc
    ? [d.getUTCFullYear(), d.getUTCMonth() + 1, d.getUTCDate(), d.getUTCHours(), d.getUTCMinutes(), d.getUTCSeconds(), d.getUTCMilliseconds()]
    : [d.getFullYear(), d.getMonth() + 1, d.getDate(), d.getHours(), d.getMinutes(), d.getSeconds(), d.getMilliseconds()];
}

/** 10:04:22 */
export function clock(ms, utc) {
  const [, , , h, m, s] = parts(ms, utc);
  return `${two(h)}:${two(m)}:${two(s)}`;
}

/** 2026-11-21 */
export function date(ms, utc) {
  const [y, mo, d] = parts(ms, utc);
  return `${y}-${two(mo)}-${two(d)}`;
}

/** 10:04:22.318, with the day before it when rows span more than one. */
export function rowTime(ns, utc, withDay) {
  const ms = Number(ns.slice(0, -6)) || 0;
  const [, mo, d, h, m, s, rest] = parts(ms, utc);
  const time = `${two(h)}:${two(m)}:${two(s)}.${three(rest)}`;
  return withDay ? `${two(mo)}-${two(d)} ${time}` : time;
}

function zoneOf(ms, utc) {
  if (utc) return 'Z';
  const minutes = -new Date(ms).getTimezoneOffset();
  const size = Math.abs(minutes);
  return `${minutes < 0 ? '-' : '+'}${two(Math.floor(size / 60))}:${two(size % 60)}`;
}

/** The whole time, to the nanosecond and with its zone. */
export function full(ns, utc) {
  const ms = millis(ns);
  const nanos = String(((BigInt(ns) % NS_PER_SECOND) + NS_PER_SECOND) % NS_PER_SECOND).padStart(9, '0');
  return `${date(ms, utc)} ${clock(ms, utc)}.${nanos}${zoneOf(ms, utc)}`;
}

/** RFC 3339 in UTC, without zeros nobody needs: what goes into addresses. */
export function rfc3339(ns) {
  const ms = millis(ns);
  const nanos = ((BigInt(ns) % NS_PER_SECOND) + NS_PER_SECOND) % NS_PER_SECOND;
  const fraction = nanos ? `.${String(nanos).padStart(9, '0').replace(/0+$/, '')}` : '';
  return `${date(ms, true)}T${clock(ms, true)}${fraction}Z`;
}

/** 2026-11-21 10:04:22, for a field a person edits. */
export function editable(ns, utc) {
  const ms = millis(ns);
  return `${date(ms, utc)} ${clock(ms, utc)}`;
}

const RELATIVE = /^(?:now)?(?:([-+])((?:\d{1,9}[smhdw])+))?$/;
const ONE = /^-(\d+)([smhdw])$/;
const ABSOLUTE = /^(\d{4})-(\d\d)-(\d\d)(?:[T ](\d\d):(\d\d)(?::(\d\d)(\.\d{1,9})?)?)?(Z|[+-]\d\d:\d\d)?$/i;

/** Nanoseconds of an absolute or relative time, or null when it is neither. */
export function resolve(text, nowMs, utc = true) {
  const relative = RELATIVE.exec(text);
  if (relative && text) {
    let seconds = 0;
    for (const [, n, unit] of (relative[2] ?? '').matchAll(/(\d+)(.)/g)) seconds += n * UNITS[unit];
    return BigInt(nowMs) * 1_000_000n + BigInt(relative[1] === '-' ? -seconds : seconds) * NS_PER_SECOND;
  }
  const m = ABSOLUTE.exec(text);
  if (!m) return /^-?\d{16,19}$/.test(text) ? BigInt(text) : null;
  const [, y, mo, d, h = '00', mi = '00', s = '00', fraction = '', zone] = m;
  const stem = `${y}-${mo}-${d}T${h}:${mi}:${s}`;
  const ms = Date.parse(`${stem}${zone ? zone.toUpperCase() : utc ? 'Z' : ''}`);
  if (Number.isNaN(ms)) return null;
  return BigInt(ms) * 1_000_000n + BigInt(fraction.slice(1).padEnd(9, '0') || '0');
}

/** What was typed as the server takes it: `now-15m` stays, everything else becomes RFC 3339. Null when unreadable. */
export function forServer(text, utc) {
  const trimmed = text.trim().toLowerCase();
  if (trimmed && RELATIVE.test(trimmed)) return trimmed;
  const ns = resolve(text.trim(), 0, utc);
  return ns === null ? null : rfc3339(ns);
}

/** A range as a person says it: "Last 15 minutes", or both ends. */
export function rangeName(from, to, utc) {
  const relative = ONE.exec(from.replace('now', ''));
  if (relative && to === 'now') {
    const word = WORDS[relative[2]];
    return relative[1] === '1' ? `Last ${word}` : `Last ${relative[1]} ${word}s`;
  }
  const end = (text) => {
    if (RELATIVE.test(text)) return text;
    const ns = resolve(text, 0);
    return ns === null ? text : editable(ns, utc);
  };
  const [a, b] = [end(from), end(to)];
  return a.slice(0, 10) === b.slice(0, 10) && a.length > 11 && b.length > 11 ? `${a} – ${b.slice(11)}` : `${a} – ${b}`;
}

/** The same where there is no room for it: 15m, 10:04–11:04, 11-20–11-21. */
export function rangeBrief(from, to, utc) {
  if (to === 'now' && ONE.test(from.replace('now', ''))) return from.replace('now-', '');
  const [a, b] = [resolve(from, Date.now()), resolve(to, Date.now())];
  if (a === null || b === null) return '';
  const [one, other] = [editable(a, utc), editable(b, utc)];
  const [start, end] = one.slice(0, 10) === other.slice(0, 10) ? [11, 16] : [5, 10];
  return `${one.slice(start, end)}–${other.slice(start, end)}`;
}

/** 90 as "1 min 30 s": at most two units. */
export function span(seconds) {
  const steps = [['d', 86400], ['h', 3600], ['min', 60], ['s', 1]];
  const at = steps.findIndex(([, size]) => seconds >= size);
  if (at < 0) return seconds > 0 ? `${Math.round(seconds * 1000)} ms` : '0 s';
  const [unit, size] = steps[at];
  const whole = Math.floor(seconds / size);
  const next = steps[at + 1];
  const rest = next ? Math.floor((seconds - whole * size) / next[1]) : 0;
  return rest ? `${whole} ${unit} ${rest} ${next[0]}` : `${whole} ${unit}`;
}
