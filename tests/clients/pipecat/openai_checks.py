"""Checks of Pipecat with its OpenAI speech service."""

import asyncio
import sys

from pipecat.frames.frames import InterruptionFrame
from pipecat.services.openai.tts import OpenAITTSService

from bot import Bot
from csm_checks import *  # noqa: F403


def service(base=BASE, **settings):
    """Makes the service for one gateway."""
    return OpenAITTSService(api_key="not-needed", base_url=f"{base}/v1",
                            settings=OpenAITTSService.Settings(**settings))


async def speak():
    """Speaks with the defaults, and with instructions and a speed."""
    for settings in ({}, {"voice": "cedar", "instructions": "Calm.", "speed": 1.0}):
        at = mark()
        async with Bot(service(**settings)) as bot:
            await bot.say(SHORT)
            sound, error = await bot.rest()
        assert not error, error
        assert_whole(job_since(at), samples_of(sound, "pcm"))


async def stream():
    """Gets the first frame while the job runs."""
    at = mark()
    async with Bot(service()) as bot:
        await bot.say(LONG)
        first = await bot.next()
        assert_running(job_since(at))
        sound, error = await bot.rest()
    assert not error, error
    assert_whole(job_since(at), samples_of(first.audio + sound, "pcm"))


async def cancelled():
    """Interrupts the bot in mid-speech, which must cancel the job."""
    at = mark()
    async with Bot(service()) as bot:
        await bot.say(LONG)
        await bot.next()
        assert_running(job_since(at))
        await bot.worker.queue_frame(InterruptionFrame())
        await asyncio.to_thread(assert_cancelled, job_since(at))


async def bad_model():
    """Names an unknown model, as the service itself refuses unknown voices; the error reaches the pipeline."""
    async with Bot(service(model="no-model")) as bot:
        await bot.say(SHORT)
        sound, error = await bot.rest()
    assert not sound and error and "no-model" in error, error


async def refused():
    """Asks a gateway without room; the service retries, then the error reaches the pipeline."""
    one = service(BUSY_BASE)
    # Its client would wait as long as retry-after says, twice.
    one._client = one._client.with_options(max_retries=0)
    async with Bot(one) as bot:
        await bot.say(SHORT)
        sound, error = await bot.rest()
    assert not sound and error and "429" in error, error


async def broken():
    """Cancels the job behind a stream; an error must reach the pipeline."""
    at = mark()
    async with Bot(service()) as bot:
        await bot.say(LONG)
        await bot.next()
        cancel(job_since(at))
        _, error = await bot.rest()
    assert error, "the broken stream ended without an error"


def length_at_end(job):
    """Waits for a job's end and returns the samples of its receipt."""
    return receipt(job)["samples"]


async def worker_lost():
    """Kills the worker in mid-speech; another finishes and every sample arrives.

    Pipecat reports the end of a speech after 3 s without sound, and again after the rest of it.
    """
    at = mark()
    async with Bot(service()) as bot:
        await bot.say(LONG)
        first = await bot.next()
        await asyncio.to_thread(kill_worker_of, job_since(at))
        job, sound = job_since(at), first.audio
        while len(sound) < 2 * await asyncio.to_thread(length_at_end, job):
            more, error = await bot.rest()
            assert not error, error
            sound += more
    assert_resumed(job)
    assert_whole(job, samples_of(sound, "pcm"))


if __name__ == "__main__":
    sys.exit(run("pipecat-openai", {
        "speak": speak, "stream": stream, "cancel": cancelled, "bad voice": bad_model, "busy": refused,
        "broken": broken, "worker lost": worker_lost}))
