"""Draws the curves of a training: python plot.py PARTS writes PARTS/curves.png."""
import json
import pathlib
import sys

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot

SHOWN = dict(csm=("c0", "depth", "right", "attend"), decoder=("magnitude", "phase"), encoder=("envelope", "rest", "labels"))


def main():
    parts = pathlib.Path(sys.argv[1])
    figure, axes = pyplot.subplots(1, len(SHOWN), figsize=(15, 4))
    for axis, (name, keys) in zip(axes, SHOWN.items()):
        log = parts / f"{name}.jsonl"
        lines = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
        for key in keys:
            (drawn,) = axis.plot([l["step"] for l in lines], [l[key] for l in lines], label=key, linewidth=1)
            held = [(l["step"], l["held"][key]) for l in lines if key in l.get("held", {})]
            if held:
                axis.plot(*zip(*held), "o", markersize=3, color=drawn.get_color(), label=f"{key}, held out")
        axis.set(title=name, xlabel="step", ylim=(0, None))
        axis.legend(fontsize=7)
    figure.tight_layout()
    figure.savefig(parts / "curves.png", dpi=110)


if __name__ == "__main__":
    main()
