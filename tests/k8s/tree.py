"""Files of the repository, with edits that a self test plants, and what kustomize makes of them."""

import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]
RENDER_SECONDS = 30


class RenderError(Exception):
    """Failure of kustomize, with its message."""


@dataclass(frozen=True)
class Edit:
    """Replacement of one text in one file."""

    path: str
    old: str
    new: str


@dataclass(frozen=True)
class Target:
    """Folder that kustomize renders, or a list of folders that it joins."""

    name: str
    resources: tuple = ()
    components: tuple = ()
    # Whether the workers are to have a GPU.
    gpu: bool = True
    # Whether the published development key may mark speech.
    development: bool = False


@dataclass
class Tree:
    """Repository with edits."""

    edits: tuple = field(default_factory=tuple)

    def read(self, path):
        """Returns the text of a file after the edits."""
        text = text_of(path)
        for edit in self.edits:
            if edit.path == path:
                if edit.old not in text:
                    raise ValueError(f"{path} has no {edit.old!r}")
                text = text.replace(edit.old, edit.new)
        return text

    def render(self, target, kubectl):
        """Returns the objects that kustomize makes of a target."""
        if not any(edit.path.startswith("k8s/") for edit in self.edits):
            return documents(rendered(ROOT, target, kubectl))
        with tempfile.TemporaryDirectory() as folder:
            shutil.copytree(ROOT / "k8s", Path(folder) / "k8s")
            for path in {edit.path for edit in self.edits if edit.path.startswith("k8s/")}:
                (Path(folder) / path).write_text(self.read(path))
            return documents(rendered(Path(folder), target, kubectl))


@cache
def text_of(path):
    """Returns the text of a file of the repository."""
    return (ROOT / path).read_text()


@cache
def rendered(root, target, kubectl):
    """Returns what kustomize prints for a target."""
    k8s = root / "k8s"
    if not target.components:
        return kustomize(k8s / target.resources[0], kubectl)
    with tempfile.TemporaryDirectory() as folder:
        # Resolved, because kustomize compares paths without links.
        folder = Path(folder).resolve()

        def relative(name):
            return os.path.relpath(k8s / name, folder)

        (folder / "kustomization.yaml").write_text(yaml.safe_dump({
            "apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization",
            "resources": [relative(name) for name in target.resources],
            "components": [relative(name) for name in target.components]}))
        return kustomize(folder, kubectl)


def kustomize(folder, kubectl):
    """Runs `kubectl kustomize` on a folder."""
    run = subprocess.run([kubectl, "kustomize", str(folder)], capture_output=True, text=True,
                         timeout=RENDER_SECONDS, check=False)
    if run.returncode != 0:
        raise RenderError(run.stderr.strip().splitlines()[0])
    return run.stdout


def documents(text):
    """Parses rendered YAML."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return [document for document in yaml.load_all(text, Loader=loader) if document]
