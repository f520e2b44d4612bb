#!/usr/bin/env python3
"""Runs one day on real processes under one autoscaler, and writes what happened as a recorded run (README.md)."""

import argparse
import asyncio
import contextlib
import json
import os
import random
import signal
import statistics
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path

import yaml

import day_load
import manifests
from callers import PACED, Callers, Speech
from gateway_numbers import Client, PushScaler, Scraped
from outcome import quantile
from paced_store import PacedStore
from rig_fleet import LIVE_RESERVE_SLOTS, RESERVE_SLOTS, SLOTS, RigFleet
from worker_pods import PodTimes, WorkerPods

KEDA, HPA = "k8s/autoscale/keda/worker.yaml", "k8s/autoscale/hpa/worker.yaml"
# A warm worker would hide the wake-up: the manifest's 1 becomes 0, which its comment allows.
FROM_NONE = {"minReplicaCount": 0}
POLICIES = {"keda-poll": (KEDA, False, FROM_NONE), "keda-push": (KEDA, True, FROM_NONE), "hpa": (HPA, False, {})}
# Times of the day, in its own seconds.
TARGET_WAITS = {"live": 2.0, "standard": 30.0, "bulk": 600.0}
POD_START, MODEL_LOAD = 30.0, 30.0
DRAIN, GRACE, SPOT_GRACE = 5.0, 90.0, 15.0
# Real seconds that a worker's process takes to its first claim on an idle machine: a part of the model's load.
PROCESS_START = 0.2
# To end a process takes the machine's own time, however fast the day is: real seconds, at least.
GRACE_LEAST = 3.0
SCRAPE = 5.0  # Of the gateway's PodMonitor.
# Real seconds between two scrapes, at least: more of them would be a load that no real fleet has.
SCRAPE_LEAST = 0.08
JOB_SECONDS = 260.0
SPOT_KILLS, SPOT_HOURS = 4, (8.0, 22.0)
# Real time between two updates of the gateway's gauges (CHECK_EVERY in gateway/src/readiness.rs).
GAUGE_SECONDS = 2.0
# Real time that the last jobs get after the day.
END_SECONDS = 120.0
# Text of jobs that the embedded model speaks, and how many jobs of the day one of these stands for: a slot of a paced
# worker costs no processor time, and one of speech does.
SPEECH = " ".join(["The quick brown fox jumps over the lazy dog, and nobody in the village has seen it before."] * 4)
SPEECH_MS, SPEECH_ONE_OF = 60_000, 5
# The toy voice speaks about this much faster than the voice for which the seconds of the manifests are meant.
SPEECH_TIMES_FASTER = 50
LATENESS_LOOK_SECONDS = 0.02
# Good ends: a pod without a process, a drain, SIGTERM before the process listens to it.
EXITS = (None, 0, -signal.SIGTERM)
# The queue counts a job as one frame of speech. It stands for a job that speaks as long as it holds its slot.
FRAME_SECONDS, STATED_FRAMES_PER_SECOND = 0.08, 12.5


@dataclass
class Run:
    """Parts of a run; `clock` returns its real seconds."""
    name: str
    clock: object
    pace: float
    scaler: manifests.Scaler
    pods: WorkerPods
    numbers: object


async def sync(run):
    """Calls the HPA in each of its periods, for ever."""
    async for now in ticks(run.clock, run.scaler.sync):
        values = await run.numbers.values(run.scaler)
        await run.pods.scale(run.scaler.step(now, run.pods.wanted, run.pods.ready(), values))


async def poll(run):
    """Has KEDA poll in each of its intervals, for ever."""
    async for now in ticks(run.clock, run.scaler.polling):
        if isinstance(run.numbers, PushScaler):
            values = {name: value for name, value in (await run.numbers.scraped.values(run.scaler)).items()
                      if name not in run.numbers.triggers}
            active, error = await run.numbers.active()
            others, missing = run.scaler.keda.active(values)
            replicas = run.scaler.keda.poll(now, run.pods.wanted, active or others, error or missing)
        else:
            replicas = run.scaler.poll(now, run.pods.wanted, await run.numbers.values(run.scaler))
        await run.pods.scale(replicas)


async def push(run):
    """Takes each message of the push scaler to KEDA, for ever."""
    async def told(active):
        await run.pods.scale(run.scaler.pushed(run.clock(), run.pods.wanted, active))
    await run.numbers.listen(run.clock, told)


async def spot_kills(run, options, kills):
    """Takes the nodes of pods away at random times; notes them in `kills`."""
    chance = random.Random(f"{options.seed}-spot")
    for hour in sorted(chance.uniform(*SPOT_HOURS) for _ in range(SPOT_KILLS)):
        await asyncio.sleep(max(0.0, (hour - options.from_hour) * 3600 / run.pace - run.clock()))
        pods = [pod for pod in run.pods.alive() if pod.ready_at is not None]
        if pods:
            kills.append({"at": run.clock(), "grace_s": SPOT_GRACE / run.pace})
            await run.pods.spot_kill(chance.choice(pods))


async def lateness(late):
    """Notes for ever by how much a timer of this process is late: what the machine adds to all waits."""
    while True:
        due = time.monotonic() + LATENESS_LOOK_SECONDS
        await asyncio.sleep(LATENESS_LOOK_SECONDS)
        late.append(time.monotonic() - due)


async def ticks(clock, period):
    """Yields the time in each period; a period that is missed is left out."""
    due = clock()
    while True:
        await asyncio.sleep(max(0.0, due - clock()))
        yield clock()
        due = max(due + period, clock())


def seconds_setting(value):
    """Returns a setting of seconds."""
    return f"{value:.4f}".rstrip("0").rstrip(".")


def scrape_seconds(pace):
    """Returns the real seconds between two scrapes."""
    return max(SCRAPE_LEAST, SCRAPE / pace)


def load_seconds(pace):
    """Returns the real seconds of a model's load that pass before a worker's process starts."""
    return max(0.0, MODEL_LOAD / pace - PROCESS_START)


def settings(pace):
    """Returns the settings of gateway and workers whose times go with the day."""
    waits = {f"CSM_{lane.upper()}_TARGET_WAIT_SECONDS": seconds_setting(wait / pace)
             for lane, wait in TARGET_WAITS.items()}
    return waits | {"CSM_DRAIN_SECONDS": seconds_setting(DRAIN / pace)}


def load_of(options):
    """Returns the jobs of the part of the day, by its own seconds, and what they say."""
    begin, end = options.from_hour * 3600, options.hours * 3600
    jobs = day_load.arrivals(options.seed, JOB_SECONDS, end)
    jobs = [replace(job, at=job.at - begin) for job in jobs if job.at >= begin]
    if options.engine == "paced":
        return jobs, PACED
    return [replace(job, holds=0.0) for job in jobs[::SPEECH_ONE_OF]], Speech(SPEECH, SPEECH_MS)


def policy_of(options):
    """Returns manifest, push and the fields of its `spec` that are replaced."""
    manifest, pushes, overrides = POLICIES[options.policy]
    if options.threshold is None:
        return manifest, pushes, overrides
    spec = yaml.safe_load((manifests.ROOT / manifest).read_text())["spec"]
    if manifest == HPA:
        spec["metrics"][0]["external"]["target"]["averageValue"] = str(options.threshold)
        return manifest, pushes, overrides | {"metrics": spec["metrics"]}
    spec["triggers"][0]["metadata"]["threshold"] = str(options.threshold)
    return manifest, pushes, overrides | {"triggers": spec["triggers"]}


async def day(options):
    """Runs the day; returns the recorded run. SIGTERM ends it and its processes."""
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, asyncio.current_task().cancel)
    manifest, pushes, overrides = policy_of(options)
    pace, store = day_load.DAY_SECONDS / options.seconds, PacedStore()
    arrivals, speech = load_of(options)
    await store.start()
    fleet = RigFleet(options.bin.resolve(), options.model.resolve(), store.environment() | settings(pace))
    client, tasks, kills, late, pods = Client(), [], [], [], None
    try:
        await fleet.start_gateway(pushes)
        begun, epoch = time.monotonic(), time.time()
        clock = lambda: time.monotonic() - begun  # noqa: E731
        scaler = manifests.load(manifest, push=pushes, time_scale=pace, overrides=overrides)
        times = PodTimes(POD_START / pace, load_seconds(pace), max(GRACE_LEAST, GRACE / pace), SPOT_GRACE / pace)
        worth = JOB_SECONDS / pace / FRAME_SECONDS if options.engine == "paced" else 1 / SPEECH_TIMES_FASTER
        # Speech is made in real time, so the gauges of real time do for it.
        api = fleet.api["gateway"] if options.engine == "paced" else None
        scraped = Scraped(client, fleet.admin["gateway"], scrape_seconds(pace), worth, api)
        numbers = PushScaler(fleet.scaler_port, scaler, scraped) if pushes else scraped
        if pushes:
            await numbers.check(scaler)
        pods = WorkerPods(clock, times, fleet, client)
        run = Run(options.policy, clock, pace, scaler, pods, numbers)
        callers = Callers(clock, client, fleet.api["gateway"], store, pace, speech)
        await run.pods.scale(scaler.least)
        loops = [scraped.run(), sync(run), *([poll(run)] if scaler.keda else []), *([push(run)] if pushes else []),
                 spot_kills(run, options, kills), lateness(late)]
        tasks = [asyncio.create_task(loop) for loop in loops]
        await asyncio.gather(callers.send_all(arrivals), sleep_until(clock, duration(options, pace), tasks))
        await callers.read_all(clock() + END_SECONDS, epoch)
        for task in tasks:
            task.cancel()
        await run.pods.finish()
        if pushes:
            await numbers.close()
        return recording(options, run, callers, kills, late, fleet.first_waits())
    finally:
        for task in tasks:
            task.cancel()
        if pods:
            pods.kill()
        await client.close()
        if options.logs:
            with contextlib.suppress(OSError):
                os.rename(fleet.folder, options.logs)
        fleet.end()
        await store.end()


async def sleep_until(clock, moment, tasks):
    """Waits for a time; a task that fails ends the wait with its error."""
    done, _ = await asyncio.wait(tasks, timeout=max(0.0, moment - clock()), return_when=asyncio.FIRST_EXCEPTION)
    for task in done:
        task.result()


def duration(options, pace):
    """Returns the real seconds of the part of the day."""
    return (options.hours - options.from_hour) * 3600 / pace


def recording(options, run, callers, kills, late, first_waits):
    """Returns the run in the format of README.md, with what only this rig knows under `rig`."""
    pace, pods, length = run.pace, run.pods, duration(options, run.pace)
    jobs = sorted(callers.sent, key=lambda job: job["at"])
    manifest, pushes, overrides = policy_of(options)
    starts = [pod.ready_at - pod.process_at for pod in pods.pods if pod.ready_at]
    overheads = [job["ended_at"] - job["began_at"] - job["holds"] for job in jobs
                 if job["status"] == "succeeded" and job["attempt"] == 1]
    fleet = {
        "slots": SLOTS, "live_reserve_slots": LIVE_RESERVE_SLOTS, "reserve_slots": RESERVE_SLOTS,
        "slot_frames_per_second": STATED_FRAMES_PER_SECOND,
        "reported_frames_per_second": SLOTS * STATED_FRAMES_PER_SECOND,
        "job_overhead_s": middle(overheads), "lease_s": 15.0, "drain_s": DRAIN / pace,
        "start_delay_s": POD_START / pace, "load_delay_s": load_seconds(pace) + middle(starts),
        "target_waits_s": {lane: wait / pace for lane, wait in TARGET_WAITS.items()},
        "metric_age_s": scrape_seconds(pace) + (0.0 if options.engine == "paced" else GAUGE_SECONDS)}
    return {
        "format": 1, "made_by": f"tests/scale/day_run.py --policy {options.policy} --seed {options.seed}",
        "duration_s": length, "fleet": fleet,
        "policy": {"manifest": manifest, "push": pushes, "time_scale": pace, "initial_replicas": run.scaler.least,
                   "overrides": overrides},
        "arrivals": [{"id": job["id"], "at": job["at"], "lane": job["lane"], "audio_s": job["holds"] or job["spoken_s"]}
                     for job in jobs],
        "kills": kills,
        "results": results(length, jobs, pods, first_waits),
        "rig": {
            "policy": options.policy, "engine": options.engine, "from_hour": options.from_hour,
            "late_p99_s": quantile(sorted(late), 0.99), "refused": callers.refused,
            "wake_ups": wake_ups(pods.changes, jobs, pushed_at(run.numbers)),
            "handed_back": sum(job["attempt"] > 1 for job in jobs), "suspects": sum(job["suspect"] for job in jobs),
            "killed": sum(pod.killed for pod in pods.pods),
            "failed_exits": sum(pod.exit_status not in EXITS and not pod.killed for pod in pods.pods),
            "without_file": sum(job["status"] == "succeeded" and not job["has_file"] for job in jobs)}}


def middle(values):
    """Returns the median; 0 of none."""
    return statistics.median(values) if values else 0.0


def results(length, jobs, pods, first_waits):
    """Returns what became of jobs and workers."""
    until = [(pod, min(pod.ended_at, length)) for pod in pods.pods if pod.ordered_at < length]
    return {
        "jobs": [{"id": job["id"], "wait_s": first_waits.get(job["id"], job["wait"]), "ended_at": job["ended_at"],
                  "outcome": job["status"], "attempts": 1 + job["burnt"], "claims": job["attempt"]} for job in jobs],
        "workers": [{"ordered_at": pod.ordered_at, "ready_at": pod.ready_at, "stopping_at": pod.stopping_at,
                     "ended_at": pod.ended_at} for pod in pods.pods],
        "replicas": pods.changes,
        "worker_seconds": sum(end - pod.ordered_at for pod, end in until),
        "starts": len(pods.pods), "stops": sum(pod.stopping_at < length for pod in pods.pods),
        "lost": sum(job["status"] != "succeeded" or not job["has_file"] for job in jobs),
        "burnt": sum(job["burnt"] for job in jobs)}


def pushed_at(numbers):
    """Returns the times of the messages of the push scaler."""
    return sorted(at for at, _, active in numbers.changes if active) if isinstance(numbers, PushScaler) else []


def wake_ups(changes, jobs, pushes):
    """Returns, for each end of a time without workers, the real seconds from the request of the first job to the
    message of the push scaler, to the order of a worker, and to a ready one.

    A fast day polls more often than the scaler looks, so the order may come before the message."""
    found, none_since = [], 0.0
    for number, (at, wanted, _) in enumerate(changes):
        before = changes[number - 1][1] if number else 0
        if wanted == 0 and before > 0:
            none_since = at
        first = next((job["at"] for job in jobs if none_since <= job["at"] <= at), None)
        if wanted > 0 and before == 0 and first is not None:
            ready = next((moment for moment, _, ready in changes[number:] if ready), None)
            told = next((moment for moment in pushes if moment >= first), None)
            found.append({"at": at, "pushed_s": told - first if told else None, "ordered_s": at - first,
                          "ready_s": ready - first if ready else None})
    return found


def main():
    """Runs the day and writes the file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--policy", choices=POLICIES, required=True)
    parser.add_argument("--bin", type=Path, required=True, help="folder of csm-gateway and csm-worker")
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--seconds", type=float, default=660.0, help="real seconds of a day")
    parser.add_argument("--hours", type=float, default=24.0, help="hour of the day at which it ends")
    parser.add_argument("--from-hour", type=float, default=0.0, help="hour of the day at which the run begins")
    parser.add_argument("--engine", choices=("paced", "model"), default="paced",
                        help="paced: each slot is held as long as the load says; model: as long as the model speaks")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threshold", type=float, help="slots of all lanes for a worker, in place of the manifest's")
    parser.add_argument("--logs", type=Path, help="folder that keeps the logs of the processes")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    recorded = asyncio.run(day(options))
    options.out.write_text(json.dumps(recorded))
    shown = recorded["rig"] | {key: value for key, value in recorded["results"].items() if not isinstance(value, list)}
    json.dump(shown, sys.stdout)
    print()


if __name__ == "__main__":
    main()
