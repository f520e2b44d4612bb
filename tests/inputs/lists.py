"""The lists of this folder, checked as they are read."""

import json
from pathlib import Path

from reading import false_words

HERE = Path(__file__).resolve().parent
KIND_LEAST = 30
TEXTS_LEAST = 800


def lines(path):
    """Reads a file of one JSON object a line."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line]


def texts():
    """Reads the lists of written texts, by kind. A list with a contradiction is an error."""
    kinds = {path.stem: lines(path) for path in sorted((HERE / "text").glob("*.jsonl"))}
    cases = [case for kind in kinds.values() for case in kind]
    faults = [f"{name}: fewer than {KIND_LEAST} texts" for name, kind in kinds.items() if len(kind) < KIND_LEAST]
    if len(cases) < TEXTS_LEAST:
        faults.append(f"fewer than {TEXTS_LEAST} texts")
    seen = set()
    for case in cases:
        if case["written"] in seen:
            faults.append(f"twice: {case['written']!r}")
        seen.add(case["written"])
        faults += [f"both accepted and false: {reading!r} of {case['written']!r}"
                   for reading in case["accepted"] if false_words(reading, case)]
    if faults:
        raise SystemExit("\n".join(faults))
    return kinds


def golden():
    """Reads the golden rules of sentence cutting."""
    return lines(HERE / "split" / "golden.jsonl")


def abbreviations():
    """Reads the frame sentence, and the abbreviations that are put into it."""
    frame, *phrases = (HERE / "split" / "abbreviations.txt").read_text(encoding="utf-8").splitlines()
    return frame, phrases
