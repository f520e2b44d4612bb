"""Picture of the runs of a day: load, replicas and waits, a column for each policy."""

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt  # noqa: E402

from day_load import LANES  # noqa: E402
from outcome import quantile  # noqa: E402

COLOURS = {"live": "#c0392b", "standard": "#2471a3", "bulk": "#7f8c8d"}
BIN_HOURS = 0.5
LEAST_WAIT_SECONDS = 0.1


def hours(recorded, seconds):
    """Returns the hour of the day at a real second of a run."""
    return recorded["rig"]["from_hour"] + seconds * recorded["policy"]["time_scale"] / 3600


def draw(runs, path):
    """Writes the picture; `runs` are pairs of a recorded run and the oracle's finding."""
    figure, rows = plt.subplots(3, len(runs), figsize=(6.2 * len(runs), 10), sharex=True, sharey="row", squeeze=False)
    for column, (recorded, found) in enumerate(runs):
        draw_load(rows[0][column], recorded)
        draw_replicas(rows[1][column], recorded, found)
        draw_waits(rows[2][column], recorded)
        speech = ", speech of the embedded model" if recorded["rig"]["engine"] == "model" else ""
        rows[0][column].set_title(recorded["rig"]["policy"] + speech)
        rows[2][column].set_xlabel("hour of the day")
        rows[2][column].set_xticks(range(0, 25, 3))
    for axis, name in zip(rows[:, 0], ("slots that the jobs need", "workers", "p95 of the wait, seconds of the day")):
        axis.set_ylabel(name)
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    plt.close(figure)


def draw_load(axis, recorded):
    """Draws the slots that the jobs would keep busy if none waited."""
    count = int(hours(recorded, recorded["duration_s"]) / BIN_HOURS + 0.5)
    layers = {lane: [0.0] * count for lane in LANES}
    for job in recorded["arrivals"]:
        place = min(count - 1, int(hours(recorded, job["at"]) / BIN_HOURS))
        layers[job["lane"]][place] += job["audio_s"] * recorded["policy"]["time_scale"] / 3600 / BIN_HOURS
    middles = [(place + 0.5) * BIN_HOURS for place in range(count)]
    axis.stackplot(middles, *layers.values(), labels=layers, colors=[COLOURS[lane] for lane in layers])
    axis.legend(loc="upper left", fontsize=8)


def draw_replicas(axis, recorded, found):
    """Draws wanted and ready workers, and those of the oracle."""
    times = [hours(recorded, at) for at, _, _ in recorded["results"]["replicas"]]
    for place, name, colour in ((1, "wanted", "#bbbbbb"), (2, "ready", "#1e8449")):
        numbers = [change[place] for change in recorded["results"]["replicas"]]
        axis.step(times, numbers, where="post", label=name, color=colour)
    if found:
        axis.step([hours(recorded, at) for at, _ in found.plan], [number for _, number in found.plan], where="post",
                  label="oracle", color="#8e44ad", linestyle="--", linewidth=1)
    for kill in recorded["kills"]:
        axis.axvline(hours(recorded, kill["at"]), color="#c0392b", linewidth=0.6, linestyle=":")
    axis.legend(loc="upper left", fontsize=8)


def draw_waits(axis, recorded):
    """Draws the p95 wait of each lane in each half hour, with the targets."""
    at = {job["id"]: job for job in recorded["arrivals"]}
    for lane in LANES:
        bins = {}
        for job in recorded["results"]["jobs"]:
            if at[job["id"]]["lane"] == lane:
                place = int(hours(recorded, at[job["id"]]["at"]) / BIN_HOURS)
                bins.setdefault(place, []).append(job["wait_s"] * recorded["policy"]["time_scale"])
        places = sorted(bins)
        p95 = [max(LEAST_WAIT_SECONDS, quantile(sorted(bins[place]), 0.95)) for place in places]
        middles = [(place + 0.5) * BIN_HOURS for place in places]
        axis.plot(middles, p95, "o-", markersize=3, label=lane, color=COLOURS[lane])
        target = recorded["fleet"]["target_waits_s"][lane] * recorded["policy"]["time_scale"]
        axis.axhline(target, color=COLOURS[lane], linewidth=0.8, linestyle="--")
    axis.set_yscale("log")
    axis.legend(loc="upper left", fontsize=8)
