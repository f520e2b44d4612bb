"""Other people's English text normalisation, from PyPI. A grammar is compiled once and kept in a folder."""

import importlib
import importlib.metadata
import logging
from pathlib import Path


def nemo(cache):
    """Makes the normaliser of NVIDIA's NeMo."""
    module = importlib.import_module("nemo_text_processing.text_normalization.normalize")
    normalizer = module.Normalizer(input_case="cased", lang="en", cache_dir=str(cache))
    return lambda text: normalizer.normalize(text, verbose=False)


def wetext(cache):
    """Makes the normaliser of WeTextProcessing."""
    module = importlib.import_module("tn.english.normalizer")
    return module.Normalizer(cache_dir=str(cache), overwrite_cache=False).normalize


# The column, the package, and what makes the normaliser.
PEERS = (("NeMo", "nemo_text_processing", nemo), ("WeText", "WeTextProcessing", wetext))


def normaliser(make, package, cache):
    """Makes a peer's normaliser; None if its package is not installed."""
    try:
        folder = Path(cache) / f"{package}-{importlib.metadata.version(package)}"
    except importlib.metadata.PackageNotFoundError:
        return None
    folder.mkdir(parents=True, exist_ok=True)
    logging.disable(logging.WARNING)
    return make(folder)


def said(make, package, cache, texts):
    """Lists what a peer says of each text; None if its package is not installed. A text that it refuses is not said."""
    normalize = normaliser(make, package, cache)
    return normalize and [said_or_refused(normalize, text) for text in texts]


def said_or_refused(normalize, text):
    """Says one text. A peer's own exceptions are of no fixed type."""
    try:
        return normalize(text)
    except Exception:  # noqa: BLE001
        return ""
