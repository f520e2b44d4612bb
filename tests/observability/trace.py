#!/usr/bin/env python3
"""Speaks one job on a real fleet that exports to a real OTLP receiver. Prints the job's trace as a tree, and fails if
a step is missing, if the steps do not add up to the whole, or if a log line holds the caller's text."""

import argparse
import http.server
import json
import sys
import threading
import urllib.request
from pathlib import Path

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from fleet import Fleet, until

ROOT = Path(__file__).resolve().parents[2]
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = "00f067aa0ba902b7"
STEPS = ("request", "check", "enqueue", "queue wait", "claim", "attempt", "publish", "fetch", "plan", "speak", "prefill", "frames", "codec", "watermark",
         "encode", "upload", "commit", "relay")
# Part of a span that may lie in none of its steps, and the other way round.
GAP_MAX = 0.05
TEXT = "The quick brown fox jumps over the lazy dog. Then it sleeps in the sun until the evening comes."
# Words of the text that no log line may hold.
SECRET = ("brown fox", "lazy dog", "until the evening")


class Receiver(http.server.BaseHTTPRequestHandler):
    """OTLP over HTTP, protobuf. Keeps all spans."""

    spans = []

    def do_POST(self):  # noqa: N802, the name is the library's
        """Takes a batch of spans."""
        body = self.rfile.read(int(self.headers["content-length"]))
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            service = {a.key: a.value.string_value for a in resource.resource.attributes}.get("service.name", "?")
            for scope in resource.scope_spans:
                Receiver.spans += [(service, span) for span in scope.spans]
        self.send_response(200)
        self.send_header("content-type", "application/x-protobuf")
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_):
        """Logs nothing."""


def of_trace():
    """Returns the spans of the trace by their ids."""
    return {span.span_id: (service, span) for service, span in list(Receiver.spans) if span.trace_id.hex() == TRACE}


def milliseconds(span):
    """Returns the length of a span."""
    return (span.end_time_unix_nano - span.start_time_unix_nano) / 1e6


def children(spans, parent):
    """Returns the spans below another one, in the order of their begins."""
    below = [span for _, span in spans.values() if span.parent_span_id == parent]
    return sorted(below, key=lambda span: span.start_time_unix_nano)


def show(spans, parent, depth, zero):
    """Prints the tree below a span."""
    for span in children(spans, parent):
        service = spans[span.span_id][0]
        begun = (span.start_time_unix_nano - zero) / 1e6
        busy = [a.value.double_value for a in span.attributes if a.key == "busy_ms"]
        note = f"  ({busy[0]:.1f} ms at work)" if busy else ""
        print(f"{begun:9.1f} ms  {'  ' * depth}{span.name:<{24 - 2 * depth}} {milliseconds(span):9.1f} ms  {service}{note}")
        show(spans, span.span_id, depth + 1, zero)


def covered(span, steps):
    """Returns the part of a span that its steps cover together."""
    begin, end, reached, total = span.start_time_unix_nano, span.end_time_unix_nano, span.start_time_unix_nano, 0
    for step in sorted(steps, key=lambda step: step.start_time_unix_nano):
        first, last = max(step.start_time_unix_nano, reached, begin), min(step.end_time_unix_nano, end)
        total += max(0, last - first)
        reached = max(reached, last)
    return total / max(1, end - begin)


def faults(spans, light):
    """Returns what is wrong with the trace."""
    named = {name: [span for _, span in spans.values() if span.name == name] for name in STEPS}
    wrong = [f"no span {name!r}" for name, found in named.items() if not found]
    if wrong or light:
        return wrong
    for name in ("request", "attempt"):
        for span in named[name]:
            part = covered(span, children(spans, span.span_id))
            print(f"steps of {name}: {part:.1%} of its time")
            if part < 1 - GAP_MAX:
                wrong.append(f"the steps of {name} cover {part:.1%} of it")
    for attempt in named["attempt"]:
        # They follow one another.
        total = sum(map(milliseconds, children(spans, attempt.span_id))) / milliseconds(attempt)
        print(f"sum of the steps of attempt: {total:.1%} of its time")
        if abs(total - 1) > GAP_MAX:
            wrong.append(f"the steps of attempt add up to {total:.1%} of it")
    return wrong


def log_faults(fleet):
    """Returns what is wrong with the logs: a line with the caller's text, or lines of the attempt without its place."""
    wrong, placed = [], 0
    for name in ("gateway-1", "worker-1"):
        for line in (fleet.folder / f"{name}.log").read_text().splitlines():
            if any(word in line for word in SECRET):
                wrong.append(f"{name} logs the caller's text: {line}")
            for span in json.loads(line).get("spans", []):
                if span["name"] == "attempt":
                    placed += all(span.get(field) for field in ("job", "attempt", "worker", "lane")) and span["trace_id"] == TRACE
    print(f"{placed} log lines of the attempt with job, attempt, worker, lane and trace id")
    return wrong if placed else [*wrong, "no log line names job, attempt, worker, lane and trace id"]


def speak(fleet):
    """Asks for speech in a trace of the caller; returns the trace that the answer names."""
    body = json.dumps({"input": TEXT, "model": "csm-1b", "voice": "alloy", "response_format": "wav"}).encode()
    headers = {"content-type": "application/json", "traceparent": f"00-{TRACE}-{PARENT}-01"}
    request = urllib.request.Request(f"http://127.0.0.1:{fleet.api['gateway-1']}/v1/audio/speech", body, headers)
    with urllib.request.urlopen(request, timeout=120) as answer:
        assert answer.read(4) == b"RIFF"
        answer.read()
        return answer.headers["traceresponse"]


def main():
    """Runs the check; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bin", type=Path, required=True, help="folder of csm-gateway and csm-worker")
    parser.add_argument("--model", type=Path, required=True, help="folder of a model")
    parser.add_argument("--light", action="store_true", help="look for the steps, not for their times")
    arguments = parser.parse_args()
    receiver = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    threading.Thread(target=receiver.serve_forever, daemon=True).start()
    fleet = Fleet(arguments.bin.resolve(), arguments.model.resolve(), ROOT / "k8s/alerts/rules.yaml")
    fleet.environment |= {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{receiver.server_port}",
                          "OTEL_BSP_SCHEDULE_DELAY": "200", "CSM_LOG": "debug", "CSM_LOG_FORMAT": "json"}
    try:
        fleet.start_redis()
        fleet.start_program("worker", "worker-1")
        fleet.start_program("gateway", "gateway-1")
        named = speak(fleet)
        wrong = log_faults(fleet)
        until("the trace", lambda: {"request", "attempt"} <= {span.name for _, span in of_trace().values()}, 20)
    finally:
        fleet.end()
        receiver.shutdown()
    spans = of_trace()
    zero = min((span.start_time_unix_nano for _, span in spans.values()), default=0)
    show(spans, bytes.fromhex(PARENT), 0, zero)
    wrong += faults(spans, arguments.light)
    if not (named or "").startswith(f"00-{TRACE}-"):
        wrong.append(f"the answer names the trace {named}")
    for fault in wrong:
        print(f"FAIL: {fault}")
    print(f"{len(spans)} spans, {len(wrong)} faults")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
