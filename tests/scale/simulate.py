#!/usr/bin/env python3
"""Simulates fleets under the autoscalers of k8s/autoscale/.

  .venv/scale/bin/python -B tests/scale/simulate.py predict RUN.json...   a recorded run, and how far the model is off
  .venv/scale/bin/python -B tests/scale/simulate.py compare               the model of large fleets beside the exact one
  .venv/scale/bin/python -B tests/scale/simulate.py size                  the tables of docs/scale.md
  .venv/scale/bin/python -B tests/scale/simulate.py draw --out day.png    the picture of docs/scale.md
"""

import argparse
import math
import statistics
import sys
from dataclasses import replace
from pathlib import Path

import curve
import flow
import recording
import redis_load
import sizing
from fleet import Model
from manifests import LANES, load
from oracle import Oracle
from outcome import quantile

SHARE = 0.95
# Errors of waits are relative to the wait, and to this if it is shorter: the model has no time for calls of Redis.
RESOLUTION_SECONDS = 0.1


def table(head, rows):
    """Prints a Markdown table; the first column is text."""
    print("| " + " | ".join(head) + " |")
    print("|---|" + "--:|" * (len(head) - 1))
    for row in rows:
        print("| " + " | ".join(row) + " |")
    print()


def number(value, digits=3):
    """Formats a number with so many digits, without an exponent; an integer below 1,000 as it is."""
    if value == 0 or (isinstance(value, int) and abs(value) < 1_000):
        return str(int(value))
    places = max(0, digits - 1 - math.floor(math.log10(abs(value))))
    return f"{round(value, places):,.{min(places, 6)}f}"


# A recorded run.

def measured(run):
    """Returns the figures of a recording's results by name."""
    lanes = {job.id: job.lane for job in run.jobs}
    waits = {lane: [] for lane in range(3)}
    for job in run.results["jobs"]:
        waits[lanes[job["id"]]].append(job["wait_s"])
    return figures({lane: sorted(some) for lane, some in waits.items()}, run.results["worker_seconds"])


def figures(waits, worker_seconds):
    """Returns p95 waits of lanes and of all jobs, and worker-hours, by name."""
    found = {f"p95 wait, {name}, s": quantile(waits[lane], SHARE) for lane, name in enumerate(LANES) if waits[lane]}
    found["p95 wait, all, s"] = quantile(sorted(wait for lane in waits.values() for wait in lane), SHARE)
    return found | {"worker-hours": worker_seconds / 3600}


def simulated(run, seed):
    """Returns the figures of one simulation of a recording, and what came of it."""
    outcome = Model(run.jobs, run.fleet, run.duration, run.scaler(), run.policy["initial_replicas"], run.kills,
                    seed=seed, phases=True).run()
    return figures({lane: outcome.waits(lane) for lane in range(3)}, outcome.worker_seconds()), outcome


def error(name, predicted, seen):
    """Returns how far a prediction is off, as a share of what was measured."""
    least = RESOLUTION_SECONDS if name.startswith("p95") else 0.0
    return (predicted - seen) / max(seen, least)


def predict(path, seeds, within, with_oracle, as_stated):
    """Prints a recorded run beside its prediction; tells whether all errors are small enough."""
    run = recording.read(path)
    if run.results and not as_stated:
        run = recording.with_seen_times(run)
    runs = [simulated(run, seed) for seed in range(1, seeds + 1)]
    names = list(runs[0][0])
    middle = {name: statistics.median(found[name] for found, _ in runs) for name in names}
    seen, good, rows = measured(run) if run.results else {}, True, []
    for name in names:
        values = [found[name] for found, _ in runs]
        row = [name, number(middle[name]), f"{number(min(values))} to {number(max(values))}"]
        if seen:
            off = error(name, middle[name], seen[name])
            good = good and abs(off) <= within
            row = [*row, number(seen[name]), f"{off:+.1%}"]
        rows.append(row)
    print(f"{path}: {len(run.jobs)} jobs, {seeds} runs of the model\n")
    table(["", "predicted", "range"] + (["measured", "error"] if seen else []), rows)
    if with_oracle:
        best = Oracle(run.jobs, run.fleet, run.duration).find()
        beside = seen.get("worker-hours", middle["worker-hours"]) / (best.worker_seconds / 3600)
        print(f"oracle: {number(best.worker_seconds / 3600)} worker-hours at p95 waits of "
              f"{', '.join(number(wait) for wait in best.waits)} s ({best.runs} plans tried; slots that are never "
              f"empty would take {number(best.bound / 3600)}); the run took {beside:.2f} times as many\n")
    if seen and not good:
        print(f"FAILED: an error is above {within:.0%}")
    return good


# Both models.

def compare(workers, seconds, seed=1):
    """Prints both models of one fleet at the day's steepest part, with load that is drawn for each."""
    assumptions = sizing.Assumptions()
    fleet, peak, begin = assumptions.fleet(), assumptions.peak_audio(workers), 7.5 * 3600
    initial = math.ceil(workers * float(curve.demand(1.0, begin).sum()))
    counted = flow.Model(fleet, sizing.scaler(), lambda times: curve.demand(peak, times + begin), seconds, initial,
                         seed).run()
    jobs = curve.draw(peak, seconds, seed, begin=begin)
    exact = Model(jobs, fleet, seconds, sizing.scaler(), initial, seed=seed).run()
    rows = [["worker-hours", number(exact.worker_seconds() / 3600), number(counted.worker_seconds / 3600)],
            ["audio, hours", number(sum(job.audio for job in jobs) / 3600), number(counted.audio / 3600)],
            ["most workers", number(max(wanted for _, wanted, _ in exact.replicas)), number(counted.most)]]
    for lane, name in enumerate(LANES):
        rows += [[f"p{share * 100:g} wait, {name}, s", number(quantile(exact.waits(lane), share)),
                  number(counted.wait(lane, share))] for share in (0.95, 0.99)]
    print(f"{workers} workers at the greatest load, {seconds / 3600:g} h from half past seven, {len(jobs)} jobs\n")
    table(["", "job by job", "in steps"], rows)


# Large fleets.

def size(sizes, step):
    """Prints the tables of docs/scale.md."""
    assumptions, prices = sizing.Assumptions(), sizing.Prices()
    print("A day of each fleet, the way down of the manifest and a tenth a minute:\n")
    days, rows = {}, []
    for workers in sizes:
        for name, down in (("as it is", None), ("a tenth", sizing.PROPORTIONAL_DOWN)):
            _, day = sizing.day(workers, assumptions, prices, down, step=step)
            days[workers, name] = day
            rows.append([number(workers), name, number(day.most_workers), number(day.mean_workers), f"{day.busy:.0%}",
                         " / ".join(number(wait, 2) for wait in day.p95), number(day.starts + day.stops),
                         f"{day.money['gpu']:.3f}"])
            print(f"# {rows[-1]}", file=sys.stderr, flush=True)
    table(["workers for the peak", "way down", "most", "mean", "slots busy", "p95 wait live / standard / bulk, s",
           "starts and stops", "GPU money an audio hour"], rows)
    print("What each takes at its greatest load:\n")
    rows = []
    for workers in sizes:
        day = days[workers, "a tenth"]
        traffic, money = day.traffic, day.money
        rows.append([number(workers), number(traffic.live_audio), number(traffic.live_audio + traffic.other_audio),
                     number(traffic.jobs), number(day.gateways), "{} x {}".format(*day.fewest_fleets),
                     "{} x {}".format(*day.fewest_servers),
                     number(redis_load.connections(redis_load.scaled(traffic, 1 / day.fewest_servers[0]))),
                     f"{sum(money.values()):.3f}"])
    table(["GPUs", "live streams", "audio s a second", "jobs a second", "gateways", "fewest fleets x shards",
           "fewest servers: fleets x shards", "connections to a server", "money an audio hour"], rows)
    shards(assumptions)
    speeds(assumptions)
    outage(sizes, days, prices)


def shards(assumptions):
    """Prints where so many shards end, today and if each worker served one shard."""
    traffic, _ = sizing.busiest(1_000, assumptions, assumptions.peak_audio(1_000))
    silent = replace(traffic, live_audio=0.0, other_audio=traffic.live_audio + traffic.other_audio)
    rows = []
    for count in (1, 2, 4, 8, 16, 32, 64):
        most = redis_load.most_workers(traffic, count, assumptions.busy_max)
        files = redis_load.most_workers(silent, count, assumptions.busy_max)
        one = redis_load.most_workers(traffic, 1, assumptions.busy_max) * count
        at_end = redis_load.scaled(traffic, most / 1_000)
        written, read = redis_load.event_bytes(at_end)
        undivided = redis_load.undivided(at_end) / assumptions.busy_max
        rows.append([number(count), number(most), f"{undivided:.0%}", number(files), number(one),
                     number(redis_load.connections(at_end)), number(written / count / 1e6), number(read / count / 1e6)])
    print("Where a fleet's Redis ends:\n")
    table(["shards", "most workers", "of it for no job", "most without live audio", "most if a worker had one shard",
           "connections to a server", "MB/s of events written to a shard", "MB/s read"], rows)


def speeds(assumptions):
    """Prints where one shard and 64 of them end for workers of several speeds."""
    rows = []
    for name, frames in (("CPU with AVX2, measured", 14.0), ("NVIDIA L4, assumed", assumptions.gpu_frames_per_second),
                         ("NVIDIA H200, measured", 696.0)):
        chosen = sizing.with_gpu(frames)
        traffic, _ = sizing.busiest(1_000, chosen, chosen.peak_audio(1_000))
        ends = [redis_load.most_workers(traffic, count, assumptions.busy_max) for count in (1, 64)]
        rows.append([name, number(frames), *(number(most) for most in ends),
                     *(number(most * chosen.peak_audio(1_000) / 1_000) for most in ends)])
    print("The same by the speed of a worker:\n")
    table(["worker", "frames a second of five slots", "most workers, 1 shard", "64 shards", "audio s a second, 1 shard",
           "64 shards"], rows)


def outage(sizes, days, prices, seconds=10.0):
    """Prints what the loss of one shard for some seconds costs."""
    rows = []
    for workers in sizes:
        day = days[workers, "a tenth"]
        servers = math.prod(day.fewest_servers)
        cost = sizing.failover(seconds, day.traffic, servers, prices, workers)
        rows.append([number(workers), number(servers), *(number(value) for value in cost.values())])
    print(f"A failover of one shard, {seconds:g} s:\n")
    table(["GPUs", "shards in all", *cost], rows)


def draw(workers, path, step):
    """Draws a day of a fleet, with both ways down."""
    import matplotlib
    matplotlib.use("Agg")
    from matplotlib import pyplot
    figure, axes = pyplot.subplots(figsize=(8, 3.6), dpi=90)
    slots = sizing.Assumptions().slots
    for name, down in (("one a minute, as in the manifest", None), ("a tenth a minute", sizing.PROPORTIONAL_DOWN)):
        result, _ = sizing.day(workers, down=down, step=step)
        hours = [entry[0] / 3600 for entry in result.history]
        axes.step(hours, [entry[1] for entry in result.history], where="post", label=f"workers, {name} down")
    axes.fill_between(hours, [entry[3] / slots for entry in result.history], color="0.85", label="busy slots / 5")
    axes.set(xlim=(0, 24), ylim=(0, None), xlabel="hour of the day", ylabel="workers", xticks=range(0, 25, 3))
    axes.legend(loc="lower center", fontsize=8)
    figure.tight_layout()
    figure.savefig(path)


def main():
    """Runs the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("predict")
    one.add_argument("runs", nargs="+", type=Path)
    one.add_argument("--seeds", type=int, default=9)
    one.add_argument("--within", type=float, default=0.15)
    one.add_argument("--oracle", action="store_true")
    one.add_argument("--as-stated", action="store_true", help="take the delays of `fleet`, not those seen in the run")
    one = commands.add_parser("compare")
    one.add_argument("--workers", type=int, nargs="+", default=[20, 100])
    one.add_argument("--seconds", type=float, default=3600.0)
    one = commands.add_parser("size")
    one.add_argument("--workers", type=int, nargs="+", default=[100, 1_000, 10_000, 100_000])
    one.add_argument("--step", type=float, default=1.0)
    one = commands.add_parser("draw")
    one.add_argument("--workers", type=int, default=1_000)
    one.add_argument("--step", type=float, default=1.0)
    one.add_argument("--out", type=Path, required=True)
    words = parser.parse_args()
    if words.command == "predict":
        good = [predict(path, words.seeds, words.within, words.oracle, words.as_stated) for path in words.runs]
        return 0 if all(good) else 1
    if words.command == "compare":
        for workers in words.workers:
            compare(workers, words.seconds)
    elif words.command == "draw":
        draw(words.workers, words.out, words.step)
    else:
        size(words.workers, words.step)
    return 0


if __name__ == "__main__":
    sys.exit(main())
