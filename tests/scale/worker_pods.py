"""Worker processes as the pods of a Deployment: started with a pod's delays, stopped as Kubernetes stops pods."""

import asyncio
import contextlib
import os
import signal
import time
from dataclasses import dataclass, field

READY_SECONDS_MAX = 30.0
READY_LOOK_SECONDS = 0.02


@dataclass(frozen=True)
class PodTimes:
    """Times of pods, in real seconds."""
    start: float  # From the order to the container: node, image.
    load: float   # From there to the process: what a large model's load takes longer than a process's start.
    grace: float  # From SIGTERM to SIGKILL (terminationGracePeriodSeconds).
    spot_grace: float  # The same after the notice of a spot node.


@dataclass
class Pod:
    """A pod from its order to the end of its process; times are real seconds of the run."""
    name: str
    ordered_at: float
    process: asyncio.subprocess.Process | None = None
    process_at: float | None = None
    ready_at: float | None = None
    stopping_at: float | None = None
    ended_at: float | None = None
    killed: bool = False
    exit_status: int | None = None
    task: asyncio.Task | None = None
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    grace: float = 0.0
    cost: float = 0.0


def send(process, number):
    """Sends a signal to a process. That of asyncio would take the exit status away from the one who waits for it."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(process.pid, number)


class WorkerPods:
    """A Deployment with its ReplicaSet: `wanted` replicas, and the pods that there are and were."""

    def __init__(self, clock, times, fleet, client):
        self.clock, self.times, self.fleet, self.client = clock, times, fleet, client
        self.pods, self.wanted, self.changes = [], 0, []
        self.scaling = asyncio.Lock()

    def alive(self):
        """Returns the pods that are not stopping; these are what the ReplicaSet counts."""
        return [pod for pod in self.pods if pod.stopping_at is None and pod.ended_at is None]

    def ready(self):
        """Returns the number of pods that claim jobs."""
        return sum(pod.ready_at is not None for pod in self.alive())

    def note(self):
        """Notes the numbers of replicas, if they have changed."""
        now = (self.wanted, self.ready())
        if not self.changes or tuple(self.changes[-1][1:]) != now:
            self.changes.append([self.clock(), *now])

    async def scale(self, replicas):
        """Sets the number of replicas, starts what lacks and stops what is too much."""
        if replicas == self.wanted:
            return
        self.wanted = replicas
        await self.reconcile()

    async def reconcile(self):
        """Brings the pods to the wanted number."""
        async with self.scaling:
            while len(self.alive()) < self.wanted:
                pod = Pod(f"worker-{len(self.pods) + 1}", self.clock())
                self.pods.append(pod)
                pod.task = asyncio.create_task(self.live(pod))
            surplus = len(self.alive()) - self.wanted
            if surplus > 0:
                for pod in (await self.victims())[:surplus]:
                    self.end(pod, self.times.grace)
            self.note()

    async def victims(self):
        """Returns the pods in the order in which a ReplicaSet deletes them: not ready ones, then those of the least
        deletion cost, then the youngest (ActivePodsWithRanks)."""
        pods = self.alive()
        await asyncio.gather(*(self.read_cost(pod) for pod in pods if pod.ready_at is not None))
        return sorted(pods, key=lambda pod: (pod.ready_at is not None, pod.cost, -(pod.ready_at or pod.ordered_at)))

    async def read_cost(self, pod):
        """Reads the deletion cost of a pod: its busy slots."""
        numbers = await self.client.metrics(self.fleet.admin[pod.name])
        pod.cost = numbers.get('csm_slots{state="busy"}', pod.cost) if numbers else pod.cost

    def end(self, pod, grace):
        """Begins the end of a pod."""
        pod.stopping_at, pod.grace = self.clock(), grace
        pod.stop.set()
        self.note()

    async def spot_kill(self, pod):
        """Takes the node of a pod away; the ReplicaSet starts another pod."""
        self.end(pod, self.times.spot_grace)
        await self.reconcile()

    async def live(self, pod):
        """Runs a pod from its order to its end."""
        if await self.stopped_within(pod, self.times.start + self.times.load):
            pod.ended_at = self.clock()
            return
        pod.process_at = self.clock()
        pod.process = await self.fleet.start_worker(pod.name)
        exited = asyncio.create_task(pod.process.wait())
        await self.until_ready(pod, exited)
        stopping = asyncio.create_task(pod.stop.wait())
        await asyncio.wait({exited, stopping}, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if not exited.done():
            send(pod.process, signal.SIGTERM)
            await asyncio.wait({exited}, timeout=pod.grace)
        if not exited.done():
            pod.killed = True
            send(pod.process, signal.SIGKILL)
        pod.exit_status, pod.ended_at = await exited, self.clock()
        if pod.stopping_at is None:
            # The container ended by itself. A kubelet would start it again; the check of the run reports it.
            pod.stopping_at = pod.ended_at
        self.note()

    async def until_ready(self, pod, exited):
        """Waits until a pod claims jobs, or is to end."""
        limit = time.monotonic() + READY_SECONDS_MAX
        while not exited.done() and not pod.stop.is_set() and time.monotonic() < limit:
            if await self.client.is_ready(self.fleet.admin[pod.name]):
                pod.ready_at = self.clock()
                self.note()
                return
            await asyncio.sleep(READY_LOOK_SECONDS)

    @staticmethod
    async def stopped_within(pod, seconds):
        """Waits for some seconds; returns true at once if the pod is to end."""
        try:
            await asyncio.wait_for(pod.stop.wait(), seconds)
            return True
        except TimeoutError:
            return False

    def kill(self):
        """Kills what is left of a run that failed."""
        for pod in self.pods:
            if pod.process and pod.process.returncode is None:
                send(pod.process, signal.SIGKILL)

    async def finish(self):
        """Ends all pods and waits for them."""
        self.wanted = 0
        for pod in self.alive():
            self.end(pod, self.times.grace)
        await asyncio.gather(*(pod.task for pod in self.pods))
