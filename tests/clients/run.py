#!/usr/bin/env python3
"""Drives real client libraries against a fleet and prints a table of clients and checks."""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time

from harness.control import Control
from harness.fleet import Fleet
from harness.groups import CLIENTS, HERE, NODE_LEAST, has_node, install
from harness.proxy import Exchanges, Proxy, start_loop

SCRIPT_SECONDS = 300
SIGNS = {"pass": "ok", "fail": "FAIL", "skip": "-"}


def arguments():
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bin", required=True, help="folder of csm-gateway and csm-worker")
    parser.add_argument("--model", required=True, help="folder of the model")
    parser.add_argument("--only", default="", help="clients, separated by commas")
    parser.add_argument("--check", default="", help="checks, separated by commas")
    parser.add_argument("--light", action="store_true", help="only the clients that install fast")
    parser.add_argument("--install", action="store_true", help="install the packages and stop")
    parser.add_argument("--requests", metavar="FILE", help="write all recorded exchanges to a file")
    return parser.parse_args()


def chosen(options):
    """Lists the clients that the command line asks for."""
    names = [name for name in options.only.split(",") if name]
    unknown = set(names) - {client.name for client in CLIENTS}
    if unknown:
        sys.exit(f"no such client: {', '.join(sorted(unknown))}; "
                 f"there are: {', '.join(client.name for client in CLIENTS)}")
    if names:
        return [client for client in CLIENTS if client.name in names]
    if not options.light:
        return CLIENTS
    light = [client for client in CLIENTS if client.light]
    if has_node():
        return light
    print(f"\n*** NOT CHECKED *** no Node of version {NODE_LEAST} with npm: openai-node\n", file=sys.stderr)
    return [client for client in light if not client.needs_node()]


def environment(options, fleet, proxies, control):
    """Makes the environment by which a script finds the harness."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("OPENAI_")}
    env.update(
        CSM_BASE=f"http://127.0.0.1:{proxies[0].port}",
        CSM_BUSY_BASE=f"http://127.0.0.1:{proxies[1].port}",
        CSM_API=f"http://127.0.0.1:{fleet.gateway}",
        CSM_CONTROL=f"http://127.0.0.1:{control.port}",
        CSM_CHECKS=options.check, PYTHONPATH=os.path.join(HERE, "lib"), PYTHONUNBUFFERED="1",
        PYTHONDONTWRITEBYTECODE="1")
    if fleet.wyoming:
        env.update(CSM_WYOMING=f"tcp://127.0.0.1:{fleet.wyoming}",
                   CSM_BUSY_WYOMING=f"tcp://127.0.0.1:{fleet.busy_wyoming}")
    return env


def run_client(client, command, env, folder):
    """Runs a client's script and returns its results; its other output goes to a file."""
    log = os.path.join(folder, f"{client.name}.log")
    results = []
    with open(log, "w", encoding="utf-8") as errors:
        process = subprocess.Popen(command, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                   stderr=errors, text=True, start_new_session=True)
        alarm = threading.Timer(SCRIPT_SECONDS, process.kill)
        alarm.start()
        for line in process.stdout:
            if not line.startswith('{"client"'):
                errors.write(line)
                continue
            results.append(json.loads(line))
            show(results[-1])
        code = process.wait()
        alarm.cancel()
    if (code or not (results or env["CSM_CHECKS"])) and not any(result["result"] == "fail" for result in results):
        results.append({"client": client.name, "check": "script", "result": "fail", "seconds": 0,
                        "note": f"the script ended with {code} and {len(results)} results: {last_line(log)}"})
        show(results[-1])
    return results


def show(result):
    """Prints one result as it comes."""
    print(f"{SIGNS[result['result']]:5}{result['client']}: {result['check']} "
          f"({result['seconds']} s) {result['note']}".rstrip(), flush=True)


def last_line(path):
    """Returns the last line of a file that is not blank."""
    with open(path, encoding="utf-8", errors="replace") as file:
        return next((line.strip() for line in reversed(file.readlines()) if line.strip()), "no output")


def table(results):
    """Formats the results: a line for each client, a column for each check."""
    checks = list(dict.fromkeys(result["check"] for result in results))
    clients = list(dict.fromkeys(result["client"] for result in results))
    cells = {(r["client"], r["check"]): SIGNS[r["result"]] for r in results}
    width = max(map(len, clients), default=0)
    lines = ["  ".join(["client".ljust(width), *checks])]
    for client in clients:
        row = [cells.get((client, check), "").ljust(len(check)) for check in checks]
        lines.append("  ".join([client.ljust(width), *row]).rstrip())
    return "\n".join(lines)


def drive(options, clients, commands, folder):
    """Starts the fleet, runs the scripts one after another, and returns all results."""
    fleet = Fleet(os.path.abspath(options.bin), os.path.abspath(options.model), folder)
    exchanges, results = Exchanges(), []
    try:
        fleet.start()
        loop = start_loop()
        proxies = [Proxy(loop, exchanges, ("127.0.0.1", port), name)
                   for name, port in (("gateway", fleet.gateway), ("busy", fleet.busy))]
        env = environment(options, fleet, proxies, Control(fleet, exchanges))
        for client in clients:
            results += run_client(client, commands[client.name], env, folder)
    finally:
        fleet.stop()
        if options.requests:
            with open(options.requests, "w", encoding="utf-8") as file:
                json.dump(exchanges.items, file, indent=1)
    return results


def main():
    """Installs, drives, and prints the table; exits with 1 if a check failed."""
    options = arguments()
    clients = chosen(options)
    cache = os.path.abspath(os.environ.get("CSM_CLIENTS_CACHE") or "target/clients")
    os.makedirs(cache, exist_ok=True)
    commands = {client.name: install(client, cache) for client in clients}
    if options.install:
        return 0
    began = time.monotonic()
    folder = tempfile.mkdtemp(prefix="csm-clients-")
    results = drive(options, clients, commands, folder)
    print("\n" + table(results))
    counts = {kind: sum(result["result"] == kind for result in results) for kind in SIGNS}
    print(f"\n{counts['pass']} passed, {counts['fail']} failed, {counts['skip']} skipped")
    print(f"in {time.monotonic() - began:.0f} s", file=sys.stderr)
    if counts["fail"] or not counts["pass"]:
        print(f"logs: {folder}", file=sys.stderr)
        return 1
    shutil.rmtree(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
