"""Model of one large fleet in counted steps, for 10^3 to 10^5 workers: jobs are numbers, not objects.

What is approximated, beside the steps themselves (0.5 s by default):
- The slots of all ready workers are one pool. Reserves hold for the pool, not for each worker.
- A job's audio is one of a few equally likely durations of its lane.
- Lanes divide the free slots of a step by weight; patience is left out, since no lane is passed over for a second.
- A wait is that of first come, first served within a lane, at the middle of a step.
- A worker that stops keeps its running jobs and is paid for until the mean of them ends; none is handed back.
- A killed worker's jobs wait for the lease, then begin anew.
`fleet.py` has none of these. `simulate.py compare` prints how far the two are apart."""

from collections import deque
from dataclasses import dataclass, field

import numpy as np

import curve
from fleet import UNKNOWN_RATE
from lanes import WEIGHTS
from manifests import FRAME_SECONDS, LANES

CLASSES = 16
STEP_SECONDS = 0.5


@dataclass
class Flow:
    """What came of a run. Waits are pairs of seconds and jobs, by lane."""
    seconds: float
    worker_seconds: float = 0.0
    busy_slot_seconds: float = 0.0
    audio: float = 0.0
    starts: int = 0
    stops: int = 0
    kills: int = 0
    most: int = 0
    waits: tuple[dict, dict, dict] = field(default_factory=lambda: ({}, {}, {}))
    history: list[tuple] = field(default_factory=list)

    def wait(self, lane, share):
        """Returns the wait that a share of a lane's jobs is not above."""
        rest = share * sum(self.waits[lane].values())
        for wait, jobs in sorted(self.waits[lane].items()):
            rest -= jobs
            if rest <= 0:
                return wait
        return 0.0


class Model:
    """One run over a day, or a part of it. `demand` returns audio seconds a second by lane at an array of times."""

    def __init__(self, fleet, scaler, demand, seconds, initial, seed=1, step=STEP_SECONDS, kills_per_hour=0.0,
                 pause=None):
        self.fleet, self.scaler, self.seconds, self.step = fleet, scaler, seconds, step
        self.random, self.kills_per_hour, self.pause = np.random.default_rng(seed), kills_per_hour, pause
        self.durations = [curve.classes(lane, CLASSES) for lane in range(3)]
        rate = fleet.frames_per_second * FRAME_SECONDS
        took = [durations / rate + fleet.overhead for durations in self.durations]
        self.steps_taken = [np.maximum(1, np.round(seconds_ / step)).astype(int) for seconds_ in took]
        self.mean_audio = [float(np.mean(durations)) for durations in self.durations]
        self.mean_took = [float(np.mean(seconds_)) for seconds_ in took]
        # Audio that a slot makes in a second, as workers measure it: overhead included.
        self.slot_rate = sum(self.mean_audio) / sum(self.mean_took)
        longest = max(int(steps.max()) for steps in self.steps_taken) + 1
        self.ends, self.at = np.zeros((longest, 3), dtype=np.int64), 0
        self.running, self.waiting = np.zeros(3, dtype=np.int64), np.zeros(3, dtype=np.int64)
        self.arrived = [deque() for _ in range(3)]
        rates = demand(np.arange(int(seconds / step)) * step) * step / np.array(self.mean_audio)[:, None]
        self.arrivals = self.random.poisson(rates).T.tolist()
        self.returns, self.starting = deque(), deque()
        # Workers that are there at the beginning have spoken before, so their rate is known.
        self.ready, self.replicas, self.spoken = initial, initial, initial > 0
        self.flow = Flow(seconds, most=initial)
        self.due = {"sync": 0.0, "poll": 0.0, "look": 0.0}
        self.seen = None

    def run(self):
        """Runs all steps, and returns what came of them."""
        for number in range(int(self.seconds / self.step)):
            now = number * self.step
            self.complete()
            self.come_ready(now)
            self.arrive(now, self.arrivals[number])
            if self.kills_per_hour:
                self.kill(now)
            self.autoscale(now)
            if not (self.pause and self.pause[0] <= now < self.pause[0] + self.pause[1]):
                self.claim(now)
            self.count(now)
        return self.flow

    def complete(self):
        """Ends the jobs of this step."""
        self.at = (self.at + 1) % len(self.ends)
        ended = self.ends[self.at]
        self.running -= ended
        self.spoken = self.spoken or bool(ended.any())
        ended[:] = 0

    def come_ready(self, now):
        """Adds the workers that have loaded."""
        while self.starting and self.starting[0][0] <= now:
            self.ready += self.starting.popleft()[1]

    def arrive(self, now, arrivals):
        """Accepts the jobs of this step, and those of killed workers."""
        for lane, jobs in enumerate(arrivals):
            if jobs:
                self.arrived[lane].append([now + self.step / 2, jobs, False])
                self.waiting[lane] += jobs
        while self.returns and self.returns[0][0] <= now:
            _, lost = self.returns.popleft()
            for lane in range(3):
                if lost[lane]:
                    self.arrived[lane].appendleft([now, int(lost[lane]), True])
                    self.waiting[lane] += lost[lane]

    def claim(self, now):
        """Gives free slots to lanes by weight, within the reserves."""
        slots = self.fleet.lane_slots()
        rooms = [self.ready * slots[0] - self.running.sum(), self.ready * slots[1] - self.running[1:].sum(),
                 self.ready * slots[2] - self.running[2]]
        while True:
            open_ = [lane for lane in range(3) if self.waiting[lane] and min(rooms[:lane + 1]) > 0]
            if not open_:
                return
            weights = sum(WEIGHTS[lane] / self.mean_audio[lane] for lane in open_)
            free, taken_any = rooms[0], False
            for lane in open_:
                share = max(1, int(free * WEIGHTS[lane] / self.mean_audio[lane] / weights))
                taken = int(min(share, self.waiting[lane], *rooms[:lane + 1]))
                if taken > 0:
                    self.begin(lane, taken, now)
                    rooms = [room - taken if place <= lane else room for place, room in enumerate(rooms)]
                    taken_any = True
            if not taken_any:
                return

    def begin(self, lane, number, now):
        """Begins jobs of a lane, the oldest first."""
        self.waiting[lane] -= number
        self.running[lane] += number
        of_class = self.random.multinomial(number, [1 / CLASSES] * CLASSES)
        np.add.at(self.ends[:, lane], (self.at + self.steps_taken[lane]) % len(self.ends), of_class)
        self.flow.audio += float(of_class @ self.durations[lane])
        waits, left = self.flow.waits[lane], number
        while left:
            entry = self.arrived[lane][0]
            taken = min(left, entry[1])
            if not entry[2]:
                wait = round(max(0.0, now - entry[0]), 2)
                waits[wait] = waits.get(wait, 0) + taken
            left -= taken
            entry[1] -= taken
            if not entry[1]:
                self.arrived[lane].popleft()

    def kill(self, now):
        """Kills workers without a word; the autoscaler's number stays, so others are ordered."""
        killed = min(self.ready, int(self.random.poisson(self.ready * self.kills_per_hour * self.step / 3600)))
        if not killed:
            return
        lost = self.random.binomial(self.running, killed / self.ready)
        self.ready -= killed
        self.flow.kills += killed
        for lane in range(3):
            left = int(lost[lane])
            self.running[lane] -= left
            # Which of the running jobs are lost does not depend on when they would have ended.
            ends = self.ends[:, lane]
            if left:
                ends -= self.random.multivariate_hypergeometric(ends, left)
        self.returns.append((now + self.fleet.lease, lost))
        self.order(killed, now)

    def autoscale(self, now):
        """Lets the autoscaler look, poll and decide, each in its own period."""
        if now >= self.due["look"]:
            rate = self.slot_rate if self.spoken else UNKNOWN_RATE
            waiting = self.waiting * self.mean_audio
            more = np.ceil(waiting / (rate * np.array(self.fleet.target_waits)))
            wanted = np.minimum(more, self.waiting) + self.running
            frames = self.ready * self.fleet.slots * rate / FRAME_SECONDS if self.spoken else 0.0
            backlog = float((waiting + self.running * self.mean_audio).sum())
            self.seen = self.scaler.values(dict(zip(LANES, wanted)), backlog, frames)
            self.due["look"] += self.fleet.metric_age
        if self.scaler.polling and now >= self.due["poll"]:
            self.scale(self.scaler.poll(now, self.replicas, self.seen), now)
            self.due["poll"] += self.scaler.polling
        if now >= self.due["sync"]:
            self.scale(self.scaler.step(now, self.replicas, self.ready, self.seen), now)
            self.due["sync"] += self.scaler.sync

    def scale(self, replicas, now):
        """Orders and stops workers."""
        change, self.replicas = replicas - self.replicas, replicas
        self.flow.most = max(self.flow.most, replicas)
        if change > 0:
            self.order(change, now)
        else:
            self.stop(-change)

    def order(self, number, now):
        """Orders workers."""
        self.flow.starts += number
        delays = self.random.uniform(*self.fleet.start_delay) + self.random.uniform(*self.fleet.load_delay)
        self.starting.append((now + delays, number))
        self.starting = deque(sorted(self.starting))

    def stop(self, number):
        """Stops workers: those that start first, then those that have least to do."""
        self.flow.stops += number
        while number and self.starting:
            at, starting = self.starting.pop()
            if starting > number:
                self.starting.append((at, starting - number))
            number -= min(number, starting)
        if number:
            free = max(0.0, 1 - self.running.sum() / max(1, self.ready * self.fleet.slots))
            idle = self.ready * free ** self.fleet.slots
            busy = max(0.0, number - idle)
            mean = float(np.dot(self.mean_took, self.running) / max(1, self.running.sum()))
            self.flow.worker_seconds += busy * min(self.fleet.drain, mean)
            self.ready -= number

    def count(self, now):
        """Adds this step to the sums."""
        workers = self.ready + sum(number for _, number in self.starting)
        self.flow.worker_seconds += workers * self.step
        self.flow.busy_slot_seconds += float(self.running.sum()) * self.step
        if now % 60 < self.step:
            self.flow.history.append((now, self.replicas, self.ready, int(self.running.sum()), int(self.waiting.sum())))
