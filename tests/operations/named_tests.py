"""The tests that the manual names: each exists under its path."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# `path::function`, as the pages write it.
NAMED = re.compile(r"`([\w/.-]+\.(?:rs|py))::(\w+)`")


def unknown_tests():
    """Lists tests that a page of the manual names and no file has, and pages without a section about tests."""
    wrong = []
    for page in sorted((ROOT / "docs/operations").glob("*.md")):
        text = page.read_text()
        for path, function in NAMED.findall(text):
            file = ROOT / path
            if not file.exists() or not re.search(rf"\b(?:fn|def) {function}\b", file.read_text()):
                wrong.append(f"{page.relative_to(ROOT)}: no test {path}::{function}")
        if page.name != "README.md" and "\n## Tests\n" not in text:
            wrong.append(f"{page.relative_to(ROOT)}: does not say what tests it")
    return wrong
