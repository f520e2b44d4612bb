// Sentences of a text with their places in the sound, and the mark on the one being spoken.

import { el } from "./dom.js";
import { RATE } from "./player.js";

const CHARS_PER_S = 15;
const PAUSE_S = 0.25;

/** Cuts a text into sentences, blanks included. */
function split(text) {
  if (globalThis.Intl?.Segmenter) {
    const segmenter = new Intl.Segmenter("en", { granularity: "sentence" });
    return Array.from(segmenter.segment(text), (part) => part.segment);
  }
  return text.match(/[^.!?]+[.!?]*["')\]]*\s*/g) ?? [text];
}

/** Lengthens with the words; a text of blanks takes no time. */
const weight = (text) => (text.trim() ? PAUSE_S + text.trim().length / CHARS_PER_S : 0);

/** Seconds that a text may take, for a first scale. */
export const estimatedSeconds = (text) => Math.max(1, split(text).reduce((sum, part) => sum + weight(part), 0));

/** Places sentences by their length, within `[start, start + duration]` seconds. */
function spread(text, start, duration) {
  const parts = split(text);
  const total = parts.reduce((sum, part) => sum + weight(part), 0) || 1;
  let at = start;
  return parts.map((part) => {
    const from = at;
    at += (duration * weight(part)) / total;
    return { text: part, start: from * RATE, end: at * RATE };
  });
}

/** The sentences of a text, with estimated places. */
export const estimated = (text) => spread(text, 0, estimatedSeconds(text));

/** The sentences of a receipt at their exact places; those within one are spread over it. */
export function exact(sentences) {
  return sentences.flatMap((sentence, index) => {
    const parts = spread(sentence.text, sentence.start_ms / 1000, sentence.duration_ms / 1000);
    const next = sentences[index + 1];
    if (next) parts.at(-1).text = `${parts.at(-1).text.trimEnd()} `;
    if (sentence.frames === 0) parts.forEach((part) => (part.unspoken = true));
    return parts;
  });
}

/** The text on the page, with a mark on the sentence at the play position. */
export class Script {
  #box;
  #parts = [];
  #spans = [];
  #active = -1;

  constructor(box) {
    this.#box = box;
  }

  show(parts) {
    this.#parts = parts;
    this.#active = -1;
    this.#spans = parts.map((part) =>
      el("span", { class: part.unspoken ? "sentence unspoken" : "sentence" }, part.text),
    );
    this.#box.replaceChildren(...this.#spans);
    this.#box.scrollTop = 0;
  }

  /** Marks the sentence at a sample; -1 marks none. */
  mark(sample) {
    let active = -1;
    if (sample >= 0) {
      active = this.#parts.findLastIndex((part) => part.start <= sample && part.end > part.start && !part.unspoken);
    }
    if (active === this.#active) return;
    this.#spans[this.#active]?.removeAttribute("aria-current");
    this.#active = active;
    const span = this.#spans[active];
    if (!span) return;
    span.setAttribute("aria-current", "true");
    this.#reveal(span);
  }

  /** Scrolls the box, never the page. */
  #reveal(span) {
    const box = this.#box.getBoundingClientRect();
    const at = span.getBoundingClientRect();
    if (at.top < box.top) this.#box.scrollTop -= box.top - at.top;
    if (at.bottom > box.bottom) this.#box.scrollTop += at.bottom - box.bottom;
  }
}
