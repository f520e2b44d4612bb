"""What both trainings keep on the way: a state to go on from, and the curves of plot.py."""
import json
import os
import time

import torch


def save(state, file):
    """Writes a state whole or not at all."""
    torch.save(state, str(file) + ".new")
    os.replace(str(file) + ".new", file)


class Curves:
    """Log of a training, one JSON object a line: values averaged over the steps since the line before."""

    def __init__(self, file):
        self.log, self.start, self.values = open(file, "a"), time.time(), {}

    def add(self, parts):
        for name, value in parts.items():
            self.values.setdefault(name, []).append(float(value.detach()))

    def write(self, step, more, held=None):
        line = dict(step=step, minutes=round((time.time() - self.start) / 60, 2), **more,
                    **{name: round(sum(v) / len(v), 4) for name, v in self.values.items()})
        if held:
            line["held"] = held
        self.values = {}
        print(json.dumps(line), flush=True)
        self.log.write(json.dumps(line) + "\n")
        self.log.flush()
