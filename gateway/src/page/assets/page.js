// The page: wires form, session, player, waveform, fleet and list, and says what is going on.

import { Problem } from "./api.js";
import { byId, clock, isDisabled, plural, setDisabled, setText, times, wait } from "./dom.js";
import { Fleet } from "./fleet.js";
import { Form } from "./form.js";
import { History } from "./history.js";
import { Player, RATE } from "./player.js";
import { showDownloads, showFacts } from "./result.js";
import { estimated, estimatedSeconds, exact, Script } from "./sentences.js";
import { Session } from "./session.js";
import { timeText, Wave } from "./wave.js";

const KINDS = {
  toy: "A toy voice of a few million weights, not CSM-1B.",
  noise: "Random weights: this hisses.",
};

const player = new Player();
const form = new Form();
const wave = new Wave(byId("wave"), player);
const script = new Script(byId("script"));
const history = new History({ play, reuse: (entry) => form.fill(entry.request) });
const fleet = new Fleet(render);
let session = null;
let shown = null; // the session whose end is on the page
let retryTimer = null;

/** Begins a session in the place of the one before. */
function begin(request, keepOpen) {
  session?.abandon(keepOpen);
  clearInterval(retryTimer);
  byId("notice").hidden = true;
  form.clearErrors();
  session = new Session(player, request, update);
  shown = null;
  script.show(estimated(request.text));
  byId("script").hidden = !request.text.trim();
  showDownloads(null);
  return session;
}

function speak() {
  const request = form.request();
  const begun = begin(request, false);
  begun.speak();
  wave.clear(estimatedSeconds(request.text));
  update(begun);
}

/** Plays a job of the list again; one that is open is followed. */
function play(entry) {
  if (session?.id === entry.id && session.isOpen) return player.play();
  const begun = begin(entry.request, true);
  begun.replay(entry.id);
  wave.clear(estimatedSeconds(entry.request.text));
  update(begun);
}

/** Cancels an open job; stops the sound of one that is done. */
function cancel() {
  if (session?.isOpen) session.cancel();
  else if (player.playing) player.stop();
}

/** Hears every change of the session. */
function update(changed) {
  if (changed !== session) return;
  history.note(session);
  if (!session.isOpen && shown !== session) {
    shown = session;
    showEnd();
  }
  showFacts(session, () => form.setSeed(session.seed));
  showDownloads(session);
  render();
}

function showEnd() {
  if (session.state === "done") {
    const { sentences } = session.receipt;
    if (sentences?.length) script.show(exact(sentences));
    script.mark(-1);
    if (session.note) showNotice(session.note, "");
  }
  if (session.state === "error") {
    byId("script").hidden = player.length === 0;
    showError(session.error);
  }
}

function showError(error) {
  if (error instanceof Problem && form.showError(error)) return;
  const id = error instanceof Problem && error.requestId ? `Request ${error.requestId}` : "";
  showNotice(error.message, id);
  if (error instanceof Problem && error.retryAfter) countDown(error.retryAfter);
}

function showNotice(text, more) {
  setText(byId("notice-text"), text);
  setText(byId("notice-more"), more);
  byId("notice").hidden = false;
}

/** Shows when to try again. The seconds are not read out one by one. */
function countDown(seconds) {
  const until = performance.now() + seconds * 1000;
  const more = byId("notice-more");
  more.setAttribute("aria-live", "off");
  const tick = () => {
    const left = Math.ceil((until - performance.now()) / 1000);
    setText(more, left > 0 ? `Try again in ${left} s.` : "Try again now.");
    if (left <= 0) clearInterval(retryTimer);
  };
  clearInterval(retryTimer);
  retryTimer = setInterval(tick, 1000);
  tick();
}

const FULL = {
  queue_busy: "The queue is too long.",
  tenant_rate: "Too many jobs a minute.",
  intake_closed: "The queue is closed.",
};
const isFull = (error) => error instanceof Problem && (error.status === 429 || error.code === "intake_closed");

/** The name of what is going on, for the style and for tests. */
function stateName() {
  if (!session) return "idle";
  if (session.state === "error" && isFull(session.error)) return "full";
  return session.state;
}

function statusText(state) {
  if (session?.isOpen && !session.linked) return "Connection lost. Trying again.";
  if (session?.cancelling) return "Cancelling.";
  switch (state) {
    case "waiting":
      return waitingText();
    case "speaking":
      return session.stored ? "Speaking. A text this long plays when its file is done." : "Speaking.";
    case "done":
      if (session.receipt.samples === 0) return "Done. There is no sound in it.";
      return player.playing ? "Done. Playing." : "Done.";
    case "cancelled":
      return "Cancelled.";
    case "full":
      return FULL[session.error.code] ?? "The queue is full.";
    case "error":
      return byId("notice").hidden ? "Not accepted. See the marked field." : "Not spoken.";
    default:
      return "Ready.";
  }
}

function waitingText() {
  if (!session.id) return "Sending.";
  if (fleet.isEmpty) return "No worker is running. The job waits and is kept.";
  if (session.requeued) return "The worker was lost. The job waits for another one and is kept.";
  if (session.queue?.paused) return "An operator holds this lane back. The job waits and is kept.";
  const ahead = session.queue?.ahead;
  if (!ahead) return "Waiting. Next in the queue.";
  const about = session.queue.wait_s ? `, about ${wait(session.queue.wait_s)}` : "";
  return `Waiting. ${plural(ahead, "job")} ahead${about}.`;
}

/** Numbers that change all the time; they are not read out. */
function detailText(state) {
  if (state !== "speaking") return "";
  if (session.quiet !== null) return `Nothing new for ${wait(session.quiet)}`;
  if (player.buffering && session.firstSound !== null) return "Waiting for more sound";
  if (!player.length) return session.frames ? `${clock(session.frames / 12.5)} made` : "";
  const { speed } = session;
  return `${clock(player.length / RATE)} made${speed ? `, ${times(speed)} real time` : ""}`;
}

function render() {
  const state = stateName();
  const noWorker = state === "waiting" && session.id !== null && fleet.isEmpty;
  document.body.dataset.state = noWorker ? "no-worker" : state;
  document.body.dataset.playing = String(player.playing);
  setText(byId("status"), statusText(state));
  setText(byId("detail"), detailText(state));
  const open = session?.isOpen ?? false;
  setText(byId("cancel"), open || !player.playing ? "Cancel" : "Stop");
  setDisabled(byId("cancel"), !(open || player.playing) || (session?.cancelling ?? false));
  setDisabled(byId("play"), player.length === 0 || (session?.cancelling ?? false));
  byId("play").setAttribute("aria-label", player.playing ? "Pause" : "Play");
  renderBanners();
}

function banner(id, text) {
  setText(byId(id), text);
  byId(id).hidden = !text;
}

function renderBanners() {
  const { known, linked } = fleet;
  const model = session?.receipt?.noise_only ? { kind: "noise" } : known?.model;
  banner("kind-banner", KINDS[model?.kind] ?? "");
  byId("kind-banner").dataset.kind = model?.kind ?? "";
  setText(byId("model"), known?.model?.name ?? "");
  const closed = known?.closed ? "The queue is closed to new jobs. Accepted jobs go on." : "";
  banner("fleet-banner", fleet.isEmpty ? "No worker is running. Jobs are accepted, wait and are kept." : closed);
  banner("link-banner", linked ? "" : "Connection lost. Trying again.");
}

/** Moves the play position, while something moves. */
function frame() {
  if (player.playing || session?.isOpen) {
    wave.draw();
    setText(byId("time"), timeText(player));
    setText(byId("detail"), detailText(stateName()));
    script.mark(player.playing && !player.buffering ? player.position : -1);
  }
  requestAnimationFrame(frame);
}

function redraw() {
  wave.draw(true);
  setText(byId("time"), timeText(player));
  if (!player.playing) script.mark(-1);
  render();
}

function press(button, act) {
  byId(button).addEventListener("click", (event) => {
    if (!isDisabled(byId(button)) && event.detail <= 1) act();
  });
}

function listen() {
  byId("composer").addEventListener("submit", (event) => {
    event.preventDefault();
    speak();
  });
  byId("speak").addEventListener("click", (event) => event.detail > 1 && event.preventDefault());
  // The audio device starts while the key or button is still going down.
  byId("speak").addEventListener("pointerdown", () => player.wake());
  press("cancel", cancel);
  press("play", () => (player.playing ? player.pause() : player.play()));
  addEventListener("keydown", (event) => {
    if (event.repeat || event.isComposing) return;
    if (event.key === "Control" || event.key === "Meta") player.wake();
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      speak();
    }
    if (event.key === "Escape" && !isDisabled(byId("cancel"))) cancel();
  });
  player.addEventListener("change", redraw);
  player.addEventListener("ended", redraw);
}

listen();
render();
requestAnimationFrame(frame);

// For tests and the console.
globalThis.csm = {
  player,
  get analyser() {
    return player.analyser;
  },
  get session() {
    return session;
  },
};
