"""Checks of LiveKit Agents with the plugins that speak to sockets: Deepgram, ElevenLabs, Cartesia."""

import asyncio
import contextlib
import sys

import aiohttp
from livekit.agents import APIConnectOptions, APIError
from livekit.agents.types import USERDATA_TIMED_TRANSCRIPT
from livekit.plugins import cartesia, deepgram, elevenlabs

from csm_checks import *  # noqa: F403

DIALECT = sys.argv[1]
ONCE = APIConnectOptions(max_retry=0, timeout=10)
# The plugins wait 10 s for sound; a lost worker is noticed after 15 s.
PATIENT = APIConnectOptions(max_retry=0, timeout=60)
# Samples of silence that mark the end of a segment if no sound is left to carry the mark.
MARKER = 240


@contextlib.asynccontextmanager
async def engine(voice="alloy", **more):
    """Makes the plugin's engine for the gateway."""
    async with aiohttp.ClientSession() as session:
        shared = {"api_key": "not-needed", "http_session": session, **more}
        if DIALECT == "deepgram":
            one = deepgram.TTS(model=voice, base_url=f"{BASE}/v1/speak", **shared)
        elif DIALECT == "elevenlabs":
            one = elevenlabs.TTS(voice_id=voice, base_url=f"{BASE}/v1",
                                 **{"encoding": "pcm_24000", **shared})
        else:
            one = cartesia.TTS(voice=voice, base_url=BASE, **shared)
        try:
            yield one
        finally:
            await one.aclose()


def say(one, text, options=ONCE, ended=True):
    """Sends a turn word by word, as a language model writes it; it may not have ended yet."""
    speech = one.stream(conn_options=options)
    for word in text.split(" "):
        speech.push_text(word + " ")
    if ended:
        speech.end_input()
    return speech


def count(events):
    """Counts the samples of audio events."""
    return sum(event.frame.samples_per_channel for event in events)


def assert_all(found, at, segments=1):
    """Asserts that the samples are those of all jobs since a mark, but for the marks of ends."""
    expected = samples_since(at)
    extra = found - expected
    assert 0 <= extra <= MARKER * segments, f"{found} samples; the receipts say {expected}"


def sockets_since(at):
    """Counts the sockets opened since a mark."""
    return sum(x["status"] == 101 for x in exchanges_since(at))


async def speak():
    """Speaks two turns, which share a connection."""
    at = mark()
    async with engine() as one:
        found = 0
        for _ in range(2):
            async with say(one, SHORT) as speech:
                found += count([event async for event in speech])
    assert_all(found, at, 2)
    assert sockets_since(at) == 1, f"{sockets_since(at)} sockets for two turns"


async def one_shot():
    """Speaks over plain HTTP."""
    at = mark()
    async with engine() as one:
        async with one.synthesize(SHORT, conn_options=ONCE) as speech:
            found = count([event async for event in speech])
    assert_all(found, at)


async def defaults():
    """Speaks with the plugin's own format: ElevenLabs' is MP3 at 22050 Hz."""
    if DIALECT != "elevenlabs":
        raise Skip("its default is 16-bit PCM at 24 kHz")
    at = mark()
    async with engine(encoding="mp3_22050_32") as one:
        async with say(one, SHORT) as speech:
            found = count([event async for event in speech])
    expected = samples_since(at) * 22050 // 24000
    extra = found - expected
    assert -576 <= extra <= SLACK["mp3"] + MARKER, f"{found} samples at 22050 Hz; {expected} expected"


async def stream():
    """Gets the first frame while the job runs."""
    at = mark()
    async with engine() as one:
        async with say(one, LONG) as speech:
            events = [await anext(speech)]
            assert_running(accepted_since(at))
            events += [event async for event in speech]
    assert_all(count(events), at)


async def words():
    """Compares the words and their times with the text and the sound."""
    if DIALECT == "deepgram":
        raise Skip("Deepgram sends no times")
    async with engine() as one:
        async with say(one, TIMED) as speech:
            events = [event async for event in speech]
    timed = [word for event in events for word in event.frame.userdata.get(USERDATA_TIMED_TRANSCRIPT) or []]
    length = count(events) / events[0].frame.sample_rate
    starts = [word.start_time for word in timed]
    assert_timed(timed, starts, length)
    assert starts[-1] <= length, f"the last word starts at {starts[-1]} s of {length} s"


async def cancelled():
    """Interrupts a turn and begins another, which must be clean; the first must stop.

    ElevenLabs' plugin closes the context. It does so at the end of the text, too, and sends nothing if the
    turn is interrupted after that. So its turn is interrupted while text is still to come. The other two
    plugins only close the socket, before the next turn.
    """
    at = mark()
    async with engine() as one:
        speech = say(one, LONG, ended=DIALECT != "elevenlabs")
        await anext(speech)
        assert_running(accepted_since(at))
        await speech.aclose()
        later = mark()
        async with say(one, SHORT) as speech:
            found = count([event async for event in speech])
        await asyncio.to_thread(assert_stopped, {**at, "until": later["accepted"]})
    assert_all(found, later)


async def bad_voice():
    """Names an unknown voice, which must be an error and not silence."""
    try:
        async with engine(voice=BAD_VOICE) as one:
            async with say(one, SHORT) as speech:
                async for _ in speech:
                    pass
    except APIError as error:
        print(repr(error), file=sys.stderr)
        return
    raise AssertionError("the voice was accepted")


async def broken():
    """Cancels a job behind the stream; the speech must not look complete."""
    at = mark()
    async with engine() as one:
        async with say(one, LONG) as speech:
            await anext(speech)
            await asyncio.to_thread(cancel_newest, at)
            try:
                async for _ in speech:
                    pass
            except APIError as error:
                print(repr(error), file=sys.stderr)
                return
    raise AssertionError("the broken speech looks complete")


async def worker_lost():
    """Kills the worker in mid-speech; another finishes and every sample arrives."""
    at = mark()
    async with engine() as one:
        async with say(one, LONG, PATIENT) as speech:
            events = [await anext(speech)]
            job = accepted_since(at)
            await asyncio.to_thread(kill_worker_of, job)
            events += [event async for event in speech]
    await asyncio.to_thread(assert_resumed, job)
    assert_all(count(events), at)


if __name__ == "__main__":
    sys.exit(run(f"livekit-{DIALECT}", {
        "speak": speak, "one shot": one_shot, "formats": defaults, "stream": stream, "words": words,
        "cancel": cancelled, "bad voice": bad_voice, "broken": broken, "worker lost": worker_lost}))
