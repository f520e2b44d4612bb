"""Runs the Python examples of docs/api.md as they stand, but for the addresses."""

import os
import re
import subprocess
import sys
import tempfile

from csm_checks import *  # noqa: F403

DOCS = os.path.join(os.path.dirname(__file__), "..", "..", "..", "docs", "api.md")
HTTP, TCP = BASE.removeprefix("http://"), (WYOMING or "").removeprefix("tcp://")


def examples():
    """Returns the sections that have an example, each with its program."""
    section, found = "", {}
    with open(DOCS, encoding="utf-8") as file:
        text = file.read()
    for heading, program in re.findall(r"^## ([^\n]+)$|^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
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
            files = os.listdir(folder)
            assert len(files) == 1, f"the files are {files}"
            with open(os.path.join(folder, files[0]), "rb") as file:
                sound = file.read()
        kind = os.path.splitext(files[0])[1][1:]
        samples, expected = samples_of(sound, kind), samples_since(at)
        assert 0 <= samples - expected <= SLACK[kind], f"{samples} samples; the receipts say {expected}"

    return run_it


if __name__ == "__main__":
    sys.exit(run("examples", {section: check(program) for section, program in examples().items()}))
