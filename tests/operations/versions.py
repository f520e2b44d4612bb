#!/usr/bin/env python3
"""Runs two versions of gateway and worker on one Redis: side by side both ways, an upgrade and its rollback."""

import argparse
import json
import sys
import time
from pathlib import Path

from lab import END_SECONDS, Lab, http, until

LANES = ("live", "standard", "bulk")
# Two minutes of speech, which is all that a live job may have: long enough to be killed in the middle.
LONG = {"frames": 1500, "text": "Good things take time, and this sentence does, too. " * 30, "delivery": "both"}


def start(lab, gateway, worker):
    """Starts Redis, a gateway of one version and a worker of another."""
    lab.start_redis()
    lab.program("gateway", "gateway", gateway)
    lab.program("worker", "worker", worker)


def whole(lab, job):
    """Checks that a job succeeded unburnt, that its events end, and that its file is as long as its receipt says."""
    record = lab.ended(job)
    assert record["status"] == "succeeded", record
    assert (record["failures"], record["crashes"]) == (0, 0), record
    events = [line[7:] for line in lab.get("gateway", f"/v1/jobs/{job}/events")[1].decode().splitlines()
              if line.startswith("event: ")]
    assert events[-1] == "done" and events.count("done") == 1, events
    status, audio = lab.get("gateway", f"/v1/jobs/{job}/audio")
    assert status == 200 and len(audio) == record["receipt"]["bytes"], (status, len(audio), record["receipt"])
    return record


def speaks(lab, job):
    """Waits until a job has published a few events: it is in the middle of its speech."""
    until(f"{job} speaks", lambda: int(lab.redis("XLEN", f"csm:{{j:{job}}}:ev")) > 3)


def empty(lab):
    """Checks that nothing is left in the queue."""
    until("the queue is empty", lambda: lab.stats()["open"] == 0)
    stats = lab.stats()
    assert not any(stats[name] for name in ("running", "suspects", "delayed", "dead")), stats


def side_by_side(lab, gateway, worker):
    """Every lane, every route and a batch, with a gateway of one version and a worker of another."""
    start(lab, gateway, worker)
    waits = []
    for lane in LANES:
        whole(lab, lab.submit(2, lane=lane, delivery="both", format="flac"))
        waits.append(f"{lane} {whole(lab, lab.submit(3, lane=lane))['receipt']['queue_ms']} ms")
    for path, body in (("/generate", {"text": "Hello there."}),
                       ("/v1/audio/speech", {"model": "tts-1", "voice": "ash", "input": "Hello there."})):
        status, answer = http(f"http://127.0.0.1:{lab.api['gateway']}{path}", json.dumps(body).encode(),
                              {"content-type": "application/json"})
        assert status == 200 and len(answer) > 10_000, (path, status, len(answer))
    assert lab.batch(20)[0].wait(END_SECONDS) == 0, lab.log("bulk")
    empty(lab)
    return f"lanes, live events, both synchronous routes, a batch; waits of an idle fleet: {', '.join(waits)}"


def replaced(lab, before, after):
    """A fleet of one version is replaced by another, process by process, while jobs run and wait."""
    start(lab, before, before)
    ended = whole(lab, lab.submit(1))["id"]
    lab.csm("queue", "pause", "bulk")
    waiting = [lab.submit(seed, lane="bulk") for seed in range(10, 15)]
    order = {"text": "Hello there.", "seed": 3, "lane": "bulk"}, {"Idempotency-Key": "order-17"}
    repeated = lab.post("gateway", "/v1/jobs", *order)[1]["id"]
    running = lab.submit(3, **LONG)
    speaks(lab, running)
    # The former worker hands its job back while the next one starts: two versions are at one queue.
    lab.processes["worker"].terminate()
    lab.program("worker", "next", after)
    assert lab.processes.pop("worker").wait(END_SECONDS) == 0
    assert lab.stop("gateway") == 0
    lab.program("gateway", "gateway", after)
    assert lab.post("gateway", "/v1/jobs", *order)[1]["id"] == repeated, "a key means the same job"
    lab.csm("queue", "resume", "bulk")
    record = whole(lab, running)
    for job in (*waiting, repeated):
        whole(lab, job)
    assert lab.get("gateway", f"/v1/jobs/{ended}/audio")[0] == 200
    empty(lab)
    return (f"the running job took attempt {record['attempt']}, {record['receipt']['resumed_frames']} of "
            f"{record['receipt']['frames']} frames resumed; nothing charged, nothing lost")


def killed(lab, before, after):
    """A worker of one version is killed in mid-utterance; a worker of another version takes its job over."""
    start(lab, before, before)
    job = lab.submit(3, **LONG)
    speaks(lab, job)
    lab.kill("worker")
    lab.program("worker", "next", after)
    record = whole(lab, job)
    empty(lab)
    return f"attempt {record['attempt']}, {record['receipt']['resumed_frames']} frames resumed"


def runs(old, new):
    """Lists the runs: name, function, versions in the order in which the function takes them."""
    return (("old gateway, new worker", side_by_side, old, new), ("new gateway, old worker", side_by_side, new, old),
            ("upgrade", replaced, old, new), ("rollback", replaced, new, old),
            ("old worker killed, new one goes on", killed, old, new),
            ("new worker killed, old one goes on", killed, new, old))


def main():
    """Does all runs; fails if one does."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--old", type=Path, required=True, help="folder with csm-gateway and csm-worker of the release")
    parser.add_argument("--new", type=Path, required=True, help="folder with csm, csm-gateway and csm-worker")
    parser.add_argument("--model", type=Path, required=True, help="folder of the model")
    parser.add_argument("--only", choices=[run[1].__name__ for run in runs(None, None)], help="function of some runs")
    options = parser.parse_args()
    failed = 0
    for name, function, *versions in runs(options.old.resolve(), options.new.resolve()):
        if options.only not in (None, function.__name__):
            continue
        began = time.monotonic()
        try:
            with Lab(options.new.resolve(), options.model.resolve()) as lab:
                # Running jobs are handed back at once, so that the other version goes on with them.
                lab.environment["CSM_DRAIN_SECONDS"] = "1"
                said = function(lab, *versions)
        except (AssertionError, TimeoutError, OSError) as error:
            failed += 1
            said = f"FAILED: {error!r}"
        print(f"{name:36} {time.monotonic() - began:5.1f} s  {said}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
