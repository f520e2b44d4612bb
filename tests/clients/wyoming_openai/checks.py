"""Checks of wyoming-openai: its server in front of the gateway, read with the Wyoming client."""

import asyncio
import contextlib
import socket
import subprocess
import sys

from wyoming.audio import AudioChunk
from wyoming.error import Error
from wyoming.info import Describe, Info
from wyoming.tts import SynthesizeChunk, SynthesizeStart, SynthesizeStop, SynthesizeStopped, SynthesizeVoice

from csm_checks import *  # noqa: F403
from csm_wyoming import Refused, ask, chunks, connect, whole


@contextlib.contextmanager
def server(*flags, models=("--tts-streaming-models", "tts-1")):
    """Runs wyoming-openai in front of the gateway and gives its address."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = one.getsockname()[1]
    command = [sys.executable, "-m", "wyoming_openai", "--uri", f"tcp://127.0.0.1:{port}",
               "--tts-openai-url", f"{BASE}/v1", *models, *flags]
    process = subprocess.Popen(command, stdout=sys.stderr)
    try:
        wait_for_port(process, port)
        yield f"tcp://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()


def wait_for_port(process, port):
    """Waits until a port takes connections; the server says nothing when it does."""
    while True:
        assert process.poll() is None, "wyoming-openai ended"
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            return
        except ConnectionRefusedError:
            time.sleep(0.05)


async def describe():
    """Reads the voices, which it finds by its probes of the gateway."""
    at = mark()
    with server() as uri:
        async with connect(uri) as client:
            await client.write_event(Describe().event())
            info = Info.from_event(await client.read_event())
    names = [voice.name for program in info.tts for voice in program.voices]
    assert {"alloy", "cedar"} <= set(names), names
    paths = {x["path"]: x["status"] for x in exchanges_since(at)}
    assert paths.get("/v1/audio/voices") == 200, f"it did not take the gateway for Kokoro: {paths}"


async def speak():
    """Speaks a short text."""
    at = mark()
    async with connect(main_uri) as client:
        await ask(client, SHORT)
        data = await whole(client)
    assert_whole(job_since(at), samples_of(data, "pcm"))


async def stream():
    """Reads the first sound while the job runs."""
    at = mark()
    async with connect(main_uri) as client:
        await ask(client, LONG)
        parts = chunks(client)
        data = await anext(parts)
        assert_running(job_since(at))
        async for part in parts:
            data += part
    assert_whole(job_since(at), samples_of(data, "pcm"))


async def sentences():
    """Sends a text in pieces; it makes a request of each sentence."""
    at = mark()
    size = 0
    async with connect(main_uri) as client:
        await client.write_event(SynthesizeStart(voice=SynthesizeVoice(name="alloy")).event())
        for text in ("The harbour was quiet when the first boats came in. ",
                     "Nobody on the pier had expected them before noon. ", "Then they all sat down."):
            await client.write_event(SynthesizeChunk(text=text).event())
        await client.write_event(SynthesizeStop().event())
        while event := await client.read_event():
            assert not Error.is_type(event.type), event.data
            if AudioChunk.is_type(event.type):
                size += len(event.payload)
            if SynthesizeStopped.is_type(event.type):
                break
    assert event, "the connection ended before synthesize-stopped"
    jobs = [dict(x["response_headers"])["x-job-id"] for x in lower(exchanges_since(at, "/v1/audio/speech"))]
    assert len(jobs) > 1, f"{len(jobs)} requests"
    expected = sum(receipt(job)["samples"] for job in jobs)
    assert size == 2 * expected, f"{size // 2} samples; the receipts say {expected}"


def lower(exchanges):
    """Writes the names of the answers' headers in small letters."""
    for exchange in exchanges:
        exchange["response_headers"] = [(name.lower(), value) for name, value in exchange["response_headers"]]
    return exchanges


async def cancelled():
    """Disconnects in mid-speech, which must cancel the job behind it."""
    at = mark()
    async with connect(main_uri) as client:
        await ask(client, LONG)
        await anext(chunks(client))
        assert_running(job_since(at))
    assert_cancelled(job_since(at))


async def bad_voice():
    """Offers a voice that the gateway does not know; the client gets an error event."""
    at = mark()
    with server("--tts-voices", BAD_VOICE) as uri:
        async with connect(uri) as client:
            await ask(client, SHORT, BAD_VOICE)
            try:
                await whole(client)
            except Refused:
                pass
            else:
                raise AssertionError("the voice was accepted")
    found = [x["status"] for x in exchanges_since(at, "/v1/audio/speech")]
    assert found == [400], f"answers {found}"


def refused():
    """Gives the reason why a gateway without room is not tried."""
    raise Skip("it waits as long as retry-after says, twice, before it gives up")


async def broken():
    """Cancels the job behind a stream; the client must not see a whole synthesis."""
    at = mark()
    async with connect(main_uri) as client:
        await ask(client, LONG)
        parts = chunks(client)
        await anext(parts)
        cancel(job_since(at))
        try:
            async for _ in parts:
                pass
            event = await client.read_event()
            assert event is None or Error.is_type(event.type), event.type
        except (Refused, ConnectionError):
            pass
    ends = [x["end"] for x in exchanges_since(at, "/v1/audio/speech")]
    assert ends == ["aborted"], f"the answers ended as {ends}"


async def worker_lost():
    """Kills the worker in mid-speech; another finishes and every sample arrives."""
    at = mark()
    async with connect(main_uri) as client:
        await ask(client, LONG)
        parts = chunks(client)
        data = await anext(parts)
        await asyncio.to_thread(kill_worker_of, job_since(at))
        async for part in parts:
            data += part
    assert_resumed(job_since(at))
    assert_whole(job_since(at), samples_of(data, "pcm"))


def realtime_server():
    """Runs wyoming-openai so that it speaks over the Realtime API."""
    return server(models=("--tts-realtime-models", "gpt-realtime"))


async def realtime():
    """Reads the first sound of the Realtime API while the job runs, and all of it."""
    at = mark()
    with realtime_server() as uri:
        async with connect(uri) as client:
            await ask(client, LONG)
            parts = chunks(client)
            data = await anext(parts)
            assert_running(accepted_since(at))
            async for part in parts:
                data += part
    expected = samples_since(at)
    assert len(data) == 2 * expected, f"{len(data) // 2} samples; the receipts say {expected}"
    paths = [x["path"] for x in exchanges_since(at) if x["status"] == 101]
    assert paths == ["/v1/realtime?model=gpt-realtime"], paths


async def realtime_cancelled():
    """Disconnects in mid-speech, which must stop the jobs behind the Realtime API."""
    at = mark()
    with realtime_server() as uri:
        async with connect(uri) as client:
            await ask(client, LONG)
            await anext(chunks(client))
            assert_running(accepted_since(at))
        await asyncio.to_thread(assert_stopped, at)


async def realtime_broken():
    """Cancels a job behind the Realtime API; the client must not see a whole synthesis."""
    at = mark()
    with realtime_server() as uri:
        async with connect(uri) as client:
            await ask(client, LONG)
            parts = chunks(client)
            await anext(parts)
            await asyncio.to_thread(cancel_newest, at)
            try:
                async for _ in parts:
                    pass
                event = await client.read_event()
                assert event is None or Error.is_type(event.type), event.type
            except (Refused, ConnectionError):
                pass


if __name__ == "__main__":
    with server() as main_uri:
        code = run("wyoming-openai", {
            "describe": describe, "speak": speak, "stream": stream, "sentences": sentences,
            "cancel": cancelled, "bad voice": bad_voice, "busy": refused, "broken": broken,
            "worker lost": worker_lost, "realtime": realtime, "realtime cancel": realtime_cancelled,
            "realtime broken": realtime_broken})
    sys.exit(code)
