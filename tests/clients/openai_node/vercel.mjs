// Checks of the AI SDK with its OpenAI provider. It returns whole files only.

import { createOpenAI } from "@ai-sdk/openai";
import { APICallError, experimental_generateSpeech as generateSpeech } from "ai";
import * as h from "./lib.mjs";

const MEDIA = { mp3: "audio/mpeg", opus: "audio/ogg", flac: "audio/flac", wav: "audio/wav" };
const provider = createOpenAI({ baseURL: `${h.BASE}/v1`, apiKey: "not-needed" });
const busy = createOpenAI({ baseURL: `${h.BUSY_BASE}/v1`, apiKey: "not-needed" });

const create = (text, more = {}) =>
  generateSpeech({ model: provider.speech("tts-1"), text, voice: "alloy", ...more });

async function speak() {
  const at = await h.mark();
  const { audio } = await create(h.SHORT, { model: provider.speech("gpt-4o-mini-tts"), instructions: "Calm." });
  h.assert(audio.mediaType === "audio/mpeg", `taken for ${audio.mediaType}`);
  await h.assertWhole(await h.jobSince(at), h.samplesOf(Buffer.from(audio.uint8Array), "mp3"), "mp3");
}

async function formats() {
  for (const kind of ["mp3", "opus", "flac", "wav", "pcm"]) {
    const at = await h.mark();
    const { audio } = await create(h.SHORT, { outputFormat: kind, speed: 1 });
    if (MEDIA[kind]) h.assert(audio.mediaType === MEDIA[kind], `${kind} was taken for ${audio.mediaType}`);
    await h.assertWhole(await h.jobSince(at), h.samplesOf(Buffer.from(audio.uint8Array), kind), kind);
  }
}

async function stream() {
  throw new h.Skip("it reads the whole body");
}

async function cancelled() {
  const at = await h.mark();
  const stop = new AbortController();
  const speech = create(h.LONG, { abortSignal: stop.signal });
  const job = await h.jobSince(at);
  await h.assertRunning(job);
  stop.abort();
  await h.failure(speech);
  await h.assertCancelled(job);
}

async function badVoice() {
  const at = await h.mark();
  const error = await h.failure(create(h.SHORT, { voice: h.BAD_VOICE }));
  h.assert(APICallError.isInstance(error) && error.statusCode === 400, `${error}`);
  h.assert(error.message.includes(h.BAD_VOICE), error.message);
  const sent = (await h.exchangesSince(at, "/v1/audio/speech")).length;
  h.assert(sent === 1, `${sent} requests for one call: the library retried`);
}

async function refused() {
  const error = await h.failure(create(h.SHORT, { model: busy.speech("tts-1"), maxRetries: 0 }));
  h.assert(APICallError.isInstance(error) && error.statusCode === 429, `${error}`);
  h.assert(error.isRetryable, "not taken as retryable");
}

async function broken() {
  const at = await h.mark();
  const speech = create(h.LONG, { maxRetries: 0 });
  const job = await h.jobSince(at);
  await h.assertRunning(job);
  await h.cancel(job);
  await h.failure(speech);
}

async function workerLost() {
  const at = await h.mark();
  const speech = create(h.LONG, { outputFormat: "pcm" });
  const job = await h.jobSince(at);
  await h.killWorkerOf(job);
  const { audio } = await speech;
  await h.assertResumed(job);
  await h.assertWhole(job, h.samplesOf(Buffer.from(audio.uint8Array), "pcm"), "pcm");
}

await h.run("vercel-ai", {
  speak, formats, stream, cancel: cancelled, "bad voice": badVoice, busy: refused, broken,
  "worker lost": workerLost,
});
