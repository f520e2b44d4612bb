"""How committed golden values differ from those that were made now; both scripts that make some use it."""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import numpy as np


def tensor_differences(committed: Mapping, content: Mapping, tolerance: float, least: float) -> list[str]:
    """By tensor: names, types, shapes, and values to within `tolerance` of the largest magnitude, which counts as `least` at
    the least. Integers must be equal."""
    found = [f"{name}: only on one side" for name in sorted(committed.keys() ^ content.keys())]
    for name in sorted(committed.keys() & content.keys()):
        old, new = committed[name], content[name]
        if old.dtype != new.dtype or old.shape != new.shape:
            found.append(f"{name}: {old.dtype}{old.shape} is now {new.dtype}{new.shape}")
            continue
        allowed = tolerance * max(least, np.abs(old).max()) if old.dtype.kind == "f" else 0
        largest = np.abs(old.astype(float) - new.astype(float)).max()
        if not largest <= allowed:
            found.append(f"{name}: differs by up to {largest:.2e}")
    return found


def write_or_check(
    files: Iterable[tuple[str, object]],
    folder: Path,
    check: bool,
    write: Callable[[Path, object], None],
    differences: Callable[[Path, object], list[str]],
) -> int:
    """Writes each file into `folder`, or compares it with the one there; the exit status is 1 where one differs."""
    failed, count = False, 0
    for name, content in files:
        count += 1
        path = folder / name
        if not check:
            write(path, content)
            print(f"{name}: {path.stat().st_size} bytes")
            continue
        for difference in differences(path, content):
            failed = True
            print(f"{name}: {difference}")
    if check and not failed:
        print(f"all {count} files agree")
    return int(failed)
