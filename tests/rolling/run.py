#!/usr/bin/env python3
"""Restarts each component of a fleet again and again, as a rolling update does, while callers use every surface.

Fails if a call fails, an attempt is charged, or a byte is missing. A call fails if its first try does: whether the
client's own tries then bring the result is shown beside it, as `lost`.
"""

import argparse
import json
import shutil
import signal
import sys
import time

from cluster import Cluster
from fleet import until
from http_callers import HTTP_CALLERS
from ledger import HEADS, Ledger, table
from socket_callers import SOCKET_CALLERS

ROUNDS = 5
REDIS_AWAY_SECONDS = 5.0
# The bulk pool has 5 s, in which the toy voice ends all of its jobs. With 0 they are handed back.
SPOT_DRAIN_SECONDS = 0
# Longest time until all jobs have ended once nobody calls any more.
END_SECONDS = 120
# Longest time for the last call of each caller.
LAST_CALL_SECONDS = 240
# Jobs with more than one attempt, and digests of the results of one tenant.
SURVEY = """
local cursor, again, digests = '0', {}, {}
repeat
  local page = redis.call('SCAN', cursor, 'MATCH', KEYS[1], 'COUNT', 1000)
  cursor = page[1]
  for _, key in ipairs(page[2]) do
    local job = redis.call('HMGET', key, 'attempt', 'failures', 'crashes', 'tenant', 'receipt')
    if tonumber(job[1] or 0) > 1 or tonumber(job[2] or 0) > 0 or tonumber(job[3] or 0) > 0 then
      again[key] = {tonumber(job[1] or 0), tonumber(job[2] or 0) + tonumber(job[3] or 0)}
    end
    if job[4] == ARGV[1] and job[5] then digests[#digests + 1] = cjson.decode(job[5]).sha256 end
  end
until cursor == '0'
return cjson.encode({again = again, digests = digests})
"""


def arguments():
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bin", required=True, help="folder of csm-gateway and csm-worker")
    parser.add_argument("--model", required=True, help="folder of the model")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--seed", type=int, default=1, help="of the times at which the Service hears of an end")
    parser.add_argument("--only", default="", help="components, separated by commas")
    parser.add_argument("--redis-away", type=float, default=REDIS_AWAY_SECONDS, help="seconds without any Redis")
    parser.add_argument("--pre-stop", type=int, help="seconds before SIGTERM of a gateway, in place of the manifest's")
    parser.add_argument("--spot-drain", type=int, default=SPOT_DRAIN_SECONDS,
                        help="drain of the worker on a spot node, in seconds")
    return parser.parse_args()


class Rollout:
    """A cluster under load, and the restarts of its components."""

    def __init__(self, options):
        self.options, self.ledger = options, Ledger()
        self.cluster = Cluster(options)
        self.again, self.callers = {}, []

    def components(self):
        """Returns the components by name, each with the function that restarts it."""
        cluster = self.cluster
        drains = {kind: cluster.specs[kind].settings["CSM_DRAIN_SECONDS"] for kind in ("worker", "spot")}
        return {
            "gateway-a": lambda: cluster.roll_gateway(0), "gateway-b": lambda: cluster.roll_gateway(1),
            f"worker-drain-{drains['worker']}s": lambda: cluster.roll_worker("worker"),
            f"worker-drain-{drains['spot']}s": lambda: cluster.roll_worker("spot"), "redis": cluster.roll_redis}

    def chosen(self):
        """Returns the components that the command line asks for."""
        known, names = self.components(), [name for name in self.options.only.split(",") if name]
        if unknown := set(names) - set(known):
            sys.exit(f"no such component: {', '.join(sorted(unknown))}; there are: {', '.join(known)}")
        return {name: roll for name, roll in known.items() if name in names or not names}

    def run(self):
        """Speaks undisturbed, restarts everything under load, and waits for the last jobs."""
        self.cluster.begin()
        port = self.cluster.service.port
        self.callers = [caller(port, self.ledger, {}) for caller in (*HTTP_CALLERS, *SOCKET_CALLERS)]
        # The first result of each text is the one that all later ones are compared with.
        for caller in self.callers:
            for number in range(len(getattr(caller, "texts", "1"))):
                if lost := caller.call_once(number).lost:
                    raise AssertionError(f"{caller.surface}, undisturbed: {lost}")
        self.survey(self.ledger.restarts[0])
        for caller in self.callers:
            caller.start()
        self.settle()
        print("  ".join(HEADS), flush=True)
        for number in range(1, self.options.rounds + 1):
            for component, roll in self.chosen().items():
                self.restart(component, number, roll)
        self.finish()

    def restart(self, component, number, roll):
        """Restarts a component, and waits until every surface has spoken again."""
        restart = self.ledger.begin(component, number)
        self.cluster.marks = restart.marks
        roll()
        restart.done = restart.marks["ready"] = time.monotonic()
        self.settle()
        self.survey(restart)
        print("  ".join(restart.row()), *restart.faults(), sep="\n", flush=True)

    def settle(self):
        """Waits until every surface has spoken."""
        self.ledger.settle({caller.surface for caller in self.callers if caller.awaited})

    def survey(self, restart):
        """Counts attempts since the last survey, and looks for the samples that have no reference."""
        found = json.loads(self.cluster.redis("EVAL", SURVEY, "1", "csm:{q*}:job:*", "realtime"))
        again = dict(found["again"] or {})
        for job, (attempts, charged) in again.items():
            attempts_before, charged_before = self.again.get(job, (1, 0))
            restart.burned += charged - charged_before
            restart.handed_back += attempts - attempts_before - (charged - charged_before)
        self.again |= again
        self.ledger.check_digests(set(found["digests"]))

    def finish(self):
        """Lets the callers stop, and waits until no job is open."""
        for caller in self.callers:
            caller.stop()
        for caller in self.callers:
            caller.join(LAST_CALL_SECONDS)
            if caller.is_alive():
                self.cluster.faults.append(f"{caller.surface}: a call without an end")
        until("the end of all jobs", lambda: self.cluster.redis("SCARD", "csm:{q0}:open").strip() == "0", END_SECONDS)
        self.survey(self.ledger.restarts[-1])
        if (dead := self.cluster.redis("XLEN", "csm:{q0}:dlq").strip()) != "0":
            self.cluster.faults.append(f"{dead} dead letters")

    def report(self):
        """Prints what happened; returns whether nothing failed."""
        restarts = self.ledger.restarts
        print("\n" + table(HEADS, [restart.row() for restart in restarts]))
        print("\n" + table(["surface", "calls", "failed", "lost"], self.ledger.surfaces()))
        faults = [*(fault for restart in restarts for fault in restart.faults()), *self.cluster.faults]
        print(f"\n{len(faults)} faults", *faults, sep="\n")
        missing = sum(call.missing for restart in restarts for call in restart.calls)
        return not faults and not missing and not any(restart.burned for restart in restarts)


def main():
    """Runs the restarts; exits with 1 if anything failed."""
    # So that what was started is ended.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    rollout = Rollout(arguments())
    passed = False
    try:
        rollout.run()
        passed = rollout.report()
    except (AssertionError, TimeoutError):
        rollout.report()
        raise
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        rollout.cluster.end()
        if passed:
            shutil.rmtree(rollout.cluster.folder)
        else:
            print(f"logs: {rollout.cluster.folder}", file=sys.stderr)
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
