// Checks of the OpenAI library for Node.

import OpenAI from "openai";
import * as h from "./lib.mjs";

const TYPES = {
  mp3: "audio/mpeg", opus: "audio/ogg; codecs=opus", flac: "audio/flac", wav: "audio/wav", pcm: "audio/pcm",
};
const client = new OpenAI({ baseURL: `${h.BASE}/v1`, apiKey: "not-needed" });
const busy = new OpenAI({ baseURL: `${h.BUSY_BASE}/v1`, apiKey: "not-needed", maxRetries: 0 });

const create = (input, more = {}, options = {}) =>
  client.audio.speech.create({ model: "tts-1", voice: "alloy", input, ...more }, options);

/** Reads the first piece of an answer's body; returns a function that reads the rest. */
async function begin(answer) {
  const reader = answer.body.getReader();
  const first = await reader.read();
  return async () => {
    const parts = [Buffer.from(first.value)];
    for (let next = await reader.read(); !next.done; next = await reader.read()) {
      parts.push(Buffer.from(next.value));
    }
    return Buffer.concat(parts);
  };
}

async function speak() {
  const at = await h.mark();
  const answer = await create(h.SHORT, { model: "gpt-4o-mini-tts", voice: "coral" });
  const data = Buffer.from(await answer.arrayBuffer());
  await h.assertWhole(await h.jobSince(at), h.samplesOf(data, "mp3"), "mp3");
}

async function formats() {
  for (const [kind, media] of Object.entries(TYPES)) {
    const at = await h.mark();
    const answer = await create(h.SHORT, { response_format: kind, speed: 1 });
    const found = answer.headers.get("content-type");
    h.assert(found === media, `${kind} came as ${found}`);
    const data = Buffer.from(await answer.arrayBuffer());
    await h.assertWhole(await h.jobSince(at), h.samplesOf(data, kind), kind);
  }
  const error = await h.failure(create(h.SHORT, { response_format: "aac" }));
  h.assert(error instanceof OpenAI.BadRequestError, `${error}`);
  h.assert(error.param === "response_format", `param is ${error.param}`);
}

async function stream() {
  for (const kind of ["pcm", "wav", "mp3"]) {
    const at = await h.mark();
    const rest = await begin(await create(h.LONG, { response_format: kind }));
    await h.assertRunning(await h.jobSince(at));
    await h.assertWhole(await h.jobSince(at), h.samplesOf(await rest(), kind), kind);
  }
}

async function events() {
  const at = await h.mark();
  const answer = await create(h.LONG, { response_format: "pcm", stream_format: "sse" });
  const rest = await begin(answer);
  await h.assertRunning(await h.jobSince(at));
  const all = (await rest()).toString().split("\n").filter((line) => line.startsWith("data: {"))
    .map((line) => JSON.parse(line.slice(6)));
  const last = all.at(-1);
  h.assert(last.type === "speech.audio.done" && last.usage, `the last event was ${JSON.stringify(last)}`);
  const deltas = all.filter((event) => event.type === "speech.audio.delta");
  const data = Buffer.concat(deltas.map((event) => Buffer.from(event.audio, "base64")));
  await h.assertWhole(await h.jobSince(at), h.samplesOf(data, "pcm"), "pcm");
}

async function cancelled() {
  const at = await h.mark();
  const stop = new AbortController();
  await begin(await create(h.LONG, { response_format: "pcm" }, { signal: stop.signal }));
  const job = await h.jobSince(at);
  await h.assertRunning(job);
  stop.abort();
  await h.assertCancelled(job);
}

async function badVoice() {
  const at = await h.mark();
  const error = await h.failure(create(h.SHORT, { voice: h.BAD_VOICE }));
  h.assert(error instanceof OpenAI.BadRequestError && error.param === "voice", `${error} ${error.param}`);
  h.assert(error.message.includes(h.BAD_VOICE), error.message);
  const other = await h.failure(create(h.SHORT, { model: "no-model" }));
  h.assert(other instanceof OpenAI.NotFoundError && other.code === "model_not_found", `${other}`);
  const sent = (await h.exchangesSince(at, "/v1/audio/speech")).length;
  h.assert(sent === 2, `${sent} requests for two calls: the library retried`);
}

async function refused() {
  const error = await h.failure(busy.audio.speech.create({ model: "tts-1", voice: "alloy", input: h.SHORT }));
  h.assert(error instanceof OpenAI.RateLimitError, `${error}`);
  h.assert(Number(error.headers.get("retry-after")) > 0, "no retry-after");
}

async function broken() {
  const at = await h.mark();
  const rest = await begin(await create(h.LONG, { response_format: "pcm" }));
  await h.cancel(await h.jobSince(at));
  await h.failure(rest());
}

async function workerLost() {
  const at = await h.mark();
  const rest = await begin(await create(h.LONG, { response_format: "pcm" }));
  const job = await h.jobSince(at);
  await h.killWorkerOf(job);
  const data = await rest();
  await h.assertResumed(job);
  await h.assertWhole(job, h.samplesOf(data, "pcm"), "pcm");
}

async function models() {
  const names = [];
  for await (const model of client.models.list()) names.push(model.id);
  h.assert(names.includes("csm-1b") && names.includes("tts-1"), `${names}`);
  h.assert((await client.models.retrieve("tts-1")).id === "tts-1", "tts-1 was not found");
}

await h.run("openai-node", {
  speak, formats, stream, events, cancel: cancelled, "bad voice": badVoice, busy: refused, broken,
  "worker lost": workerLost, models,
});
