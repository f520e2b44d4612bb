"""Shared by the two Wyoming scripts: one synthesis, read event by event."""

from wyoming.audio import AudioChunk, AudioStart, AudioStop
from wyoming.client import AsyncTcpClient
from wyoming.error import Error
from wyoming.tts import Synthesize, SynthesizeVoice


class Refused(Exception):
    """Holds the text of an error event, or says that the connection ended."""


def connect(uri):
    """Returns a client that connects when it is entered."""
    host, port = uri.removeprefix("tcp://").rsplit(":", 1)
    return AsyncTcpClient(host, int(port), read_timeout=90)


async def ask(client, text, voice="alloy"):
    """Sends a one-shot request."""
    await client.write_event(Synthesize(text=text, voice=voice and SynthesizeVoice(name=voice)).event())


async def chunks(client):
    """Yields the sound of one audio stream up to its end."""
    started = False
    while event := await client.read_event():
        if Error.is_type(event.type):
            raise Refused(Error.from_event(event).text)
        if AudioStart.is_type(event.type):
            start = AudioStart.from_event(event)
            assert (start.rate, start.width, start.channels) == (24000, 2, 1), start
            started = True
        elif AudioChunk.is_type(event.type):
            assert started, "sound before audio-start"
            yield AudioChunk.from_event(event).audio
        elif AudioStop.is_type(event.type):
            return
        else:
            raise AssertionError(f"unexpected event {event.type}")
    raise Refused("the connection ended")


async def whole(client):
    """Reads the whole of one audio stream."""
    return b"".join([audio async for audio in chunks(client)])
