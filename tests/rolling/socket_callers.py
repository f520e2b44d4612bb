"""Callers of the WebSockets. A socket is used for many utterances, and opened again if it was closed between two."""

import base64
import json

from websockets.exceptions import ConnectionClosed, InvalidHandshake
from websockets.sync.client import connect

from caller import ANSWER_SECONDS, LONG, MEDIUM, SEED, SHORT, Caller, Cut, Pieces, describe, digest, samples_of

# Close codes with which a server says that it goes away.
GOING = (1001, 1012)
RECONNECTS_MAX = 20


class SocketCaller(Caller):
    """Speaks over one socket after another."""

    path = ""
    headers = {}
    texts = (MEDIUM, LONG, SHORT)
    socket = None

    def speak(self, socket, text, pieces):
        """Lets a text be spoken; adds its audio to `pieces` and asserts that it is whole."""
        raise NotImplementedError

    def check(self, call, text, pieces):
        """Asserts that the audio is that of the undisturbed call."""
        self.compare(call, text, bytes(pieces.data))

    def call(self, call, number):
        """Speaks a text and compares its audio."""
        text = self.texts[number % len(self.texts)]
        pieces = self.patiently(call, lambda: self.utter(call, text))
        self.check(call, text, pieces)

    def utter(self, call, text):
        """Speaks a text. A socket that is closed before the first piece is replaced; a cut raises [`Cut`]."""
        for _ in range(RECONNECTS_MAX):
            pieces = Pieces(call)
            self.lack(call, text, b"")
            try:
                self.socket = self.socket or connect(
                    f"ws://127.0.0.1:{self.port}{self.path}", max_size=None, open_timeout=ANSWER_SECONDS,
                    additional_headers=self.headers)
                self.speak(self.socket, text, pieces)
                return pieces
            except ConnectionClosed as error:
                self.socket = None
                self.lack(call, text, pieces.data)
                if pieces.data or error.rcvd is None or error.rcvd.code not in GOING:
                    raise Cut(f"{describe(error)} after {len(pieces.data)} bytes") from error
                call.reconnects += 1
            except (OSError, InvalidHandshake) as error:
                self.socket = None
                raise Cut(f"no socket: {describe(error)}") from error
            except Cut:
                self.socket.close()
                self.socket = None
                raise
        raise Cut(f"{RECONNECTS_MAX} sockets were closed")

    @staticmethod
    def receive(socket):
        """Returns the next message."""
        return socket.recv(timeout=ANSWER_SECONDS)


class WsStream(SocketCaller):
    """`/ws` with `"stream": true`."""

    surface, path = "WS /ws, streamed", "/ws"

    def speak(self, socket, text, pieces):
        """Sends a text; takes its audio and its end."""
        socket.send(json.dumps({"text": text, "seed": SEED, "stream": True}))
        while isinstance(message := self.receive(socket), bytes):
            pieces.add(message)
        end = json.loads(message)
        if not end.get("done"):
            raise Cut(f"{message[:200]} after {len(pieces.data)} bytes")
        assert len(samples_of(bytes(pieces.data))) == 2 * end["samples"]


class WsWhole(SocketCaller):
    """`/ws` with one message of audio."""

    surface, path = "WS /ws, whole", "/ws"

    def speak(self, socket, text, pieces):
        """Sends a text; takes its audio and its end."""
        socket.send(json.dumps({"text": text, "seed": SEED}))
        message = self.receive(socket)
        if isinstance(message, str):
            raise Cut(message[:200])
        pieces.add(message)
        samples_of(message)


class Stream(SocketCaller):
    """`/v1/stream`: a text in pieces, in a context of its own."""

    surface, path = "WS /v1/stream", "/v1/stream"
    count = 0

    def speak(self, socket, text, pieces):
        """Sends a text; takes its audio and its end."""
        self.count += 1
        context = {"context_id": f"c{self.count}"}
        half = len(text) // 2
        for message in ({"type": "start", "seed": SEED, "voice": "ash"}, {"type": "text", "text": text[:half]},
                        {"type": "text", "text": text[half:]}, {"type": "end"}):
            socket.send(json.dumps(context | message))
        samples = 0
        while True:
            message = self.receive(socket)
            if isinstance(message, bytes):
                pieces.add(message[24:])
                continue
            message = json.loads(message)
            if message["type"] == "sentence_end":
                samples += message["samples"]
            elif message["type"] == "done":
                assert len(pieces.data) == 2 * samples == 2 * message["samples_sent"]
                return
            elif message["type"] == "error":
                raise Cut(f"{json.dumps(message)[:300]} after {len(pieces.data)} bytes")


class Realtime(SocketCaller):
    """OpenAI's Realtime API. It takes no seed, so the samples are looked for among the receipts."""

    surface, path, headers = "WS /v1/realtime", "/v1/realtime?model=csm-1b", {"x-tenant": "realtime"}
    texts = (MEDIUM, SHORT)

    def speak(self, socket, text, pieces):
        """Asks for a response; takes its audio and its end."""
        content = [{"type": "input_text", "text": text}]
        socket.send(json.dumps({"type": "response.create", "response": {
            "conversation": "none", "output_modalities": ["audio"],
            "input": [{"type": "message", "role": "user", "content": content}]}}))
        while True:
            message = json.loads(self.receive(socket))
            if message["type"] == "response.output_audio.delta":
                pieces.add(base64.b64decode(message["delta"]))
            elif message["type"] == "response.done":
                if message["response"]["status"] != "completed":
                    raise Cut(f"{json.dumps(message['response'])[:300]} after {len(pieces.data)} bytes")
                return
            elif message["type"] == "error":
                raise Cut(json.dumps(message)[:300])

    def check(self, call, text, pieces):
        """Notes the digest, by which the survey finds the receipt."""
        assert pieces.data, "no audio"
        call.digest = digest(bytes(pieces.data))


SOCKET_CALLERS = (WsStream, WsWhole, Stream, Realtime)
