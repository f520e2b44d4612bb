#!/usr/bin/env python3
"""Renders every overlay, example and combination of k8s/, checks all objects, and plants faults to show that the check
finds them."""

import argparse
import platform
import shutil
import subprocess
import sys
import time
from pathlib import Path

import cache_script
import cluster_rules  # noqa: F401  its rules register themselves, as those of the next seven
import network_rules  # noqa: F401
import observability_rules  # noqa: F401
import pod_rules  # noqa: F401
import redis_rules  # noqa: F401
import scaling_rules  # noqa: F401
import schemas  # noqa: F401
import setting_rules  # noqa: F401
from faults import FAULTS
from manifests import RULES, Manifests
from sources import Sources
from targets import targets, unrendered
from tree import RenderError, Tree


def kubectl():
    """Returns the kubectl beside this Python, or the one on PATH."""
    own = Path(sys.executable).parent / "kubectl"
    found = str(own) if own.exists() else shutil.which("kubectl")
    if not found:
        sys.exit(f"no kubectl: none is packaged for {platform.system()} {platform.machine()}, and none is on PATH")
    return found


def findings(target, sources, program, change=None):
    """Returns what is wrong with a target, as pairs of a rule's name and a message, and the number of its objects."""
    try:
        objects = sources.tree.render(target, program)
    except RenderError as error:
        return [("render", str(error))], 0
    if change:
        change(objects)
    manifests = Manifests(target, objects, sources)
    found = [("schema", message) for message in RULES["schema"](manifests)]
    # The other rules take the form of objects for granted.
    if not found:
        found = [(name, message) for name, check in RULES.items() for message in check(manifests)]
    return found, len(objects)


def check_all(program):
    """Checks all targets; returns the number of faults."""
    sources, faults = Sources(), 0
    for target in targets():
        found, count = findings(target, sources, program)
        faults += len(found)
        print(f"{target.name:44} {count:3} objects  {'ok' if not found else f'{len(found)} faults'}")
        for name, message in found:
            print(f"  {name}: {message}")
    for name in unrendered():
        faults += 1
        print(f"{name}: no overlay, example or combination has it")
    return faults


def self_test(program):
    """Plants each fault alone; returns the number of those that its rule did not name."""
    by_name = {target.name: target for target in targets()}
    clean, missed = Sources(), 0
    print(f"\n{'planted fault':64} found by")
    for fault in FAULTS:
        sources = Sources(Tree(fault.edits)) if fault.edits else clean
        found, _ = findings(by_name[fault.target], sources, program, fault.change)
        names = list(dict.fromkeys(name for name, _ in found))
        hit = fault.rule in names
        missed += not hit
        others = [name for name in names if name != fault.rule]
        said = fault.rule if hit else f"NOT FOUND by {fault.rule}"
        print(f"{fault.name:64} {said}{' (also ' + ', '.join(others) + ')' if others else ''}")
    untested = sorted(RULES.keys() - {fault.rule for fault in FAULTS})
    for name in untested:
        print(f"no fault is planted for the rule {name}")
    return missed + len(untested)


def main():
    """Runs the check and the self test."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only-check", action="store_true", help="leave the self test out")
    options = parser.parse_args()
    began, program = time.monotonic(), kubectl()
    version = subprocess.run([program, "version", "--client"], capture_output=True, text=True, check=True).stdout
    print(f"rendered by {program}: {', '.join(version.split(chr(10))[:2])}")
    faults = check_all(program)
    wrong = cache_script.test()
    missed = 0 if options.only_check else self_test(program)
    seconds = time.monotonic() - began
    planted = 0 if options.only_check else len(FAULTS)
    print(f"\nk8s: {len(targets())} targets, {len(RULES)} rules, {faults} faults; "
          f"{planted - missed} of {planted} planted faults found; {seconds:.1f} s")
    return 1 if faults or missed or wrong else 0


if __name__ == "__main__":
    sys.exit(main())
