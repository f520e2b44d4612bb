// Calls of the gateway's native API, and the event stream of a job.

const SILENCE_MAX_MS = 40_000; // the gateway sends a comment after 15 s
const RETRY_FIRST_MS = 250;
const RETRY_LAST_MS = 4_000;
const SUBMIT_TRIES_MAX = 6;
const FINAL_EVENTS = new Set(["done", "no_result"]);

/** A refusal by the gateway (RFC 9457). */
export class Problem extends Error {
  constructor(status, document, retryAfter) {
    super(document.detail || document.title || `The gateway answered with status ${status}.`);
    this.status = status;
    this.code = document.code ?? "";
    this.field = document.field ?? "";
    this.requestId = document.request_id ?? "";
    this.retryAfter = retryAfter;
  }
}

/** No answer came: the gateway or the network is down. */
export class Unreachable extends Error {
  constructor() {
    super("The gateway does not answer.");
  }
}

/** Waits; ends early when the network comes back or `signal` aborts. */
export function pause(ms, signal) {
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      removeEventListener("online", done);
      signal?.removeEventListener("abort", done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    addEventListener("online", done);
    signal?.addEventListener("abort", done);
  });
}

/** Grows the pause between tries, with some jitter so that pages do not return all at once. */
function backoff(failures) {
  const full = Math.min(RETRY_LAST_MS, RETRY_FIRST_MS * 2 ** failures);
  return full * (0.7 + 0.3 * Math.random());
}

/** Makes a random name; `crypto.randomUUID` exists on secure origins only. */
function randomKey() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** Sends a request; a refusal is thrown as Problem, a lost connection as Unreachable. */
export async function call(method, path, { body, headers = {}, signal, cache = "no-store" } = {}) {
  let response;
  try {
    response = await fetch(path, { method, body, headers, signal, cache });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Unreachable();
  }
  if (response.ok) return response;
  const retryAfter = Number(response.headers.get("retry-after")) || null;
  const document = await response.json().catch(() => ({}));
  throw new Problem(response.status, document, retryAfter);
}

/** Reads a JSON document. */
export async function read(path, signal) {
  const response = await call("GET", path, { signal });
  return response.json().catch(() => {
    throw new Unreachable();
  });
}

export const jobPath = (id) => `v1/jobs/${encodeURIComponent(id)}`;
export const audioPath = (id) => `${jobPath(id)}/audio`;

/** Writes a request as JSON. The seed keeps all its digits: it may be above 2^53. */
export function requestBody(request) {
  const { seed, ...rest } = request;
  const json = JSON.stringify(rest);
  if (seed === undefined || seed === "") return json;
  const digits = /^-?\d{1,30}$/.test(seed) ? BigInt(seed).toString() : JSON.stringify(seed);
  return `${json.slice(0, -1)},"seed":${digits}}`;
}

/** True if sending the same request again can help. */
function isPassing(error) {
  if (error instanceof Unreachable) return true;
  return error instanceof Problem && [502, 503, 504].includes(error.status) && error.code !== "intake_closed";
}

/** Submits a job. It is sent again under the same key while the gateway is away. */
export async function submit(request, { key = randomKey(), onLink = () => {}, isWanted = () => true } = {}) {
  const body = requestBody(request);
  const headers = { "content-type": "application/json", "idempotency-key": key };
  for (let failures = 0; ; failures += 1) {
    try {
      const response = await call("POST", "v1/jobs", { body, headers });
      onLink(true);
      return await response.json();
    } catch (error) {
      if (!isPassing(error) || failures + 1 >= SUBMIT_TRIES_MAX || !isWanted()) throw error;
      onLink(false);
      await pause(backoff(failures));
    }
  }
}

/** Cancels a job; true if its worker still has to stop. A job that has ended stays as it is. */
export async function cancel(id) {
  for (let failures = 0; ; failures += 1) {
    try {
      const response = await call("DELETE", jobPath(id));
      return (await response.json()).status === "cancelling";
    } catch (error) {
      if (error instanceof Problem && error.code === "job_already_final") return true;
      if (!isPassing(error) || failures + 1 >= SUBMIT_TRIES_MAX) throw error;
      await pause(backoff(failures));
    }
  }
}

/** Yields the blocks of text of an event stream, and fails if it falls silent. */
async function* chunks(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  try {
    for (;;) {
      let timer;
      const silence = new Promise((_, reject) => {
        timer = setTimeout(() => reject(new Unreachable()), SILENCE_MAX_MS);
      });
      const { value, done } = await Promise.race([reader.read(), silence]).finally(() => clearTimeout(timer));
      if (done) return;
      yield value;
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}

/** Parses one event; comments have no data and give null. */
function parseEvent(block) {
  const event = { id: "", name: "message", data: "" };
  for (const line of block.split(/\r\n|\r|\n/)) {
    const colon = line.indexOf(":");
    if (colon <= 0) continue;
    const value = line.slice(colon + 1).replace(/^ /, "");
    const field = line.slice(0, colon);
    if (field === "id") event.id = value;
    if (field === "event") event.name = value;
    if (field === "data") event.data += value;
  }
  return event.data ? { id: event.id, name: event.name, data: JSON.parse(event.data) } : null;
}

/** Yields the events of a stream. */
async function* eventsOf(body) {
  let rest = "";
  for await (const text of chunks(body)) {
    rest += text;
    const blocks = rest.split(/\r\n\r\n|\n\n|\r\r/);
    rest = blocks.pop();
    for (const block of blocks) {
      const event = parseEvent(block);
      if (event) yield event;
    }
  }
}

/**
 * Follows a job to its end, across lost connections and restarts of the gateway.
 *
 * `onEvent` may answer "restart": then the events are read again from the first one. It is not an
 * EventSource, because that gives up for good at a proxy's 502.
 */
export async function follow(id, { signal, onEvent, onLink }) {
  let last = null;
  for (let failures = 0; ; failures += 1) {
    try {
      const headers = last ? { "last-event-id": last } : {};
      const response = await call("GET", `${jobPath(id)}/events`, { headers, signal });
      onLink(true);
      if (response.status === 204) return;
      for await (const event of eventsOf(response.body)) {
        failures = 0;
        last = event.id;
        if (onEvent(event) === "restart") {
          last = null;
          break;
        }
        if (FINAL_EVENTS.has(event.name)) return;
      }
    } catch (error) {
      if (signal.aborted) return;
      if (error instanceof Problem && error.status < 500 && error.status !== 429) throw error;
    }
    if (signal.aborted) return;
    onLink(false);
    await pause(backoff(failures), signal);
  }
}
