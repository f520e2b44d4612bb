// The waveform: grows with the sound, shows the play position, and moves it.

import { clock } from "./dom.js";
import { RATE } from "./player.js";

const PEAK_SAMPLES = 240; // 10 ms
const BAR_PX = 3;
const GAP_PX = 2;
const STEP_S = 2;
const CALM_EVERY_MS = 250; // with reduced motion

/** A slider over the sound of a player. */
export class Wave {
  #box;
  #canvas;
  #player;
  #peaks = [];
  #estimate = 1;
  #colours = null;
  #drawnAt = 0;
  #calm = matchMedia("(prefers-reduced-motion: reduce)");

  constructor(box, player) {
    this.#box = box;
    this.#canvas = box.querySelector("canvas");
    this.#player = player;
    for (const query of ["(prefers-color-scheme: dark)", "(forced-colors: active)"]) {
      matchMedia(query).addEventListener("change", () => (this.#colours = null));
    }
    new ResizeObserver(() => this.draw(true)).observe(box);
    box.addEventListener("pointerdown", (event) => this.#drag(event));
    box.addEventListener("pointermove", (event) => event.buttons === 1 && this.#drag(event));
    box.addEventListener("keydown", (event) => this.#key(event));
  }

  /** Begins a new sound that may take `seconds`. */
  clear(seconds) {
    this.#peaks = [];
    this.#estimate = seconds;
    this.draw(true);
  }

  /** Samples over the whole width: an estimate until all have come. */
  get #span() {
    const { length, complete } = this.#player;
    if (complete && length) return length;
    return Math.max(this.#estimate * RATE, length * 1.05);
  }

  draw(now = false) {
    const time = performance.now();
    if (!now && this.#calm.matches && time - this.#drawnAt < CALM_EVERY_MS) return;
    this.#drawnAt = time;
    const { width, height, context } = this.#prepare();
    const span = this.#span;
    this.#measure();
    const played = (this.#player.position / span) * width;
    const step = BAR_PX + GAP_PX;
    const perBar = ((span / PEAK_SAMPLES) * step) / width;
    const bars = Math.min(Math.floor(width / step), Math.ceil(this.#peaks.length / perBar));
    for (let bar = 0; bar < bars; bar += 1) {
      const high = Math.max(2, this.#peakOf(bar * perBar, (bar + 1) * perBar) * height * 0.94);
      const x = bar * step;
      context.fillStyle = x + BAR_PX / 2 <= played ? this.#colours.played : this.#colours.ahead;
      context.beginPath();
      context.roundRect(x, (height - high) / 2, BAR_PX, high, 1.5);
      context.fill();
    }
    context.fillStyle = this.#colours.line;
    for (let x = bars * step; x < width; x += step) context.fillRect(x, height / 2 - 1, BAR_PX, 2);
    if (this.#player.length) {
      context.fillStyle = this.#colours.head;
      context.fillRect(Math.min(width - 2, played), 0, 2, height);
    }
    this.#describe();
  }

  /** Fits the canvas to its box, whose size follows zoom and window. */
  #prepare() {
    const ratio = devicePixelRatio || 1;
    const { clientWidth: width, clientHeight: height } = this.#box;
    const wide = Math.round(width * ratio);
    const high = Math.round(height * ratio);
    if (this.#canvas.width !== wide || this.#canvas.height !== high) {
      this.#canvas.width = wide;
      this.#canvas.height = high;
    }
    if (!this.#colours) {
      const style = getComputedStyle(this.#box);
      const colour = (name) => style.getPropertyValue(name).trim();
      this.#colours = {
        played: colour("--accent"),
        ahead: colour("--wave"),
        line: colour("--line"),
        head: colour("--ink"),
      };
    }
    const context = this.#canvas.getContext("2d");
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, width, height);
    return { width, height, context };
  }

  /** Reads the peaks of new samples; each block once, the last one when it is full or final. */
  #measure() {
    const { samples, length, complete } = this.#player;
    if (this.#peaks.length * PEAK_SAMPLES > length + PEAK_SAMPLES) this.#peaks = [];
    const blocks = complete ? Math.ceil(length / PEAK_SAMPLES) : Math.floor(length / PEAK_SAMPLES);
    for (let block = this.#peaks.length; block < blocks; block += 1) {
      let peak = 0;
      const end = Math.min(length, (block + 1) * PEAK_SAMPLES);
      for (let i = block * PEAK_SAMPLES; i < end; i += 1) peak = Math.max(peak, Math.abs(samples[i]));
      this.#peaks.push(peak);
    }
  }

  /** The mean of the peaks reads better than their maximum; the power lifts quiet speech. */
  #peakOf(from, to) {
    const first = Math.floor(from);
    const last = Math.max(first + 1, Math.min(this.#peaks.length, Math.floor(to)));
    let sum = 0;
    for (let i = first; i < last; i += 1) sum += this.#peaks[i] ?? 0;
    return Math.min(1, 1.3 * (sum / (last - first)) ** 0.7);
  }

  #describe() {
    const { position, length } = this.#player;
    const set = (name, value) => {
      if (this.#box.getAttribute(name) !== value) this.#box.setAttribute(name, value);
    };
    set("aria-valuemax", String(Math.round(length / RATE)));
    set("aria-valuenow", String(Math.round(position / RATE)));
    set("aria-valuetext", `${Math.round(position / RATE)} of ${Math.round(length / RATE)} seconds`);
  }

  #drag(event) {
    if (!this.#player.length || event.button > 0) return;
    if (event.type === "pointerdown") this.#box.setPointerCapture(event.pointerId);
    const { left, width } = this.#canvas.getBoundingClientRect();
    this.#player.seek(((event.clientX - left) / width) * this.#span);
    this.draw(true);
  }

  #key(event) {
    const { position, length } = this.#player;
    const steps = { ArrowLeft: -STEP_S, ArrowDown: -STEP_S, ArrowRight: STEP_S, ArrowUp: STEP_S, PageUp: 10, PageDown: -10 };
    const target = { Home: 0, End: length }[event.key] ?? position + steps[event.key] * RATE;
    if (!length || Number.isNaN(target)) return;
    event.preventDefault();
    this.#player.seek(target);
    this.draw(true);
  }
}

export const timeText = (player) => `${clock(player.position / RATE)} / ${clock(player.length / RATE)}`;
