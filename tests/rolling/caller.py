"""A caller: one call after another, each compared with the same call on an undisturbed fleet."""

import hashlib
import os
import struct
import threading
import time

import httpx2

from ledger import Call

ANSWER_SECONDS = 180
# Pause between two calls of a caller.
PAUSE_SECONDS = 0.5
# Tries of a client after the first one, and their pauses: those of OpenAI's clients.
RETRIES = 2
RETRY_SECONDS, RETRY_SECONDS_MAX = 0.5, 60.0
# Answers after which these clients try again.
AGAIN = (408, 409, 429, 500, 502, 503, 504)
SEED = 7

SHORT = "The tea is ready."
MEDIUM = "The harbour was quiet when the first boats came in, and nobody on the pier had expected them."
# Long enough to be in progress when a component is restarted, short enough for live delivery.
LONG = " ".join(2 * [
    "A woman in a red coat counted the crates one by one.", "Her brother wrote each number into a small grey book.",
    "The wind turned to the north and brought a little rain.", "Two boys carried the ropes up to the old storehouse.",
    "By four in the afternoon everything was under a roof."])


class Refusal(Exception):
    """Answer with an error status."""

    def __init__(self, answer):
        super().__init__(f"{answer.status_code} {answer.text[:200]}")
        self.status = answer.status_code
        self.retry_after = answer.headers.get("retry-after")


class Cut(Exception):
    """End of a stream that is not the end of its speech."""


def describe(error):
    """Returns one line about an error."""
    return f"{type(error).__name__}: {error}".splitlines()[0][:300]


def is_repeatable(error):
    """Returns whether OpenAI's clients send a request again after this error."""
    return isinstance(error, httpx2.TransportError) or isinstance(error, Refusal) and error.status in AGAIN


def samples_of(wav):
    """Returns the samples of a WAV file, whose sizes must be those of its data, or those of a stream."""
    assert wav[:4] == b"RIFF" and wav[8:12] == b"WAVE", f"no WAV: {wav[:16]!r}"
    whole, = struct.unpack("<I", wav[4:8])
    start = wav.index(b"data") + 8
    size, = struct.unpack("<I", wav[start - 4:start])
    streamed = whole == size == 0xFFFFFFFF
    sizes = len(wav) - 8, len(wav) - start
    assert streamed or (whole, size) == sizes, f"{sizes} bytes; the header says {whole}, {size}"
    return wav[start:]


def digest(data):
    """Returns the SHA-256 in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


class Pieces:
    """Pieces of a stream of audio as they arrive."""

    def __init__(self, call):
        self.call, self.data, self.last = call, bytearray(), None

    def add(self, piece):
        """Adds a piece, and notes the time since the one before."""
        now = time.monotonic()
        if self.last is not None:
            self.call.gap = max(self.call.gap, now - self.last)
        self.last = now
        self.data += piece


class Caller(threading.Thread):
    """Calls one surface again and again."""

    surface = ""
    pause = PAUSE_SECONDS
    # Whether each restart waits until this surface has spoken.
    awaited = True

    def __init__(self, port, ledger, references):
        super().__init__(daemon=True)
        self.base, self.port = f"http://127.0.0.1:{port}", port
        self.ledger, self.references, self.over = ledger, references, threading.Event()
        self.http = httpx2.Client(base_url=self.base, timeout=ANSWER_SECONDS)

    def call(self, call, number):
        """Makes a call, whose number chooses its text."""
        raise NotImplementedError

    def run(self):
        """Calls until it is told to stop."""
        number = 0
        while not self.over.is_set():
            self.call_once(number)
            number += 1
            self.over.wait(self.pause)

    def call_once(self, number):
        """Makes one call and adds it to the ledger."""
        call = Call(self.surface, time.monotonic())
        try:
            self.call(call, number)
        except Exception as error:
            call.failed(describe(error))
            call.lost = describe(error)
        self.ledger.add(call)
        return call

    def patiently(self, call, once):
        """Runs a request; runs it again as OpenAI's clients do."""
        for left in reversed(range(RETRIES + 1)):
            try:
                return once()
            except (httpx2.TransportError, Refusal, Cut) as error:
                call.failed(describe(error))
                if not left or not (isinstance(error, Cut) or is_repeatable(error)):
                    raise
                pause = float(getattr(error, "retry_after", None) or RETRY_SECONDS * 2 ** (RETRIES - left))
                self.over.wait(min(pause, RETRY_SECONDS_MAX))

    def ask(self, call, method, path, **options):
        """Sends a request until it has an answer; returns the answer."""

        def once():
            answer = self.http.request(method, path, **options)
            if answer.status_code >= 400:
                raise Refusal(answer)
            return answer

        return self.patiently(call, once)

    def compare(self, call, text, data):
        """Asserts that the bytes are those of the undisturbed call with the same text, which was the first one."""
        whole = self.references.setdefault((self.surface, text), bytes(data))
        if data != whole:
            same = len(os.path.commonprefix([whole, data]))
            call.missing = len(whole) - same
            raise AssertionError(f"{len(data)} bytes, {same} of them as in the undisturbed {len(whole)}")
        call.missing = 0

    def lack(self, call, text, data):
        """Notes how much of a result is not there yet."""
        call.missing = max(0, len(self.references.get((self.surface, text), b"")) - len(data))

    def stop(self):
        """Lets the caller stop after its present call."""
        self.over.set()
