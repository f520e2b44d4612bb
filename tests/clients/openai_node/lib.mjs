// Shared by the Node scripts: texts, calls to the harness, decoding, and the JSON lines.

import { spawnSync } from "node:child_process";

export const SHORT = "Good morning. The tea is ready.";
export const LONG = [
  "The harbour was quiet when the first boats came in.",
  "Nobody on the pier had expected them before noon.",
  "A woman in a red coat counted the crates one by one.",
  "Her brother wrote each number into a small grey book.",
  "The wind turned to the north and brought a little rain.",
  "Two boys carried the ropes up to the old storehouse.",
  "By four in the afternoon everything was under a roof.",
  "Then they all sat down together and drank hot tea.",
  "The eldest told them how the bridge had been built.",
  "It had taken nine summers and a great deal of stone.",
  "When the lamp went out they walked home in the dark.",
  "The next morning the boats were gone from the water.",
].join(" ");
export const BAD_VOICE = "nobody-here";
export const BASE = process.env.CSM_BASE;
export const BUSY_BASE = process.env.CSM_BUSY_BASE;

const API = process.env.CSM_API;
const CONTROL = process.env.CSM_CONTROL;
const ENDS = ["succeeded", "failed", "cancelled", "expired"];

// Samples by which a lossy file may be longer than the receipt says; csm_checks.py explains them.
const SLACK = { pcm: 0, wav: 0, flac: 0, mp3: 1105 + 3 * 576, opus: 480 + 156 };

/** Says that a check does not apply to a client, and why. */
export class Skip extends Error {}

/** Throws unless a condition holds. */
export function assert(condition, message) {
  if (!condition) throw new Error(message);
}

async function get(url, method = "GET") {
  const answer = await fetch(url, { method });
  const text = await answer.text();
  assert(answer.ok, `${method} ${url}: ${answer.status} ${text.slice(0, 300)}`);
  return JSON.parse(text);
}

/** Waits until all workers are ready and returns where the records now end. */
export async function mark() {
  return get(`${CONTROL}/mark`);
}

/** Waits for the first answer since a mark that names a job, and returns the job. */
export async function jobSince(at) {
  const { job } = await get(`${CONTROL}/job?since=${at.exchanges}`);
  assert(job, "no answer had the header x-job-id within 30 s");
  return job;
}

/** Lists the recorded exchanges since a mark whose path begins with `path`. */
export async function exchangesSince(at, path) {
  const all = await get(`${CONTROL}/exchanges?since=${at.exchanges}`);
  return all.filter((exchange) => exchange.path.startsWith(path));
}

/** Asserts that a job's first audio arrived before the job's end. */
export async function assertRunning(job) {
  const { status } = await get(`${API}/v1/jobs/${job}`);
  assert(status === "running", `job ${job} was already ${status} when its first audio arrived`);
}

/** Waits until a job has ended and returns its document. */
export async function endOf(job) {
  const document = await get(`${API}/v1/jobs/${job}?wait=60`);
  assert(ENDS.includes(document.status), `job ${job} is ${document.status} after 60 s`);
  return document;
}

/** Waits for the end of a job and returns the receipt of the speech route. */
export async function receipt(job) {
  const document = await endOf(job);
  assert(document.status === "succeeded", `job ${job}: ${document.status}`);
  return get(`${API}/v1/audio/speech/${job}`);
}

/** Asserts that a job ends as cancelled. */
export async function assertCancelled(job) {
  const { status } = await endOf(job);
  assert(status === "cancelled", `job ${job} ended as ${status}, not cancelled`);
}

/** Cancels a job by the job route, which breaks the stream of whoever listens. */
export async function cancel(job) {
  await get(`${API}/v1/jobs/${job}`, "DELETE");
}

/** Kills the worker that runs a job; another is started at once. */
export async function killWorkerOf(job) {
  await get(`${CONTROL}/kill?job=${job}`);
}

/** Asserts that a second attempt finished a job. */
export async function assertResumed(job) {
  const { attempt } = await endOf(job);
  assert(attempt > 1, "the job ended in its first attempt: the worker died too late");
}

/** Counts the samples at 24 kHz of a whole file. */
export function samplesOf(data, kind) {
  if (kind === "pcm") {
    assert(data.length % 2 === 0, `${data.length} bytes are no whole samples`);
    return data.length / 2;
  }
  if (kind === "wav") {
    assert(data.subarray(0, 4).toString() === "RIFF", "no WAV");
    return (data.length - data.indexOf("data") - 8) / 2;
  }
  const rate = kind === "opus" ? 48000 : 24000;
  const args = ["-v", "error", "-i", "-", "-f", "s16le", "-ac", "1", "-ar", String(rate), "-"];
  const done = spawnSync("ffmpeg", args, { input: data, maxBuffer: 1 << 28 });
  assert(done.status === 0 && !done.stderr.length, `ffmpeg on ${kind}: ${done.stderr}`);
  return Math.floor((done.stdout.length / 2) * 24000 / rate);
}

/** Asserts that as many samples arrived as the receipt of the job says. */
export async function assertWhole(job, samples, kind) {
  const expected = (await receipt(job)).samples;
  const extra = samples - expected;
  assert(extra >= 0 && extra <= SLACK[kind], `${samples} samples of ${kind}; the receipt says ${expected}`);
}

/** Waits for a call to fail and returns its error. */
export async function failure(promise) {
  try {
    await promise;
  } catch (error) {
    return error;
  }
  throw new Error("the call succeeded");
}

/** Runs the checks in order and prints a JSON line for each; `CSM_CHECKS` names a selection. */
export async function run(client, checks) {
  const wanted = (process.env.CSM_CHECKS ?? "").split(",").filter(Boolean);
  for (const [check, action] of Object.entries(checks)) {
    if (wanted.length && !wanted.includes(check)) continue;
    const began = performance.now();
    let [result, note] = ["pass", ""];
    try {
      await action();
    } catch (error) {
      [result, note] = [error instanceof Skip ? "skip" : "fail", `${error.message}`.slice(0, 600)];
      if (result === "fail") {
        console.error(error);
        process.exitCode = 1;
      }
    }
    const seconds = Math.round((performance.now() - began) / 100) / 10;
    console.log(JSON.stringify({ client, check, result, note, seconds }));
  }
}
