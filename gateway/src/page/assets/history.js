// Recent jobs, kept in this browser.

import { audioPath, jobPath, Problem, read } from "./api.js";
import { byId, duration, el } from "./dom.js";

const KEY = "csm.recent";
const DRAFT_KEY = "csm.draft";
const JOBS_MAX = 20;

/** Reads a stored value; storage may be shut off or hold anything. */
function load(key, otherwise) {
  try {
    return JSON.parse(localStorage.getItem(key)) ?? otherwise;
  } catch {
    return otherwise;
  }
}

function save(key, value) {
  try {
    localStorage.setItem(key, JSON.stringify(value));
  } catch {
    // The page works without storage; only the list is lost with it.
  }
}

export const loadDraft = () => load(DRAFT_KEY, null);
export const saveDraft = (draft) => save(DRAFT_KEY, draft);

/** The list; `actions` are play(entry) and reuse(entry). */
export class History {
  #entries;
  #actions;
  #current = null;

  constructor(actions) {
    this.#actions = actions;
    const stored = load(KEY, []);
    this.#entries = Array.isArray(stored) ? stored.filter((entry) => entry?.id && entry.request?.text) : [];
    // Other tabs write the list, too.
    addEventListener("storage", (event) => {
      if (event.key !== KEY) return;
      this.#entries = load(KEY, []);
      this.#show();
    });
    this.#show();
    this.#entries.filter(isOpen).forEach((entry) => this.#refresh(entry));
  }

  /** Reads how a job went on while no page followed it. */
  async #refresh(entry) {
    const record = await read(jobPath(entry.id)).catch((error) => (error instanceof Problem ? { status: "gone" } : null));
    if (!record || entry.id === this.#current) return;
    const states = { queued: "waiting", running: "speaking", succeeded: "done", cancelled: "cancelled", gone: "gone" };
    entry.state = states[record.status] ?? "error";
    entry.seconds = record.receipt ? record.receipt.duration_ms / 1000 : null;
    this.#store();
  }

  /** Takes over what is known of a session; before its job is accepted there is nothing to keep. */
  note(session) {
    if (!session.id) return;
    this.#current = session.id;
    const seconds = session.receipt ? session.receipt.duration_ms / 1000 : null;
    const known = this.#entries.find((entry) => entry.id === session.id);
    if (known?.state === session.state && known.seconds === seconds) return;
    const request = { ...session.request, seed: session.seed };
    const entry = { id: session.id, request, state: session.state, seconds, at: known?.at ?? Date.now() };
    if (known) this.#entries = this.#entries.map((other) => (other === known ? entry : other));
    else this.#entries = [entry, ...this.#entries].slice(0, JOBS_MAX);
    this.#store();
  }

  #remove(entry, item) {
    const next = item.nextElementSibling ?? item.previousElementSibling;
    const place = [...item.parentElement.children].indexOf(next) - (next === item.nextElementSibling ? 1 : 0);
    this.#entries = this.#entries.filter((other) => other.id !== entry.id);
    this.#store();
    const neighbour = byId("recent-list").children[place]?.querySelector(".remove");
    (neighbour ?? byId("recent-title")).focus();
  }

  #store() {
    save(KEY, this.#entries);
    this.#show();
  }

  #show() {
    byId("recent-none").hidden = this.#entries.length > 0;
    const focused = document.activeElement?.dataset?.focus;
    byId("recent-list").replaceChildren(...this.#entries.map((entry) => this.#item(entry)));
    // The list is made anew: the focus stays where it was.
    if (focused) byId("recent-list").querySelector(`[data-focus="${CSS.escape(focused)}"]`)?.focus();
  }

  #item(entry) {
    const { text, seed } = entry.request;
    const label = text.length > 40 ? `${text.slice(0, 40)}…` : text;
    const button = (name, verb, act, extra = {}) =>
      el("button", { type: "button", class: "quiet", "data-focus": `${verb} ${entry.id}`, "aria-label": `${name}: ${label}`, onclick: act, ...extra }, name);
    const item = el("li", { "aria-current": entry.id === this.#current ? "true" : null });
    const actions = el("div", { class: "actions" });
    const open = isOpen(entry);
    if (open || entry.state === "done") {
      actions.append(button(open ? "Follow" : "Play", "play", () => this.#actions.play(entry), { title: open ? "Listens to the job, which may still be open" : null }));
    }
    if (entry.state === "done") {
      actions.append(el("a", { class: "quiet", href: audioPath(entry.id), download: `speech-${seed}.wav`, "aria-label": `WAV: ${label}` }, "WAV"));
    }
    actions.append(
      button("Reuse", "reuse", () => this.#actions.reuse(entry), { title: "Puts the text, voice and seed into the form" }),
      button("Remove", "remove", () => this.#remove(entry, item), { class: "quiet remove", title: "Removes the job from this list; the service keeps it" }),
    );
    item.append(el("p", { class: "recent-text", title: text }, text), el("p", { class: "muted" }, facts(entry)), actions);
    return item;
  }
}

const isOpen = (entry) => entry.state === "waiting" || entry.state === "speaking";

/** Time, length and state of a job in one line. */
function facts(entry) {
  const today = new Date().toDateString() === new Date(entry.at).toDateString();
  const options = today ? { hour: "2-digit", minute: "2-digit" } : { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" };
  const states = { waiting: "open", speaking: "open", done: "", cancelled: "cancelled", error: "failed", gone: "no longer known" };
  const parts = [new Date(entry.at).toLocaleString("en-GB", options)];
  if (entry.seconds !== null) parts.push(duration(entry.seconds));
  parts.push(`seed ${entry.request.seed}`);
  if (states[entry.state]) parts.push(states[entry.state]);
  return parts.join(" · ");
}
