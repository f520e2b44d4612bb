"""Celery on Redis, measured: no-op jobs per second, and the wait from the enqueue call to the handler's start.

    python peer.py --redis URL --jobs N --consumers C --latency-jobs M

Celery's worker is a program of its own: this process is the producer, and each five consumers are one
`celery worker`. The last line of stdout is one JSON object; see ../README.md for what its fields mean.
"""

import argparse
import json
import math
import mmap
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import celery
import redis

WARM_UP = 200  # jobs before anything is measured
IN_FLIGHT = 16  # enqueue calls in flight while throughput is measured
GAP = 0.005  # time between two enqueue calls while latency is measured, in seconds
PATIENCE = 600  # a measurement without an end after this many seconds has failed
PER_WORKER = 5  # consumers of one worker, as one of our worker processes runs five slots
POOL = os.environ.get("QUEUE_PEER_POOL", "threads")  # or prefork, Celery's default

# A worker gets these two from the producer's process.
NAME = os.environ.setdefault("QUEUE_PEER_NAME", f"queue-peer-{os.getpid()}-{time.time_ns()}")
BOARD = os.environ.get("QUEUE_PEER_BOARD")


def application(url: str) -> celery.Celery:
    """The app of both sides: late acknowledgement, no results kept, all keys named after this run."""
    app = celery.Celery(NAME, broker=url)
    app.conf.update(
        task_default_queue=NAME,
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        task_ignore_result=True,
        broker_transport_options={
            "unacked_key": f"{NAME}.unacked",
            "unacked_index_key": f"{NAME}.unacked_index",
            "unacked_mutex_key": f"{NAME}.unacked_mutex",
        },
        broker_pool_limit=IN_FLIGHT,
        broker_connection_retry_on_startup=True,
        worker_enable_remote_control=False,
    )
    return app


def open_board(path: str) -> memoryview:
    """When each job's handler began, in ns of the machine's monotonic clock; 0 is not yet. All processes share it."""
    with open(path, "r+b") as file:
        return memoryview(mmap.mmap(file.fileno(), 0)).cast("q")


app = application(os.environ.get("QUEUE_PEER_REDIS", "redis://127.0.0.1:6379"))
began = open_board(BOARD) if BOARD else None


@app.task(name="bench")
def bench(job: dict) -> None:
    if began[job["n"]] == 0:
        began[job["n"]] = time.monotonic_ns()


def main() -> None:
    args = arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that the workers end with this process
    os.environ["QUEUE_PEER_REDIS"] = args.redis
    app.conf.broker_url = args.redis
    client = redis.Redis.from_url(args.redis)
    client.ping()  # Celery itself would go on trying
    workers = []
    with tempfile.NamedTemporaryFile(prefix="queue-peer-") as file:
        file.truncate(8 * (WARM_UP + args.jobs + args.latency_jobs))
        os.environ["QUEUE_PEER_BOARD"] = file.name
        run = Run(client, open_board(file.name))
        try:
            workers = [start_worker(index, slots) for index, slots in enumerate(workers_of(args.consumers))]
            run.throughput(0, WARM_UP)
            enqueue_seconds, seconds = run.throughput(WARM_UP, args.jobs)
            p50, p99 = run.latency(WARM_UP + args.jobs, args.latency_jobs)
        finally:
            run.end()
            for worker in workers:
                worker.terminate()
            for worker in workers:
                worker.wait()
            delete_keys(client)
    line = {
        "peer": "celery",
        "version": celery.__version__,
        "jobs": args.jobs,
        "enqueue_seconds": enqueue_seconds,
        "jobs_per_second": args.jobs / seconds,
        "wait_p50_ms": p50,
        "wait_p99_ms": p99,
        "guarantee": "at least once: acks_late, unacknowledged jobs return after the visibility timeout (1 h)",
        "shape": f"producer in one process, one worker process ({POOL} pool) per 5 consumers",
    }
    print(json.dumps(line))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--redis", required=True)
    parser.add_argument("--jobs", type=int, required=True)
    parser.add_argument("--consumers", type=int, default=PER_WORKER)
    parser.add_argument("--latency-jobs", type=int, default=0)
    return parser.parse_args()


def workers_of(consumers: int) -> list[int]:
    """Slots of each worker: fives, and the rest."""
    full, rest = divmod(consumers, PER_WORKER)
    return [PER_WORKER] * full + ([rest] if rest else [])


def start_worker(index: int, slots: int) -> subprocess.Popen:
    command = [sys.executable, "-m", "celery", "-A", "peer", "worker", f"--pool={POOL}", f"--concurrency={slots}"]
    command += [f"--hostname={NAME}-{index}@%h", "--without-gossip", "--without-mingle", "--without-heartbeat"]
    command += ["--loglevel=WARNING"]
    return subprocess.Popen(command, cwd=Path(__file__).parent, stdout=sys.stderr)


class Run:
    """The two measurements."""

    def __init__(self, client: redis.Redis, began: memoryview):
        self.client = client
        self.began = began
        self.calls = ThreadPoolExecutor(IN_FLIGHT)
        self.over = False

    def end(self) -> None:
        """No enqueue call starts after this, and none is under way."""
        self.over = True
        self.calls.shutdown(cancel_futures=True)

    def throughput(self, first: int, jobs: int) -> tuple[float, float]:
        """Seconds until the last enqueue call returned, and until the last job was acknowledged."""
        numbers, lock = iter(range(first, first + jobs)), threading.Lock()

        def caller() -> None:
            while True:
                with lock:
                    n = next(numbers, None)
                if n is None or self.over:
                    return
                bench.apply_async((payload(n),))

        start = time.monotonic()
        for call in [self.calls.submit(caller) for _ in range(IN_FLIGHT)]:
            call.result()
        enqueue_seconds = time.monotonic() - start
        self.all_acknowledged(first, jobs)
        return enqueue_seconds, time.monotonic() - start

    def latency(self, first: int, jobs: int) -> tuple[float, float]:
        """One job every GAP, whatever becomes of the earlier ones: p50 and p99 of the waits in ms."""
        if jobs == 0:
            return 0.0, 0.0
        asked = [0] * jobs

        def caller(k: int) -> None:
            job = payload(first + k)
            asked[k] = time.monotonic_ns()
            bench.apply_async((job,))

        start = time.monotonic()
        calls = []
        for k in range(jobs):
            early = start + k * GAP - time.monotonic()
            if early > 0:
                time.sleep(early)
            calls.append(self.calls.submit(caller, k))
        for call in calls:
            call.result()
        self.all_acknowledged(first, jobs)
        waits = sorted((self.began[first + k] - asked[k]) / 1e6 for k in range(jobs))
        return tuple(waits[math.ceil(share * jobs) - 1] for share in (0.50, 0.99))

    def all_acknowledged(self, first: int, jobs: int) -> None:
        give_up = time.monotonic() + PATIENCE
        for n in range(first, first + jobs):
            while self.began[n] == 0:
                if time.monotonic() > give_up:
                    raise TimeoutError(f"job {n} was never run")
                time.sleep(0.001)
        while self.client.zcard(f"{NAME}.unacked_index") > 0:
            if time.monotonic() > give_up:
                raise TimeoutError("jobs stay unacknowledged")
            time.sleep(0.001)


def payload(n: int) -> dict:
    """What a job carries: 300 bytes as JSON without spaces."""
    job = {"n": n, "voice": "default", "format": "wav", "text": "Every job carries a line of text to be spoken. " * 6}
    spare = len(json.dumps(job, separators=(",", ":"))) - 300
    job["text"] = job["text"][:-spare]
    return job


def delete_keys(client: redis.Redis) -> None:
    """Removes every key that has this run's name in it."""
    for key in client.scan_iter(f"*{NAME}*", 1000):
        client.unlink(key)


if __name__ == "__main__":
    main()
