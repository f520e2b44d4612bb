"""Draws the tail of the null, for `make attack`: how many unmarked clips score above z, the bound, and the threshold.

    python plot.py --threshold 6 --hypotheses 128 scores.csv plot.png

The table has the columns group and z. Needs the packages of requirements.txt.
"""

import argparse
import csv
from collections import defaultdict
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np

COLOURS = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threshold", type=float, required=True)
    parser.add_argument("--hypotheses", type=float, required=True)
    parser.add_argument("csv", type=Path)
    parser.add_argument("png", type=Path)
    args = parser.parse_args()
    groups = defaultdict(list)
    with args.csv.open(newline="") as file:
        for row in csv.DictReader(file):
            groups[row["group"]].append(float(row["z"]))
    args.png.parent.mkdir(parents=True, exist_ok=True)
    draw(groups, args)


def draw(groups: dict[str, list[float]], args: argparse.Namespace) -> None:
    figure, axes = plt.subplots(figsize=(8, 5), layout="constrained")
    every = [z for scores in groups.values() for z in scores]
    for (name, scores), colour in zip(groups.items(), COLOURS):
        tail(axes, scores, color=colour, linewidth=1.2, label=f"{name} ({len(scores):,}, greatest {max(scores):.2f})")
    tail(axes, every, color="black", linewidth=1.8, label=f"all ({len(every):,}, greatest {max(every):.2f})")
    z = np.linspace(0, args.threshold + 1, 400)
    bound = np.minimum(1, args.hypotheses * np.exp(-z * z / 2))
    axes.plot(z, bound, color="grey", linestyle="--", label=rf"bound: {args.hypotheses:g} exp($-z^2/2$)")
    axes.axvline(args.threshold, color="red", linewidth=1.2, label=f"detected above {args.threshold:g}")
    axes.set_yscale("log")
    axes.set_ylim(min(0.3 / len(every), bound[-1]), 1.5)
    axes.set_xlim(0, z[-1])
    axes.set_xlabel("z, the detector's score")
    axes.set_ylabel("share of clips that score above z")
    axes.set_title("The null: audio without this key's mark")
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8, loc="lower left")
    figure.savefig(args.png, dpi=110)


def tail(axes: plt.Axes, scores: list[float], **style: object) -> None:
    """The share of scores that are greater, at each score; the last step falls to nothing and is not drawn."""
    ordered = np.sort(scores)
    axes.step(ordered, 1 - np.arange(len(ordered)) / len(ordered), where="pre", **style)


if __name__ == "__main__":
    main()
