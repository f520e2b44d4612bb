"""Runs the Python examples of docs/api.md and docs/bulk.md as they stand, but for the addresses."""

import os
import re
import subprocess
import sys
import tempfile

from csm_checks import *  # noqa: F403

DOCS = os.path.join(os.path.dirname(__file__), "..", "..", "..", "docs")
PAGES = ("api.md", "bulk.md")
HTTP, TCP = BASE.removeprefix("http://"), (WYOMING or "").removeprefix("tcp://")


def examples():
    """Returns the sections that have an example, each with its program."""
    found = {}
    for page in PAGES:
        with open(os.path.join(DOCS, page), encoding="utf-8") as file:
            text = file.read()
        section = ""
        for heading, program in re.findall(r"^##? ([^\n]+)$|^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
            section = heading or section
            if program:
                found[section.strip("`")] = program
    return found


def check(program):
    """Makes the check of a program: it ends well, and the files that it writes hold sound."""

    def run_it():
        at = mark()
        local = program.replace("127.0.0.1:8080", HTTP)
        if TCP:
            host, port = TCP.split(":")
            local = local.replace('"127.0.0.1", 10200', f'"{host}", {port}')
        with tempfile.TemporaryDirectory() as folder:
            done = subprocess.run([sys.executable, "-c", local], cwd=folder, capture_output=True, text=True,
                                  timeout=120, check=False)
            assert done.returncode == 0, done.stderr[-400:]
            assert "rror" not in done.stdout, done.stdout[:400]
            kinds = {name: os.path.splitext(name)[1][1:] for name in os.listdir(folder)}
            sounds = [(kind, os.path.join(folder, name)) for name, kind in kinds.items() if kind in SLACK]
            assert sounds, f"the files are {list(kinds)}"
            samples = slack = 0
            for kind, path in sounds:
                with open(path, "rb") as file:
                    samples += samples_of(file.read(), kind)
                slack += SLACK[kind]
        if "/v1/batches" in program or "batches.create" in program:
            # The records of a batch's jobs are dropped once their outcomes are written.
            assert len(sounds) == 2 and samples > 0, f"{samples} samples in {len(sounds)} files"
            return
        expected = samples_since(at)
        assert 0 <= samples - expected <= slack, f"{samples} samples; the receipts say {expected}"

    return run_it


if __name__ == "__main__":
    sys.exit(run("examples", {section: check(program) for section, program in examples().items()}))
