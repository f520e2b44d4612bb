#!/usr/bin/env python3
"""Compares how the gateway's reader and ffmpeg decode recordings of every everyday kind.

Makes the recordings in a folder, decodes each with ffmpeg and with the example `read_audio`, and
compares length, shape, level and place. Ends with 1 if a file is accepted and wrong, or refused
without its name.

    tests/inputs/audio.py target/debug/examples/read_audio [--keep FOLDER] [--only KIND]
"""

import argparse
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import audio_coded
import audio_pcm
import numpy as np
from audio_kit import LIKE, REFUSED, SAME

# Makers of recordings by kind.
KINDS = [
    audio_pcm.wav_sizes,
    audio_pcm.wav_fields,
    audio_pcm.wav_codings,
    audio_pcm.wav_channels,
    audio_pcm.other_pcm,
    audio_coded.flac,
    audio_coded.mp3,
    audio_coded.ogg,
    audio_coded.mp4,
    audio_coded.webm,
    audio_coded.foreign,
]
RATE = 24000
# Bounds of an accepted file beside ffmpeg's decoding.
LENGTH_MAX = 2
CORRELATION_MIN = 0.99
LEVEL_DB_MAX = 0.6
# Names of recordings that miss a part, and of those that may call for a warning.
INCOMPLETE = re.compile(r"(^|-)(cut|lost|truncated|wrong-sum|too-long|too-short|odd-tail)($|-)(?!in-front)")
EXCUSED = re.compile(r"junk|extra-byte")
# Shifts looked for, in samples at 24 kHz.
SHIFT_SEARCH = 1500


def make(folder, only):
    """Writes all recordings and returns their cases."""
    cases = []
    for kind in KINDS:
        if only and only != kind.__name__:
            continue
        for name, data, expectation, *more in kind(folder):
            path = folder / f"{kind.__name__}-{name}"
            path.write_bytes(data)
            like = None
            if expectation == LIKE:
                like = folder / f"{kind.__name__}-{name}.good"
                like.write_bytes(more[0])
            length = more[0] if expectation == SAME and more else None
            cases.append(
                {
                    "length": length,
                    "kind": kind.__name__,
                    "name": name,
                    "path": path,
                    "expectation": expectation,
                    "like": like or path,
                    "word": more[0] if expectation == REFUSED else None,
                }
            )
    return cases


def decoded_by_ffmpeg(path):
    """Returns ffmpeg's samples, or none if it refuses the file."""
    # ffmpeg's own Opus decoder differs from the reference decoder in more than two channels.
    decoder = ["-c:a", "libopus"] if "opus" in path.name else []
    command = [
        "ffmpeg",
        "-v",
        "quiet",
        "-nostdin",
        *decoder,
        "-i",
        path,
        "-map",
        "0:a:0",
        "-ac",
        "1",
        "-ar",
        str(RATE),
        "-f",
        "s16le",
        "-",
    ]
    done = subprocess.run(command, capture_output=True, check=False)
    return np.frombuffer(done.stdout[: len(done.stdout) // 2 * 2], "<i2").astype(float)


def shift_of(ours, theirs):
    """Returns the shift in samples at which both agree best."""
    size = 1 << (len(ours) + len(theirs) + 2 * SHIFT_SEARCH).bit_length()
    cross = np.fft.irfft(np.fft.rfft(ours, size) * np.conj(np.fft.rfft(theirs, size)), size)
    around = np.concatenate([cross[-SHIFT_SEARCH:], cross[: SHIFT_SEARCH + 1]])
    return int(np.argmax(around)) - SHIFT_SEARCH


def difference(ours, theirs, length=None):
    """Returns what differs beyond the bounds, in words; empty if nothing does."""
    if not len(theirs):
        return "ffmpeg gives no samples"
    faults = []
    length = length or len(theirs)
    if abs(len(ours) - length) > LENGTH_MAX:
        faults.append(f"{len(ours)} samples, not {length}")
    count = min(len(ours), len(theirs))
    one, two = ours[:count], theirs[:count]
    correlation = float(one @ two / np.sqrt((one @ one) * (two @ two) + 1e-9))
    level = 10 * np.log10((one @ one + 1) / (two @ two + 1))
    if correlation < CORRELATION_MIN:
        faults.append(f"correlation {correlation:.4f} at shift {shift_of(ours, theirs)}")
    if abs(level) > LEVEL_DB_MAX:
        faults.append(f"level {level:+.2f} dB")
    return "; ".join(faults)


def judge(case, answer):
    """Returns a verdict and its reason."""
    refused = "error" in answer
    if case["expectation"] == REFUSED:
        if not refused:
            return "WRONG", "accepted"
        named = case["word"] in answer["error"]
        return ("refused by name", "") if named else ("refused badly", answer["error"])
    if refused:
        return "refused, ffmpeg plays it", answer["error"]
    ours = np.fromfile(f"{case['path']}.s16", "<i2").astype(float)
    found = difference(ours, decoded_by_ffmpeg(case["like"]), case["length"])
    if (
        not found
        and bool(INCOMPLETE.search(case["name"])) != bool(answer["warnings"])
        and not EXCUSED.search(case["name"])
    ):
        found = f"warnings are {answer['warnings']}"
    return ("WRONG", found) if found else ("equal", "")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("reader", type=Path)
    parser.add_argument("--keep", type=Path, help="folder that keeps the recordings")
    parser.add_argument("--only", help="one kind")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        cases = make(folder, options.only)
        listing = folder / "list.txt"
        listing.write_text("".join(f"{case['path']}\n" for case in cases))
        lines = subprocess.run(
            [options.reader, listing], capture_output=True, check=True, text=True
        ).stdout.splitlines()
        verdicts = [judge(case, json.loads(line)) for case, line in zip(cases, lines, strict=True)]
        warned = [json.loads(line).get("warnings") for line in lines]
    return report(cases, verdicts, warned)


def report(cases, verdicts, warned):
    """Prints the faults, the table by kind and the totals; returns the exit status."""
    columns = ["equal", "WRONG", "refused by name", "refused, ffmpeg plays it", "refused badly"]
    for case, (verdict, reason) in zip(cases, verdicts, strict=True):
        if reason:
            print(f"{verdict}: {case['kind']}/{case['name']}: {reason}")
    kinds = list(dict.fromkeys(case["kind"] for case in cases))
    print(f"\n{'kind':14}" + "".join(f"{column:>26}" for column in columns))
    for kind in [*kinds, "all"]:
        counts = [
            sum(
                verdict == column and (kind == "all" or case["kind"] == kind)
                for case, (verdict, _) in zip(cases, verdicts, strict=True)
            )
            for column in columns
        ]
        print(f"{kind:14}" + "".join(f"{count:26}" for count in counts))
    print(f"{len(cases)} recordings; {sum(bool(sentences) for sentences in warned)} accepted with a warning")
    return int(any(verdict not in ("equal", "refused by name") for verdict, _ in verdicts))


if __name__ == "__main__":
    sys.exit(main())
