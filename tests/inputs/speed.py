"""Times the longest texts of each kind, and of characters that only an attacker sends, beside NeMo.

usage: speed.py --speaker CMD [--cache FOLDER]

Each text has 4,096 characters and is spoken several times; the table has the median and the longest time of our
side, in milliseconds on one core. NeMo is slow on long texts, so both sides are compared on a shorter one.
"""

import argparse
import json
import shlex
import statistics
import subprocess
import sys
import time
from pathlib import Path

import lists
import peers

CHARS = 4_096
TIMES = 9
# The limit of the issue that this bench was made for, in milliseconds.
MOST_MS = 20
PEER_CHARS = 600

# Characters without sense, which some rule may take long to refuse.
HOSTILE = {
    "digits": "1234567890", "one digit": "7", "points": "1.", "colons": "1:", "slashes": "1/2/", "commas": "1,234,",
    "dashes": "1-2-", "signs": "$€£¥", "brackets": "([{<", "blanks": " \n\t", "quotes": "\"'", "stars": "**_", "ats": "a@b.",
    "letters": "a", "capitals": "IV", "entities": "&amp;#", "tags": "<b><i ", "urls": "http://a.", "paths": "/a\\",
    "emoji": "🙂👍🏽", "accents": "e\u0301", "full-width": "１２", "superscripts": "⁻³", "arabic": "مرحبا ، ", "japanese": "「日本」。",
    "ends": "a. B! ", "abbreviations": "Dr. No. ", "pauses": "[pause:1s]", "unclosed pauses": "[pause:", "lists": "1.) ",
}


def long_text(parts):
    """Repeats parts up to the longest text that a request may have."""
    text = "\n\n".join(parts)
    return (text * (CHARS // max(len(text), 1) + 1))[:CHARS]


def times(command, texts):
    """Lists the times of each text, as the speaker measures them."""
    asked = [text for text in texts for _ in range(TIMES)]
    lines = "".join(json.dumps({"text": text}) + "\n" for text in asked)
    run = subprocess.run(shlex.split(command), input=lines, stdout=subprocess.PIPE, encoding="utf-8", check=True)
    measured = [json.loads(line).get("ms", 0) for line in run.stdout.split("\n") if line]
    return [measured[at:at + TIMES] for at in range(0, len(measured), TIMES)]


def beside_nemo(options, text):
    """Times a text on both sides; None if NeMo is not installed."""
    _, package, make = peers.PEERS[0]
    normalize = peers.normaliser(make, package, options.cache)
    if normalize is None:
        return None
    begun = time.perf_counter()
    normalize(text)
    peer_ms = (time.perf_counter() - begun) * 1_000
    return statistics.median(times(options.speaker, [text])[0]), peer_ms


def main():
    """Prints the table. The exit status is 1 if a text took too long."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--speaker", required=True, help="program that speaks texts, see speaker.py")
    parser.add_argument("--cache", default=Path.home() / ".cache/csm-fleet-inputs", type=Path)
    options = parser.parse_args()
    kinds = {kind: long_text([case["written"] for case in cases]) for kind, cases in lists.texts().items()}
    kinds |= {f"only {kind}": long_text([part]).replace("\n\n", "") for kind, part in HOSTILE.items()}
    rows = sorted(zip(kinds, times(options.speaker, kinds.values())), key=lambda row: -statistics.median(row[1]))
    print(f"| {CHARS} characters of | median ms | longest ms |\n|---|--:|--:|")
    for kind, ms in rows:
        print(f"| {kind} | {statistics.median(ms):.1f} | {max(ms):.1f} |")
    compared = beside_nemo(options, kinds["numbers"][:PEER_CHARS])
    if compared:
        print(f"{PEER_CHARS} characters of numbers: {compared[0]:.2f} ms, NeMo {compared[1]:.0f} ms, "
              f"{compared[1] / compared[0]:.0f} times as long")
    slow = [kind for kind, ms in rows if statistics.median(ms) > MOST_MS]
    print(f"{len(slow)} of {len(rows)} kinds take more than {MOST_MS} ms", *slow, sep=", ")
    return 1 if slow else 0


if __name__ == "__main__":
    sys.exit(main())
