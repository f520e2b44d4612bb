"""Jobs and workers of a modelled fleet, and what came of a run."""

from dataclasses import dataclass, field

from recording import Job


@dataclass(slots=True)
class Task:
    """A job in the fleet. `left` is the audio that is still to be made."""
    job: Job
    left: float
    claimed_at: float | None = None
    wait: float | None = None
    ended_at: float | None = None
    suspect: bool = False
    handed_back: int = 0


@dataclass(slots=True, eq=False)
class Worker:
    """Worker from its order to its end."""
    number: int
    ordered_at: float
    ready_at: float | None = None
    stopping_at: float | None = None
    ended_at: float | None = None
    running: dict[int, tuple[Task, float, float]] = field(default_factory=dict)
    lanes: list[int] = field(default_factory=lambda: [0, 0, 0])
    warden: bool = False
    # Whether the worker's loop waits for a job.
    idles: bool = False
    spoken: bool = False

    @property
    def claims(self):
        """Tells whether the worker may ask for jobs."""
        return self.ready_at is not None and self.stopping_at is None


@dataclass
class Run:
    """What came of a run."""
    tasks: list[Task]
    workers: list[Worker]
    replicas: list[tuple[float, int, int]]
    duration: float
    events: int

    def waits(self, lane):
        """Returns the sorted waits of a lane's jobs."""
        return sorted(task.wait for task in self.tasks if task.job.lane == lane and task.wait is not None)

    def worker_seconds(self):
        """Returns the seconds for which workers were paid, up to the end of the load."""
        return sum(max(0.0, min(worker.ended_at if worker.ended_at is not None else self.duration, self.duration)
                       - worker.ordered_at) for worker in self.workers)

    def starts(self):
        """Returns the workers that were ordered after the beginning."""
        return sum(worker.ordered_at > 0 for worker in self.workers)

    def stops(self):
        """Returns the workers that were stopped."""
        return sum(worker.stopping_at is not None for worker in self.workers)


def quantile(values, share):
    """Returns the smallest of sorted values that a share of all is not above; 0 of none."""
    return values[min(len(values) - 1, max(0, -int(-share * len(values) // 1) - 1))] if values else 0.0
