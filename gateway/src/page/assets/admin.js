// The operators' page: reads the fleet every two seconds while it is visible, and operates with the token.

import { call, Problem, Unreachable } from "./api.js";
import { show } from "./admin_view.js";
import { byId, isDisabled, plural, setDisabled, setText, wait } from "./dom.js";

const EVERY_MS = 2_000;
const ANSWER_LIMIT_MS = 10_000;
const FAILURES_BEFORE_STALE = 1;
const CALLS_PER_ORDER_MAX = 200;

let token = ""; // kept in this page alone, until it is left
let answer = null; // the last numbers
let answeredAt = 0;
let failures = 0;
let trouble = null; // why the last read failed
let timer = null;
let reading = null; // the read in progress

/** Sends a request with the token, if there is one. */
async function send(method, path, body) {
  const headers = token ? { authorization: `Bearer ${token}` } : {};
  if (body) headers["content-type"] = "application/json";
  const signal = AbortSignal.timeout(ANSWER_LIMIT_MS);
  const response = await call(method, `v1/admin/${path}`, { headers, signal, body: body && JSON.stringify(body) });
  return response.json().catch(() => {
    throw new Unreachable();
  });
}

/** Reads all numbers. Those of one moment are shown together or not at all. */
async function readAll() {
  const [fleet, ends] = await Promise.all([send("GET", "fleet"), send("GET", "ends")]);
  const letters = fleet.dead_letters > 0 ? await send("GET", "dead-letters") : null;
  return { fleet, ends: ends.ends, letters };
}

async function poll() {
  const sent = token;
  try {
    const read = await readAll();
    if (sent !== token) return; // of another reader: the next one comes at once
    [answer, answeredAt, failures, trouble] = [read, performance.now(), 0, null];
    show(answer);
  } catch (error) {
    if (sent !== token) return;
    if (token && error instanceof Problem && error.code === "admin_token") {
      token = "";
      tell(error.message, true);
      return poll();
    }
    failures += 1;
    trouble = error;
  }
  showAge();
}

/** Reads once more, now or later, while the page is visible. */
function next(delayMs) {
  clearTimeout(timer);
  if (document.visibilityState !== "visible") return;
  timer = setTimeout(async () => {
    reading ??= poll().finally(() => {
      reading = null;
    });
    await reading;
    next(EVERY_MS);
  }, delayMs);
}

/** Says how old the numbers are, if they are not fresh. */
function showAge() {
  const stale = failures >= FAILURES_BEFORE_STALE;
  document.body.dataset.state = stale ? "stale" : answer ? "live" : "loading";
  const banner = byId("stale-banner");
  banner.hidden = !stale;
  if (!stale) return;
  const away = trouble instanceof Problem ? "Redis or another part is out of reach." : "The gateway does not answer.";
  const age = answer ? ` The numbers are ${wait((performance.now() - answeredAt) / 1000)} old.` : "";
  const detail = trouble instanceof Problem && trouble.status < 500 ? trouble.message : away;
  setText(banner, `${detail}${age} Trying again.`);
}

/** Says what an operation did. */
function tell(text, bad = false) {
  byId("outcome").classList.toggle("bad", bad);
  setText(byId("outcome"), text);
}

/** Asks before something that cannot be undone or that is large; resolves to true for yes. */
function confirmed(text, more, yes) {
  const dialog = byId("ask");
  setText(byId("ask-text"), text);
  setText(byId("ask-more"), more);
  setText(byId("ask-yes"), yes);
  return new Promise((resolve) => {
    const answered = (agreed) => () => {
      dialog.onclose = null;
      dialog.close();
      resolve(agreed);
    };
    byId("ask-yes").onclick = answered(true);
    byId("ask-no").onclick = answered(false);
    dialog.onclose = answered(false); // Escape
    dialog.showModal();
    byId("ask-no").focus();
  });
}

/** Retries or purges the letters of an order that were counted before. Each call handles some of them. */
async function onLetters(action, order, until) {
  let done = 0;
  for (let calls = 0; calls < CALLS_PER_ORDER_MAX; calls += 1) {
    const outcome = await send("POST", `dead-letters/${action}`, until ? { ...order, until } : order);
    done += outcome.done;
    if (outcome.left === 0 || outcome.done === 0) break;
    tell(`${plural(done, "dead letter")} so far, ${outcome.left} left.`);
  }
  return done;
}

async function operateOnLetters(action, order) {
  const counted = await send("POST", `dead-letters/${action}`, { ...order, dry_run: true });
  if (!counted.matched) return "These dead letters are gone.";
  const count = plural(counted.matched, "dead letter");
  const what = order.id ? "" : ` of class ${order.class}${order.error ? `: ${order.error}` : ""}`;
  const [verb, more] =
    action === "purge"
      ? ["Purge", "The requests are deleted. Nobody can retry them then."]
      : ["Retry", "Each becomes a new job of the same request."];
  if (!(await confirmed(`${verb} ${count}${what}?`, more, `${verb} ${counted.matched}`))) return "Nothing was changed.";
  const done = await onLetters(action, order, order.id ? null : counted.until);
  const gone = counted.matched - done;
  const rest = gone > 0 ? ` ${gone} could not be: their records are gone.` : "";
  return `${plural(done, "dead letter")} ${action === "purge" ? "purged" : "retried"}.${rest}`;
}

async function operateOnLane(action, lane) {
  await send("POST", `lanes/${lane}/${action}`);
  return action === "pause" ? `Lane ${lane} is paused.` : `Lane ${lane} goes on.`;
}

/** Carries out what a button orders. */
async function act(button) {
  if (isDisabled(button)) return;
  const { act: action, lane, id, class: class_, error } = button.dataset;
  setDisabled(button, true);
  tell("");
  try {
    const order = id ? { id } : error === undefined ? { class: class_ } : { class: class_, error };
    tell(await (lane ? operateOnLane(action, lane) : operateOnLetters(action, order)));
  } catch (error_) {
    tell(error_.message, true);
  }
  setDisabled(button, false);
  next(0);
}

function useToken(text) {
  token = text;
  byId("token").value = "";
  reading = null;
  next(0);
}

byId("token-form").addEventListener("submit", (event) => {
  event.preventDefault();
  tell("");
  // A header takes visible ASCII alone.
  const text = byId("token").value.trim();
  if (/^[\x21-\x7e]+$/.test(text)) useToken(text);
  else tell("A token is of visible ASCII.", true);
});
byId("forget").addEventListener("click", () => {
  tell("The token is forgotten.");
  useToken("");
});
document.addEventListener("click", (event) => {
  const button = event.target.closest?.("button[data-act]");
  if (button) act(button);
});
document.addEventListener("visibilitychange", () => next(0));
addEventListener("online", () => next(0));
setInterval(() => document.visibilityState === "visible" && failures > 0 && showAge(), 1000);
next(0);

// For tests and the console.
globalThis.csmAdmin = {
  get answer() {
    return answer;
  },
};
