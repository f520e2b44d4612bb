"""Checks of Pipecat with the services that speak to sockets: Deepgram, ElevenLabs, Cartesia."""

import asyncio
import sys

from pipecat.frames.frames import InterruptionFrame
from pipecat.services.cartesia.tts import CartesiaTTSService
from pipecat.services.deepgram.tts import DeepgramTTSService
from pipecat.services.elevenlabs.tts import ElevenLabsTTSService

from bot import Bot
from csm_checks import *  # noqa: F403

DIALECT = sys.argv[1]
SOCKET = BASE.replace("http://", "ws://")


def service(voice="alloy", **more):
    """Makes the service for the gateway."""
    if DIALECT == "deepgram":
        return DeepgramTTSService(api_key="not-needed", base_url=SOCKET,
                                  settings=DeepgramTTSService.Settings(voice=voice), **more)
    if DIALECT == "elevenlabs":
        return ElevenLabsTTSService(api_key="not-needed", url=SOCKET,
                                    settings=ElevenLabsTTSService.Settings(voice=voice), **more)
    return CartesiaTTSService(api_key="not-needed", url=f"{SOCKET}/tts/websocket",
                              settings=CartesiaTTSService.Settings(voice=voice), **more)


def assert_all(sound, at):
    """Asserts that the sound is that of all jobs since a mark."""
    expected = samples_since(at)
    assert len(sound) == 2 * expected, f"{len(sound) // 2} samples; the receipts say {expected}"


async def speak():
    """Speaks two turns on one connection."""
    at = mark()
    sound = b""
    async with Bot(service()) as bot:
        for _ in range(2):
            await bot.say(SHORT)
            more, error = await bot.rest()
            assert not error, error
            sound += more
    assert_all(sound, at)
    sockets = sum(x["status"] == 101 for x in exchanges_since(at))
    assert sockets == 1, f"{sockets} sockets for two turns"


async def stream():
    """Gets the first frame while the job runs."""
    at = mark()
    async with Bot(service()) as bot:
        await bot.say(LONG)
        first = await bot.next()
        assert_running(accepted_since(at))
        sound, error = await bot.rest()
    assert not error, error
    assert_all(first.audio + sound, at)


async def words():
    """Compares the words that reach the pipeline, and their times, with the text and the sound."""
    if DIALECT == "deepgram":
        raise Skip("Deepgram sends no times")
    async with Bot(service()) as bot:
        await bot.say(TIMED)
        sound, error = await bot.rest()
        assert not error, error
    # The words pass their ear behind the end of the sound; the pipeline's own end is behind all of them.
    starts = [frame.pts / 1e9 for frame in bot.spoken]
    assert_timed([frame.text for frame in bot.spoken], starts, len(sound) / 48000)


async def cancelled():
    """Interrupts the bot in mid-speech; the job must be cancelled and the next turn clean."""
    at = mark()
    async with Bot(service()) as bot:
        await bot.say(LONG)
        await bot.next()
        assert_running(accepted_since(at))
        await bot.worker.queue_frame(InterruptionFrame())
        await asyncio.to_thread(assert_stopped, at)
        while not bot.frames.empty():
            bot.frames.get_nowait()
        later = mark()
        await bot.say(SHORT)
        sound, error = await bot.rest()
        assert not error, error
    assert_all(sound, later)


async def bad_voice():
    """Names an unknown voice; an error must reach the pipeline."""
    async with Bot(service(voice=BAD_VOICE)) as bot:
        await bot.say(SHORT)
        sound, error = await bot.rest()
    assert error and not sound, "the voice was accepted"


async def broken():
    """Cancels a job behind the stream; an error must reach the pipeline.

    Pipecat's service for ElevenLabs reads no errors. It tells of a closed socket only if it may not connect again.
    """
    at = mark()
    async with Bot(service(**({"reconnect_on_error": False} if DIALECT == "elevenlabs" else {}))) as bot:
        await bot.say(LONG)
        await bot.next()
        await asyncio.to_thread(cancel_newest, at)
        _, error = await bot.rest()
    assert error, "the broken speech looks complete"


async def worker_lost():
    """Kills the worker in mid-speech; another finishes and every sample arrives.

    By default Pipecat drops what comes after 3 s without sound; a lost worker is noticed after 15 s.
    """
    at = mark()
    async with Bot(service(stop_frame_timeout_s=60)) as bot:
        await bot.say(LONG)
        first = await bot.next()
        job = accepted_since(at)
        await asyncio.to_thread(kill_worker_of, job)
        sound, error = await bot.rest()
    assert not error, error
    assert_resumed(job)
    assert_all(first.audio + sound, at)


if __name__ == "__main__":
    sys.exit(run(f"pipecat-{DIALECT}", {
        "speak": speak, "stream": stream, "words": words, "cancel": cancelled, "bad voice": bad_voice,
        "broken": broken, "worker lost": worker_lost}))
