// What is known of a job after its end: the facts of its receipt, and its file in every format.

import { audioPath, jobPath, Problem, read, submit } from "./api.js";
import { byId, duration, el, setText, times } from "./dom.js";

const FORMATS = { wav: "WAV", pcm: "PCM", flac: "FLAC", opus: "Opus", mp3: "MP3" };
const EXTENSIONS = { opus: "ogg" };
const WAIT_S = 30;

const REASONS = {
  eos: ["Complete", "The model ended by itself"],
  length: ["Cut off", "The time for the speech was used up"],
  runaway: ["Ran away", "The model did not stop and was ended; another seed may help"],
};
const VERDICTS = { detected: "Detected", inconclusive: "Inconclusive", not_detected: "Not detected" };
const WARNINGS = {
  cut_off: "a sentence was cut off",
  not_spoken: "a sentence was not spoken",
  runaway: "a sentence was ended because the model did not stop",
  spoken_again: "a sentence had bad audio at first and was spoken again",
  faulty: "a sentence has bad audio, even when spoken again",
};

/** Shows first sound, speed, watermark and the rest; `keepSeed` puts a seed into the form. */
export function showFacts(session, keepSeed) {
  const box = byId("facts");
  const rows = [];
  const add = (name, value, title) => rows.push(el("div", { title }, el("dt", {}, name), el("dd", {}, value)));
  const { receipt } = session;
  if (session.firstSound !== null) {
    const worker = receipt ? ` ${receipt.queue_ms} ms in the queue, ${receipt.first_audio_ms} ms in the worker.` : "";
    add("First sound", duration(session.firstSound), `From the press of the button to the first sound on this page.${worker}`);
  }
  if (receipt) addReceipt(add, session);
  if (session.seed) {
    const keep = el("button", { type: "button", class: "link", title: "Puts the seed into the form", onclick: keepSeed }, session.seed);
    add("Seed", keep);
  }
  if (session.id) add("Job", el("a", { href: jobPath(session.id), title: `The record of job ${session.id}` }, session.id.slice(-12)));
  const focused = box.contains(document.activeElement) ? document.activeElement.tagName : null;
  box.hidden = rows.length === 0;
  box.replaceChildren(...rows);
  if (focused) box.querySelector(focused)?.focus();
}

function addReceipt(add, { receipt, speed }) {
  if (speed) add("Speed", `${times(speed)} real time`, `${receipt.compute_ms} ms of work for ${receipt.duration_ms} ms of speech`);
  add("Length", duration(receipt.duration_ms / 1000), `${receipt.samples} samples at 24 kHz`);
  add("Watermark", ...watermark(receipt.watermarks));
  const [reason, meaning] = REASONS[receipt.finish_reason] ?? [receipt.finish_reason, null];
  add("End", reason, meaning);
  const warnings = receipt.warnings ?? [];
  if (warnings.length) add("Warning", warnings.map((warning) => WARNINGS[warning.code] ?? warning.code).join("; "));
  add("Model", receipt.model, `Weights ${receipt.weights_sha256.slice(0, 12)}, worker ${receipt.worker}`);
}

/** The strongest verdict in words, with all schemes in the title. */
function watermark(findings) {
  if (!findings.length) return ["None", "The receipt names no watermark"];
  const strongest = Object.keys(VERDICTS).find((verdict) => findings.some((finding) => finding.verdict === verdict));
  const all = findings.map(({ scheme, verdict, p_value, key_id }) => {
    const chance = typeof p_value === "number" ? `, p = ${p_value.toExponential(1)}` : "";
    return `${scheme}: ${VERDICTS[verdict] ?? verdict}${chance}, key ${key_id}`;
  });
  return [VERDICTS[strongest] ?? "None", all.join("; ")];
}

/** Shows one button for each format of a job that is done. */
export function showDownloads(session) {
  const box = byId("downloads");
  box.hidden = session?.state !== "done" || session.receipt.samples === 0;
  if (box.dataset.job === session?.id && !box.hidden) return;
  setText(byId("download-status"), "");
  if (box.hidden) return;
  box.dataset.job = session.id;
  const name = (format) => `speech-${session.seed}.${EXTENSIONS[format] ?? format}`;
  const buttons = Object.entries(FORMATS).map(([format, label]) => {
    if (format === session.receipt.format) {
      return el("a", { class: "button", href: audioPath(session.id), download: name(format), "aria-label": `Download ${label}` }, label);
    }
    const title = "Made by a new job with the same text, settings and seed, which gives the same speech";
    const act = (event) => convert(event.currentTarget, session, format, name(format));
    return el("button", { type: "button", title, "aria-label": `Download ${label}`, onclick: act }, label);
  });
  box.replaceChildren(el("span", { class: "muted", "aria-hidden": "true" }, "Download"), ...buttons);
}

/** Has the same speech made in another format, and downloads it. */
async function convert(button, session, format, name) {
  if (button.getAttribute("aria-busy") === "true") return;
  const status = byId("download-status");
  button.setAttribute("aria-busy", "true");
  setText(status, `${FORMATS[format]}: a new job makes the same speech.`);
  try {
    const request = { ...session.request, seed: session.seed, format, lane: "standard", delivery: "store" };
    // The key names job and format: pressed again, it finds the same job.
    const { id } = await submit(request, { key: `page-${session.id}-${format}` });
    await ended(id);
    const link = el("a", { href: audioPath(id), download: name });
    link.click();
    setText(status, `${FORMATS[format]}: ready.`);
  } catch (error) {
    const again = error instanceof Problem && error.retryAfter ? ` Try again in ${error.retryAfter} s.` : "";
    setText(status, `${FORMATS[format]}: ${error.message}${again}`);
  } finally {
    button.removeAttribute("aria-busy");
  }
}

/** Waits until a job has succeeded. */
async function ended(id) {
  for (;;) {
    const record = await read(`${jobPath(id)}?wait=${WAIT_S}`);
    if (record.status === "succeeded") return;
    if (record.status !== "queued" && record.status !== "running") {
      throw new Error(record.failure ? `The job failed: ${record.failure.message}.` : `The job is ${record.status}.`);
    }
  }
}
