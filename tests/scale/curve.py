"""Load of a day: how much audio a second each lane is asked for, and how long its jobs are.

Invented, not recorded: no such fleet has run. Live and standard jobs follow people's hours, bulk jobs come at night."""

import math

import numpy as np

from recording import Job

HOURS = 24
# Audio asked for in each hour, 1 at the busiest.
LIVE = (.22, .17, .14, .12, .12, .15, .25, .42, .62, .80, .92, .98,
        1.0, .97, .95, .93, .92, .93, .95, .92, .82, .66, .48, .32)
STANDARD = (.30, .25, .22, .20, .20, .24, .35, .55, .78, .95, 1.0, .98,
            .90, .95, .98, .97, .92, .82, .70, .60, .52, .46, .40, .35)
BULK = (.90, 1.0, 1.0, 1.0, .95, .85, .60, .40, .30, .25, .25, .25,
        .25, .25, .25, .25, .25, .28, .30, .35, .45, .60, .75, .85)
CURVES = (LIVE, STANDARD, BULK)
# Mean audio of a job in seconds, and the width of its logarithm; 60 s at most.
MEANS, WIDTH, AUDIO_MAX = (5.0, 12.0, 8.0), 0.7, 60.0
# Shares of the audio of a whole day.
SHARES = (0.5, 0.3, 0.2)
# Seconds for which the rate of a drawn load is constant.
STRETCH = 60.0


# Audio of each lane in each hour, for a whole of 1 at the busiest hour; the last hour stands before the first, too.
_PARTS = np.array([np.array(curve) * share / sum(curve) for share, curve in zip(SHARES, CURVES)])
_PARTS = np.concatenate([_PARTS[:, -1:], _PARTS, _PARTS[:, :1]], axis=1) / _PARTS.sum(axis=0).max()


def demand(peak, seconds, day=86_400.0):
    """Returns seconds of audio a second that each lane asks for; the sum is `peak` at its greatest.

    Between the middles of two hours the numbers are interpolated. `seconds` may be an array."""
    hour = np.asarray(seconds) % day / day * HOURS + 0.5
    return peak * np.array([np.interp(hour, np.arange(HOURS + 2), part) for part in _PARTS])


def classes(lane, number):
    """Returns equally likely durations that stand for a lane's jobs: means of equal parts of many draws."""
    drawn = np.random.default_rng(lane).lognormal(math.log(MEANS[lane]) - WIDTH ** 2 / 2, WIDTH, number * 1_000)
    return np.sort(np.minimum(AUDIO_MAX, drawn)).reshape(number, -1).mean(axis=1)


def draw(peak, seconds, seed, day=86_400.0, begin=0.0):
    """Draws the jobs of a part of a day, for the model that goes job by job."""
    source, jobs = np.random.default_rng(seed), []
    edges = np.linspace(0.0, seconds, max(2, int(seconds / STRETCH) + 1))
    rates = demand(peak, begin + (edges[:-1] + edges[1:]) / 2, day)
    for lane, mean in enumerate(MEANS):
        numbers = source.poisson(rates[lane] * np.diff(edges) / mean)
        times = np.concatenate([source.uniform(edges[place], edges[place + 1], number)
                                for place, number in enumerate(numbers)])
        drawn = np.minimum(AUDIO_MAX, source.lognormal(math.log(mean) - WIDTH ** 2 / 2, WIDTH, len(times)))
        jobs += [Job(f"{lane}-{number}", float(time), lane, float(audio))
                 for number, (time, audio) in enumerate(zip(times, drawn))]
    return sorted(jobs, key=lambda job: job.at)
