"""Checks of the OpenAI library for Python."""

import asyncio
import base64
import hashlib
import json
import sys
import time
import urllib.request

import openai

from csm_checks import *  # noqa: F403

TYPES = {"mp3": "audio/mpeg", "opus": "audio/ogg; codecs=opus", "flac": "audio/flac",
         "wav": "audio/wav", "pcm": "audio/pcm"}

client = openai.OpenAI(base_url=f"{BASE}/v1", api_key="not-needed")
busy = openai.OpenAI(base_url=f"{BUSY_BASE}/v1", api_key="not-needed", max_retries=0)


def streaming(**more):
    """Opens a streamed answer for the long text."""
    return client.audio.speech.with_streaming_response.create(
        model="tts-1", voice="alloy", input=LONG, **more)


def speak():
    """Speaks with the default format, MP3, and as PCM; with the client for asyncio, too."""
    at = mark()
    answer = client.audio.speech.create(model="gpt-4o-mini-tts", voice="coral", input=SHORT)
    assert answer.response.headers["x-request-id"], "no x-request-id"
    assert_whole(job_since(at), samples_of(answer.content, "mp3"), "mp3")

    async def later():
        async with openai.AsyncOpenAI(base_url=f"{BASE}/v1", api_key="x") as other:
            return await other.audio.speech.create(
                model="tts-1", voice="alloy", input=SHORT, response_format="pcm")

    at = mark()
    data = asyncio.run(later()).content
    assert_whole(job_since(at), samples_of(data, "pcm"))


def formats():
    """Compares type and length of each format, of a file and of a stream, and refuses AAC."""
    for kind, media in TYPES.items():
        at = mark()
        answer = client.audio.speech.create(
            model="tts-1", voice={"id": "alloy"}, input=SHORT, response_format=kind, speed=1.0)
        found = answer.response.headers["content-type"]
        assert found == media, f"{kind} came as {found}"
        assert_whole(job_since(at), samples_of(answer.content, kind), kind)
    try:
        client.audio.speech.create(model="tts-1", voice="alloy", input=SHORT, response_format="aac")
    except openai.BadRequestError as error:
        assert error.param == "response_format", f"param is {error.param}"
    else:
        raise AssertionError("aac was accepted")


def extras():
    """Sends our own fields, which the receipt and the audio must show."""
    results = []
    for _ in range(2):
        at = mark()
        answer = client.audio.speech.create(
            model="csm-1b", voice="alloy", input=SHORT, response_format="pcm",
            instructions="Speak slowly.", extra_body={"seed": 7, "temperature": 0.8, "topk": 40})
        results.append(answer.content)
        assert receipt(job_since(at))["seed"] == 7
    assert results[0] == results[1], "the same seed gave other audio"


def stream():
    """Streams each format; the first bytes arrive while the job runs."""
    for kind in ("pcm", "wav", "mp3"):
        at = mark()
        with streaming(response_format=kind) as answer:
            parts = answer.iter_bytes()
            data = next(parts)
            assert_running(job_since(at))
            data += b"".join(parts)
        assert_whole(job_since(at), samples_of(data, kind), kind)


def events():
    """Reads server-sent events line by line up to the last one, with the usage."""
    for kind in ("pcm", "mp3"):
        at = mark()
        data, last = b"", None
        with streaming(response_format=kind, stream_format="sse") as answer:
            assert answer.headers["content-type"].startswith("text/event-stream"), answer.headers["content-type"]
            for line in answer.iter_lines():
                if not line.startswith("data: ") or line == "data: [DONE]":
                    continue
                last = json.loads(line[6:])
                if last["type"] == "speech.audio.delta":
                    if not data:
                        assert_running(job_since(at))
                    data += base64.b64decode(last["audio"])
        assert last and last["type"] == "speech.audio.done", f"the last event was {last}"
        usage = last["usage"]
        assert usage["total_tokens"] == usage["input_tokens"] + usage["output_tokens"] > 0, usage
        assert_whole(job_since(at), samples_of(data, kind), kind)


def cancelled():
    """Leaves a stream in mid-speech, which must cancel the job."""
    at = mark()
    with streaming(response_format="pcm") as answer:
        parts = answer.iter_bytes()  # kept, because the library closes the stream with its iterator
        next(parts)
        assert_running(job_since(at))
    assert_cancelled(job_since(at))


def bad_voice():
    """Names an unknown voice and an unknown model; the library raises its own errors."""
    at = mark()
    try:
        client.audio.speech.create(model="tts-1", voice=BAD_VOICE, input=SHORT)
    except openai.BadRequestError as error:
        assert BAD_VOICE in error.message and error.param == "voice", (error.message, error.param)
        assert "alloy" in error.message, f"the voices are not listed: {error.message}"
        assert error.request_id, "no request id"
    else:
        raise AssertionError("the voice was accepted")
    try:
        client.audio.speech.create(model="no-model", voice="alloy", input=SHORT)
    except openai.NotFoundError as error:
        assert error.code == "model_not_found" and error.param == "model", (error.code, error.param)
    else:
        raise AssertionError("the model was accepted")
    sent = len(exchanges_since(at, "/v1/audio/speech"))
    assert sent == 2, f"{sent} requests for two calls: the library retried"


def refused():
    """Asks a gateway without room; the library raises its rate limit error."""
    try:
        busy.audio.speech.create(model="tts-1", voice="alloy", input=SHORT)
    except openai.RateLimitError as error:
        assert float(error.response.headers["retry-after"]) > 0
        assert error.response.headers.get("x-should-retry") in ("true", "false"), "no x-should-retry"
        assert error.code, "no code"
    else:
        raise AssertionError("accepted")


def broken():
    """Cancels the job behind a stream; the library must raise and never see a clean end."""
    at = mark()
    try:
        with streaming(response_format="pcm") as answer:
            parts = answer.iter_bytes()
            next(parts)
            cancel(job_since(at))
            for _ in parts:
                pass
    except Exception as error:  # the HTTP library's own error passes through
        assert "AssertionError" not in type(error).__name__, error
        return
    raise AssertionError("the broken stream ended cleanly")


def worker_lost():
    """Kills the worker in mid-speech; another finishes and every sample arrives."""
    at = mark()
    with streaming(response_format="pcm") as answer:
        parts = answer.iter_bytes()
        data = next(parts)
        kill_worker_of(job_since(at))
        data += b"".join(parts)
    assert_resumed(job_since(at))
    assert_whole(job_since(at), samples_of(data, "pcm"))


def models():
    """Lists the models and reads one."""
    names = [model.id for model in client.models.list()]
    assert "csm-1b" in names and "tts-1" in names, names
    assert client.models.retrieve("tts-1").id == "tts-1"
    try:
        client.models.retrieve("no-model")
    except openai.NotFoundError:
        return
    raise AssertionError("an unknown model was found")


def batches():
    """Sends files and batches: a whole one, a refused one, a cancelled one; lists and deletes."""

    def upload(url, count, custom_id="take-{}", **body):
        lines = [json.dumps({"custom_id": custom_id.format(number), "method": "POST", "url": url,
                             "body": {"model": "tts-1", "voice": "ash", "input": SHORT, **body}})
                 for number in range(count)]
        return client.files.create(file=("lines.jsonl", "\n".join(lines).encode()), purpose="batch")

    def create(file, **more):
        return client.batches.create(input_file_id=file.id, endpoint="/v1/audio/speech",
                                     completion_window="24h", **more)

    def until(batch, *statuses):
        for _ in range(600):
            batch = client.batches.retrieve(batch.id)
            if batch.status in statuses:
                return batch
            time.sleep(0.2)
        raise AssertionError(f"the batch did not reach {statuses}: {batch}")

    def ended(batch):
        return until(batch, "completed", "failed", "cancelled", "expired")

    file = upload("/v1/audio/speech", 12, response_format="wav")
    assert client.files.retrieve(file.id).filename == "lines.jsonl"
    assert file.id in [other.id for other in client.files.list(purpose="batch")]
    done = ended(create(file, metadata={"film": "night"}))
    counts = (done.request_counts.total, done.request_counts.completed, done.request_counts.failed)
    assert (done.status, counts, done.metadata) == ("completed", (12, 12, 0), {"film": "night"}), done
    output = [json.loads(line) for line in client.files.content(done.output_file_id).text.splitlines()]
    assert [line["custom_id"] for line in output] == [f"take-{number}" for number in range(12)], output
    for line in output[:2]:
        facts = line["response"]["body"]
        with urllib.request.urlopen(f"{BASE}/v1/batches/{done.id}/lines/{facts['line']}/audio") as answer:
            audio = answer.read()
        assert hashlib.sha256(audio).hexdigest() == facts["sha256"], facts
        assert samples_of(audio, "wav") == facts["samples"], facts
    refused = ended(create(upload("/v1/jobs", 2)))
    assert (refused.status, refused.errors.data[1].line) == ("failed", 2), refused
    many = until(create(upload("/v1/audio/speech", 400, response_format="wav")), "in_progress")
    cancelling = client.batches.cancel(many.id)
    assert cancelling.status in ("cancelling", "cancelled"), cancelling
    many = ended(many)
    rest = client.files.content(many.error_file_id).text.splitlines() if many.error_file_id else []
    assert many.status == "cancelled" and len(rest) + many.request_counts.completed == 400, many
    assert done.id in [batch.id for batch in client.batches.list(limit=2)], "the pages of a list go on"
    assert client.files.delete(file.id).deleted
    try:
        client.files.retrieve(file.id)
    except openai.NotFoundError:
        return
    raise AssertionError("a deleted file was found")


if __name__ == "__main__":
    sys.exit(run("openai-python", {
        "speak": speak, "formats": formats, "stream": stream, "events": events, "cancel": cancelled,
        "bad voice": bad_voice, "busy": refused, "broken": broken, "worker lost": worker_lost,
        "models": models, "extras": extras, "batches": batches}))
