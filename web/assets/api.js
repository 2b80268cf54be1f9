//! Talking to the server: JSON, newline-delimited JSON and event streams, each as objects; errors as sentences.

const LINE_MAX = 64 * 1024 * 1024;

/** What the server refused, with the place in the query when there is one. */
export class Refused extends Error {
  constructor(status, error) {
    super(error.msg || `the server answered ${status}`);
    this.status = status;
    this.code = error.code ?? '';
    this.at = error.at;
    this.len = error.len;
    this.hint = error.hint;
  }
}

/** The server could not be reached, or left in the middle of an answer. */
export class Gone extends Error {}

function address(path, params) {
  const search = new URLSearchParams();
  for (const [name, value] of Object.entries(params)) if (value != null) search.set(name, value);
  const text = search.toString();
  return `/api/v1/${path}${text ? `?${text}` : ''}`;
}

async function ask(path, params, signal, accept) {
  let response;
  try {
    response = await fetch(address(path, params), { signal, headers: { accept }, cache: 'no-store' });
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new Gone('the server does not answer');
  }
  if (response.ok) return response;
  const body = await response.json().catch(() => ({}));
  throw new Refused(response.status, typeof body.error === 'object' && body.error ? body.error : {});
}

/** Text lines of a body as they come in; the last may lack its newline. */
async function* lines(response, signal) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = '';
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      const text = rest + value;
      let start = 0;
      for (let end = text.indexOf('\n'); end >= 0; end = text.indexOf('\n', start)) {
        yield text.slice(start, end);
        start = end + 1;
      }
      rest = text.slice(start);
      if (rest.length > LINE_MAX) throw new Gone('the server sent a line without an end');
    }
  } catch (error) {
    if (signal?.aborted || error instanceof Gone) throw error;
    throw new Gone('the connection broke');
  } finally {
    reader.cancel().catch(() => {});
  }
  if (rest) yield rest;
}

function parse(text) {
  try {
    return JSON.parse(text);
  } catch {
    throw new Gone('the answer was cut short');
  }
}

/** One JSON answer. */
export async function json(path, params = {}, signal = undefined) {
  const response = await ask(path, params, signal, 'application/json');
  return parse(await response.text().catch(() => ''));
}

/** One object per line. */
export async function* ndjson(path, params, signal) {
  const response = await ask(path, params, signal, 'application/x-ndjson');
  for await (const line of lines(response, signal)) if (line.trim()) yield parse(line);
}

/** One object per event of an event stream. Comments are heartbeats: they come out as `{k:'hb'}`. */
export async function* events(path, params, signal) {
  const response = await ask(path, params, signal, 'text/event-stream');
  let data = '';
  for await (const raw of lines(response, signal)) {
    const line = raw.endsWith('\r') ? raw.slice(0, -1) : raw;
    if (line.startsWith('data:')) data += line.slice(5).trimStart();
    else if (line.startsWith(':')) yield { k: 'hb' };
    else if (line === '' && data) {
      const whole = data;
      data = '';
      yield parse(whole);
    }
  }
}

/** Asks the server to end a search and keep what it has found. */
export async function stop(qid) {
  await fetch(`/api/v1/search/${encodeURIComponent(qid)}/stop`, { method: 'POST', headers: { 'X-Tailbuck': '1' } });
}

/** Seconds to wait before the nth try: 1, 2, 4 … 30, a little unequal so that many pages do not knock at once. */
export const backoff = (tries) => Math.min(30, 2 ** Math.min(tries, 5)) * (0.8 + 0.4 * Math.random());
