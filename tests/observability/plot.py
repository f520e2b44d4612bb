"""Draws the dashboards without a Grafana: each panel in its place, by the same queries, as one PNG for each dashboard."""

import json
import math
from pathlib import Path

# Grafana's grid.
COLUMNS, ROW_INCHES, COLUMN_INCHES = 24, 0.42, 0.8
LEGEND_MAX = 8


def legend(template, labels):
    """Returns the name of a series, as Grafana makes it of a panel's legend."""
    for label, value in labels.items():
        template = template.replace("{{" + label + "}}", value)
    return template or ", ".join(f"{label}={value}" for label, value in labels.items() if label != "__name__")


def panel(axes, panel, ask):
    """Draws one panel."""
    drawn = 0
    for target in panel.get("targets", []):
        for series in ask(target["expr"]):
            points = [(float(at), float(value)) for at, value in series["values"]]
            points = [(at, value) for at, value in points if math.isfinite(value)]
            if points:
                name = legend(target.get("legendFormat", ""), series["metric"])
                axes.plot(*zip(*points), linewidth=1, marker="." if len(points) < 3 else None, label=name if drawn < LEGEND_MAX else None)
                drawn += 1
    unit = panel.get("fieldConfig", {}).get("defaults", {}).get("unit", "")
    axes.set_title(f"{panel['title']} [{unit}]" if unit else panel["title"], fontsize=7, loc="left")
    axes.tick_params(labelsize=5)
    axes.set_xticklabels([])
    if drawn:
        axes.legend(fontsize=4, loc="upper left", frameon=False)
    else:
        axes.text(0.5, 0.5, "no data", ha="center", va="center", transform=axes.transAxes, fontsize=7)


def dashboards(folder, out, ask):
    """Draws all dashboards of a folder into another; `ask` returns the series of a query. Returns the files."""
    import matplotlib
    matplotlib.use("Agg")
    from matplotlib import pyplot

    files = []
    out.mkdir(parents=True, exist_ok=True)
    for file in sorted(folder.glob("*.json")):
        board = json.loads(file.read_text())
        panels = [one for one in board["panels"] if one.get("targets")]
        rows = max(one["gridPos"]["y"] + one["gridPos"]["h"] for one in panels)
        figure = pyplot.figure(figsize=(COLUMNS * COLUMN_INCHES, rows * ROW_INCHES))
        figure.suptitle(f"{board['title']} (by its queries under Prometheus, not by Grafana)", fontsize=9)
        for one in panels:
            place = one["gridPos"]
            left, width = place["x"] / COLUMNS, place["w"] / COLUMNS
            bottom, height = 1 - (place["y"] + place["h"]) / rows, place["h"] / rows
            box = [left + 0.02, 0.97 * bottom + 0.15 * height, width - 0.03, 0.66 * height]
            panel(figure.add_axes(box), one, ask)
        files.append(Path(out / f"{file.stem}.png"))
        figure.savefig(files[-1], dpi=110)
        pyplot.close(figure)
    return files
