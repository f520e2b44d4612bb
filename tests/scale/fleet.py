"""Event-driven model of one fleet, job by job: arrivals, lanes, claims, slots, starts, drains, kills and an autoscaler.

What is modelled is what the scripts and the worker do: the lane of a claim by start-time fair queueing with patience
(claim.lua), reserves (claim.rs), waits for tokens (wake.rs), suspects that run alone (claim.lua), a drain that hands
jobs back (runner.rs), wanted slots (desired_slots.rs). Calls to Redis take no time here, unless a recorded run says how
long its machine took. They are milliseconds, and `redis_load.py` says what they cost."""

import bisect
import heapq
import math
import random
from collections import OrderedDict, deque
from itertools import count

from lanes import BULK, LIVE, STANDARD, WAIT_SECONDS, Turns, Waits
from manifests import FRAME_SECONDS, LANES
from outcome import Run, Task, Worker
from recording import Fleet

# desired_slots.rs: UNKNOWN_RATE.
UNKNOWN_RATE = 1.0
# Times that were seen just before and just after a moment, of which one is drawn.
NEAR = 3
# A bound on the events of one run.
EVENTS_MAX = 100_000_000


class Model:
    """One run. `scaler` may be None if `plan`, a list of (time, replicas), says how many workers there are."""

    def __init__(self, jobs, fleet: Fleet, duration, scaler=None, initial=1, kills=(), plan=(), seed=1, phases=False):
        self.jobs, self.fleet, self.duration, self.scaler = jobs, fleet, duration, scaler
        self.random = random.Random(seed)
        self.now, self.heap, self.order = 0.0, [], count()
        self.queues = (deque(), deque(), deque())
        self.waiting_audio, self.running_audio, self.running = [0.0] * 3, 0.0, [0] * 3
        self.suspects, self.open = deque(), 0
        self.lane_slots = fleet.lane_slots()
        self.turns, self.waits = Turns(), Waits()
        self.workers, self.alive, self.tasks = [], OrderedDict(), []
        self.replicas, self.seen, self.history = 0, None, []
        self.spoken_audio = self.spoken_seconds = 0.0
        self.handlers = {"end": self.on_end, "ready": self.on_ready, "sync": self.on_sync, "poll": self.on_poll,
                         "push": self.on_push, "look": self.on_look, "kill": self.on_kill, "dead": self.on_dead,
                         "drained": self.on_drained, "return": self.on_return, "plan": self.scale,
                         "waited": self.on_waited}
        self.begin(initial, kills, plan, phases)

    def begin(self, initial, kills, plan, phases):
        """Starts the first workers, which are ready, and plans what is known.

        With `phases` the autoscaler's periods begin at random times, since those of a real one are not known."""
        for _ in range(initial if not plan else plan[0][1]):
            self.start(ready=True)
        self.replicas = len(self.alive)
        self.note()
        for at, grace in kills:
            self.plan(at, "kill", grace)
        for at, replicas in plan[1:]:
            self.plan(at, "plan", replicas)
        if self.scaler:
            self.on_look()
            spread = self.random.random() if phases else 0.0
            self.plan(spread * self.scaler.sync, "sync")
            if self.scaler.polling:
                self.plan(spread * self.scaler.polling, "poll")

    def plan(self, at, kind, *arguments):
        """Plans an event."""
        heapq.heappush(self.heap, (at, next(self.order), kind, arguments))

    def run(self):
        """Runs until all jobs have ended, and returns what came of it."""
        arrivals, at, events = self.jobs, 0, 0
        while at < len(arrivals) or self.open or (self.heap and self.now < self.duration):
            events += 1
            if events > EVENTS_MAX:
                raise RuntimeError("too many events")
            if at < len(arrivals) and (not self.heap or arrivals[at].at <= self.heap[0][0]):
                self.now = arrivals[at].at
                self.arrive(arrivals[at])
                at += 1
            elif self.heap:
                self.now, _, kind, arguments = heapq.heappop(self.heap)
                self.handlers[kind](*arguments)
            else:
                raise RuntimeError(f"{self.open} jobs wait, and nothing will happen")
        return Run(self.tasks, self.workers, self.history, self.duration, events)

    # Jobs.

    def arrive(self, job):
        """Accepts a job."""
        task = Task(job, job.audio)
        self.tasks.append(task)
        self.open += 1
        self.enqueue(task)
        if self.open == 1 and self.scaler and self.scaler.push:
            self.plan(self.now + self.random.uniform(0.0, self.fleet.push_delay), "push")

    def enqueue(self, task):
        """Puts a job at the end of its lane, and wakes a worker that would take it."""
        lane = task.job.lane
        self.waiting_audio[lane] += task.left
        if task.suspect:
            self.suspects.append(task)
            self.serve_suspects()
            return
        self.queues[lane].append(task)
        worker = self.waits.push(lane)
        if worker:
            self.wake(worker)

    def on_waited(self, worker, number):
        """Ends a wait that no token has ended."""
        if self.waits.end(worker, number):
            self.wake(worker)

    def wake(self, worker):
        """Lets a worker whose wait is over claim, or notice that it is to end. One that does not idle does neither."""
        if worker.idles and worker.claims:
            self.claim(worker)
        elif worker.idles:
            self.leave_loop(worker)

    def accepts(self, worker, lane):
        """Tells whether a worker takes one more job of a lane (WorkerCapacity::accepts)."""
        if len(worker.running) >= self.fleet.slots:
            return False
        held = worker.lanes
        if lane == LIVE:
            return True
        if self.fleet.live_reserve and held[STANDARD] + held[BULK] >= self.lane_slots[STANDARD]:
            return False
        return lane == STANDARD or held[BULK] < self.lane_slots[BULK]

    def claim(self, worker):
        """Lets a worker take jobs until it has no slot or finds none."""
        worker.idles = False
        while worker.claims and len(worker.running) < self.fleet.slots:
            if self.suspects and not worker.running:
                self.begin_alone(worker)
                return
            if worker.warden:
                return
            accepted = [lane for lane in range(3) if self.accepts(worker, lane)]
            lane = self.turns.next(self.now, accepted, self.queues)
            if lane is None:
                break
            self.begin_task(worker, self.queues[lane].popleft())
        if worker.claims and len(worker.running) < self.fleet.slots:
            worker.idles = True
            if not self.waits.has(worker):
                number = self.waits.begin(worker, max(lane for lane in range(3) if self.accepts(worker, lane)))
                self.plan(self.now + WAIT_SECONDS, "waited", worker, number)

    def begin_task(self, worker, task):
        """Gives a job a slot."""
        lane = task.job.lane
        self.waiting_audio[lane] -= task.left
        self.running_audio += task.left
        self.running[lane] += 1
        worker.lanes[lane] += 1
        begun = self.now + self.drawn(self.fleet.calls, (0.0, 0.0))
        if task.wait is None:
            task.wait = begun - task.job.at
        overhead = self.drawn(self.fleet.overheads, (self.fleet.overhead,) * 2)
        # The end is published before the slot is free.
        overhead += self.drawn(self.fleet.calls, (0.0, 0.0))
        end = begun + task.left / (self.fleet.frames_per_second * FRAME_SECONDS) + overhead
        attempt = next(self.order)
        worker.running[attempt] = (task, begun, end)
        heapq.heappush(self.heap, (end, attempt, "end", (worker, attempt)))

    def leave(self, worker, attempt):
        """Takes a job out of its slot, and returns it with the time of its claim."""
        task, since, _ = worker.running.pop(attempt)
        lane = task.job.lane
        worker.lanes[lane] -= 1
        self.running[lane] -= 1
        self.running_audio -= task.left
        return task, since

    def on_end(self, worker, attempt):
        """Commits a job, if its attempt is still the one."""
        if attempt not in worker.running:
            return
        task, since = self.leave(worker, attempt)
        task.ended_at, task.suspect = self.now, False
        self.open -= 1
        worker.spoken = True
        self.spoken_audio += task.left
        self.spoken_seconds += self.now - since
        if worker.stopping_at is None:
            self.claim(worker)
        elif worker.idles:
            self.leave_loop(worker)
        elif not worker.running:
            self.finish(worker)

    # Suspects.

    def begin_alone(self, worker):
        """Gives an idle worker a suspect, and nothing beside it: it does not wait for a further job."""
        worker.warden = worker.idles = False
        self.begin_task(worker, self.suspects.popleft())
        # Without a further suspect no other worker is held.
        for other in [other for other in self.alive if other.warden and not self.suspects]:
            other.warden = False
            self.claim(other)

    def serve_suspects(self):
        """Gives a suspect to an idle worker, or makes the worker that will be idle first the warden."""
        ready = [worker for worker in self.alive if worker.claims]
        for worker in ready:
            if self.suspects and not worker.running:
                self.begin_alone(worker)
        if self.suspects and ready and not any(worker.warden for worker in ready):
            warden = min(ready, key=lambda worker: max((end for _, _, end in worker.running.values()), default=0.0))
            warden.warden, warden.idles = True, False

    def on_return(self, task):
        """Puts the job of a dead worker back, as a suspect, when its lease is over."""
        task.suspect = True
        self.running[task.job.lane] -= 1
        self.enqueue(task)

    # Workers.

    def start(self, ready=False):
        """Orders a worker."""
        worker = Worker(len(self.workers), self.now)
        self.workers.append(worker)
        self.alive[worker] = None
        if ready:
            worker.ready_at = self.now
            self.claim(worker)
        else:
            self.plan(self.now + self.drawn(self.fleet.starts, self.fleet.start_span()), "ready", worker)

    def on_ready(self, worker):
        """Lets a worker that has loaded claim."""
        if worker.stopping_at is None:
            worker.ready_at = self.now
            self.note()
            self.claim(worker)

    def scale(self, replicas):
        """Brings the number of workers to that of the autoscaler."""
        if replicas != self.replicas:
            self.replicas = replicas
            self.replace()

    def replace(self):
        """Orders and stops workers until there are as many as wanted."""
        for _ in range(self.replicas - len(self.alive)):
            self.start()
        for worker in self.victims(len(self.alive) - self.replicas):
            self.stop(worker)
        self.note()

    def victims(self, number):
        """Returns the workers that go first: not ready, then the least cost of deletion, then the newest.

        The cost is the number of busy slots, as in the rig (worker_pods.py). ActivePodsWithRanks of Kubernetes has this
        order."""
        if number <= 0:
            return []
        def rank(worker):
            return worker.ready_at is not None, len(worker.running), -(worker.ready_at or 0.0), -worker.number
        return sorted(self.alive, key=rank)[:number]

    def stop(self, worker):
        """Sends SIGTERM. A worker that waits for a job notices it when the wait is over (runner.rs)."""
        worker.stopping_at, worker.warden = self.now, False
        del self.alive[worker]
        if not worker.idles:
            self.leave_loop(worker)

    def leave_loop(self, worker):
        """Begins the drain: a grace for the jobs that run, and no further claims."""
        worker.idles = False
        self.waits.end(worker)
        if not worker.running:
            self.finish(worker)
        else:
            self.plan(self.now + self.fleet.drain, "drained", worker)

    def on_drained(self, worker):
        """Hands the jobs of a worker back when its grace is over. They go on where they were."""
        for task in self.abandon(worker):
            task.handed_back += 1
            self.enqueue(task)
        self.finish(worker)

    def abandon(self, worker):
        """Returns the jobs of a worker, with the audio that they still need."""
        tasks = []
        for attempt in list(worker.running):
            task, since = self.leave(worker, attempt)
            made = max(0.0, self.now - since - self.fleet.overhead) * self.fleet.frames_per_second * FRAME_SECONDS
            task.left = max(FRAME_SECONDS, task.left - made)
            tasks.append(task)
        return tasks

    def finish(self, worker):
        """Ends a worker."""
        if worker.ended_at is None:
            worker.ended_at = self.now + self.fleet.stop_delay

    def drawn(self, seen, span):
        """Draws one of the times that were seen about this moment, or of a span if none were."""
        if seen:
            place = bisect.bisect(seen, (self.now,)) + self.random.randrange(-NEAR, NEAR)
            return seen[min(max(place, 0), len(seen) - 1)][1]
        return span[0] if span[0] == span[1] else self.random.uniform(*span)

    def on_kill(self, grace):
        """Takes a worker away, by the number of workers at random: spot kills know no idle ones."""
        if not self.alive:
            return
        worker = self.random.choice(list(self.alive))
        if grace > 0:
            self.stop(worker)
            self.plan(self.now + grace, "dead", worker)
        else:
            self.on_dead(worker)
        self.replace()

    def on_dead(self, worker):
        """Ends a worker without a word, if it has not ended. Its jobs return as suspects."""
        if worker.stopping_at is None:
            worker.stopping_at = self.now
            del self.alive[worker]
        self.waits.end(worker)
        worker.idles = False
        for task in self.abandon(worker):
            self.running[task.job.lane] += 1  # Until its lease is over.
            self.plan(self.now + self.fleet.lease, "return", task)
        worker.ended_at = min(self.now, worker.ended_at if worker.ended_at is not None else self.now)

    # Autoscaler.

    def slot_rate(self):
        """Returns the audio that a slot makes in a second, as the workers' reports say (desired_slots.rs)."""
        if not any(worker.spoken for worker in self.alive):
            return UNKNOWN_RATE
        if self.fleet.reported_frames_per_second:
            return self.fleet.reported_frames_per_second / self.fleet.slots * FRAME_SECONDS
        return self.spoken_audio / self.spoken_seconds if self.spoken_seconds else UNKNOWN_RATE

    def on_look(self):
        """Notes what the autoscaler sees until the next look."""
        rate = self.slot_rate()
        desired = {}
        for lane, name in enumerate(LANES):
            # A waiting job takes one slot, however long it is.
            jobs = len(self.queues[lane]) + sum(task.job.lane == lane for task in self.suspects)
            more = self.waiting_audio[lane] / (rate * self.fleet.target_waits[lane])
            desired[name] = self.running[lane] + min(jobs, math.ceil(more))
        spoken = sum(worker.spoken for worker in self.alive)
        backlog = sum(self.waiting_audio) + self.running_audio
        frames = spoken * self.fleet.slots * rate / FRAME_SECONDS
        self.seen = self.scaler.values(desired, max(0.0, backlog), frames)
        self.plan(self.now + self.fleet.metric_age, "look")

    def on_sync(self):
        """Lets the HPA decide."""
        ready = sum(worker.ready_at is not None for worker in self.alive)
        self.scale(self.scaler.step(self.now, self.replicas, ready, self.seen))
        self.plan(self.now + self.scaler.sync, "sync")

    def on_poll(self):
        """Lets KEDA poll."""
        self.scale(self.scaler.poll(self.now, self.replicas, self.seen))
        self.plan(self.now + self.scaler.polling, "poll")

    def on_push(self):
        """Tells KEDA of the first job."""
        if self.open:
            self.scale(self.scaler.pushed(self.now, self.replicas, True))

    def note(self):
        """Adds the numbers of workers to the history."""
        ready = sum(worker.ready_at is not None for worker in self.alive)
        self.history.append((self.now, self.replicas, ready))
