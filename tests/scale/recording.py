"""A recorded run of a small fleet: the JSON that README.md describes, checked, and as objects."""

import bisect
import json
from dataclasses import dataclass, field, replace
from pathlib import Path

from manifests import FRAME_SECONDS, LANES, load

FORMAT = 1
# Slots that are free for sure in a run that was watched from outside, where claims and ends are milliseconds off.
SURELY_FREE = 2
NEEDED = {
    "": {"format": int, "duration_s": float, "fleet": dict, "policy": dict, "arrivals": list},
    "fleet": {"slots": int, "live_reserve_slots": int, "reserve_slots": int, "slot_frames_per_second": float,
              "job_overhead_s": float, "start_delay_s": (float, list), "load_delay_s": (float, list), "drain_s": float,
              "target_waits_s": dict, "metric_age_s": float},
    "policy": {"manifest": str, "push": bool, "time_scale": float, "initial_replicas": int},
    "arrivals": {"id": str, "at": float, "lane": str, "audio_s": float},
    "kills": {"at": float, "grace_s": float},
    "results.jobs": {"id": str, "wait_s": float},
}


@dataclass(frozen=True)
class Job:
    """Accepted job."""
    id: str
    at: float
    lane: int
    audio: float


@dataclass(frozen=True)
class Fleet:
    """Workers of one kind, and what surrounds them. Times are in seconds."""
    slots: int = 5
    live_reserve: int = 1
    reserve: int = 1
    frames_per_second: float = 12.5
    overhead: float = 0.0
    start_delay: tuple[float, float] = (0.0, 0.0)
    load_delay: tuple[float, float] = (0.0, 0.0)
    drain: float = 60.0
    lease: float = 15.0
    target_waits: tuple[float, float, float] = (2.0, 30.0, 600.0)
    metric_age: float = 2.0
    reported_frames_per_second: float | None = None
    push_delay: float = 0.25
    stop_delay: float = 0.0
    # Times that were seen in a run, each with its moment, in place of the delays and the overhead above.
    starts: tuple[tuple[float, float], ...] = ()
    overheads: tuple[tuple[float, float], ...] = ()
    calls: tuple[tuple[float, float], ...] = ()

    def start_span(self):
        """Returns the least and the most time from an order to the first claim."""
        return self.start_delay[0] + self.load_delay[0], self.start_delay[1] + self.load_delay[1]

    def lane_slots(self):
        """Returns the slots of a worker that jobs of each lane may take (WorkerCapacity::lane_slots, claim.rs)."""
        others = max(0, self.slots - 1)
        live = min(self.live_reserve, others)
        return self.slots, self.slots - live, self.slots - min(live + self.reserve, others)


@dataclass(frozen=True)
class Recording:
    """Load, fleet and policy of a run, and what came of it."""
    duration: float
    fleet: Fleet
    policy: dict
    jobs: list[Job]
    kills: list[tuple[float, float]] = field(default_factory=list)
    results: dict | None = None

    def scaler(self):
        """Returns a new autoscaler as the run had it."""
        return load(self.policy["manifest"], push=self.policy["push"], time_scale=self.policy["time_scale"],
                    overrides=self.policy.get("overrides"))


def with_seen_times(run):
    """Returns a recording whose fleet has the times of its own machine: starts, slots beside the audio, and calls.

    These are inputs: how slow a machine is at a moment is not what the model is to predict."""
    starts = [(worker["ordered_at"], worker["ready_at"] - worker["ordered_at"])
              for worker in run.results.get("workers", [])
              if worker.get("ready_at") is not None and worker["ordered_at"] > 0]
    return replace(run, fleet=replace(run.fleet, starts=tuple(sorted(starts)), overheads=tuple(overheads(run)),
                                      calls=tuple(calls(run))))


def claimed(run):
    """Returns job, first claim and end of each job that has ended, in the order of the claims."""
    jobs = {job.id: job for job in run.jobs}
    ended = [(seen, jobs[seen["id"]]) for seen in run.results["jobs"] if seen.get("ended_at") is not None]
    return sorted(((job, job.at + seen["wait_s"], seen["ended_at"], seen.get("claims", 1)) for seen, job in ended),
                  key=lambda entry: entry[1])


def overheads(run):
    """Yields the time of a slot beside the audio for each job, with its claim. Jobs with several claims are left out.

    A run that does not tell the claims has few of them. Those of killed workers show by their leases."""
    rate = run.fleet.frames_per_second * FRAME_SECONDS
    for job, begun, end, claims in claimed(run):
        beside = max(0.0, end - begun - job.audio / rate)
        if claims == 1 and beside < run.fleet.lease / 2:
            yield begun, beside


def calls(run):
    """Yields how long a claim took, by the time of it: the waits of live jobs that came while slots were free."""
    entries, changes = claimed(run), run.results.get("replicas", [])
    claims, ends = [begun for _, begun, _, _ in entries], sorted(end for _, _, end, _ in entries)
    times = [at for at, _, _ in changes]
    for job, begun, _, _ in entries:
        place = bisect.bisect(times, job.at) - 1
        free = changes[place][2] * run.fleet.slots if place >= 0 else 0
        free -= bisect.bisect(claims, job.at) - bisect.bisect(ends, job.at)
        if LANES[job.lane] == "live" and free >= SURELY_FREE:
            yield begun, begun - job.at


def read(path):
    """Returns the recording of a file."""
    return of(json.loads(Path(path).read_text()))


def of(data):
    """Returns a recording of its JSON object. Raises ValueError with all that is wrong."""
    wrong = list(check(data))
    if wrong:
        raise ValueError("; ".join(wrong))
    fleet = data["fleet"]
    optional = {name: fleet[name] for name in ("reported_frames_per_second", ) if fleet.get(name)}
    others = (("lease_s", "lease"), ("push_delay_s", "push_delay"), ("stop_delay_s", "stop_delay"))
    optional |= {field_: fleet[name] for name, field_ in others if name in fleet}
    made = Fleet(fleet["slots"], fleet["live_reserve_slots"], fleet["reserve_slots"], fleet["slot_frames_per_second"],
                 fleet["job_overhead_s"], pair(fleet["start_delay_s"]), pair(fleet["load_delay_s"]), fleet["drain_s"],
                 target_waits=tuple(fleet["target_waits_s"][lane] for lane in LANES),
                 metric_age=fleet["metric_age_s"], **optional)
    jobs = [Job(job["id"], job["at"], LANES.index(job["lane"]), job["audio_s"]) for job in data["arrivals"]]
    kills = [(kill["at"], kill["grace_s"]) for kill in data.get("kills", [])]
    return Recording(data["duration_s"], made, data["policy"], sorted(jobs, key=lambda job: job.at), kills,
                     data.get("results"))


def pair(value):
    """Returns the least and the most of a delay."""
    return (value, value) if isinstance(value, (int, float)) else tuple(value)


def check(data):
    """Yields what is wrong with the JSON object of a recording."""
    yield from fields("", data)
    if data.get("format") != FORMAT:
        yield f"format: {data.get('format')}, not {FORMAT}"
    for part in ("fleet", "policy"):
        yield from fields(part, data.get(part, {}))
    for part in ("arrivals", "kills"):
        for number, each in enumerate(data.get(part, [])):
            yield from (f"{wrong} (number {number})" for wrong in fields(part, each))
    for number, job in enumerate(data.get("arrivals", [])):
        if job.get("lane") not in LANES:
            yield f"arrivals.lane: {job.get('lane')} (number {number})"
    ids = [job.get("id") for job in data.get("arrivals", [])]
    if len(set(ids)) < len(ids):
        yield "arrivals.id: not unique"
    if data.get("results"):
        results = data["results"]
        for each in results.get("jobs", []):
            yield from fields("results.jobs", each)
        if {job.get("id") for job in results.get("jobs", [])} != set(ids):
            yield "results.jobs: not the jobs of arrivals"
        if not isinstance(results.get("worker_seconds"), (int, float)):
            yield "results.worker_seconds: missing"


def fields(part, data):
    """Yields the fields of a part that are missing or of another type. An integer is a number, too."""
    for name, kind in NEEDED[part].items():
        kinds = kind if isinstance(kind, tuple) else (kind,)
        kinds = (*kinds, int) if float in kinds else kinds
        if not isinstance(data.get(name), kinds) or (isinstance(data.get(name), bool) and bool not in kinds):
            yield f"{part + '.' if part else ''}{name}: {data.get(name)!r}"
