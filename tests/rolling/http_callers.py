"""Callers of the HTTP surfaces."""

import base64
import json
import uuid

import httpx2
from openai import OpenAI

from caller import ANSWER_SECONDS, LONG, MEDIUM, SEED, SHORT, Caller, Pieces, Refusal, digest, samples_of

FINAL = ("succeeded", "failed", "cancelled", "expired")
POLL_SECONDS = 20
BATCH_LINES = 4
# Connections of an event stream after the first one.
RECONNECTS_MAX = 20
RECONNECT_SECONDS = 0.5


class Jobs(Caller):
    """Submits a job, polls it and fetches its file."""

    surface = "POST /v1/jobs, poll, audio"
    texts = (SHORT, MEDIUM)

    def submit(self, call, text, **fields):
        """Submits a job; returns its id."""
        body, headers = {"text": text, "seed": SEED, **fields}, {"idempotency-key": str(uuid.uuid4())}
        return self.ask(call, "POST", "/v1/jobs", json=body, headers=headers).json()["id"]

    def receipt(self, call, job):
        """Waits for the end of a job; returns its receipt."""
        while True:
            record = self.ask(call, "GET", f"/v1/jobs/{job}?wait={POLL_SECONDS}").json()
            if record["status"] in FINAL:
                assert record["status"] == "succeeded", f"job {job}: {record['status']}, {record.get('failure')}"
                return record["receipt"]

    def call(self, call, number):
        """Has a text spoken and compares its file."""
        text = self.texts[number % len(self.texts)]
        job = self.submit(call, text)
        receipt = self.receipt(call, job)
        self.lack(call, text, b"")
        file = self.ask(call, "GET", f"/v1/jobs/{job}/audio").content
        assert digest(file) == receipt["sha256"] and len(samples_of(file)) == 2 * receipt["samples"]
        self.compare(call, text, file)


class LongJobs(Jobs):
    """Submits jobs that outlast the drain of a worker on a spot node."""

    surface = "long job, poll, audio"
    pause = 0.0
    awaited = False
    texts = (" ".join([LONG] * 7),)


class Events(Jobs):
    """Follows a job with live audio, as an `EventSource` does."""

    surface = "SSE /v1/jobs/{id}/events"
    texts = (LONG, MEDIUM)

    def call(self, call, number):
        """Follows a job over as many connections as it takes."""
        text = self.texts[number % len(self.texts)]
        job = self.submit(call, text, delivery="both", lane="live")
        pieces, last, receipt = Pieces(call), None, None
        for _ in range(RECONNECTS_MAX):
            last, receipt = self.follow(call, job, last, pieces)
            if receipt:
                break
            # The server ended the stream between two events. An EventSource connects again.
            call.reconnects += 1
            self.over.wait(RECONNECT_SECONDS)
        self.lack(call, text, pieces.data)
        assert receipt, f"{RECONNECTS_MAX} connections without an end"
        assert len(pieces.data) == 2 * receipt["samples"]
        self.compare(call, text, bytes(pieces.data))

    def follow(self, call, job, last, pieces):
        """Reads one connection; returns the last event's id, and the receipt if the job has ended."""
        headers = {"last-event-id": last} if last else {}
        state = {"last": last}

        def once():
            with self.http.stream("GET", f"/v1/jobs/{job}/events", headers=headers) as answer:
                if answer.status_code != 200:
                    answer.read()
                    raise Refusal(answer)
                for line in answer.iter_lines():
                    name, _, value = line.partition(": ")
                    if name == "id":
                        state["last"] = headers["last-event-id"] = value
                    elif name == "data":
                        event = json.loads(value)
                        if event["event"] == "done":
                            return state["last"], event["receipt"]
                        assert event["event"] in ("started", "progress"), f"job {job}: {event}"
                        if event.get("audio"):
                            assert 2 * event["audio"]["offset"] == len(pieces.data), "a gap, or bytes twice"
                            pieces.add(base64.b64decode(event["audio"]["pcm"]))
            return state["last"], None

        return self.patiently(call, once)


class Speech(Caller):
    """Listens to `POST /v1/audio/speech` while it is made."""

    surface = "POST /v1/audio/speech"
    texts = (MEDIUM, LONG, SHORT)

    def call(self, call, number):
        """Listens to a text and compares the stream."""
        text = self.texts[number % len(self.texts)]
        body = {"model": "csm-1b", "voice": "ash", "input": text, "response_format": "wav", "seed": SEED}
        headers = {"idempotency-key": str(uuid.uuid4())}

        def once():
            pieces = Pieces(call)
            self.lack(call, text, b"")
            with self.http.stream("POST", "/v1/audio/speech", json=body, headers=headers) as answer:
                if answer.status_code != 200:
                    answer.read()
                    raise Refusal(answer)
                for piece in answer.iter_raw():
                    pieces.add(piece)
                    self.lack(call, text, pieces.data)
            return bytes(pieces.data)

        file = self.patiently(call, once)
        samples_of(file)
        self.compare(call, text, file)


class LongSpeech(Speech):
    """Listens to a text that is spoken by several jobs in a row."""

    surface = "POST /v1/audio/speech, long"
    awaited = False
    texts = (" ".join([LONG] * 3),)


class OpenAiSpeech(Caller):
    """Listens through OpenAI's client, which tries again before the first byte and never behind it."""

    surface = "openai client, its retries"
    retries = 2
    texts = (MEDIUM, LONG, SHORT)

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.client = OpenAI(
            base_url=f"{self.base}/v1", api_key="none", max_retries=self.retries, timeout=ANSWER_SECONDS)

    def call(self, call, number):
        """Listens to a text and compares the stream."""
        text = self.texts[number % len(self.texts)]
        pieces = Pieces(call)
        self.lack(call, text, b"")
        speech = self.client.audio.speech.with_streaming_response.create(
            model="csm-1b", voice="ash", input=text, response_format="wav", extra_body={"seed": SEED})
        with speech as answer:
            for piece in answer.iter_bytes():
                pieces.add(piece)
                self.lack(call, text, pieces.data)
        samples_of(bytes(pieces.data))
        self.compare(call, text, bytes(pieces.data))


class OpenAiSpeechOnce(OpenAiSpeech):
    """Listens through OpenAI's client without any retry."""

    surface = "openai client, no retries"
    retries = 0


class Generate(Caller):
    """Calls the route of the integration that this service replaces."""

    surface = "POST /generate"

    def call(self, call, number):
        """Waits for a whole file and compares it."""
        self.lack(call, MEDIUM, b"")
        answer = self.ask(call, "POST", "/generate", json={"text": MEDIUM, "seed": SEED})
        file = base64.b64decode(answer.json()["audio"])
        samples_of(file)
        self.compare(call, MEDIUM, file)


class Detect(Jobs):
    """Looks for the mark in the file of a job that was spoken before."""

    surface = "POST /v1/watermark/detect"
    pause = 4.0
    file = None

    def call(self, call, number):
        """Asserts that the mark is found."""
        if self.file is None:
            job = self.submit(call, MEDIUM)
            self.receipt(call, job)
            self.file = self.ask(call, "GET", f"/v1/jobs/{job}/audio").content
        headers = {"content-type": "audio/wav"}
        report = self.ask(call, "POST", "/v1/watermark/detect", content=self.file, headers=headers).json()
        assert report["verdict"] == "detected", report


class Batches(Jobs):
    """Has a file of lines spoken, and fetches each line's audio."""

    surface = "POST /v1/batches"

    def call(self, call, number):
        """Has a batch spoken and compares each line."""
        lines = "".join(json.dumps({
            "custom_id": f"line-{line}", "method": "POST", "url": "/v1/jobs",
            "body": {"text": MEDIUM, "seed": SEED}}) + "\n" for line in range(BATCH_LINES))
        upload = self.ask(call, "POST", "/v1/files", data={"purpose": "batch"}, files={"file": ("lines.jsonl", lines)})
        batch = self.ask(call, "POST", "/v1/batches", headers={"idempotency-key": str(uuid.uuid4())}, json={
            "input_file_id": upload.json()["id"], "endpoint": "/v1/jobs", "completion_window": "1h"}).json()
        while batch["status"] in ("validating", "in_progress", "finalizing"):
            self.over.wait(RECONNECT_SECONDS)
            batch = self.ask(call, "GET", f"/v1/batches/{batch['id']}").json()
        assert batch["status"] == "completed" and not batch.get("error_file_id"), batch
        output = self.ask(call, "GET", f"/v1/files/{batch['output_file_id']}/content").text.splitlines()
        facts = [json.loads(line)["response"]["body"] for line in output]
        assert sorted(fact["custom_id"] for fact in facts) == [f"line-{line}" for line in range(BATCH_LINES)], facts
        for fact in facts:
            file = self.ask(call, "GET", f"/v1/batches/{batch['id']}/lines/{fact['line']}/audio").content
            assert digest(file) == fact["sha256"]
            samples_of(file)
            self.compare(call, MEDIUM, file)


class Poll(Jobs):
    """Reads a record over one connection, nearly without a pause: the connection is used when it is closed."""

    surface = "GET /v1/jobs/{id}, kept alive"
    pause = 0.05
    job = None

    def call(self, call, number):
        """Reads the record once."""
        self.job = self.job or self.submit(call, SHORT)
        self.ask(call, "GET", f"/v1/jobs/{self.job}")


class Connect(Caller):
    """Opens a connection for each request."""

    surface = "GET /v1/models, new connection"
    pause = 0.2

    def call(self, call, number):
        """Sends one request."""
        self.ask(call, "GET", "/v1/models", headers={"connection": "close"})


HTTP_CALLERS = (
    Jobs, LongJobs, Events, Speech, LongSpeech, OpenAiSpeech, OpenAiSpeechOnce, Generate, Detect, Batches, Poll,
    Connect)
