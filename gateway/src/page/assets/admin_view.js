// What the operators' page shows. Elements stay where they are, so that focus and scroll survive a refresh.

import { byId, duration, el, plural, setText, times, wait } from "./dom.js";

const FRAMES_PER_S = 12.5; // of audio
const WORKERS_SHOWN_MAX = 200;
const ACCESS = {
  operations_off:
    "The page only shows numbers: this gateway has no CSM_ADMIN_TOKEN. csm queue and csm dlq operate.",
  read_only: "Numbers only. With the token you see tenants and jobs, pause lanes, and retry or purge dead letters.",
  operator: "You operate this fleet. Each operation is logged. The token is forgotten when you leave the page.",
};
const UNCLAIMED = {
  no_worker: "no worker takes jobs of this lane",
  not_claiming: "no worker claims them",
};

/** Makes `old` like `fresh`, and keeps the elements that are there already. */
function morph(old, fresh) {
  for (const { name } of [...old.attributes]) {
    if (name !== "open" && !fresh.hasAttribute(name)) old.removeAttribute(name);
  }
  for (const { name, value } of [...fresh.attributes]) {
    if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  }
  morphChildren(old, [...fresh.childNodes]);
}

function morphChildren(old, wanted) {
  wanted.forEach((node, at) => {
    const there = old.childNodes[at];
    if (!there) old.append(node);
    else if (there.nodeName !== node.nodeName || there.dataset?.key !== node.dataset?.key) there.replaceWith(node);
    else if (node.nodeType !== Node.TEXT_NODE) morph(there, node);
    else if (there.data !== node.data) there.data = node.data;
  });
  while (old.childNodes.length > wanted.length) old.lastChild.remove();
}

const fill = (id, nodes) => morphChildren(byId(id), nodes);
const known = (seconds) => (typeof seconds === "number" ? wait(seconds) : "–");
const td = (...children) => el("td", {}, ...children);
const jobs = (count) => plural(count, "job");

function button(text, label, data) {
  const attributes = Object.entries(data).map(([name, value]) => [`data-${name}`, value]);
  return el(
    "button",
    {
      type: "button",
      class: "quiet",
      "aria-label": label,
      "aria-disabled": "false",
      ...Object.fromEntries(attributes),
    },
    text,
  );
}

/** Shows one answer of all routes. */
export function show({ fleet, ends, letters }) {
  showAccess(fleet.access);
  setText(byId("model"), fleet.model.name);
  fill("alarms", alarms(fleet));
  fill(
    "lanes",
    fleet.lanes.map((lane) => laneRow(lane, fleet.access)),
  );
  setText(byId("totals"), totals(fleet));
  showScaling(fleet);
  showWorkers(fleet);
  showLetters(fleet, letters);
  showEnds(ends, fleet.access);
}

/** Shows what the reader may do. */
function showAccess(access) {
  document.body.dataset.access = access;
  setText(byId("access-text"), ACCESS[access] ?? "");
  byId("token-form").hidden = access !== "read_only";
  byId("forget").hidden = access !== "operator";
}

/** What an operator must see first, the worst first. */
function alarms(fleet) {
  const bad = (text) => el("li", { class: "bad" }, text);
  const warn = (text) => el("li", {}, text);
  const shown = [];
  for (const lane of fleet.lanes) {
    if (lane.unclaimed)
      shown.push(bad(`Work waits in lane ${lane.lane}, and ${UNCLAIMED[lane.unclaimed] ?? "nobody claims it"}.`));
  }
  if (fleet.dead_letters) shown.push(bad(`${plural(fleet.dead_letters, "dead letter")}: jobs that were given up.`));
  if (fleet.closed) shown.push(warn("The intake is closed: new jobs are refused."));
  for (const lane of fleet.lanes) {
    if (lane.paused) shown.push(warn(`Lane ${lane.lane} is paused: its jobs wait.`));
  }
  if (fleet.suspects)
    shown.push(warn(`${plural(fleet.suspects, "suspect")}: a worker died with the job, so the job runs again alone.`));
  if (fleet.builds.length > 1) shown.push(warn(`Workers of ${fleet.builds.length} builds run together.`));
  return shown;
}

function laneRow(lane, access) {
  const [action, text] = lane.paused ? ["resume", "Resume"] : ["pause", "Pause"];
  const order =
    access === "operator" ? button(text, `${text} lane ${lane.lane}`, { act: action, lane: lane.lane }) : null;
  return el(
    "tr",
    {},
    el("th", { scope: "row" }, lane.lane, lane.paused ? el("span", { class: "tag" }, "paused") : null),
    el("td", { class: "operator" }, order),
    td(String(lane.waiting)),
    td(String(lane.running)),
    td(known(lane.oldest_s)),
    td(known(lane.waiting_audio_s)),
    td(lane.paused ? "–" : known(lane.wait_s)),
    td(String(lane.desired_slots)),
  );
}

function totals(fleet) {
  const ended = fleet.ended.map(({ state, jobs: count }) => `${count} ${state}`).join(", ");
  const { open, running, suspects, delayed } = fleet;
  const now = `${jobs(open)} open: ${running} running, ${plural(suspects, "suspect")}, ${delayed} to be retried later.`;
  return `${now} Ended so far: ${ended}.`;
}

function showScaling(fleet) {
  const { there, busy, desired } = fleet.slots;
  const short = desired > there ? ` ${plural(desired - there, "slot")} more than there are.` : "";
  setText(byId("scaling-total"), `${plural(desired, "slot")} wanted; ${there} there, ${busy} of them busy.${short}`);
  fill(
    "scaling",
    fleet.lanes.map((lane) => el("li", {}, el("b", {}, `${lane.lane}: ${lane.desired_slots}`), ` ${why(lane, fleet)}`)),
  );
}

/** Why a lane wants its slots, by the terms of the formula. */
function why(lane, { slots, closed }) {
  const run = lane.running ? `${lane.running} ${lane.running === 1 ? "runs" : "run"} a job` : "None runs a job";
  if (lane.paused) return "Held back by an operator: no more than what runs.";
  if (closed) return "The intake is closed: no more than what runs.";
  if (lane.waiting_audio_s === 0) return lane.running ? `${run}, and nothing waits.` : "Nothing runs or waits.";
  const rate = slots.measured
    ? `A slot makes ${duration(slots.audio_s_per_s)} of audio in a second`
    : "No worker has measured its rate, so a slot counts as 1 s of audio in a second";
  const more = lane.desired_slots - lane.running;
  const need = `${more} more for the target wait of ${wait(lane.target_wait_s)}`;
  return `${run}, and ${duration(lane.waiting_audio_s)} of audio wait. ${rate}: ${need}.`;
}

function showWorkers({ workers, builds, gateway_version: version }) {
  byId("workers-none").hidden = workers.length > 0;
  byId("workers-region").hidden = workers.length === 0;
  const told = builds.map(
    (build) => `${build.build}: ${plural(build.workers, "worker")}, ${plural(build.slots, "slot")}`,
  );
  setText(byId("builds"), `${told.length ? `Builds: ${told.join("; ")}. ` : ""}Gateway ${version}.`);
  const shown = workers.slice(0, WORKERS_SHOWN_MAX).map(workerRow);
  const more = workers.length - shown.length;
  if (more > 0) shown.push(el("tr", {}, el("td", { colspan: "5" }, `and ${plural(more, "worker")} more`)));
  fill("worker-rows", shown);
}

function workerRow(worker) {
  const state = worker.draining ? el("span", { class: "tag" }, "draining") : worker.running ? "busy" : "idle";
  const boot = worker.id.split(":").pop().slice(0, 8);
  const boxes = Array.from({ length: worker.slots }, (_, index) =>
    el("i", { class: index < worker.running ? "busy" : null }),
  );
  return el(
    "tr",
    {},
    el("th", { scope: "row", class: "mono", title: worker.id }, `${worker.host} ${boot}`),
    td(el("div", { class: "slots", "aria-hidden": "true" }, ...boxes), `${worker.running} of ${worker.slots}`),
    td(worker.frames_per_second ? `${times(worker.frames_per_second / FRAMES_PER_S)} real time` : "–"),
    el("td", { class: "mono" }, worker.build),
    td(state),
  );
}

function showLetters(fleet, letters) {
  if (!letters || !letters.total) {
    setText(byId("letters-text"), "There are none.");
    return fill("letters", []);
  }
  const part =
    letters.grouped < letters.total
      ? `The newest ${letters.grouped} of ${letters.total}`
      : plural(letters.total, "dead letter");
  setText(byId("letters-text"), `${part}, by class of failure.`);
  fill(
    "letters",
    letters.groups.map((group) => letterGroup(group, fleet.access)),
  );
}

function letterGroup(group, access) {
  const order = group.error === undefined ? { class: group.class } : { class: group.class, error: group.error };
  const name = `${group.class || "unknown"}${group.error ? `: ${group.error}` : ""}`;
  const operator = access === "operator";
  return el(
    "li",
    { "data-key": name },
    el("p", { class: "letter-head" }, `${group.count} × ${group.class || "unknown"}`),
    group.error ? el("p", { class: "letter-error" }, group.error) : null,
    el("p", { class: "muted" }, `from ${moment(group.oldest)} to ${moment(group.newest)}`),
    operator
      ? el(
          "div",
          { class: "actions" },
          button("Retry all", `Retry all dead letters of ${name}`, { act: "retry", ...order }),
          button("Purge all", `Purge all dead letters of ${name}`, { act: "purge", ...order }),
        )
      : null,
    operator ? letterDetails(group) : null,
  );
}

function letterDetails({ letters, count }) {
  const rest = count - letters.length;
  return el(
    "details",
    {},
    el("summary", { class: "muted" }, rest > 0 ? `The newest ${letters.length}` : jobs(count)),
    el("ul", {}, ...letters.map(letterItem)),
  );
}

function letterItem(letter) {
  return el(
    "li",
    { "data-key": letter.id },
    el("span", { class: "mono" }, letter.id),
    ` ${letter.lane} of ${letter.tenant}, attempt ${letter.attempt}, ${moment(letter.at)}`,
    `, on ${letter.worker || "no worker"}, build ${letter.build || "unknown"}`,
    el(
      "div",
      { class: "actions" },
      button("Retry", `Retry job ${letter.id}`, { act: "retry", id: letter.id }),
      button("Purge", `Purge job ${letter.id}`, { act: "purge", id: letter.id }),
    ),
  );
}

function showEnds(ends, access) {
  byId("ends-region").hidden = ends.length === 0;
  setText(
    byId("ends-text"),
    ends.length ? `The last ${jobs(ends.length)} that ended, newest first.` : "No job has ended yet.",
  );
  fill(
    "ends",
    ends.map((end) => endRow(end, access)),
  );
}

function endRow(end, access) {
  const operator = access === "operator";
  return el(
    "tr",
    {},
    el("td", { title: end.at }, moment(end.at)),
    el("td", { class: end.state === "failed" ? "failed" : null }, end.state),
    td(end.reason ?? "–"),
    td(end.lane),
    el(
      "td",
      { class: "mono", title: end.worker },
      end.worker ? end.worker.slice(0, end.worker.lastIndexOf(":") + 9) : "–",
    ),
    td(String(end.attempt)),
    td(typeof end.seconds === "number" ? duration(end.seconds) : "–"),
    el("td", { class: "operator" }, operator ? end.tenant : ""),
    el("td", { class: "operator mono" }, operator ? end.job : ""),
  );
}

/** A time as text: that of the day, with the date if it was another one. */
function moment(text) {
  const at = new Date(text);
  const time = at.toLocaleTimeString();
  return at.toDateString() === new Date().toDateString() ? time : `${at.toLocaleDateString()} ${time}`;
}
