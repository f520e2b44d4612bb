"""Checks of the gateway's Wyoming port with the client that Home Assistant uses."""

import asyncio
import sys

from wyoming.audio import AudioChunk, AudioStart, AudioStop
from wyoming.error import Error
from wyoming.info import Describe, Info
from wyoming.ping import Ping, Pong
from wyoming.tts import SynthesizeChunk, SynthesizeStart, SynthesizeStop, SynthesizeStopped, SynthesizeVoice

from csm_checks import *  # noqa: F403
from csm_wyoming import Refused, ask, chunks, connect, whole


async def describe():
    """Asks what the server offers, and pings it."""
    async with connect(WYOMING) as client:
        await client.write_event(Describe().event())
        info = Info.from_event(await client.read_event())
        program = info.tts[0]
        assert program.installed and program.supports_synthesize_streaming, program
        names = [voice.name for voice in program.voices]
        assert "alloy" in names and "cedar" in names, names
        assert all(voice.languages and voice.installed for voice in program.voices)
        await client.write_event(Ping(text="hello").event())
        assert Pong.from_event(await client.read_event()).text == "hello"


async def speak():
    """Speaks twice on one connection, with a named voice and without one."""
    async with connect(WYOMING) as client:
        for voice in ("alloy", None):
            at = mark()
            await ask(client, SHORT, voice)
            data = await whole(client)
            assert_whole(accepted_since(at), samples_of(data, "pcm"))


async def stream():
    """Reads the first sound while the job runs."""
    at = mark()
    async with connect(WYOMING) as client:
        await ask(client, LONG)
        parts = chunks(client)
        data = await anext(parts)
        assert_running(accepted_since(at))
        async for part in parts:
            data += part
    assert_whole(accepted_since(at), samples_of(data, "pcm"))


async def sentences():
    """Sends a text in pieces, as Home Assistant does; sound comes before the last piece is sent."""
    at = mark()
    async with connect(WYOMING) as client:
        await client.write_event(SynthesizeStart(voice=SynthesizeVoice(name="alloy")).event())
        await client.write_event(SynthesizeChunk(text="The harbour was quiet when the first boats came in. ").event())
        await client.write_event(SynthesizeChunk(text="Nobody on the pier had ").event())
        event = await client.read_event()
        assert AudioStart.is_type(event.type), event.type
        await client.write_event(SynthesizeChunk(text="expected them before noon.").event())
        await ask(client, "The harbour was quiet. Nobody on the pier had expected them.")
        await client.write_event(SynthesizeStop().event())
        size, starts, stops = 0, 1, 0
        while event := await client.read_event():
            assert not Error.is_type(event.type), event.data
            starts += AudioStart.is_type(event.type)
            stops += AudioStop.is_type(event.type)
            if AudioChunk.is_type(event.type):
                size += len(event.payload)
            if SynthesizeStopped.is_type(event.type):
                break
        assert event, "the connection ended before synthesize-stopped"
        assert starts == stops, f"{starts} audio-start, {stops} audio-stop"
    expected = samples_since(at)
    assert size == 2 * expected, f"{size // 2} samples; the receipts say {expected}"


async def cancelled():
    """Disconnects in mid-speech, which must cancel the job."""
    at = mark()
    async with connect(WYOMING) as client:
        await ask(client, LONG)
        await anext(chunks(client))
        assert_running(accepted_since(at))
    assert_cancelled(accepted_since(at))


async def bad_voice():
    """Names an unknown voice; the answer is an error event that names it."""
    async with connect(WYOMING) as client:
        await ask(client, SHORT, BAD_VOICE)
        try:
            await whole(client)
        except Refused as error:
            assert BAD_VOICE in str(error), error
        else:
            raise AssertionError("the voice was accepted")


async def refused():
    """Asks a gateway without room; the answer is an error event."""
    async with connect(BUSY_WYOMING) as client:
        await ask(client, SHORT)
        try:
            await whole(client)
        except Refused as error:
            assert str(error) != "the connection ended", error
        else:
            raise AssertionError("accepted")


async def broken():
    """Cancels the job behind a stream; the client must never see audio-stop."""
    at = mark()
    async with connect(WYOMING) as client:
        await ask(client, LONG)
        parts = chunks(client)
        await anext(parts)
        cancel(accepted_since(at))
        try:
            async for _ in parts:
                pass
        except (Refused, ConnectionError):
            return
    raise AssertionError("the broken stream ended with audio-stop")


async def worker_lost():
    """Kills the worker in mid-speech; another finishes and every sample arrives."""
    at = mark()
    async with connect(WYOMING) as client:
        await ask(client, LONG)
        parts = chunks(client)
        data = await anext(parts)
        job = accepted_since(at)
        await asyncio.to_thread(kill_worker_of, job)
        async for part in parts:
            data += part
    assert_resumed(job)
    assert_whole(job, samples_of(data, "pcm"))


if __name__ == "__main__":
    if not WYOMING:
        print("the gateway has no flag for a Wyoming address", file=sys.stderr)
        sys.exit(1)
    sys.exit(run("wyoming", {
        "describe": describe, "speak": speak, "stream": stream, "sentences": sentences, "cancel": cancelled,
        "bad voice": bad_voice, "busy": refused, "broken": broken, "worker lost": worker_lost}))
