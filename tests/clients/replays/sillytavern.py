"""Replays the requests of SillyTavern's provider "OpenAI Compatible", without a key."""

import sys

from csm_checks import *  # noqa: F403
from csm_replay import Replay

HEADERS = {
    "Accept": "*/*", "Accept-Encoding": "gzip, deflate, br", "User-Agent": "node-fetch",
    "Content-Type": "application/json", "Authorization": "Bearer "}
replay = Replay(HEADERS, lambda text, voice: {
    "input": text, "response_format": "mp3", "voice": voice, "speed": 1, "model": "tts-1"})

if __name__ == "__main__":
    sys.exit(run("sillytavern", replay.checks()))
