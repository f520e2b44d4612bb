#!/usr/bin/env python3
"""Compares what is said of the written texts of text/ with what a listener would accept, beside peers.

  .venv/inputs/bin/python -B tests/inputs/text.py --speaker 'target/release/examples/spoken' [-v] [--kind money,times]

The exit status is 1 if too few texts are right, over all or of one kind, if a peer is better, or if anything false is
said.
"""

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path

import lists
import peers
import speaker
from reading import false_words, is_accepted, leftovers

OVERALL_LEAST = 0.92
KIND_LEAST = 0.80
OURS = "ours"
CACHE = Path.home() / ".cache" / "csm-fleet-inputs"


@dataclass
class Score:
    """Texts of one kind that were said right, and those of which something false was said."""

    texts: int
    right: int
    false: int

    @property
    def share(self):
        """Share of the texts that were said right."""
        return self.right / self.texts


def arguments():
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--speaker", metavar="COMMAND",
                        help="our program, see speaker.py; without it only the peers are run")
    parser.add_argument("--beside", metavar="NAME=COMMAND", action="append", default=[],
                        help="one more program of that protocol, as a peer")
    parser.add_argument("--no-peers", action="store_true", help="do not run the peers of peers.py")
    parser.add_argument("--kind", default="", help="only these kinds, separated by commas")
    parser.add_argument("--cache", default=CACHE, help="folder of the peers' grammars")
    parser.add_argument("-v", "--verbose", metavar="COLUMN", nargs="?", const=OURS, help="print the texts said wrong")
    return parser.parse_args()


def chosen(kinds, names):
    """Keeps the kinds that are asked for; all if none is."""
    names = [name for name in names.split(",") if name]
    if unknown := set(names) - set(kinds):
        sys.exit(f"no such kind: {', '.join(sorted(unknown))}; there are: {', '.join(kinds)}")
    return {name: kinds[name] for name in names or kinds}


def columns(options, texts):
    """Says all texts with each program. Returns what was said, by the name of the column."""
    said = {}
    if options.speaker:
        said[OURS] = speaker.said(options.speaker, texts)
    for name, package, make in () if options.no_peers else peers.PEERS:
        said[name] = peers.said(make, package, options.cache, texts)
        if said[name] is None:
            print(f"\n*** NOT CHECKED *** {package} is not installed: `make test-inputs` installs it\n",
                  file=sys.stderr)
            del said[name]
    for beside in options.beside:
        name, _, command = beside.partition("=")
        said[name] = speaker.said(command, texts)
    return {name: dict(zip(texts, what)) for name, what in said.items()}


def score(cases, said):
    """Counts the cases that were said right, and those of which something false was said."""
    return Score(len(cases), sum(is_accepted(said[case["written"]], case) for case in cases),
                 sum(false_words(said[case["written"]], case) is not None for case in cases))


def table(kinds, said):
    """Prints the share of texts said right and the number of false ones, by kind and column. Returns all scores."""
    total = [case for kind in kinds.values() for case in kind]
    print("| kind | texts | " + " | ".join(f"{name} | false" for name in said) + " |")
    print("|---|--:|" + "--:|--:|" * len(said))
    scores = {}
    for kind, cases in [*kinds.items(), ("all", total)]:
        scores[kind] = {name: score(cases, what) for name, what in said.items()}
        cells = " | ".join(f"{100 * one.share:.1f} % | {one.false}" for one in scores[kind].values())
        print(f"| {kind} | {len(cases)} | {cells} |")
    return scores


def details(kinds, said):
    """Prints the texts that were said wrong."""
    for kind, cases in kinds.items():
        for case in cases:
            what = said[case["written"]]
            false = false_words(what, case)
            if false or not is_accepted(what, case):
                note = f" | FALSE: {false}" if false else ""
                print(f"{kind}: {case['written']!r} -> {what!r} | such as {case['accepted'][0]!r}{note}")


def faults(scores):
    """Lists what the scores fall short of."""
    overall = scores["all"][OURS]
    found = [f"{kind}: {100 * one[OURS].share:.1f} %, at least {100 * KIND_LEAST:.0f} % are asked"
             for kind, one in scores.items() if kind != "all" and one[OURS].share < KIND_LEAST]
    if overall.share < OVERALL_LEAST:
        found.append(f"overall: {100 * overall.share:.1f} %, at least {100 * OVERALL_LEAST:.0f} % are asked")
    found += [f"{name} is better: {100 * peer.share:.1f} %" for name, peer in scores["all"].items()
              if peer.right > overall.right]
    if overall.false:
        found.append(f"{overall.false} texts are said falsely")
    return found


def main():
    """Prints the table, and what falls short."""
    options = arguments()
    kinds = chosen(lists.texts(), options.kind)
    said = columns(options, [case["written"] for cases in kinds.values() for case in cases])
    if options.verbose:
        details(kinds, said[options.verbose])
    scores = table(kinds, said)
    if not options.speaker:
        return 0
    left = [what for what in said[OURS].values() if leftovers(what)]
    print(f"{len(left)} texts are said with a sign, a digit or a control code", *left[:1], sep=": ")
    found = faults(scores)
    print("\n".join(found) or "all texts: as asked")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
