"""Replays the requests of LibreChat: provider `openai`, and `localai`."""

import sys

from csm_checks import *  # noqa: F403
from csm_replay import Replay

HEADERS = {
    "Accept": "application/json, text/plain, */*", "Accept-Encoding": "gzip, compress, deflate, br",
    "User-Agent": "axios/1.12.2", "Content-Type": "application/json", "Authorization": "Bearer sk-any"}
replay = Replay(HEADERS, lambda text, voice: {
    "input": text, "model": "tts-1", "voice": voice, "backend": "csm"})


def joined():
    """Joins the answers for two parts of a text into one MP3, which must stay whole."""
    data, samples = b"", 0
    for text in (SHORT, "The second part follows the first."):
        at = mark()
        data += replay.whole(text)
        samples += receipt(job_since(at))["samples"]
    found = samples_of(data, "mp3")
    assert 0 <= found - samples <= 2 * SLACK["mp3"], f"{found} samples; the receipts say {samples}"
    assert b"Xing" not in data and b"Info" not in data and not data.startswith(b"ID3"), "a header frame"


def voiceless():
    """Leaves the voice out, as it does when no voices are configured."""
    at = mark()
    connection, answer = Replay(HEADERS, lambda text, _: {"input": text, "model": "tts-1"}).send(SHORT)
    data = answer.read()
    connection.close()
    assert answer.status == 200, f"{answer.status}: {data[:300]!r}"
    assert_whole(job_since(at), samples_of(data, "mp3"), "mp3")


if __name__ == "__main__":
    sys.exit(run("librechat", {**replay.checks(), "joined": joined, "extras": voiceless}))
