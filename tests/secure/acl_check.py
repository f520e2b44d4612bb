#!/usr/bin/env python3
"""Uses a whole fleet over TLS under the shipped rules of Redis, and prints who uses which command. Fails if a program was
denied what it needs, if a rule permits what nobody uses, if Redis does what the rules leave out, or if a log has a
password."""

import argparse
import json
import re
import subprocess
import sys
import time
from pathlib import Path

import exercise
from secure_fleet import ACL, ROOT, SecureFleet, faults_of, http, make_secrets, until
from watch import Monitor

# Programs try it, and do without: CONFIG GET also shows passwords of the server.
DENIED_BY_INTENT = {("config|get", "csm-gateway"), ("config|get", "csm-worker")}
# Permitted commands that this run may not see, with the reason.
JANITOR = "housekeeping, which one process at a time has: gateways and workers both can"
UNSEEN = {
    "client|setinfo": "from Redis 7.2",
    "waitaof": "from Redis 7.2",
    "config|get": "MONITOR leaves it out",
    "xgroup|delconsumer": "a worker that was away for 150 s",
    "lpop": "jobs of a tenant beyond --tenant-running-max",
    "rpush": "the same, and recordings for a worker with SilentCipher",
    "set": "a suspect while no worker is idle, --tenant-rate-max",
    "del": "a suspect while no worker is idle",
    "sadd": "parked jobs",
    "ltrim": "more wake tokens than workers",
    "llen": "recordings for a worker with SilentCipher",
    "blpop": "the same, at a gateway",
    "expire": "the same",
    "zremrangebyscore": "the same",
    "get": "a suspect while no worker is idle",
    "zcard": "the same",
    "xpending": JANITOR, "xtrim": JANITOR, "xinfo|groups": JANITOR, "xinfo|consumers": JANITOR, "sscan": JANITOR,
    "srandmember": JANITOR, "zscore": JANITOR, "zrange": JANITOR, "zrem": JANITOR, "srem": JANITOR, "unlink": JANITOR,
    "publish": JANITOR, "xrevrange": JANITOR, "xack": JANITOR, "xdel": JANITOR, "zrangebyscore": JANITOR,
    "unwatch": "a connection that was idle for a second", "ping": "the same",
}
JOBS_OVER_RESTART = 5
# What each user must be refused.
REFUSED = {
    "gateway": (["FLUSHALL"], ["KEYS", "*"], ["CONFIG", "GET", "requirepass"], ["EVAL", "return 1", "0"], ["SHUTDOWN"],
                ["ACL", "LIST"], ["GET", "other:key"], ["SUBSCRIBE", "other"], ["CLIENT", "KILL", "TYPE", "normal"]),
    "worker": (["FLUSHALL"], ["MONITOR"], ["SAVE"], ["GET", "csm:id-secret"], ["GET", "csm:{batches}:file:x"],
               ["HGETALL", "csm:{q0}:workers"], ["REPLICAOF", "127.0.0.1", "1"], ["MODULE", "LIST"]),
    "operator": (["FLUSHALL"], ["CONFIG", "SET", "dir", "/tmp"], ["DEL", "csm:{q0}:dlq"], ["GET", "csm:id-secret"],
                 ["PUBLISH", "csm:{j:x}:n", "1"]),
}


class WatchedFleet(SecureFleet):
    """Fleet whose programs reach Redis over lines that tell them apart."""

    worker_settings = ()
    durable = ()
    monitor = None

    def url(self, user):
        """Returns the URL of a user's line."""
        return super().url(user).replace(f":{self.redis_port}", f":{self.monitor.lines[user].address}")


def permitted():
    """Returns the commands of the shipped rules by user."""
    found, user = {}, None
    for line in ACL.read_text().splitlines():
        if not line.lstrip().startswith("# "):
            if line.startswith("user "):
                user = found.setdefault(line.split()[1].removeprefix("csm-"), set())
            if user is not None:
                user |= set(re.findall(r"\+([a-z|]+)", line))
    return {name: commands for name, commands in found.items() if name in REFUSED}


def denials(fleet):
    """Returns what Redis has denied, as pairs of a command and a user."""
    entries = json.loads(fleet.redis("--json", "ACL", "LOG", "128"))
    return {(entry["object"], entry["username"]) for entry in entries}


def compare(counts, rules):
    """Prints who uses which command; yields what is permitted and not used."""
    print(f"\n{'command':20} {'gateway':>8} {'worker':>8} {'operator':>8}")
    for name in sorted(set().union(*rules.values())):
        shown = []
        for user, commands in rules.items():
            count = counts[name][user]
            shown.append(str(count) if count else "rare" if name in commands else "-")
            if name in commands and not count and name not in UNSEEN:
                yield f"csm-{user} may {name} and does not"
        print(f"{name:20} {shown[0]:>8} {shown[1]:>8} {shown[2]:>8}")


def refusals(fleet):
    """Tries what the rules leave out; yields what Redis did nevertheless."""
    for user, commands in REFUSED.items():
        for words in commands:
            done = subprocess.run(fleet.redis_cli(user, *words), capture_output=True, text=True, timeout=10)
            if "NOPERM" not in done.stdout + done.stderr:
                yield f"csm-{user} may {' '.join(words)}: {done.stdout}{done.stderr}"
    script = fleet.redis_cli("worker", "SCRIPT", "LOAD", "return redis.call('KEYS', '*')")
    digest = subprocess.run(script, capture_output=True, text=True, check=True).stdout.strip()
    done = subprocess.run(fleet.redis_cli("worker", "EVALSHA", digest, "0"), capture_output=True, text=True)
    # Redis' text, then Valkey's.
    if "can't run this command" not in done.stdout and "ACL failure in script" not in done.stdout:
        yield f"a script of csm-worker may KEYS: {done.stdout}"
    other = make_secrets(fleet.folder / "other") / "tls/ca.crt"
    stranger = [word if word != str(fleet.authority) else str(other) for word in fleet.redis_cli("worker", "PING")]
    if subprocess.run(stranger, capture_output=True).returncode == 0:
        yield "redis-cli takes a certificate of another authority"


def rotation(fleet):
    """Replaces the gateway's password in the order of docs/redis.md, and puts the old one back."""
    old, new = fleet.passwords["gateway"], "a-new-password-of-the-gateway"
    fleet.redis("ACL", "SETUSER", "csm-gateway", f">{new}")
    fleet.passwords["gateway"] = new
    fleet.start_program("gateway", "gateway-2")
    fleet.redis("ACL", "SETUSER", "csm-gateway", f"<{old}")
    # The first gateway's connections stay; those that it opens from now on are refused.
    exercise.end(fleet, exercise.submit(fleet, "gateway-1"))
    fleet.redis("CLIENT", "KILL", "USER", "csm-gateway")
    until("a gateway with the old password says so", lambda: b"authentication failed" in ready(fleet, "gateway-1"))
    until("a gateway with the new password goes on", lambda: b'"ready"' in ready(fleet, "gateway-2"))
    exercise.submit(fleet, "gateway-2")
    fleet.passwords |= {"gateway": new, "former": old}
    fleet.redis("ACL", "SETUSER", "csm-gateway", f">{old}")
    until("a gateway whose password is back goes on", lambda: b'"ready"' in ready(fleet, "gateway-1"))


def restart(fleet):
    """Kills Redis with jobs in it and starts it again; yields what is gone."""
    fleet.kill("worker-1")
    jobs = [exercise.submit(fleet, "gateway-1") for _ in range(JOBS_OVER_RESTART)]
    before = {key for key in fleet.redis("KEYS", "*").split() if fleet.redis("TTL", key).strip() == "-1"}
    fleet.kill("redis")
    fleet.start_redis(*fleet.durable)
    lost = before - set(fleet.redis("KEYS", "*").split())
    if lost:
        yield f"a restart of Redis lost {sorted(lost)}"
        return
    fleet.start_program("worker", "worker-1", *fleet.worker_settings)
    for job in jobs:
        exercise.end(fleet, job)


def ready(fleet, name):
    """Returns what a process says of its readiness."""
    return http(f"http://127.0.0.1:{fleet.admin[name]}/readyz")[1]


def leaks(fleet):
    """Yields the logs that hold a password."""
    for log in sorted(fleet.folder.glob("*.log")):
        text = log.read_text(errors="replace")
        if any(password in text for password in fleet.passwords.values()):
            yield f"{log.name} holds a password"


def check(fleet):
    """Runs the check; returns a list of faults."""
    fleet.durable = ("--appendonly", "yes", "--appendfsync", "always", "--dir", str(fleet.folder))
    fleet.start_redis(*fleet.durable)
    fleet.monitor = Monitor(fleet)
    fleet.start_program("gateway", "gateway-1", "--tenant-running-max", "3")
    fleet.start_program("worker", "worker-1", *fleet.worker_settings)
    doctor = exercise.everything(fleet)
    faults = [f"{user} was denied {name}" for name, user in sorted(denials(fleet) - DENIED_BY_INTENT)]
    found = next(found for found in doctor["checks"] if found["check"] == "redis")
    faults += [f"doctor: {found}"] if found["verdict"] == "problem" else []
    counts = fleet.monitor.commands()
    fleet.kill("monitor")
    faults += compare(counts, permitted())
    faults += refusals(fleet)
    faults += restart(fleet)
    rotation(fleet)
    return [*faults, *leaks(fleet)]


def main():
    """Runs the check; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bin", type=Path, required=True, help="folder with csm, csm-gateway and csm-worker")
    parser.add_argument("--model", type=Path, default=ROOT / "cli/tiny/model")
    parser.add_argument("--trust", default="CSM_REDIS_CA", help="variable that names the authority of Redis")
    options = parser.parse_args()
    began, fleet = time.monotonic(), WatchedFleet(options.bin.resolve(), options.model.resolve(), options.trust)
    faults = faults_of(fleet, check)
    print(f"rules of Redis: {len(faults)} faults; {time.monotonic() - began:.0f} s")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
