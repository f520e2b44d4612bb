#!/usr/bin/env python3
"""Speaks, refuses and breaks jobs on a real fleet under a real Prometheus. Then evaluates every query of every panel and
alert over that time, and fails if one has no value. Counts the series before and after many jobs of many tenants."""

import argparse
import base64
import json
import math
import os
import signal
import socket
import sys
import time
from datetime import datetime, timedelta, timezone
from pathlib import Path

import promql_parser
import yaml

import plot
from fleet import SCRAPE_SECONDS, Fleet, http, until

ROOT = Path(__file__).resolve().parents[2]
RULES = ROOT / "k8s/alerts/rules.yaml"
# Jobs of the load that are open at a time.
OPEN_MAX = 200
# Jobs that the second gateway takes of a tenant in a minute.
RATE = 8
STEP_SECONDS = 2
TEXT = "The quick brown fox jumps over the lazy dog. "
# Query that must be found to have no data: no slot is in this state.
PLANTED = ("planted: a value that no label has", 'sum(csm_slots{state="asleep"})')
FINAL = ("succeeded", "failed", "cancelled", "expired")
COMPARISONS = (">", "<", "==", "!=", ">=", "<=")
# What stands for Grafana's variables.
VALUES = {"$__rate_interval": "10s", "$__range": "5m", "$namespace": ".*", "$price": "1"}


def spoken(fleet, job, tenant="default", seconds=120):
    """Waits for the end of a job; returns its record."""
    record = {}

    def ended():
        record.update(json.loads(fleet.get("gateway-1", f"/v1/jobs/{job}", {"x-tenant": tenant})[1]))
        return record["status"] in FINAL
    until(f"job {job}", ended, seconds)
    return record


def submit(fleet, gateway="gateway-1", tenant="default", **fields):
    """Sends a job that must be accepted; returns its id."""
    status, answer = fleet.post(gateway, "/v1/jobs", {"text": "Hello there.", **fields}, {"x-tenant": tenant})
    assert status == 202, answer
    return answer["id"]


def succeed(fleet, *jobs):
    """Waits for jobs that must succeed."""
    for job in jobs:
        record = spoken(fleet, job)
        assert record["status"] == "succeeded", record


def batch(fleet):
    """Speaks a batch of three lines."""
    lines = "".join(json.dumps({"custom_id": f"line-{number}", "method": "POST", "url": "/v1/jobs",
                                "body": {"text": "Good evening."}}) + "\n" for number in range(3))
    bound = "a-bound-of-parts"
    form = (f'--{bound}\r\ncontent-disposition: form-data; name="purpose"\r\n\r\nbatch\r\n'
            f'--{bound}\r\ncontent-disposition: form-data; name="file"; filename="lines.jsonl"\r\n\r\n{lines}\r\n'
            f"--{bound}--\r\n").encode()
    status, body = http(f"http://127.0.0.1:{fleet.api['gateway-1']}/v1/files", form,
                        {"content-type": f"multipart/form-data; boundary={bound}"})
    assert status in (200, 201), body
    status, made = fleet.post("gateway-1", "/v1/batches", {
        "input_file_id": json.loads(body)["id"], "endpoint": "/v1/jobs", "completion_window": "1h"})
    assert status in (200, 201, 202), made
    until("the batch", lambda: json.loads(fleet.get("gateway-1", f"/v1/batches/{made['id']}")[1])["status"] == "completed")


def websocket(fleet):
    """Opens a WebSocket and leaves it open."""
    port = fleet.api["gateway-1"]
    opened = socket.create_connection(("127.0.0.1", port))
    key = base64.b64encode(os.urandom(16)).decode()
    opened.sendall(f"GET /ws HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\nupgrade: websocket\r\nconnection: upgrade\r\n"
                   f"sec-websocket-key: {key}\r\nsec-websocket-version: 13\r\n\r\n".encode())
    assert b" 101 " in opened.recv(4096)
    return opened


def everyday(fleet):
    """Speaks jobs of each lane, with a context, as a batch; refuses requests; looks for the mark of a file."""
    jobs = [submit(fleet, gateway, lane=lane) for gateway in ("gateway-1", "gateway-2")
            for lane in ("live", "standard", "bulk")]
    succeed(fleet, *jobs)
    status, audio = fleet.get("gateway-1", f"/v1/jobs/{jobs[0]}/audio")
    assert status == 200 and audio[:4] == b"RIFF", status
    context = {"text": "Hello there.", "speaker": 0, "audio": base64.b64encode(audio).decode()}
    succeed(fleet, submit(fleet, context=[context]), submit(fleet, context=[context]))
    # A rate is that of the second event and later ones.
    for _ in range(2):
        status, body = http(f"http://127.0.0.1:{fleet.api['gateway-1']}/v1/watermark/detect", audio, {"content-type": "audio/wav"})
        assert status == 200, body
        time.sleep(2 * SCRAPE_SECONDS)
    batch(fleet)
    assert fleet.post("gateway-1", "/v1/jobs", {"text": ""})[0] == 422
    # The second gateway takes few jobs a minute of a tenant.
    answers = [fleet.post("gateway-2", "/v1/jobs", {"text": "Hello."}, {"x-tenant": "greedy"})[0] for _ in range(RATE + 2)]
    assert answers[0] == 202 and 429 in answers, answers


def faults(fleet):
    """Lets a job fail by its deadline, a worker die, keys vanish, takes be given up, and Redis stand still."""
    # Its worker stands still from the claim until the deadline has passed. The pause is shorter than a lease.
    moment = (datetime.now(timezone.utc) + timedelta(seconds=3)).isoformat()
    late = submit(fleet, text=TEXT * 90, deadline=moment, max_audio_length_ms=90000)
    until("a claim", lambda: json.loads(fleet.get("gateway-1", f"/v1/jobs/{late}")[1])["status"] == "running")
    fleet.send_signal("worker-1", signal.SIGSTOP)
    time.sleep(4)
    fleet.send_signal("worker-1", signal.SIGCONT)
    assert spoken(fleet, late)["status"] == "failed"
    # The figure of the failure is scraped before its worker is killed.
    time.sleep(2 * SCRAPE_SECONDS)
    # A worker that finds silence in every take, and dies with a job.
    fleet.kill("worker-1")
    fleet.start_program("worker", "worker-2", "--take-silence", "0", "--slots", "1")
    succeed(fleet, submit(fleet))
    assert b"csm_retakes_total{" in http(f"http://127.0.0.1:{fleet.admin['worker-2']}/metrics")[1]
    time.sleep(2 * SCRAPE_SECONDS)
    succeed(fleet, submit(fleet))
    time.sleep(2 * SCRAPE_SECONDS)
    cut = submit(fleet, text=TEXT * 90, max_audio_length_ms=90000)
    until("a claim", lambda: json.loads(fleet.get("gateway-1", f"/v1/jobs/{cut}")[1])["status"] == "running")
    fleet.kill("worker-2")
    fleet.start_program("worker", "worker-1")
    succeed(fleet, cut)
    # The stream of a lane is deleted while a job waits in it.
    fleet.kill("worker-1")
    lost = submit(fleet, lane="bulk")
    fleet.redis("DEL", "csm:{q0}:s:bulk", "csm:{q0}:waits:csm:{q0}:s:bulk")
    shown = [fleet.admin["gateway-1"], fleet.admin["gateway-2"]]
    until("a repair", lambda: any(b"csm_reconciled_total" in http(f"http://127.0.0.1:{port}/metrics")[1] for port in shown), 120)
    fleet.start_program("worker", "worker-1")
    succeed(fleet, lost)
    fleet.send_signal("redis", signal.SIGSTOP)
    try:
        status, answer = fleet.post("gateway-1", "/v1/jobs", {"text": "Hello."})
        assert status == 503, answer
    finally:
        fleet.send_signal("redis", signal.SIGCONT)
    until("Redis is back", lambda: fleet.post("gateway-1", "/v1/jobs", {"text": "Hello."})[0] == 202)


def load(fleet, jobs, tenants):
    """Speaks jobs of tenants, some at a time; returns the series before and after."""
    succeed(fleet, *(submit(fleet, lane=lane) for lane in ("live", "standard", "bulk")))
    names = ["default", *(f"tenant-{number}" for number in range(tenants))]
    time.sleep(2 * STEP_SECONDS)
    before = fleet.series()
    for first in range(0, jobs, OPEN_MAX):
        sent = []
        for number in range(first, min(first + OPEN_MAX, jobs)):
            tenant = names[1 + number % tenants]
            sent.append((submit(fleet, "gateway-1", tenant, lane=("live", "standard", "bulk")[number % 3]), tenant))
        for job, tenant in sent:
            record = spoken(fleet, job, tenant)
            assert record["status"] == "succeeded", record
    time.sleep(2 * STEP_SECONDS)
    return before, fleet.series()


def one_line(node):
    """Returns the text of an expression on one line."""
    return " ".join(node.prettify().split())


def uncompared(node):
    """Returns the parts of an alert's expression without comparisons and without `absent`."""
    if isinstance(node, promql_parser.ParenExpr):
        return uncompared(node.expr)
    if isinstance(node, promql_parser.BinaryExpr):
        symbol, left, right = (one_line(part) for part in (node, node.lhs, node.rhs))
        between = symbol[len(left):len(symbol) - len(right)].split()
        if between and between[0] in COMPARISONS:
            return uncompared(node.lhs)
        if between and between[0] in ("and", "or", "unless") and any(
                mark in part for part in (left, right) for mark in (" > ", " == ", " < ")):
            return [*uncompared(node.lhs), *uncompared(node.rhs)]
    if isinstance(node, promql_parser.Call) and node.func.name == "absent":
        return [one_line(node.args[0])]
    return [one_line(node)]


def filled(expression):
    """Puts values into the places of Grafana's variables."""
    for name, value in VALUES.items():
        expression = expression.replace(name, value)
    return expression


def queries():
    """Lists all queries: where each is, and its expression."""
    for file in sorted((ROOT / "k8s/dashboards").glob("*.json")):
        for panel in json.loads(file.read_text())["panels"]:
            for target in panel.get("targets", []):
                yield f"{file.stem}: {panel['title']} {target['refId']}", filled(target["expr"])
    for group in yaml.safe_load(RULES.read_text())["groups"]:
        for rule in group["rules"]:
            for expression in uncompared(promql_parser.parse(rule["expr"])):
                yield f"alert: {rule['alert']}", expression


def evaluate(fleet, began):
    """Evaluates all queries over the time of the fleet; prints a table, and returns the names of those without a value."""
    lacking, end = [], time.time()
    print(f"\n{'query':58} {'series':>6} {'values':>6} {'last':>12}")
    for name, expression in (*queries(), PLANTED):
        try:
            result = fleet.ask("query_range", query=expression, start=began, end=end, step=STEP_SECONDS)["result"]
        except ValueError as error:
            lacking.append(name)
            print(f"{name:58} {error}: {expression}")
            continue
        values = [float(value) for series in result for _, value in series["values"]]
        numbers = [value for value in values if math.isfinite(value)]
        if not numbers:
            lacking.append(name)
        shown = f"{numbers[-1]:12.4g}" if numbers else f"NO DATA: {expression}"
        print(f"{name:58} {len(result):6} {len(numbers):6} {shown}")
    return lacking


def fired(fleet, began):
    """Returns the names of the alerts that were active at any time, each with its furthest state."""
    data = fleet.ask("query_range", query="count by (alertname, alertstate) (ALERTS)", start=began, end=time.time(), step=STEP_SECONDS)
    states = {}
    for series in data["result"]:
        states.setdefault(series["metric"]["alertname"], set()).add(series["metric"]["alertstate"])
    return {name: "firing" if "firing" in found else "pending" for name, found in sorted(states.items())}


def main():
    """Runs the check; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bin", type=Path, required=True, help="folder with csm-gateway and csm-worker")
    parser.add_argument("--model", type=Path, default=ROOT / "cli/tiny/model")
    parser.add_argument("--jobs", type=int, default=200, help="jobs between the two counts of series")
    parser.add_argument("--tenants", type=int, default=20, help="tenants of these jobs")
    parser.add_argument("--plots", type=Path, help="folder for a picture of each dashboard; needs matplotlib")
    options = parser.parse_args()
    fleet, began = Fleet(options.bin.resolve(), options.model.resolve(), RULES), time.time()
    try:
        fleet.start_redis()
        fleet.start_program("gateway", "gateway-1")
        fleet.start_program("gateway", "gateway-2", "--tenant-rate-max", str(RATE))
        fleet.start_program("worker", "worker-1")
        # Its port is scraped from the beginning.
        fleet.start_program("worker", "worker-2")
        fleet.kill("worker-2")
        fleet.start_prometheus()
        opened = websocket(fleet)
        everyday(fleet)
        faults(fleet)
        before, after = load(fleet, options.jobs, options.tenants)
        opened.close()
        lacking = evaluate(fleet, began)
        noticed = PLANTED[0] in lacking
        states = fired(fleet, began)
        if options.plots:
            span = {"start": began, "end": time.time(), "step": STEP_SECONDS}
            draw = lambda expression: fleet.ask("query_range", query=filled(expression), **span)["result"]
            print(*plot.dashboards(ROOT / "k8s/dashboards", options.plots, draw), sep="\n")
    except BaseException:
        for log in sorted(fleet.folder.glob("*.log")):
            print(f"--- {log.name}", *log.read_text(errors="replace").splitlines()[-5:], sep="\n", file=sys.stderr)
        raise
    finally:
        fleet.end()
    print(f"\nalerts that were active: {', '.join(f'{name} ({state})' for name, state in states.items())}")
    print(f"series before and after {options.jobs} jobs of {options.tenants} tenants: {len(before)} and {len(after)}")
    for name in sorted(after - before):
        print(f"  new: {name}")
    print(f"observability: {sum(1 for _ in queries())} queries, {len(lacking) - noticed} without data; "
          f"the planted one was {'found' if noticed else 'NOT FOUND'}; {time.time() - began:.0f} s")
    return 1 if len(lacking) > 1 or not noticed or after - before else 0


if __name__ == "__main__":
    sys.exit(main())
