"""Least worker-seconds for known arrivals, with which the p95 wait of each lane is at most its target.

The search is not exhaustive: it returns the best plan that it found, and a bound that no plan can beat. A plan says at
each time how many workers are ordered. Workers start and end as those of a policy do, delays included; the plan orders
them ahead, since it knows the future."""

import math
from dataclasses import dataclass

from fleet import Model
from manifests import FRAME_SECONDS, LANES
from outcome import quantile

SHARE = 0.95
BINS = 96
RUNS_MAX = 600


@dataclass(frozen=True)
class Found:
    """Best plan, its worker-seconds and p95 waits, and the worker-seconds of slots that are never empty."""
    plan: list[tuple[float, int]]
    worker_seconds: float
    waits: tuple[float, ...]
    bound: float
    runs: int


class Oracle:
    """Search for one recording."""

    def __init__(self, jobs, fleet, duration, least=0, bins=BINS, runs=RUNS_MAX):
        self.jobs, self.fleet, self.duration, self.least = jobs, fleet, duration, least
        self.width = duration / bins
        self.bins, self.runs_left, self.runs = bins, runs, 0

    def find(self):
        """Returns the best plan that was found."""
        best = self.first_plan()
        cost, waits = self.judge(best)
        block = self.bins
        while block >= 1 and self.runs_left > 0:
            lowered = False
            for start in range(0, self.bins, block):
                while self.runs_left > 0:
                    trial = [max(self.least, each - 1) if start <= place < start + block else each
                             for place, each in enumerate(best)]
                    if trial == best:
                        break
                    trial_cost, trial_waits = self.judge(trial)
                    if trial_waits is None or trial_cost >= cost:
                        break
                    best, cost, waits, lowered = trial, trial_cost, trial_waits, True
            if not lowered or block == 1:
                block //= 2
        return Found(self.orders(best), cost, waits, self.bound(), self.runs)

    def bound(self):
        """Returns the worker-seconds of all jobs on slots that are never empty."""
        return sum(self.took(job) for job in self.jobs) / self.fleet.slots

    def took(self, job):
        """Returns the seconds that a job takes of a slot."""
        return job.audio / (self.fleet.frames_per_second * FRAME_SECONDS) + self.fleet.overhead

    def first_plan(self):
        """Returns enough workers for each bin, were no job to wait, with more until the targets are met."""
        peaks = [0.0] * self.bins
        for at, running in self.concurrency():
            place = min(self.bins - 1, int(at / self.width))
            peaks[place] = max(peaks[place], running)
        plan = [max(self.least, math.ceil(peak / self.fleet.slots)) for peak in peaks]
        while self.judge(plan)[1] is None:
            if self.runs_left <= 0:
                raise RuntimeError("no plan meets the targets")
            plan = [each + max(1, each // 10) for each in plan]
        return plan

    def concurrency(self):
        """Lists times and numbers of running jobs, were no job to wait. Reserves count as if they were used."""
        slots = self.fleet.lane_slots()
        changes = []
        for job in self.jobs:
            weight = slots[0] / slots[job.lane]
            changes += [(job.at, weight), (job.at + self.took(job), -weight)]
        running, listed = 0.0, []
        for at, change in sorted(changes):
            running += change
            listed.append((at, running))
        return listed

    def orders(self, plan):
        """Returns times and numbers of ordered workers: each is ordered so early that it is ready for its bin."""
        ahead = self.fleet.start_delay[1] + self.fleet.load_delay[1]
        orders = [(0.0, plan[0])]
        for place in range(1, self.bins):
            if plan[place] != plan[place - 1]:
                early = ahead if plan[place] > plan[place - 1] else 0.0
                orders.append((max(0.0, place * self.width - early), plan[place]))
        # A step up that must be ordered before a step down would be undone by it: the larger number counts.
        steps, listed = sorted(orders, key=lambda order: order[0]), []
        for at, wanted in steps:
            later = [number for begin, number in self.begins(plan) if at <= begin <= at + ahead]
            listed.append((at, max([wanted, *later])))
        return listed

    def begins(self, plan):
        """Lists the bins' beginnings and numbers."""
        return [(place * self.width, number) for place, number in enumerate(plan)]

    def judge(self, plan):
        """Returns worker-seconds and p95 waits of a plan; no waits if a target is missed."""
        self.runs_left -= 1
        self.runs += 1
        orders = self.orders(plan)
        if not any(number for _, number in orders) and self.jobs:
            return math.inf, None
        try:
            run = Model(self.jobs, self.fleet, self.duration, plan=orders).run()
        except RuntimeError:
            return math.inf, None  # Jobs are left at the end, and no worker.
        waits = tuple(quantile(run.waits(lane), SHARE) for lane in range(len(LANES)))
        met = all(wait <= target for wait, target in zip(waits, self.fleet.target_waits))
        return run.worker_seconds(), waits if met else None
