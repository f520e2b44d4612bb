"""Test of the script that verifies a cache of models, on a cache with one fault of each kind."""

import hashlib
import subprocess
import tempfile
from pathlib import Path

from tree import ROOT

SCRIPT = ROOT / "k8s/components/model-pvc/verify-cache.sh"


def git_object(content):
    """Returns the Git object id of a small file."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def fill(hub):
    """Fills a cache; returns the files that must stay and those that must go, as links or blobs."""
    model = hub / "models--owner--name"
    blobs, snapshot = model / "blobs", model / "snapshots" / ("c" * 40)
    joined = hub / "csm-fleet" / "owner--name"
    for folder in (blobs, snapshot, joined):
        folder.mkdir(parents=True)
    weights, config = b"weights" * 1000, b"{}"
    contents = {  # the name of the link, the name of the blob, what the blob holds, whether it stays
        "good.safetensors": (hashlib.sha256(weights).hexdigest(), weights, True),
        "config.json": (git_object(config), config, True),
        "mirror.json": (hashlib.sha1(b"mirror").hexdigest(), b"mirror", True),
        "tagged.bin": ("a-tag-of-a-mirror", b"anything", True),
        "flipped.safetensors": (hashlib.sha256(b"right").hexdigest(), b"wrong", False),
        "cut.safetensors": (hashlib.sha256(weights + b".").hexdigest(), weights, False),
        "empty.json": (git_object(b"something"), b"", False),
    }
    stays, goes = [], []
    for name, (blob, content, kept) in contents.items():
        (blobs / blob).write_bytes(content)
        (snapshot / name).symlink_to(blobs / blob)
        (joined / name).symlink_to((snapshot / name).resolve())
        (stays if kept else goes).extend([blobs / blob, snapshot / name, joined / name])
    unfinished = blobs / (hashlib.sha256(b"later").hexdigest() + ".incomplete")
    unfinished.write_bytes(b"lat")
    return [*stays, unfinished], goes


def test():
    """Runs the script twice, and on no cache; returns the number of faults."""
    with tempfile.TemporaryDirectory() as folder:
        hub = Path(folder) / "hub"
        runs = [run(hub)]
        stays, goes = fill(hub)
        runs += [run(hub), run(hub)]
        wrong = [f"{path.name} was removed" for path in stays if not path.exists()]
        wrong += [f"{path.name} is still there" for path in goes if path.is_symlink() or path.exists()]
    for made, last in zip(runs, ("no cache yet, the worker fills it", "6 files checked, 3 removed",
                                 "3 files checked, 0 removed")):
        if made.returncode != 0 or last not in made.stdout:
            wrong.append(f"{made.returncode} {made.stdout}{made.stderr}")
    print(f"{'verify-cache.sh':44} {'ok' if not wrong else wrong}")
    return len(wrong)


def run(hub):
    """Runs the script on a cache."""
    return subprocess.run(["sh", SCRIPT, hub], capture_output=True, text=True, timeout=30, check=False)
