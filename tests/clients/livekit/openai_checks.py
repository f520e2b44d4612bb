"""Checks of LiveKit Agents with its plugin for OpenAI."""

import asyncio
import sys

from livekit.agents import APIConnectOptions, APIError, APIStatusError, tokenize, tts
from livekit.plugins import openai

from csm_checks import *  # noqa: F403

# Samples that the plugin's decoder drops: it reads the first packet to learn the format.
# A packet is 20 ms of Opus; a block of FLAC is at most 4608 samples here.
LOST = {"opus": 480, "flac": 4608}
# Samples of silence that mark the end of a speech if no sound is left to carry the mark.
MARKER = 240
ONCE = APIConnectOptions(max_retry=0, timeout=10)


def engine(base=BASE, **more):
    """Makes the plugin's engine for one gateway."""
    return openai.TTS(base_url=f"{base}/v1", api_key="not-needed", **{"voice": "ash", **more})


def count(events):
    """Counts the samples of audio events."""
    for event in events:
        assert event.frame.sample_rate == 24000 and event.frame.num_channels == 1, event.frame
    return sum(event.frame.samples_per_channel for event in events)


async def speak():
    """Speaks with the plugin's defaults: MP3 in server-sent events."""
    async with engine() as one:
        at = mark()
        async with one.synthesize(SHORT, conn_options=ONCE) as speech:
            found = count([event async for event in speech])
    assert_whole(job_since(at), found, "mp3", added=MARKER)


async def formats():
    """Speaks in each format, in events and as a file."""
    for model in ("gpt-4o-mini-tts", "tts-1"):
        for kind in ("mp3", "opus", "flac", "wav", "pcm"):
            async with engine(model=model, response_format=kind) as one:
                at = mark()
                async with one.synthesize(SHORT, conn_options=ONCE) as speech:
                    found = count([event async for event in speech])
            try:
                assert_whole(job_since(at), found, kind, LOST.get(kind, 0), MARKER)
            except AssertionError as error:
                raise AssertionError(f"{model}, {kind}: {error}") from None


async def stream():
    """Gets the first frame while the job runs."""
    async with engine() as one:
        at = mark()
        async with one.synthesize(LONG, conn_options=ONCE) as speech:
            events = [await anext(speech)]
            assert_running(job_since(at))
            events += [event async for event in speech]
    assert_whole(job_since(at), count(events), "mp3", added=MARKER)


async def turn():
    """Speaks a turn by sentences, as an agent does, after a prewarming request."""
    async with engine() as one:
        at = mark()
        one.prewarm()
        adapter = tts.StreamAdapter(tts=one, sentence_tokenizer=tokenize.basic.SentenceTokenizer())
        async with adapter.stream(conn_options=ONCE) as speech:
            for word in LONG[:200].split(" "):
                speech.push_text(word + " ")
            speech.end_input()
            found = count([event async for event in speech])
    answers = exchanges_since(at, "/v1/audio/speech")
    names = [dict((n.lower(), v) for n, v in x["response_headers"])["x-job-id"] for x in answers]
    expected = sum(receipt(job)["samples"] for job in names)
    slack = (SLACK["mp3"] + MARKER) * len(names)
    assert 0 <= found - expected <= slack, f"{found} samples in {len(names)} answers; {expected} in the receipts"


async def cancelled():
    """Closes the speech in the middle, as an interruption does; the job must be cancelled."""
    async with engine() as one:
        at = mark()
        speech = one.synthesize(LONG, conn_options=ONCE)
        await anext(speech)
        assert_running(job_since(at))
        await speech.aclose()
        await asyncio.to_thread(assert_cancelled, job_since(at))


async def bad_voice():
    """Names an unknown voice; the error must not be taken as one to repeat."""
    at = mark()
    async with engine(voice=BAD_VOICE) as one:
        try:
            async with one.synthesize(SHORT) as speech:
                await anext(speech)
        except APIStatusError as error:
            assert error.status_code == 400 and BAD_VOICE in str(error), error
            assert not error.retryable, "taken as retryable"
        else:
            raise AssertionError("the voice was accepted")
    sent = len(exchanges_since(at, "/v1/audio/speech"))
    assert sent == 1, f"{sent} requests"


async def refused():
    """Asks a gateway without room; the plugin retries, then raises the status."""
    at = mark()
    async with engine(BUSY_BASE) as one:
        options = APIConnectOptions(max_retry=1, retry_interval=0.1, timeout=10)
        try:
            async with one.synthesize(SHORT, conn_options=options) as speech:
                await anext(speech)
        except APIStatusError as error:
            assert error.status_code == 429, error
        else:
            raise AssertionError("accepted")
    sent = len(exchanges_since(at, "/v1/audio/speech"))
    assert sent == 2, f"{sent} requests with one retry"


async def broken():
    """Cancels the job behind a stream; the plugin must raise."""
    async with engine() as one:
        at = mark()
        try:
            async with one.synthesize(LONG, conn_options=ONCE) as speech:
                await anext(speech)
                cancel(job_since(at))
                async for _ in speech:
                    pass
        except APIError:
            return
    raise AssertionError("the broken stream ended cleanly")


async def worker_lost():
    """Kills the worker in mid-speech; another finishes and every sample arrives."""
    async with engine(response_format="wav") as one:
        at = mark()
        async with one.synthesize(LONG, conn_options=ONCE) as speech:
            events = [await anext(speech)]
            await asyncio.to_thread(kill_worker_of, job_since(at))
            events += [event async for event in speech]
    await asyncio.to_thread(assert_resumed, job_since(at))
    assert_whole(job_since(at), count(events), "wav", added=MARKER)


if __name__ == "__main__":
    sys.exit(run("livekit-openai", {
        "speak": speak, "formats": formats, "stream": stream, "turn": turn, "cancel": cancelled,
        "bad voice": bad_voice, "busy": refused, "broken": broken, "worker lost": worker_lost}))
