// The form: text, voice, settings, and the errors of their fields.

import { read, requestBody } from "./api.js";
import { byId, el, setText } from "./dom.js";
import { loadDraft, saveDraft } from "./history.js";

const TEXT_CHARS_MAX = 4096;
const SPEAKERS = 10;
const VOICE_PREFIX = "voice:";
const SPEAKER_PREFIX = "speaker:";
const FIELDS = { text: "text", temperature: "temperature", topk: "topk", top_k: "topk", seed: "seed", speaker: "voice", voice: "voice" };
const INPUTS = ["text", "voice", "temperature", "topk", "seed"];

/** Reads and fills the form; `onChange` hears each input. */
export class Form {
  #wantedVoice = null;

  constructor() {
    const draft = loadDraft();
    if (draft) this.#restore(draft);
    for (const name of INPUTS) {
      byId(name).addEventListener("input", () => {
        this.#clear(name);
        this.#filled();
      });
    }
    this.#offerCommand();
    byId("voice").addEventListener("change", () => (this.#wantedVoice = byId("voice").value));
    const isApple = /Mac|iPhone|iPad/.test(navigator.platform);
    if (isApple) setText(byId("speak-key"), "⌘ Enter");
    this.#offer([]);
    this.#count();
    this.#loadVoices();
  }

  /** The request as it is written; the gateway checks it. */
  request() {
    const { text, voice, temperature, topk, seed } = this.#values();
    const request = { text, lane: "live", format: "wav" };
    if (voice.startsWith(VOICE_PREFIX)) request.voice = voice.slice(VOICE_PREFIX.length);
    else request.speaker = Number(voice.slice(SPEAKER_PREFIX.length));
    // An empty field is the gateway's default.
    if (temperature !== "") request.temperature = Number(temperature);
    if (topk !== "") request.topk = Number(topk);
    if (seed !== "") request.seed = seed;
    return request;
  }

  /** Puts a request of the past into the form. */
  fill(request) {
    const voice = request.voice ? VOICE_PREFIX + request.voice : `${SPEAKER_PREFIX}${request.speaker ?? 0}`;
    this.#restore({ ...request, voice });
    this.#pickVoice();
    this.clearErrors();
    this.#filled();
    byId("text").focus();
  }

  setSeed(seed) {
    byId("seed").value = seed;
    this.#clear("seed");
    this.#filled();
  }

  /** Shows a problem at its field; false if it belongs to none. */
  showError(problem) {
    const name = FIELDS[problem.field];
    if (!name) return false;
    const error = byId(`${name}-error`);
    setText(error, problem.message);
    error.hidden = false;
    byId(name).setAttribute("aria-invalid", "true");
    byId(name).focus();
    return true;
  }

  clearErrors() {
    INPUTS.forEach((name) => this.#clear(name));
  }

  #clear(name) {
    byId(`${name}-error`).hidden = true;
    byId(name).removeAttribute("aria-invalid");
  }

  #values() {
    const values = Object.fromEntries(INPUTS.map((name) => [name, byId(name).value]));
    // A number field gives no value for text that is no number; such text must not pass as a default.
    for (const name of ["temperature", "topk"]) if (byId(name).validity.badInput) values[name] = "NaN";
    return { ...values, seed: values.seed.trim() };
  }

  #restore(values) {
    for (const name of INPUTS) {
      if (name === "voice") this.#wantedVoice = values.voice ?? null;
      else if (values[name] !== undefined && values[name] !== "NaN") byId(name).value = values[name];
    }
  }

  #filled() {
    this.#count();
    this.#writeCommand();
    saveDraft(this.#values());
  }

  #writeCommand() {
    if (byId("command").open) setText(byId("command-text"), command(this.request()));
  }

  /** Copying needs a secure origin; elsewhere the commands can be selected. */
  #offerCommand() {
    byId("command").addEventListener("toggle", () => this.#writeCommand());
    const button = byId("command-copy");
    button.hidden = !navigator.clipboard;
    button.addEventListener("click", async () => {
      const copied = await navigator.clipboard.writeText(byId("command-text").textContent).then(() => true, () => false);
      setText(button, copied ? "Copied" : "Not copied");
      setTimeout(() => setText(button, "Copy"), 1500);
    });
  }

  #count() {
    const count = [...byId("text").value.trim()].length;
    setText(byId("count"), `${count} / ${TEXT_CHARS_MAX}`);
    byId("count").classList.toggle("over", count > TEXT_CHARS_MAX);
  }

  async #loadVoices() {
    const answer = await read("v1/audio/voices").catch(() => null);
    if (answer?.voices?.length) this.#offer(answer.voices);
  }

  /** Offers named voices, and the speaker numbers, whose voice follows the seed. */
  #offer(voices) {
    const groups = [];
    if (voices.length) {
      const options = voices.map((voice) => {
        const title = [voice.description, voice.language].filter(Boolean).join(", ");
        const name = voice.description ? `${voice.name ?? voice.id} – ${voice.description}` : (voice.name ?? voice.id);
        return el("option", { value: VOICE_PREFIX + voice.id, title }, name);
      });
      groups.push(el("optgroup", { label: "Voices" }, ...options));
    }
    const speakers = Array.from({ length: SPEAKERS }, (_, number) => el("option", { value: `${SPEAKER_PREFIX}${number}` }, `Speaker ${number}`));
    groups.push(el("optgroup", { label: "Drawn by the seed" }, ...speakers));
    byId("voice").replaceChildren(...groups);
    this.#pickVoice();
  }

  #pickVoice() {
    const select = byId("voice");
    if ([...select.options].some((option) => option.value === this.#wantedVoice)) select.value = this.#wantedVoice;
  }
}

/** The request as commands for a shell, which end in a file. */
function command(request) {
  const root = new URL("v1/jobs", document.baseURI).href;
  const body = requestBody(request).replaceAll("'", "'\\''");
  return [
    `id=$(curl -s ${root} -H 'content-type: application/json' \\\n  -d '${body}' | jq -r .id)`,
    `curl -s "${root}/$id?wait=60" | jq .status`,
    `curl -s "${root}/$id/audio" -o speech.wav`,
  ].join("\n");
}
