"""Load of a day: the slots that callers keep busy in each lane by the hour, and the jobs that make this load."""

import math
import random
from dataclasses import dataclass

DAY_SECONDS = 86400.0
LANES = ("live", "standard", "bulk")
# Slots that each lane keeps busy at its peak, on average.
PEAK_SLOTS = {"live": 14.0, "standard": 26.0, "bulk": 32.0}
# Night of the fleet: nothing comes but single jobs, each of which finds no worker.
NIGHT_HOURS = (0.0, 5.0)
LONELY_HOURS = (0.75, 1.75, 2.75, 3.75, 4.5)
# Shares of a mean between which the time of a job is drawn, evenly.
SPREAD = (0.5, 1.5)


@dataclass(frozen=True)
class Arrival:
    """Job of the load: seconds of the day at which it comes, its lane, and seconds of the day that it holds a slot."""
    at: float
    lane: str
    holds: float


def hump(hour, middle, width):
    """Returns a bell between 0 and 1 around an hour."""
    return math.exp(-((hour - middle) / width) ** 2)


def share(lane, hour):
    """Returns the part of its peak that a lane has at an hour."""
    if NIGHT_HOURS[0] <= hour < NIGHT_HOURS[1]:
        return 0.0
    dawn = min(1.0, hour - NIGHT_HOURS[1])
    dusk = min(1.0, 24.0 - hour)
    parts = {
        "live": max(0.15, 0.7 * hump(hour, 11.0, 3.0), hump(hour, 19.5, 2.5)),
        "standard": max(0.1, hump(hour, 10.5, 2.5), 0.9 * hump(hour, 15.0, 2.5)),
        # A bulk order in the morning, one in the evening.
        "bulk": max(0.1, 0.6 * hump(hour, 8.0, 1.5), hump(hour, 21.0, 1.5)),
    }
    return dawn * dusk * parts[lane]


def slots(lane, second):
    """Returns the slots that a lane keeps busy at a second of the day."""
    return PEAK_SLOTS[lane] * share(lane, second / 3600.0)


def arrivals(seed, mean_seconds, day=DAY_SECONDS):
    """Returns the jobs of a day by time, or of its first part: a Poisson process for each lane."""
    jobs = [Arrival(hour * 3600.0, "live", mean_seconds) for hour in LONELY_HOURS if hour * 3600.0 < day]
    for lane in LANES:
        random_numbers = random.Random(f"{seed}-{lane}")
        most, at = PEAK_SLOTS[lane] / mean_seconds, 0.0
        while True:
            at += random_numbers.expovariate(most)
            if at >= day:
                break
            if random_numbers.random() * PEAK_SLOTS[lane] < slots(lane, at):
                jobs.append(Arrival(at, lane, mean_seconds * random_numbers.uniform(*SPREAD)))
    return sorted(jobs, key=lambda job: job.at)
