// The fleet: lanes, workers and slots, read every two seconds while the page is visible.

import { Problem, read } from "./api.js";
import { byId, el, plural, times, wait } from "./dom.js";

const EVERY_MS = 2_000;
const FRAMES_PER_S = 12.5; // of audio
const WORKERS_SHOWN_MAX = 40;
const SLOTS_SHOWN_MAX = 48;

/** Polls `/v1/fleet`; `onChange` hears each answer and each loss of the connection. */
export class Fleet {
  #onChange;
  #timer = null;

  linked = true;
  known = null; // the last answer

  constructor(onChange) {
    this.#onChange = onChange;
    document.addEventListener("visibilitychange", () => this.#next(0));
    addEventListener("online", () => this.#next(0));
    this.#next(0);
  }

  /** True if it is known that no worker is running. */
  get isEmpty() {
    return this.known?.workers.length === 0;
  }

  #next(delayMs) {
    clearTimeout(this.#timer);
    if (document.visibilityState === "visible") this.#timer = setTimeout(() => this.#poll(), delayMs);
  }

  async #poll() {
    try {
      const answer = await read("v1/fleet");
      this.known = answer;
      this.linked = true;
      show(answer);
    } catch (error) {
      // A gateway that answers, if only with a refusal, is there.
      this.linked = error instanceof Problem && error.status < 500;
      if (this.linked) show(null);
    }
    byId("fleet").classList.toggle("stale", !this.linked);
    this.#onChange(this);
    this.#next(EVERY_MS);
  }
}

function show(fleet) {
  byId("fleet-none").hidden = fleet !== null;
  byId("lanes").hidden = fleet === null;
  if (!fleet) {
    byId("workers").replaceChildren();
    return;
  }
  byId("lanes").tBodies[0].replaceChildren(...fleet.lanes.map(laneRow));
  const shown = fleet.workers.slice(0, WORKERS_SHOWN_MAX).map(workerItem);
  const more = fleet.workers.length - shown.length;
  if (more > 0) shown.push(el("li", { class: "muted" }, `and ${plural(more, "worker")} more`));
  if (!fleet.workers.length) shown.push(el("li", { class: "none" }, "No worker is running."));
  const list = byId("workers");
  list.replaceChildren(...shown);
  // A list that scrolls must be reached by the keyboard.
  if (list.scrollHeight > list.clientHeight) list.tabIndex = 0;
  else list.removeAttribute("tabindex");
}

function laneRow(lane) {
  const known = (seconds) => (typeof seconds === "number" ? wait(seconds) : "–");
  return el(
    "tr",
    {},
    el("th", { scope: "row" }, lane.lane, lane.paused ? el("span", { class: "tag" }, "paused") : null),
    el("td", {}, String(lane.waiting)),
    el("td", {}, String(lane.running)),
    el("td", {}, known(lane.oldest_s)),
    el("td", {}, known(lane.wait_s)),
  );
}

function workerItem(worker) {
  const speed = worker.frames_per_second ? `${times(worker.frames_per_second / FRAMES_PER_S)} real time` : "speed unknown";
  return el(
    "li",
    {},
    el(
      "div",
      { class: "worker-line" },
      el("span", { class: "host", title: worker.id }, worker.host),
      worker.draining ? el("span", { class: "tag" }, "draining") : null,
      el("span", { class: "muted" }, worker.model),
    ),
    slots(worker),
    el("div", { class: "worker-line muted" }, el("span", {}, `${worker.running} of ${plural(worker.slots, "slot")} busy`), el("span", {}, speed)),
  );
}

function slots(worker) {
  const shown = Math.min(worker.slots, SLOTS_SHOWN_MAX);
  const busy = Math.round((worker.running / Math.max(1, worker.slots)) * shown);
  const boxes = Array.from({ length: shown }, (_, index) => el("i", { class: index < busy ? "busy" : null }));
  return el("div", { class: "slots", "aria-hidden": "true" }, ...boxes);
}
