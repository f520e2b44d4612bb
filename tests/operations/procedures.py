#!/usr/bin/env python3
"""Carries out the procedures of docs/operations/ on real processes, and checks what each page promises."""

import argparse
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

from lab import END_SECONDS, FINAL, KEY, REDIS, Lab, http, until
from named_tests import unknown_tests

NEW_KEY = "fedcba9876543210fedcba9876543210"
# Long enough to be killed in the middle.
LONG_TEXT = "Good things take time, and this sentence does, too. " * 60


def served(lab):
    """Starts Redis, a gateway and a worker."""
    lab.start_redis()
    lab.program("gateway", "gateway")
    lab.program("worker", "worker")


def ended_and_waiting(lab):
    """Lets three jobs end and three others wait; returns the ids of both."""
    ended = [lab.ended(lab.submit(seed))["id"] for seed in range(3)]
    lab.csm("queue", "pause", "standard")
    return ended, [lab.submit(seed) for seed in range(10, 13)]


def restored(lab, folder, ended, waiting):
    """Starts the fleet on a restored file and checks that it goes on from there."""
    lab.start_redis(folder=folder)
    lab.program("gateway", "gateway")
    lab.program("worker", "worker")
    assert [lab.job(job)["status"] for job in ended] == ["succeeded"] * 3
    assert all(lab.get("gateway", f"/v1/jobs/{job}/audio")[0] == 200 for job in ended)
    lab.csm("queue", "resume", "standard")
    return [lab.ended(job) for job in waiting]


def backup_of_the_file(lab):
    """The append-only file is copied while Redis runs, and is a whole queue elsewhere."""
    served(lab)
    ended, waiting = ended_and_waiting(lab)
    lab.redis("CONFIG", "SET", "auto-aof-rewrite-percentage", "0")
    assert "aof_rewrite_in_progress:0" in lab.redis("INFO", "persistence")
    shutil.copytree(lab.data / "appendonlydir", lab.folder / "backup/appendonlydir")
    lab.redis("CONFIG", "SET", "auto-aof-rewrite-percentage", "100")
    later = lab.submit(99)
    lab.csm("queue", "resume", "standard")
    before = [lab.ended(job)["receipt"] for job in waiting]
    lab.ended(later)
    for name in ("gateway", "worker"):
        assert lab.stop(name) == 0
    lab.kill("redis")
    after = [record["receipt"] for record in restored(lab, lab.folder / "backup", ended, waiting)]
    assert [receipt["sha256"] for receipt in before] == [receipt["sha256"] for receipt in after]
    assert lab.job(later)["code"] == "job_not_found"
    return "jobs that ended after the copy are spoken again, to the same bytes; those accepted after it are unknown"


def backup_by_snapshot(lab):
    """A snapshot taken over the network becomes the base of an append-only file."""
    served(lab)
    ended, waiting = ended_and_waiting(lab)
    lab.redis("--rdb", str(lab.folder / "csm.rdb"))
    for name in ("gateway", "worker"):
        lab.stop(name)
    lab.kill("redis")
    lost, made = lab.folder / "lost", lab.folder / "appendonlydir"
    lost.mkdir()
    shutil.copy(lab.folder / "csm.rdb", lost / "dump.rdb")
    lab.start_redis(folder=lost)
    assert lab.redis("DBSIZE").strip() == "0", "with appendonly yes Redis does not read dump.rdb"
    made.mkdir()
    shutil.copy(lab.folder / "csm.rdb", made / "appendonly.aof.1.base.rdb")
    (made / "appendonly.aof.manifest").write_text("file appendonly.aof.1.base.rdb seq 1 type b\n")
    lab.redis("CONFIG", "SET", "appendonly", "no")
    shutil.rmtree(lost / "appendonlydir")
    shutil.copytree(made, lost / "appendonlydir")
    lab.redis("SHUTDOWN", "NOSAVE")
    assert lab.processes.pop("redis").wait(END_SECONDS) == 0
    records = restored(lab, lost, ended, waiting)
    assert all(record["status"] == "succeeded" for record in records)
    lab.kill("redis")
    lab.start_redis(folder=lost)
    assert all(lab.ended(job)["status"] == "succeeded" for job in waiting), "written on, and kept"
    return "a dump.rdb beside appendonly yes is not read; as the base of a file it is"


def redis_lost(lab):
    """Redis comes back empty under a running fleet."""
    lab.environment["CSM_ID_SECRET"] = "a secret of ids that is set"
    served(lab)
    lab.csm("queue", "pause", "bulk")
    bulk, batch = lab.batch(20)
    key = {"Idempotency-Key": "order-17"}
    first = lab.post("gateway", "/v1/jobs", {"text": "Hello there.", "seed": 3}, key)[1]["id"]
    lab.kill("redis")
    shutil.rmtree(lab.data / "appendonlydir")
    lab.start_redis()
    assert lab.ended(lab.submit(1))["status"] == "succeeded", "new jobs are served, without a restart"
    again = lab.post("gateway", "/v1/jobs", {"text": "Hello there.", "seed": 3}, key)[1]["id"]
    assert first == again, "with CSM_ID_SECRET a repeated request has its former id"
    assert bulk.wait(END_SECONDS) == 1 and f"no batch {batch}" in lab.log("bulk")
    (lab.folder / "speech/.csm-bulk.json").unlink()
    lab.csm("bulk", "run", "lines.txt", "--out", "speech")
    return "new jobs at once, repeated requests under their ids, batches begun anew; the pause of a lane was lost too"


def dead_letters(lab):
    """A job that ends three workers is a dead letter; it is shown, tried again and gone."""
    lab.start_redis()
    lab.program("gateway", "gateway")
    job = lab.submit(1, 7500, text=LONG_TEXT)
    workers = 0
    while lab.job(job)["status"] not in FINAL:
        assert workers < 4
        lab.program("worker", "worker", wait=False)
        workers += 1
        until("the job runs", lambda: lab.job(job)["status"] == "running")
        lab.kill("worker")
        until("the job is taken back", lambda: lab.job(job)["status"] != "running")
    record = lab.job(job)
    assert (record["status"], record["crashes"], workers) == ("failed", 3, 4), record
    assert job in lab.csm("dlq", "list") and "worker_lost" in lab.csm("dlq", "show", job)
    again = lab.csm("dlq", "retry", job).split()[-1]
    lab.program("worker", "worker")
    assert lab.ended(again)["status"] == "succeeded"
    assert not lab.csm("dlq", "list").strip() and lab.stats()["open"] == 0
    return f"{workers} workers ended with it: the first only made it a suspect, three were charged; the retry succeeded"


def stuck_batch(lab):
    """A batch that stands still for each of the reasons of the page goes on when the reason is gone."""
    lab.start_redis()
    lab.program("gateway", "gateway", environment={"CSM_BATCH_WINDOW": "16"})
    lab.program("worker", "worker")
    bulk, batch = lab.batch(150)

    def stands_still(reason, begin, end):
        begin()
        until(f"{reason}: nothing runs", lambda: lab.stats()["running"] == 0)
        # The feeder counts what has ended; then nothing may move.
        before = settled(lab, batch)
        assert lab.counts(batch)[0] == "in_progress", reason
        end()
        until(f"{reason}: it goes on", lambda: lab.counts(batch)[1]["completed"] > before)

    stands_still("lane paused", lambda: lab.csm("queue", "pause", "bulk"), lambda: lab.csm("queue", "resume", "bulk"))
    stands_still("batch paused", lambda: lab.csm("bulk", "pause", batch), lambda: lab.csm("bulk", "resume", batch))
    stands_still("intake closed", lambda: lab.csm("queue", "drain"), lambda: lab.csm("queue", "open"))
    stands_still("no worker", lambda: lab.stop("worker"), lambda: lab.program("worker", "worker"))
    lab.kill("gateway")
    lab.program("gateway", "gateway")
    assert bulk.wait(END_SECONDS) == 0, lab.log("bulk")
    assert lab.counts(batch) == ("completed", {"total": 150, "completed": 150, "failed": 0})
    return "paused lane, paused batch, closed intake, no worker, killed gateway: it went on, and no line failed"


def settled(lab, batch):
    """Waits until the count of a batch has not changed for three seconds; returns it."""
    count, since = None, 0
    while count is None or time.monotonic() - since < 3:
        now = lab.counts(batch)[1]["completed"]
        if now != count:
            count, since = now, time.monotonic()
    return count


def watermark_key(lab):
    """The secret of the mark is replaced under a running fleet in two steps; one step stops the fleet."""
    served(lab)
    names = ("gateway", "worker")
    job = lab.ended(lab.submit(1, 60))["id"]
    recording = lab.get("gateway", f"/v1/jobs/{job}/audio")[1]
    hasty = {"CSM_WATERMARK_KEY": NEW_KEY, "CSM_WATERMARK_OLD_KEYS": KEY}
    lab.program("worker", "hasty", environment=hasty)
    until("the others stop", lambda: all(lab.readiness(name)["status"] == "degraded" for name in names))
    assert lab.refuses()
    lab.stop("hasty")
    began = time.monotonic()
    until("the others go on", lambda: all(lab.readiness(name)["status"] == "ready" for name in names))
    healed = time.monotonic() - began
    for step in ({"CSM_WATERMARK_OLD_KEYS": NEW_KEY}, hasty):
        for name in names:
            assert lab.stop(name) == 0
            lab.program(name, name, environment=step)
            assert all(lab.readiness(other)["status"] == "ready" for other in names)
            lab.ended(lab.submit(2, 60))
    marks = lab.ended(lab.submit(3, 60))["receipt"]["watermarks"]
    answer = http(f"http://127.0.0.1:{lab.api['gateway']}/v1/watermark/detect", recording)[1].decode()
    assert '"detected"' in answer and marks[0]["key_id"] not in answer, "the former key's mark is found by its own id"
    return f"in two steps nothing stopped; in one the fleet stopped, until {healed:.0f} s after the hasty worker's end"


def redis_password(lab):
    """A user of Redis has two passwords while the fleet changes from one to the other."""
    def url(password):
        return {"CSM_REDIS_URL": f"redis://csm:{password}@127.0.0.1:{lab.redis_port}"}

    lab.start_redis()
    lab.redis("ACL", "SETUSER", "csm", "on", ">former", "~*", "&*", "+@all")
    for name in ("gateway", "worker"):
        lab.program(name, name, environment=url("former"))
    lab.redis("ACL", "SETUSER", "csm", ">present")
    for name in ("gateway", "worker"):
        lab.stop(name)
        lab.program(name, name, environment=url("present"))
    lab.redis("ACL", "SETUSER", "csm", "<former")
    assert lab.ended(lab.submit(1))["status"] == "succeeded"
    lab.program("worker", "left", wait=False, environment=url("former"))
    until("it is refused", lambda: "Password authentication failed" in lab.log("left"))
    return "one after the other, without an outage; a process with the former password says so in its log"


def full_disk_of_redis(lab):
    """Redis ends when its file finds no room, and does so again at each start; with room all jobs are there."""
    disk = lab.folder / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=24m,mode=0777", "tmpfs", str(disk)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        return "SKIPPED: this user may not mount a file system"
    try:
        lab.start_redis(folder=disk)
        lab.program("gateway", "gateway")
        job = lab.submit(1)
        fill(disk / "filler")
        until("a request is refused", lab.refuses)
        assert lab.processes.pop("redis").wait(10) == 1 and "Can't recover from AOF write error" in lab.log("redis")
        assert "Redis is unavailable" in lab.readiness("gateway")["reason"]
        lab.start_redis(folder=disk, answers=False)
        until("it ends again", lambda: lab.processes["redis"].poll() == 1)
        (disk / "filler").unlink()
        lab.start_redis(folder=disk)
        lab.program("worker", "worker")
        assert lab.ended(job)["status"] == "succeeded"
        return "Redis ended, at the next start too; with room the accepted job was there and was spoken"
    finally:
        for name in list(lab.processes):
            lab.kill(name)
        subprocess.run(["umount", "-l", str(disk)], check=False)


def fill(path):
    """Writes a file until its disk has no room."""
    file = os.open(path, os.O_WRONLY | os.O_CREAT)
    try:
        while True:
            os.write(file, b"1" * 4096)
    except OSError:
        os.close(file)


PROCEDURES = (backup_of_the_file, backup_by_snapshot, redis_lost, dead_letters, stuck_batch, watermark_key,
              redis_password, full_disk_of_redis)


def main():
    """Checks the tests that the pages name, then runs the procedures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bin", type=Path, required=True, help="folder with csm, csm-gateway and csm-worker")
    parser.add_argument("--model", type=Path, required=True, help="folder of the model")
    parser.add_argument("--only", help="name of one procedure")
    options = parser.parse_args()
    wrong = unknown_tests()
    print(*wrong, sep="\n", end="\n" if wrong else "")
    print(f"every Redis runs with {' '.join(REDIS)}")
    for procedure in PROCEDURES:
        if options.only in (None, procedure.__name__):
            began = time.monotonic()
            try:
                with Lab(options.bin.resolve(), options.model.resolve()) as lab:
                    said = procedure(lab)
            except (AssertionError, TimeoutError, OSError, subprocess.SubprocessError) as error:
                wrong.append(procedure.__name__)
                said = f"FAILED: {error or 'see the assertion'} {place(error)}"
            print(f"{procedure.__name__:20} {time.monotonic() - began:5.1f} s  {said}", flush=True)
    return 1 if wrong else 0


def place(error):
    """Returns the line of this file at which an error arose."""
    lines, trace = [], error.__traceback__
    while trace:
        if Path(trace.tb_frame.f_code.co_filename).name == Path(__file__).name:
            lines.append(trace.tb_lineno)
        trace = trace.tb_next
    return f"(line {lines[-1]})" if lines else ""


if __name__ == "__main__":
    sys.exit(main())
