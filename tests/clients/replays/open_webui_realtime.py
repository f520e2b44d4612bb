"""Replays the messages of Open WebUI 0.12 with its engine `openai-realtime`, over aiohttp as it does."""

import asyncio
import base64
import contextlib
import sys

import aiohttp

from csm_checks import *  # noqa: F403

MODEL = "gpt-realtime-2.1-mini"
INSTRUCTIONS = "You are a text-to-speech engine. Read the message aloud, word for word."
SECONDS = 120


class Failed(Exception):
    """Says why the application reports a failure to its user."""


def update(voice):
    """Makes the message that sets up the session."""
    return {"type": "session.update", "session": {
        "type": "realtime", "output_modalities": ["audio"],
        "audio": {
            "input": {"turn_detection": None, "transcription": None},
            "output": {"format": {"type": "audio/pcm", "rate": 24000}, "voice": voice}},
        "tools": [], "tool_choice": "none", "instructions": INSTRUCTIONS}}


def create(text):
    """Makes the message that asks for the speech."""
    return {"type": "response.create", "response": {
        "conversation": "none", "output_modalities": ["audio"], "tools": [], "tool_choice": "none",
        "instructions": INSTRUCTIONS,
        "input": [{"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]}]}}


async def deltas(text, voice="alloy"):
    """Yields the sound of a text up to its end, and raises for what the application takes for a failure."""
    url = f"{BASE.replace('http', 'ws', 1)}/v1/realtime?model={MODEL}"
    headers = {"Authorization": "Bearer sk-any", "X-OpenWebUI-User-Id": "0a1b"}
    response, size = None, 0
    async with aiohttp.ClientSession() as session, session.ws_connect(url, headers=headers) as ws:
        async for message in ws:
            if message.type == aiohttp.WSMsgType.ERROR:
                raise Failed("the socket failed")
            if message.type != aiohttp.WSMsgType.TEXT:
                continue
            event = message.json()
            kind = event["type"]
            if kind == "error":
                raise Failed(f"rejected: {event['error']['message']}")
            if kind == "session.created":
                await ws.send_json(update(voice))
            elif kind == "session.updated":
                await ws.send_json(create(text))
            elif kind == "response.created":
                response = event["response"]["id"]
            elif kind == "response.output_audio.delta" and response:
                if event.get("response_id") == response:
                    piece = base64.b64decode(event["delta"], validate=True)
                    size += len(piece)
                    yield piece
            elif kind == "response.done" and response and event["response"]["id"] == response:
                if event["response"]["status"] != "completed":
                    raise Failed(f"not completed: {event['response']['status']}")
                if not size or size % 2:
                    raise Failed(f"{size} bytes are no sound")
                return
        raise Failed("closed before the end")


async def rest(speech):
    """Reads the sound up to the end."""
    async with asyncio.timeout(SECONDS):
        return b"".join([piece async for piece in speech])


def assert_all(sound, at):
    """Asserts that the sound is that of all jobs since a mark."""
    expected = samples_since(at)
    assert len(sound) == 2 * expected, f"{len(sound) // 2} samples; the receipts say {expected}"


async def speak():
    """Speaks a short text."""
    at = mark()
    assert_all(await rest(deltas(SHORT)), at)


async def stream():
    """Gets the first sound while the job runs."""
    at = mark()
    speech = deltas(LONG)
    first = await anext(speech)
    assert_running(accepted_since(at))
    assert_all(first + await rest(speech), at)


async def cancelled():
    """Closes the socket in mid-speech, which must stop the jobs."""
    at = mark()
    async with contextlib.aclosing(deltas(LONG)) as speech:
        await anext(speech)
        assert_running(accepted_since(at))
    await asyncio.to_thread(assert_stopped, at)


async def bad_voice():
    """Names an unknown voice; the message names it and the known ones."""
    try:
        await rest(deltas(SHORT, BAD_VOICE))
    except Failed as failed:
        assert BAD_VOICE in str(failed) and "alloy" in str(failed), failed
        return
    raise AssertionError("the voice was accepted")


async def broken():
    """Cancels a job behind the stream; the speech must not look complete."""
    at = mark()
    speech = deltas(LONG)
    await anext(speech)
    await asyncio.to_thread(cancel_newest, at)
    try:
        await rest(speech)
    except Failed as failed:
        assert "failed" in str(failed), failed
        return
    raise AssertionError("the broken speech looks complete")


async def worker_lost():
    """Kills the worker in mid-speech; another finishes and every sample arrives."""
    at = mark()
    speech = deltas(LONG)
    first = await anext(speech)
    job = accepted_since(at)
    await asyncio.to_thread(kill_worker_of, job)
    sound = first + await rest(speech)
    assert_resumed(job)
    assert_all(sound, at)


if __name__ == "__main__":
    sys.exit(run("open-webui-realtime", {
        "speak": speak, "stream": stream, "cancel": cancelled, "bad voice": bad_voice, "broken": broken,
        "worker lost": worker_lost}))
