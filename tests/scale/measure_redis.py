#!/usr/bin/env python3
"""Measures what the queue's calls cost Redis: the time of its main thread for each, with many workers in its lists.

  .venv/scale/bin/python tests/scale/measure_redis.py [--out tests/scale/redis_costs.json]

The scripts are those of the repository, called with the arguments of a gateway or a worker, on a redis-server of this
machine with an append-only file that is synced at every write. Calls come 16 at once over 16 connections, so that some
share a sync, as in a busy fleet. No gateway and no worker runs. The time includes reading, parsing, answering and
writing the file; it does not include waiting for the disk. Each figure is the smallest of three rounds.
"""

import argparse
import base64
import hashlib
import json
import os
import platform
import socket
import subprocess
import tempfile
import time
import uuid
from datetime import date
from pathlib import Path

import redis

ROOT = Path(__file__).resolve().parents[2]
LUA = ROOT / "shared/queue/src/queue/lua"
LIVE_LUA = ROOT / "shared/queue/src/live/lua"
# script.rs: WITH_ADMISSION.
WITH_ADMISSION = ("enqueue", "claim", "finish", "waits")
KEY = "csm:{q0}:"
LEASE_MS, TTL_MS, EVENTS_TTL_MS, EVENTS_MAX = 15_000, 24 * 3_600_000, 600_000, 4_096
FLEETS = (100, 1_000, 10_000)
CALLS, TOGETHER, ROUNDS = 1_600, 16, 3
# Connections that wait for a token at once.
WAITING = 1_000
WAKES = tuple(f"{KEY}wake:{lane}" for lane in ("suspects", "live", "standard", "bulk"))
START_SECONDS = 10
# Samples of five frames in base64, codes of five frames, a receipt: what csm-worker writes.
AUDIO_EVENT = json.dumps({"type": "progress", "frames": 5, "max_frames": 125, "audio": {
    "offset": 0, "samples": 9600, "pcm": base64.b64encode(bytes(19_200)).decode()}})
CODES_EVENT = json.dumps({"type": "progress", "frames": 5, "max_frames": 125})
CODES = bytes(5 * 32 * 2)
SPEC = json.dumps({"text": "x" * 120, "lane": "live", "settings": "y" * 500})
RECEIPT = json.dumps({"receipt": "z" * 700})
STATUS = json.dumps({"host": "csm-worker-6d8f7c9b5d-abcde", "model": "unsloth/csm-1b", "build": "0.1.0-0123456789ab",
                     "slots": 5, "running": 4, "lane_slots": [5, 4, 3], "frames_per_second": 62.5, "frames": 123456,
                     "draining": False})


class Server:
    """A Redis of its own, with the scripts loaded."""

    def __init__(self, folder):
        with socket.socket() as found:
            found.bind(("127.0.0.1", 0))
            port = found.getsockname()[1]
        words = ["redis-server", "--port", str(port), "--save", "", "--appendonly", "yes", "--appendfsync", "always",
                 "--dir", folder, "--maxclients", "20000"]
        self.process = subprocess.Popen(words, stdout=subprocess.DEVNULL)
        self.redis = redis.Redis(port=port, max_connections=4_000)
        end = time.monotonic() + START_SECONDS
        while True:
            try:
                self.redis.ping()
                break
            except redis.ConnectionError:
                if time.monotonic() > end:
                    raise
                time.sleep(0.05)
        prelude, admission = ((LUA / f"{name}.lua").read_text() for name in ("prelude", "admission"))
        self.scripts = {}
        for path in LUA.glob("*.lua"):
            more = admission if path.stem in WITH_ADMISSION else ""
            self.load(path.stem, f"{prelude}\n{more}\n{path.read_text()}")
        self.load("publish", (LIVE_LUA / "publish.lua").read_text())

    def load(self, name, text):
        """Loads a script."""
        self.scripts[name] = hashlib.sha1(text.encode()).hexdigest()
        self.redis.script_load(text)

    def script(self, name, *arguments, key=KEY):
        """Returns the command that calls a script with its one key."""
        return ("EVALSHA", self.scripts[name], 1, key, *arguments)

    def processor(self):
        """Returns the processor seconds of the main thread."""
        told = self.redis.info("cpu")
        return told["used_cpu_user_main_thread"] + told["used_cpu_sys_main_thread"]

    def connect(self, number):
        """Returns further connections."""
        return [self.redis.connection_pool.get_connection() for _ in range(number)]

    def cost(self, commands, take=None, width=TOGETHER):
        """Returns microseconds of the main thread for each of the commands, with `width` in flight at once."""
        connections = self.connect(width)
        before = self.processor()
        for start in range(0, len(commands), width):
            some = commands[start:start + width]
            for connection, command in zip(connections, some):
                connection.send_command(*command)
            for connection, command in zip(connections, some):
                answer = connection.read_response()
                if take:
                    take(command, answer)
        spent = (self.processor() - before) / max(1, len(commands)) * 1e6
        for connection in connections:
            self.redis.connection_pool.release(connection)
        return spent


class Load:
    """Commands of gateways and workers."""

    def __init__(self, server):
        self.server, self.owners, self.claims = server, [], []

    def register(self, number):
        """Adds reports of workers until there are as many, each a consumer of the three lanes."""
        added = [f"csm-worker-6d8f7c9b5d-abcde:{uuid.uuid4()}" for _ in range(number - len(self.owners))]
        self.owners += added
        self.server.cost([command for owner in added for command in (self.report(owner), self.claim(owner))])

    def report(self, owner):
        """Records the report of a worker (worker_report.rs)."""
        none = "0 0 0 0 0"
        return self.server.script("report", owner, STATUS, 62_500, 3_600_000, "5 4 3", none, none, none)

    def enqueue(self):
        """Accepts a live job of 5 s (enqueue.rs)."""
        return self.server.script("enqueue", str(uuid.uuid4()), "live", SPEC, 125, 63, "5.1.0.0", "default", "f" * 64,
                                  0, 0, 100_000, 0, 0, 1 << 40, 0, 0, "unsloth/csm-1b")

    def claim(self, owner):
        """Asks for a job of any lane (claim.rs)."""
        return self.server.script("claim", owner, "0.1.0", LEASE_MS, 64, 64, 0, 1, 1, 1, 0, 1_500, TTL_MS,
                                  uuid.uuid4().hex, 0, 2_000, 1_000, "unsloth/csm-1b")

    def claimed(self, command, answer):
        """Notes the lease of an answered claim."""
        if not answer or answer[0] != b"job":
            raise RuntimeError(f"claim answered {answer}")
        self.claims.append((answer[1], command[4], answer[2]))

    def beat(self, number):
        """Renews the lease of a claimed job (lease.rs)."""
        return self.server.script("beat", *self.claims[number], LEASE_MS)

    def finish(self, number):
        """Commits a claimed job (lease.rs)."""
        return self.server.script("finish", *self.claims[number], "succeeded", "receipt", RECEIPT, TTL_MS)

    def publish(self, number, event):
        """Writes an event of one of a hundred jobs (publish.rs)."""
        job = f"csm:{{j:{number % 100}}}"
        return self.server.script("publish", f"1-{number + 1}", EVENTS_TTL_MS, EVENTS_MAX, f"{job}:n", event, CODES,
                                  "codes", key=f"{job}:ev")

    def read(self, number):
        """Reads the event that was just written (event_log.rs)."""
        return ("XRANGE", f"csm:{{j:{number % 100}}}:ev", f"(1-{number}", "+", "COUNT", 32)


def jobs(load, first):
    """Returns the costs of a job's calls; `first` is the number of the first event."""
    server, numbers, costs = load.server, range(CALLS), {}
    events = range(first, first + CALLS)
    costs["enqueue"] = server.cost([load.enqueue() for _ in numbers])
    claims = [load.claim(load.owners[number % len(load.owners)]) for number in numbers]
    costs["claim"] = server.cost(claims, load.claimed)
    costs["beat"] = server.cost([load.beat(number) for number in numbers])
    costs["finish"] = server.cost([load.finish(number) for number in numbers])
    load.claims.clear()
    costs["publish_codes"] = server.cost([load.publish(number, CODES_EVENT) for number in events])
    costs["publish_audio"] = server.cost([load.publish(CALLS + number, AUDIO_EVENT) for number in events])
    costs["read_audio"] = server.cost([load.read(CALLS + number) for number in events[-100:]])
    server.redis.delete(*(f"csm:{{j:{number}}}:ev" for number in range(100)))
    # The tokens of jobs that were claimed, so that a wait finds none.
    server.redis.delete(*WAKES)
    return costs


def fleet(load):
    """Returns the costs of a fleet that does nothing."""
    server, owners, costs = load.server, load.owners, {}
    few = max(16, min(CALLS, 200_000 // len(owners)))
    costs["idle_claim"] = server.cost([load.claim(owners[number % len(owners)]) for number in range(CALLS)])
    costs["report"] = server.cost([load.report(owners[number % len(owners)]) for number in range(CALLS)])
    costs["waits"] = server.cost([server.script("waits")] * CALLS)
    costs["look"] = server.cost([("HGET", f"{KEY}book", "janitor")] * CALLS)
    costs["idle_wait"] = server.cost([("BLPOP", *WAKES, 1)] * 2 * WAITING, width=WAITING)
    costs["workers_read"] = server.cost([("HGETALL", f"{KEY}workers")] * few, width=1)
    costs["tidy"] = server.cost([server.script("tidy", "live", 150_000, 1_000)] * few, width=1)
    return costs


def least(rounds):
    """Returns the smallest figure of each name."""
    return {name: round(min(costs[name] for costs in rounds), 1) for name in rounds[0]}


def main():
    """Measures, and prints or writes the costs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        server = Server(folder)
        try:
            load, by_fleet = Load(server), {}
            load.register(FLEETS[0])
            by_job = least([jobs(load, 2 * CALLS * turn) for turn in range(ROUNDS)])
            for number in FLEETS:
                load.register(number)
                by_fleet[str(number)] = least([fleet(load) for _ in range(ROUNDS)])
            version = server.redis.info("server")["redis_version"]
        finally:
            server.process.terminate()
            server.process.wait()
    processor = next((line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines()
                      if line.startswith("model name")), platform.processor())
    found = {"made_by": "tests/scale/measure_redis.py", "date": date.today().isoformat(), "processor": processor,
             "cores": os.cpu_count(), "load": round(os.getloadavg()[0], 1), "redis": version,
             "unit": "microseconds of Redis' main thread a call",
             "by_job": by_job, "by_workers": by_fleet}
    text = json.dumps(found, indent=2) + "\n"
    print(text)
    if arguments.out:
        arguments.out.write_text(text)


if __name__ == "__main__":
    main()
