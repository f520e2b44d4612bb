// Plays samples while they come: keeps them all, and schedules them without gaps.

export const RATE = 24_000;
// From scheduling to sound. The clock that is read here may be a few device buffers behind, and a block that is
// scheduled in the past begins late.
const LEAD_S = 0.05;
const LEAD_BUFFERS = 2;
const QUANTUM_S = 128 / RATE; // the step of that clock
const MARGIN = 0.8; // of the lead: with less time left the sound has run dry
const AHEAD_S = 3; // scheduled ahead; a hidden tab's timers run once a second
const BLOCK_SAMPLES = RATE;
const BUFFER_FIRST_S = 0.2;
const BUFFER_LAST_S = 3;
const PUMP_EVERY_MS = 50;
const SLEEP_AFTER_MS = 5_000; // the audio device is let go some time after the sound

/** Dispatches "sound" (first audible moment), "change" (playing, buffering) and "ended". */
export class Player extends EventTarget {
  #context = null;
  #gain = null;
  #store = new Float32Array(RATE);
  #nodes = new Set();
  #anchor = null; // {time, sample}: sample is heard at time
  #cursor = 0; // next sample to schedule
  #held = 0; // position while nothing is scheduled
  #buffer = BUFFER_FIRST_S;
  #timer = null;
  #sleep = null;
  #heard = false;

  analyser = null;
  length = 0;
  complete = false;
  playing = false;
  buffering = false;
  underruns = 0;

  /** Samples received so far. */
  get samples() {
    return this.#store.subarray(0, this.length);
  }

  /** Number of the sample that is heard now. */
  get position() {
    if (!this.#anchor) return this.#held;
    const latency = this.#context.outputLatency || 0;
    const passed = (this.#context.currentTime - latency - this.#anchor.time) * RATE;
    return Math.min(this.#cursor, Math.max(this.#held, Math.floor(this.#anchor.sample + passed)));
  }

  /** Starts the audio device ahead of a sound. Browsers want the user's press of a key for it. */
  wake() {
    this.#wake();
    this.#sleepLater();
  }

  /** Begins an empty sound, to be played as it comes. */
  open() {
    this.#wake();
    this.#silence();
    this.length = 0;
    this.complete = false;
    this.#held = 0;
    this.#cursor = 0;
    this.#buffer = BUFFER_FIRST_S;
    this.#heard = false;
    this.underruns = 0;
    this.#run();
  }

  /** Takes samples that follow on those before. */
  append(samples) {
    if (this.length + samples.length > this.#store.length) {
      const larger = new Float32Array(Math.max(this.#store.length * 2, this.length + samples.length));
      larger.set(this.samples);
      this.#store = larger;
    }
    this.#store.set(samples, this.length);
    this.length += samples.length;
    if (this.playing) this.#pump();
  }

  /** Says that all samples have come. */
  finish() {
    this.complete = true;
    if (this.playing) this.#pump();
  }

  /** Puts a whole sound in the place of the samples received; the position stays. */
  replace(samples) {
    const position = Math.min(this.position, samples.length);
    this.#silence();
    this.#store = Float32Array.from(samples);
    this.length = samples.length;
    this.#held = position;
    this.#cursor = position;
    this.finish();
  }

  /** Decodes an audio file into samples. */
  async decode(bytes) {
    this.#wake();
    const decoded = await this.#context.decodeAudioData(bytes);
    return decoded.getChannelData(0);
  }

  play() {
    this.#wake();
    if (this.complete && this.position >= this.length) this.seek(0);
    this.#run();
  }

  pause() {
    this.#held = this.position;
    this.#halt();
  }

  /** Stops, and goes back to the start. */
  stop() {
    this.#held = 0;
    this.#halt();
  }

  /** Goes on at another sample. */
  seek(sample) {
    this.#silence();
    this.#held = Math.round(Math.min(this.length, Math.max(0, sample)));
    this.#cursor = this.#held;
    if (this.playing) this.#pump();
    this.#changed();
  }

  #wake() {
    clearTimeout(this.#sleep);
    if (!this.#context) {
      this.#context = new AudioContext({ sampleRate: RATE, latencyHint: "interactive" });
      this.#context.addEventListener("statechange", () => this.playing && this.#pump());
      this.#gain = this.#context.createGain();
      this.analyser = this.#context.createAnalyser();
      this.#gain.connect(this.analyser);
      this.analyser.connect(this.#context.destination);
    }
    if (this.#context.state !== "running") this.#context.resume().catch(() => {});
  }

  #sleepLater() {
    clearTimeout(this.#sleep);
    this.#sleep = setTimeout(() => !this.playing && this.#context.suspend().catch(() => {}), SLEEP_AFTER_MS);
  }

  #run() {
    this.playing = true;
    clearInterval(this.#timer);
    this.#timer = setInterval(() => this.#pump(), PUMP_EVERY_MS);
    this.#pump();
    this.#changed();
  }

  #halt() {
    this.playing = false;
    this.buffering = false;
    clearInterval(this.#timer);
    this.#silence();
    this.#cursor = this.#held;
    if (this.#context) this.#sleepLater();
    this.#changed();
  }

  /** Drops what is scheduled. The caller sets the position. */
  #silence() {
    for (const node of this.#nodes) {
      node.onended = null;
      node.stop();
      node.disconnect();
    }
    this.#nodes.clear();
    this.#anchor = null;
  }

  /** Schedules what has come; finds out whether the sound ran dry or ended. */
  #pump() {
    const now = this.#context.currentTime;
    if (this.#anchor) {
      const left = this.#endTime() - now;
      if (this.complete && this.#cursor >= this.length) return left <= 0 ? this.#ended() : undefined;
      if (left <= MARGIN * this.#lead) this.#ranDry();
    }
    if (!this.#anchor && !this.#begin(now)) return;
    while (this.#cursor < this.length && this.#endTime() < now + AHEAD_S) {
      if (!this.#schedule()) return this.#ranDry(); // the next call begins anew
    }
  }

  /** Sets the moment of the next sample, once enough samples are there. */
  #begin(now) {
    const there = this.length - this.#cursor;
    if (there === 0 && this.complete) {
      this.#ended();
      return false;
    }
    const enough = there >= this.#buffer * RATE || (this.complete && there > 0);
    this.#setBuffering(!enough);
    // The clock of a context that is just starting jumps.
    const started = this.#context.state === "running" && now > 0;
    if (!enough || !started) return false;
    // A whole number of samples: blocks that follow one another meet exactly.
    this.#anchor = { time: Math.ceil((now + this.#lead) * RATE) / RATE, sample: this.#cursor };
    this.#held = this.#cursor;
    if (!this.#heard) {
      this.#heard = true;
      const latency = this.#lead + (this.#context.outputLatency || 0);
      const at = performance.now() + latency * 1000;
      this.dispatchEvent(new CustomEvent("sound", { detail: at }));
    }
    return true;
  }

  /** After an underrun more is buffered before the sound goes on. What is scheduled is heard to its end. */
  #ranDry() {
    this.underruns += 1;
    this.#held = this.#cursor;
    this.#anchor = null;
    this.#buffer = Math.min(BUFFER_LAST_S, this.#buffer * 2);
  }

  get #lead() {
    return Math.max(LEAD_S, LEAD_BUFFERS * this.#context.baseLatency);
  }

  #endTime() {
    return this.#anchor.time + (this.#cursor - this.#anchor.sample) / RATE;
  }

  /** Schedules one block; false, and nothing is scheduled, if this came too late. */
  #schedule() {
    const count = Math.min(BLOCK_SAMPLES, this.length - this.#cursor);
    const buffer = this.#context.createBuffer(1, count, RATE);
    buffer.copyToChannel(this.#store.subarray(this.#cursor, this.#cursor + count), 0);
    const node = this.#context.createBufferSource();
    node.buffer = buffer;
    node.connect(this.#gain);
    const start = this.#endTime();
    node.start(start);
    if (this.#context.currentTime + QUANTUM_S > start) {
      node.stop();
      node.disconnect();
      return false;
    }
    node.onended = () => {
      this.#nodes.delete(node);
      node.disconnect();
      if (this.playing) this.#pump();
    };
    this.#nodes.add(node);
    this.#cursor += count;
    return true;
  }

  #setBuffering(buffering) {
    if (this.buffering === buffering) return;
    this.buffering = buffering;
    this.#changed();
  }

  #ended() {
    this.#held = this.length;
    this.#halt();
    this.dispatchEvent(new Event("ended"));
  }

  #changed() {
    this.dispatchEvent(new Event("change"));
  }
}

/** Reads base64 of signed 16-bit little-endian samples. */
export function decodePcm(base64) {
  const text = atob(base64);
  const samples = new Float32Array(text.length >> 1);
  for (let i = 0; i < samples.length; i += 1) {
    const word = text.charCodeAt(2 * i) | (text.charCodeAt(2 * i + 1) << 8);
    samples[i] = ((word << 16) >> 16) / 32768;
  }
  return samples;
}
