#!/usr/bin/env python3
"""Runs one day on real processes under KEDA by polling, KEDA by push and the HPA, side by side. Then a part of it with
speech of the embedded model. Prints what was lost, waited, used and started, and draws it."""

import argparse
import json
import math
import signal
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import recording
from day_load import LANES
from day_plot import draw
from oracle import Oracle
from outcome import quantile

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
POLICIES = ("keda-poll", "keda-push", "hpa")
# Part of the day in which the embedded model speaks: the last hours of the night, and the morning.
SPEECH = ["--engine", "model", "--from-hour", "4", "--hours", "7"]
WAKE_UP_SECONDS_MAX = 1.0
WORKER_HOURS_RATIO_MAX = 1.25
ORACLE_RUNS_MAX, ORACLES_AT_ONCE = 200, 2


def run_side_by_side(options, runs):
    """Runs days at the same time, each in a process of its own; returns the recorded runs by name."""
    processes = {}
    for name, policy, more in runs:
        command = [sys.executable, "-B", HERE / "day_run.py", "--policy", policy, "--bin", options.bin, "--model",
                   options.model, "--seconds", options.seconds, "--seed", options.seed, "--out",
                   options.out / f"{name}.json", *more]
        if options.threshold:
            command += ["--threshold", options.threshold]
        if options.logs:
            command += ["--logs", options.out / f"{name}-logs"]
        processes[name] = subprocess.Popen([str(word) for word in command], stdout=subprocess.DEVNULL)
    try:
        failed = [name for name, process in processes.items() if process.wait()]
    finally:
        for process in processes.values():
            process.terminate()
    if failed:
        sys.exit(f"these runs failed: {', '.join(failed)}")
    return {name: json.loads((options.out / f"{name}.json").read_text()) for name in processes}


def oracle_of(recorded):
    """Returns the least worker-seconds that were found for a run's load, with the least replicas of its policy."""
    known = recording.of(recorded)
    return Oracle(known.jobs, known.fleet, known.duration, known.scaler().least, runs=ORACLE_RUNS_MAX).find()


def oracles(recorded):
    """Returns the oracle's finding for each run by name. All runs have one load, so one search does for one least."""
    leasts = {name: recording.of(run).scaler().least for name, run in recorded.items()}
    firsts = {least: name for name, least in reversed(leasts.items())}
    with ProcessPoolExecutor(ORACLES_AT_ONCE) as pool:
        found = dict(zip(firsts, pool.map(oracle_of, [recorded[name] for name in firsts.values()])))
    return {name: found[least] for name, least in leasts.items()}


def waits(recorded, lane):
    """Returns the sorted waits of a lane, in seconds of the day."""
    lanes = {job["id"]: job["lane"] for job in recorded["arrivals"]}
    scale = recorded["policy"]["time_scale"]
    return sorted(job["wait_s"] * scale for job in recorded["results"]["jobs"] if lanes[job["id"]] == lane)


def summary(recorded, found):
    """Returns the figures of a run by name, in the order of the table."""
    results, rig, scale = recorded["results"], recorded["rig"], recorded["policy"]["time_scale"]
    figures = {"jobs": len(results["jobs"]), "refused": rig["refused"], "lost": results["lost"],
               "attempts burnt": results["burnt"], "handed back": rig["handed_back"],
               "spot kills": len(recorded["kills"]), "killed before they ended": rig["killed"],
               "jobs that became suspects": rig["suspects"],
               "exits with an error": rig["failed_exits"]}
    for lane in LANES:
        sorted_waits = waits(recorded, lane)
        figures[f"wait {lane} p50 / p95, s"] = f"{quantile(sorted_waits, 0.5):.1f} / {quantile(sorted_waits, 0.95):.1f}"
    hours = results["worker_seconds"] * scale / 3600
    figures["worker-hours"] = f"{hours:.1f}"
    if found:
        least = found.worker_seconds * scale / 3600
        figures["worker-hours of the oracle"] = f"{least:.1f} (no plan below {found.bound * scale / 3600:.1f})"
        figures["ratio"] = f"{hours / least:.2f}"
    ordered = sorted(wake["ordered_s"] for wake in rig["wake_ups"])
    figures["starts + stops"] = f"{results['starts']} + {results['stops']}"
    figures["wake-ups from none"] = len(ordered)
    if ordered:
        figures["first job to start, real s: p50 / max"] = f"{quantile(ordered, 0.5):.3f} / {ordered[-1]:.3f}"
    pushed = sorted(wake["pushed_s"] for wake in rig["wake_ups"] if wake["pushed_s"])
    if pushed:
        figures["first job to push, real s: p50 / max"] = f"{quantile(pushed, 0.5):.3f} / {pushed[-1]:.3f}"
    figures["lateness of the rig p99, real ms"] = f"{rig['late_p99_s'] * 1000:.0f}"
    return figures


def failures(name, recorded, found):
    """Yields what a run must not show."""
    results, rig, scale = recorded["results"], recorded["rig"], recorded["policy"]["time_scale"]
    for figure, value in (("lost", results["lost"]), ("attempts burnt", results["burnt"]), ("refused", rig["refused"]),
                          ("exits with an error", rig["failed_exits"])):
        if value:
            yield f"{name}: {figure}: {value}"
    slowest = max((wake["pushed_s"] or math.inf for wake in rig["wake_ups"]), default=math.inf)
    if recorded["policy"]["push"] and slowest >= WAKE_UP_SECONDS_MAX:
        yield f"{name}: a message of the push scaler came after {slowest} s, not within {WAKE_UP_SECONDS_MAX} s"
    if not found:
        return
    p95, target = quantile(waits(recorded, "live"), 0.95), recorded["fleet"]["target_waits_s"]["live"] * scale
    if p95 > target:
        yield f"{name}: the p95 wait of live jobs is {p95:.1f} s, the target {target:.1f} s"
    ratio = results["worker_seconds"] / found.worker_seconds
    if ratio > WORKER_HOURS_RATIO_MAX:
        yield f"{name}: {ratio:.2f} times the worker-hours of the oracle, not {WORKER_HOURS_RATIO_MAX}"


def table(columns):
    """Returns figures by name, a column for each run."""
    names = list(dict.fromkeys(name for figures in columns.values() for name in figures))
    rows = [["", *columns], *([name, *(str(figures.get(name, "")) for figures in columns.values())] for name in names)]
    widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))]
    return "\n".join("  ".join(word.ljust(width) for word, width in zip(row, widths)).rstrip() for row in rows)


def main():
    """Runs everything; the status is 1 if a run shows what it must not."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bin", type=Path, required=True, help="folder of csm-gateway and csm-worker")
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--seconds", type=float, default=540.0, help="real seconds of a day")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threshold", type=float, help="slots of all lanes for a worker, in place of the manifests'")
    parser.add_argument("--only", choices=POLICIES, action="append", help="policies to run")
    parser.add_argument("--no-speech", action="store_true", help="leave out the part with the embedded model's speech")
    parser.add_argument("--redraw", action="store_true", help="only read, print and draw what is in the folder")
    parser.add_argument("--logs", action="store_true", help="keep the logs of all processes")
    parser.add_argument("--out", type=Path, default=ROOT / "target/scale", help="folder of the runs and the picture")
    options = parser.parse_args()
    # SIGTERM ends the runs, too.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    options.out.mkdir(parents=True, exist_ok=True)
    days = options.only or POLICIES
    if options.redraw:
        recorded = {path.stem: json.loads(path.read_text()) for name in (*days, "speech")
                    if (path := options.out / f"{name}.json").exists()}
    else:
        recorded = run_side_by_side(options, [(name, name, []) for name in days])
        if not options.no_speech:
            recorded |= run_side_by_side(options, [("speech", "keda-push", SPEECH)])
    found = oracles({name: run for name, run in recorded.items() if name != "speech"})
    print(table({name: summary(run, found.get(name)) for name, run in recorded.items()}))
    draw([(run, found.get(name)) for name, run in recorded.items()], options.out / "day.png")
    print(f"\npicture: {options.out / 'day.png'}")
    wrong = [line for name, run in recorded.items() for line in failures(name, run, found.get(name))]
    print("\n".join(wrong) or "0 lost, 0 burnt; wake-ups, waits and worker-hours within their bounds")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
