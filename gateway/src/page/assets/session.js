// One job from the press of Speak to its end: what it is doing, and its samples on their way to the player.

import { audioPath, call, cancel, follow, jobPath, Problem, read, submit } from "./api.js";
import { decodePcm, RATE } from "./player.js";

const WATCH_EVERY_MS = 1_500;
const QUIET_MS = 3_000; // a job that runs sends an event about every 400 ms of audio

/** States: waiting, speaking, done, cancelled, error. `onChange` hears every change. */
export class Session {
  #player;
  #onChange;
  #abort = new AbortController();
  #cancelWanted = false;
  #abandoned = false; // the player is another session's
  #restarted = false;
  #lastEventAt = 0;
  #pressedAt = performance.now();
  #firstSamplesAt = null;
  #end = null;

  state = "waiting";
  id = null;
  seed = null;
  request = null;
  queue = null;
  frames = 0;
  maxFrames = 0;
  attempt = 0;
  requeued = false;
  stored = false; // the sound comes as a file at the end
  linked = true;
  cancelling = false;
  firstSound = null; // seconds from the press to the first sound
  receipt = null;
  failure = null;
  error = null;
  note = "";

  constructor(player, request, onChange) {
    this.#player = player;
    this.request = request;
    this.#onChange = onChange;
    player.addEventListener("sound", (event) => this.#heard(event.detail), { signal: this.#abort.signal });
  }

  get isOpen() {
    return this.state === "waiting" || this.state === "speaking";
  }

  /** Speed so far as seconds of sound per second; null before it can be told. */
  get speed() {
    if (this.receipt) return this.receipt.rtf ? 1 / this.receipt.rtf : null;
    const passed = (performance.now() - this.#firstSamplesAt) / 1000;
    return this.#firstSamplesAt && passed > 0.3 ? this.#player.length / RATE / passed : null;
  }

  /** Seconds without an event, once they are more than a running job's pauses: its worker may be lost. */
  get quiet() {
    const passed = performance.now() - this.#lastEventAt;
    return this.#lastEventAt && passed > QUIET_MS ? passed / 1000 : null;
  }

  /** Submits the request and plays its speech. */
  async speak() {
    this.#player.open();
    try {
      const accepted = await this.#submit();
      this.id = accepted.id;
      this.seed = this.request.seed || String(accepted.seed);
      this.queue = accepted.queue ?? null;
      this.#changed();
      if (this.#cancelWanted) await this.#cancelJob();
      await this.#attend();
    } catch (error) {
      this.#fail(error);
    }
  }

  /** Plays the speech of a known job, which may still be open. */
  async replay(id) {
    this.#player.open();
    this.id = id;
    this.seed = this.request.seed;
    try {
      const record = await read(jobPath(id));
      if (this.#abandoned) return;
      if (record.status === "succeeded") this.#end = { name: "done", data: { receipt: record.receipt } };
      else if (record.status !== "queued" && record.status !== "running") {
        this.#end = { name: "no_result", data: { state: record.status, failure: record.failure ?? null } };
      }
      this.queue = record.queue ?? null;
      await (this.#end ? this.#finish() : this.#attend());
    } catch (error) {
      this.#fail(error);
    }
  }

  /** Stops the sound and cancels the job. */
  async cancel() {
    this.#cancelWanted = true;
    this.cancelling = true;
    this.#player.stop();
    this.#changed();
    try {
      if (this.id) await this.#cancelJob();
    } catch (error) {
      this.#fail(error);
    }
  }

  /** Makes room for another session. The sound ends, and so does an open job that is not to be kept. */
  abandon(keepOpen) {
    this.#onChange = () => {};
    this.#abandoned = true;
    this.#abort.abort();
    if (this.isOpen && !keepOpen) this.cancel();
  }

  /** Asks for live samples; a speech that may be too long for that is asked for as a file. */
  async #submit() {
    const options = { onLink: (up) => this.#link(up), isWanted: () => !this.#cancelWanted };
    try {
      return await submit({ ...this.request, delivery: "both" }, options);
    } catch (error) {
      if (!(error instanceof Problem) || error.field !== "delivery") throw error;
      this.stored = true;
      this.#changed();
      return submit({ ...this.request, delivery: "store" }, options);
    }
  }

  async #cancelJob() {
    const mustStop = await cancel(this.id);
    if (!mustStop && this.isOpen) this.#conclude("cancelled");
  }

  async #attend() {
    if (!this.isOpen) return;
    const watch = setInterval(() => this.#watch(), WATCH_EVERY_MS);
    try {
      await follow(this.id, {
        signal: this.#abort.signal,
        onEvent: (event) => this.#take(event),
        onLink: (up) => this.#link(up),
      });
    } finally {
      clearInterval(watch);
    }
    if (this.isOpen && !this.#abandoned) await this.#finish();
  }

  #take({ name, data }) {
    this.#lastEventAt = performance.now();
    if (name === "done" || name === "no_result") this.#end = { name, data };
    if (name === "started" || name === "progress") {
      this.state = "speaking";
      this.requeued = false;
    }
    const next = name === "progress" ? this.#progress(data) : undefined;
    this.#changed();
    return next;
  }

  #progress({ frames, max_frames, audio }) {
    this.frames = frames;
    this.maxFrames = max_frames;
    if (!audio) return undefined;
    const missing = audio.offset - this.#player.length;
    if (missing > 0) {
      if (this.#restarted) return undefined; // the file takes their place at the end
      this.#restarted = true;
      return "restart";
    }
    if (-missing >= audio.samples) return undefined; // known already
    this.#firstSamplesAt ??= performance.now();
    this.#player.append(decodePcm(audio.pcm).subarray(-missing));
    return undefined;
  }

  /** Reads the record while no event comes: the place in the queue, or a return to the queue. */
  async #watch() {
    if (performance.now() - this.#lastEventAt < QUIET_MS) return;
    const record = await read(jobPath(this.id), this.#abort.signal).catch(() => null);
    if (!record || !this.isOpen) return;
    this.requeued = record.attempt > 0 && record.status === "queued";
    this.queue = record.queue ? { ...this.queue, ...record.queue } : null;
    if (record.status === "queued") this.state = "waiting";
    if (record.status === "running") this.state = "speaking";
    this.#changed();
  }

  async #finish() {
    const end = this.#end;
    if (!end) throw new Error("The job ended, but its end was not told. Play it from the list of recent jobs.");
    if (end.name === "done") {
      this.receipt = end.data.receipt;
      await this.#complete();
      return;
    }
    this.#player.stop();
    this.failure = end.data.failure;
    if (end.data.state === "cancelled") return this.#conclude("cancelled");
    const reason = this.failure ? `: ${this.failure.message}` : "";
    this.error = new Error(end.data.state === "expired" ? "The job waited too long and expired." : `The job failed${reason}.`);
    this.#conclude("error");
  }

  /** All samples must be there; if not, the file takes their place. */
  async #complete() {
    if (this.#player.length === this.receipt.samples) this.#player.finish();
    else {
      try {
        const response = await call("GET", audioPath(this.id), { cache: "default" });
        const samples = await this.#player.decode(await response.arrayBuffer());
        if (this.#abandoned) return;
        this.#player.replace(samples);
      } catch (error) {
        if (this.#abandoned) return;
        this.note = error instanceof Problem ? error.message : "The file cannot be read here. Download it instead.";
        this.#player.finish();
      }
    }
    this.#conclude("done");
  }

  #heard(at) {
    this.firstSound = (at - this.#pressedAt) / 1000;
    this.#changed();
  }

  #link(up) {
    if (this.linked === up) return;
    this.linked = up;
    this.#changed();
  }

  #fail(error) {
    if (!this.isOpen || this.#abandoned) return;
    this.#player.stop();
    this.error = error;
    this.#conclude("error");
  }

  #conclude(state) {
    this.state = state;
    this.cancelling = false;
    this.linked = true;
    if (state !== "done") this.#abort.abort();
    this.#changed();
  }

  #changed() {
    this.#onChange(this);
  }
}
