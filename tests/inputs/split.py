#!/usr/bin/env python3
"""Checks the cutting of long texts: golden rules, and abbreviations within a sentence; with and without normalising.

  python3 -B tests/inputs/split.py --speaker 'target/release/examples/spoken' [-v]

A rule holds if no piece ends within one of its sentences, and if a piece ends behind each sentence that is too long to
be joined with the next. The exit status is 1 if too few rules hold or too many abbreviations are cut.
"""

import argparse
import sys
from itertools import accumulate

import lists
import speaker

RULES_LEAST = 50
ABBREVIATIONS_CUT_MOST = 3


def arguments():
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--speaker", metavar="COMMAND", required=True, help="our program, see speaker.py")
    parser.add_argument("-v", "--verbose", action="store_true", help="print the rules and abbreviations that fail")
    return parser.parse_args()


def dense(text):
    """Leaves out the blanks of a text."""
    return "".join(text.split())


def ends(text, pieces):
    """Returns the places in the dense text at which a piece ends; None if the pieces are not the written text."""
    if dense(text) != dense("".join(pieces)):
        return None
    return set(accumulate(len(dense(piece)) for piece in pieces))


def place(text, part):
    """Returns the start and the end of a part, in the dense text."""
    start = dense(text).index(dense(part))
    return start, start + len(dense(part))


def fault(text, keep, cut, pieces):
    """Returns what is wrong with the pieces of a text, or None."""
    places = ends(text, pieces)
    if places is None:
        return f"the pieces are not the text: {pieces}"
    for part in keep:
        start, end = place(text, part)
        if within := sorted(at for at in places if start < at < end):
            return f"cut within a sentence: ...{dense(text)[:within[0]][-30:]}|"
    return next((f"not cut behind: ...{part}|" for part in cut if place(text, part)[1] not in places), None)


def faults(command, cases, normalize):
    """Returns what is wrong with each case (text, keep, cut) that is not cut rightly, by its place."""
    answers = speaker.speak(command, [text for text, _, _ in cases], normalize)
    found = ((at, fault(*case, [piece["written"] for piece in pieces]))
             for at, (case, pieces) in enumerate(zip(cases, answers)))
    return {at: what for at, what in found if what}


def main():
    """Prints how many rules hold and how many abbreviations are cut."""
    options = arguments()
    rules = lists.golden()
    frame, phrases = lists.abbreviations()
    before, *_, after = rules[0]["keep"]
    sentences = [frame.format(phrase) for phrase in phrases]
    framed = [(f"{before} {sentence} {after}", [sentence], []) for sentence in sentences]
    short = False
    for normalize in (True, False):
        broken = faults(options.speaker, [(rule["text"], rule["keep"], rule["cut"]) for rule in rules], normalize)
        parted = faults(options.speaker, framed, normalize)
        print(f"normalize {str(normalize).lower()}: {len(rules) - len(broken)} of {len(rules)} golden rules hold, "
              f"{len(parted)} of {len(phrases)} abbreviations are cut")
        if options.verbose:
            for at, what in broken.items():
                print(f"  rule {rules[at]['rule']}, {rules[at]['name']}: {what}")
            for at, what in parted.items():
                print(f"  {phrases[at]}: {what}")
        short |= len(rules) - len(broken) < RULES_LEAST or len(parted) > ABBREVIATIONS_CUT_MOST
    return 1 if short else 0


if __name__ == "__main__":
    sys.exit(main())
