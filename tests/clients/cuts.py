#!/usr/bin/env python3
"""Kills workers and gateways at random places of speech, on every surface and in every format.

Each round starts one speech on each surface at once, and kills both workers, or the gateway, at a
random moment. A speech passes if its client has every sample, bit for bit, or an error that no client
takes for the end. Surfaces that can go on after an error must then deliver the rest.
"""

import argparse
import base64
import collections
import hashlib
import http.client
import json
import os
import random
import signal
import socket
import sys
import tempfile
import threading
import time
import traceback
import urllib.request
import uuid

from websockets.sync.client import connect

from harness.fleet import Fleet, free_port, job_of, wait_until_ready

TEXT = "The harbour was quiet when the first boats came in, and nobody on the pier had expected them."
STEP_SECONDS = 120
RETRY_SECONDS = 0.1
# Part of the undisturbed time after which nothing is killed any more: most speech is over by then.
LAST_MOMENT = 0.9


class Cut(Exception):
    """Says that the client got an error in place of the rest."""


class Cutter:
    """Holds the fleet, and kills and restarts its parts."""

    def __init__(self, binaries, model, folder):
        self.fleet = Fleet(binaries, model, folder)
        self.port, self.admin, self.wyoming = free_port(), free_port(), free_port()
        self.gateway, self.logs = None, []

    def start(self):
        """Starts the fleet, and a gateway beside its own, which is the one that is killed."""
        self.fleet.start()
        self.start_gateway()

    def start_gateway(self):
        """Starts the gateway on its port, and waits until it is ready."""
        command = [os.path.join(self.fleet.binaries, "csm-gateway"), "--admin-listen", f"127.0.0.1:{self.admin}",
                   "--wyoming", f"127.0.0.1:{self.wyoming}"]
        self.gateway, log = self.fleet._spawn(f"cut-gateway-{len(self.fleet.processes)}", command, CSM_LISTEN=f"127.0.0.1:{self.port}")
        self.logs.append(log)
        wait_until_ready(self.gateway, self.admin, log.path)

    def kill(self, part):
        """Kills the gateway, or all workers, and starts others."""
        if part == "gateway":
            self.gateway.send_signal(signal.SIGKILL)
            self.gateway.wait()
            self.start_gateway()
            return
        for name, (process, _admin, _log) in list(self.fleet.workers.items()):
            process.send_signal(signal.SIGKILL)
            process.wait()
            del self.fleet.workers[name]
        for _ in range(2):
            self.fleet.start_worker()

    def document(self, job):
        """Waits for the end of a job and returns its document; the other gateway is asked."""
        url = f"http://127.0.0.1:{self.fleet.gateway}/v1/jobs/{job}?wait=60"
        with urllib.request.urlopen(url, timeout=90) as answer:
            return json.load(answer)

    def stored(self, job):
        """Returns the stored file of a job."""
        url = f"http://127.0.0.1:{self.fleet.gateway}/v1/jobs/{job}/audio"
        with urllib.request.urlopen(url, timeout=90) as answer:
            return answer.read()


def post(port, path, body, headers):
    """Sends a request and returns the answer, whose body is not read yet."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=STEP_SECONDS)
    try:
        connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json", **headers})
        answer = connection.getresponse()
    except OSError as error:
        raise Cut(f"no answer: {error}") from error
    except http.client.HTTPException as error:
        raise Cut(f"no answer: {error}") from error
    if answer.status != 200:
        raise Cut(f"status {answer.status}: {answer.read()[:120]!r}")
    return answer


def body_of(answer):
    """Reads a whole body; a body that is cut raises."""
    try:
        return answer.read()
    except (OSError, http.client.HTTPException) as error:
        raise Cut(f"cut body: {error}") from error


def patiently(call):
    """Repeats a call until it succeeds: the part that was killed is starting again."""
    end = time.monotonic() + STEP_SECONDS
    while True:
        try:
            return call()
        except Cut:
            if time.monotonic() > end:
                raise
            time.sleep(RETRY_SECONDS)


class Speech:
    """A speech on one surface: the result of the first try, and of the resume if there is one."""

    def __init__(self, cutter, label):
        self.cutter, self.text = cutter, f"{TEXT[:-1]}, {label}."
        self.port = cutter.port

    def socket(self, path):
        """Opens a socket of the gateway."""
        try:
            return connect(f"ws://127.0.0.1:{self.port}{path}", max_size=None, open_timeout=STEP_SECONDS, legacy=True)
        except Exception as error:
            raise Cut(f"no socket: {error}") from error

    @staticmethod
    def messages(opened):
        """Yields the messages of a socket; a close is a cut."""
        while True:
            try:
                yield opened.recv(timeout=STEP_SECONDS)
            except TimeoutError:
                raise AssertionError(f"silence for {STEP_SECONDS} s") from None
            except Exception as error:
                raise Cut(f"closed: {error}") from error

    def expect(self, samples):
        """Asserts that these are the samples of a job of this round: its stored file says so."""
        digest = hashlib.sha256(samples).hexdigest()
        jobs = self.jobs()
        receipts = [self.cutter.document(job).get("receipt") or {} for job in jobs]
        assert samples and digest in [receipt.get("sha256") for receipt in receipts], (
            f"{len(samples) // 2} samples; the jobs have {[receipt.get('samples') for receipt in receipts]}")

    def jobs(self):
        """Lists the jobs that the gateway has accepted in this round."""
        lines = [line for log in self.cutter.logs for line in list(log.lines) if '"accepted job"' in line]
        return [job_of(line) for line in lines]


class HttpSpeech(Speech):
    """`POST /v1/audio/speech` with a key: a repeat brings the whole."""

    def __init__(self, cutter, label, kind, stream="audio"):
        super().__init__(cutter, label)
        self.kind, self.stream, self.key = kind, stream, str(uuid.uuid4())

    def once(self):
        """Asks for the speech and returns its bytes, up to an evident end."""
        body = {"input": self.text, "response_format": self.kind, "stream_format": self.stream}
        data = body_of(post(self.port, "/v1/audio/speech", body, {"Idempotency-Key": self.key}))
        if self.stream == "audio":
            return data
        sound, last = b"", {}
        for line in data.splitlines():
            if line.startswith(b"data: "):
                last = json.loads(line[6:])
                sound += base64.b64decode(last.get("audio") or "") if last["type"] == "speech.audio.delta" else b""
        if last.get("type") != "speech.audio.done":
            raise Cut(f"the last event is {last.get('type')}")
        return sound

    def run(self):
        """Returns whether the first try was cut; asserts that a repeat is the same, bit for bit."""
        try:
            first = self.once()
        except Cut:
            first = None
        whole = patiently(self.once)
        again = patiently(self.once)
        assert whole and whole == again, f"two repeats differ: {len(whole)} and {len(again)} bytes"
        assert first in (None, whole), f"an end without all: {len(first)} of {len(whole)} bytes"
        return first is None


class WsSpeech(Speech):
    """`/ws` with `"stream": true`."""

    def run(self):
        """Returns whether the speech was cut; asserts that a whole one has all samples."""
        try:
            opened, sound = self.socket("/ws"), b""
            opened.send(json.dumps({"text": self.text, "stream": True}))
            for message in self.messages(opened):
                if isinstance(message, str):
                    end = json.loads(message)
                    break
                sound += message
        except Cut:
            return True
        if not end.get("done"):
            return True
        samples = sound[44:]
        assert len(samples) == 2 * end["samples"], f"{len(samples) // 2} samples; the end says {end['samples']}"
        stored = self.cutter.stored(end["job"])
        assert stored[stored.index(b"data") + 8:][:len(samples)] == samples, "other samples than the file"
        return False


class StreamSpeech(Speech):
    """`/v1/stream`, which can go on behind the last event."""

    def once(self, opening, state):
        """Reads a context to its end; keeps what came in `state`."""
        opened = self.socket("/v1/stream")
        try:
            opened.send(json.dumps({**opening, "context_id": "a", "on_disconnect": "detach"}))
            if opening["type"] == "start":
                opened.send(json.dumps({"type": "text", "context_id": "a", "text": self.text}))
            opened.send(json.dumps({"type": "end", "context_id": "a"}))
        except Exception as error:
            raise Cut(f"closed: {error}") from error
        for message in self.messages(opened):
            if isinstance(message, bytes):
                offset = int.from_bytes(message[8:16], "little")
                assert 2 * offset == len(state["sound"]), f"offset {offset}; {len(state['sound']) // 2} came before"
                state["sound"] += message[24:]
                state["after"] = "-".join(str(int.from_bytes(message[i:i + 4], "little")) for i in (16, 20))
                continue
            message = json.loads(message)
            if message["type"] == "sentence":
                state["job"] = message["job"]
            elif message["type"] == "sentence_end":
                state["samples"] = message["receipt"]["samples"]
            elif message["type"] == "done":
                return
            elif message["type"] in ("error", "restart"):
                raise Cut(str(message))

    def run(self):
        """Returns whether the speech was cut; asserts that it is whole after a resume."""
        state, cut = {"sound": b"", "job": None, "after": None, "samples": None}, False
        opening = {"type": "start"}

        def try_once():
            self.once(opening, state)

        while True:
            try:
                try_once()
                break
            except Cut:
                cut = True
                if state["samples"] is not None:
                    break
                time.sleep(RETRY_SECONDS)
                if state["job"]:
                    opening = {"type": "resume", "job": state["job"]}
                    if state["after"]:
                        opening["after"] = state["after"]
        assert len(state["sound"]) == 2 * state["samples"], (
            f"{len(state['sound']) // 2} samples; the receipt says {state['samples']}")
        digest = hashlib.sha256(state["sound"]).hexdigest()
        assert digest == self.cutter.document(state["job"])["receipt"]["sha256"], "other samples than the file"
        return cut


class DeepgramSpeech(Speech):
    """Deepgram's socket."""

    def run(self):
        """Returns whether the speech was cut."""
        try:
            opened, sound = self.socket("/v1/speak"), b""
            opened.send(json.dumps({"type": "Speak", "text": self.text}))
            opened.send(json.dumps({"type": "Flush"}))
            for message in self.messages(opened):
                if isinstance(message, bytes):
                    sound += message
                elif json.loads(message)["type"] == "Flushed":
                    break
                elif json.loads(message)["type"] == "Error":
                    raise Cut(message)
        except Cut:
            return True
        self.expect(sound)
        return False


class ElevenLabsSpeech(Speech):
    """ElevenLabs' socket of many contexts."""

    def run(self):
        """Returns whether the speech was cut."""
        try:
            path = "/v1/text-to-speech/alloy/multi-stream-input?output_format=pcm_24000"
            opened, sound = self.socket(path), b""
            for message in ({"text": " "}, {"text": self.text, "flush": True}, {"close_context": True}):
                opened.send(json.dumps({"context_id": "a", **message}))
            for message in self.messages(opened):
                message = json.loads(message)
                if message.get("error"):
                    raise Cut(str(message))
                sound += base64.b64decode(message.get("audio") or "")
                if message.get("isFinal"):
                    break
        except Cut:
            return True
        self.expect(sound)
        return False


class CartesiaSpeech(Speech):
    """Cartesia's socket."""

    def run(self):
        """Returns whether the speech was cut."""
        try:
            opened, sound = self.socket("/tts/websocket"), b""
            opened.send(json.dumps({
                "model_id": "sonic", "voice": {"mode": "id", "id": "alloy"}, "context_id": "a", "transcript": self.text,
                "continue": False,
                "output_format": {"container": "raw", "encoding": "pcm_s16le", "sample_rate": 24000}}))
            for message in self.messages(opened):
                message = json.loads(message)
                if message["type"] == "error":
                    raise Cut(str(message))
                sound += base64.b64decode(message.get("data") or "")
                if message["type"] == "done":
                    break
        except Cut:
            return True
        self.expect(sound)
        return False


class RealtimeSpeech(Speech):
    """The Realtime API, for speech alone."""

    def run(self):
        """Returns whether the speech was cut."""
        try:
            opened, sound = self.socket("/v1/realtime?model=csm-1b"), b""
            content = [{"type": "input_text", "text": self.text}]
            opened.send(json.dumps({"type": "response.create", "response": {
                "conversation": "none", "output_modalities": ["audio"],
                "input": [{"type": "message", "role": "user", "content": content}]}}))
            for message in self.messages(opened):
                message = json.loads(message)
                if message["type"] == "error":
                    raise Cut(str(message))
                if message["type"] == "response.output_audio.delta":
                    sound += base64.b64decode(message["delta"])
                if message["type"] == "response.done":
                    if message["response"]["status"] != "completed":
                        raise Cut(str(message))
                    break
        except Cut:
            return True
        self.expect(sound)
        return False


class WyomingSpeech(Speech):
    """The protocol of Home Assistant."""

    def run(self):
        """Returns whether the speech was cut."""
        sound = b""
        try:
            with socket.create_connection(("127.0.0.1", self.cutter.wyoming), STEP_SECONDS) as opened:
                file = opened.makefile("rwb")
                data = json.dumps({"text": self.text}).encode()
                head = {"type": "synthesize", "data_length": len(data), "version": "1.10.0"}
                file.write(json.dumps(head).encode() + b"\n" + data)
                file.flush()
                while True:
                    line = file.readline()
                    if not line.endswith(b"\n"):
                        return True
                    head = json.loads(line)
                    lengths = head.get("data_length") or 0, head.get("payload_length") or 0
                    parts = [file.read(length) for length in lengths]
                    if tuple(map(len, parts)) != lengths or head["type"] == "error":
                        return True
                    sound += parts[1]
                    if head["type"] == "audio-stop":
                        break
        except OSError:
            return True
        self.expect(sound)
        return False


SURFACES = {
    **{f"speech {kind}": lambda cutter, label, kind=kind: HttpSpeech(cutter, label, kind)
       for kind in ("pcm", "wav", "flac", "opus", "mp3")},
    "speech sse": lambda cutter, label: HttpSpeech(cutter, label, "pcm", "sse"),
    "/ws": WsSpeech, "/v1/stream": StreamSpeech, "deepgram": DeepgramSpeech, "elevenlabs": ElevenLabsSpeech,
    "cartesia": CartesiaSpeech, "realtime": RealtimeSpeech, "wyoming": WyomingSpeech,
}


def speak_all(cutter, round_name, surfaces, results):
    """Starts a thread for a speech on each surface; each puts its outcome into `results`."""

    def one(name):
        label = f"{name} {round_name}".replace("/", " ")
        try:
            results[name] = "cut" if SURFACES[name](cutter, label).run() else "whole"
        except Exception as error:
            traceback.print_exc()
            results[name] = f"FAIL {type(error).__name__}: {error}"

    threads = [threading.Thread(target=one, args=[name]) for name in surfaces]
    for thread in threads:
        thread.start()
    return threads


def main():
    """Runs the rounds and prints a table; fails if any speech was neither whole nor an evident error."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bin", required=True, help="folder of csm-gateway and csm-worker")
    parser.add_argument("--model", required=True, help="folder of the model")
    parser.add_argument("--rounds", type=int, default=60, help="kills of each part")
    parser.add_argument("--parts", default="worker,gateway", help="parts to kill")
    parser.add_argument("--surfaces", default=",".join(SURFACES), help="surfaces")
    parser.add_argument("--seed", type=int, default=int(time.time()), help="seed of the moments")
    options = parser.parse_args()
    surfaces, draw = options.surfaces.split(","), random.Random(options.seed)
    folder = tempfile.mkdtemp(prefix="csm-cuts-")
    cutter = Cutter(os.path.abspath(options.bin), os.path.abspath(options.model), folder)
    counts, failures = collections.Counter(), []
    try:
        cutter.start()
        began, results = time.monotonic(), {}
        for thread in speak_all(cutter, "undisturbed", surfaces, results):
            thread.join()
        undisturbed = time.monotonic() - began
        assert set(results.values()) == {"whole"}, f"undisturbed: {results}"
        print(f"seed {options.seed}; undisturbed: all whole in {undisturbed:.1f} s", flush=True)
        for part in options.parts.split(","):
            for number in range(options.rounds):
                cutter.fleet.wait_for_workers()
                del cutter.logs[:-1], cutter.logs[-1].lines[:]
                moment, results = draw.uniform(0, LAST_MOMENT * undisturbed), {}
                threads = speak_all(cutter, f"{part} {number}", surfaces, results)
                time.sleep(moment)
                cutter.kill(part)
                for thread in threads:
                    thread.join()
                for name in surfaces:
                    outcome = results[name].split(" ")[0]
                    counts[part, name, outcome] += 1
                    if outcome == "FAIL":
                        failures.append((part, number, moment, name, results[name]))
                print(f"{part} {number}: killed after {moment:.2f} s: "
                      f"{collections.Counter(value.split(' ')[0] for value in results.values())}", flush=True)
    finally:
        cutter.fleet.stop()
    print(f"\n{'surface':14} " + " ".join(f"{part + ' ' + outcome:>14}" for part in options.parts.split(",")
                                        for outcome in ("whole", "cut", "FAIL")))
    for name in surfaces:
        print(f"{name:14} " + " ".join(f"{counts[part, name, outcome]:14}" for part in options.parts.split(",")
                                       for outcome in ("whole", "cut", "FAIL")))
    for failure in failures:
        print("FAIL", *failure)
    print(f"seed {options.seed}; logs: {folder}")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
