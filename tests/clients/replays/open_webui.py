"""Replays the requests of Open WebUI 0.12 with its engine `openai`."""

import sys

from csm_checks import *  # noqa: F403
from csm_replay import Replay

AGENT = {"Accept": "*/*", "Accept-Encoding": "gzip, deflate, br", "User-Agent": "Python/3.11 aiohttp/3.13.2"}
HEADERS = {
    **AGENT, "Content-Type": "application/json", "Authorization": "Bearer sk-any",
    "X-OpenWebUI-User-Name": "Ann%20Example", "X-OpenWebUI-User-Id": "0a1b",
    "X-OpenWebUI-User-Email": "ann@example.com", "X-OpenWebUI-User-Role": "user"}
replay = Replay(HEADERS, lambda text, voice: {"input": text, "voice": voice, "model": "tts-1"})


def lists():
    """Reads models and voices without a key, as the settings page does."""

    def read(path):
        request = urllib.request.Request(f"{BASE}/v1{path}", headers=AGENT)
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)

    models = [model["id"] for model in read("/audio/models")["models"]]
    assert "tts-1" in models, models
    assert "tts-1" in [model["id"] for model in read("/models")["data"]]
    voices = read("/audio/voices")["voices"]
    names = [voice["id"] for voice in voices]
    assert all(voice["name"] for voice in voices) and {"alloy", "cedar"} <= set(names), names


def parameters():
    """Merges an administrator's own parameters into the body; unknown ones must not matter."""
    at = mark()
    data = replay.whole(SHORT, speed=1, lang_code="a", volume_multiplier=1)
    assert_whole(job_since(at), samples_of(data, "mp3"), "mp3")


if __name__ == "__main__":
    sys.exit(run("open-webui", {
        **replay.checks(), "worker lost": replay.worker_lost, "models": lists, "extras": parameters}))
