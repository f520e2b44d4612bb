"""Shared by the Python scripts: texts, calls to the harness, decoding, and the JSON lines."""

import inspect
import json
import os
import subprocess
import sys
import time
import traceback
import urllib.error
import urllib.request

SHORT = "Good morning. The tea is ready."
LONG_SENTENCES = [
    "The harbour was quiet when the first boats came in.",
    "Nobody on the pier had expected them before noon.",
    "A woman in a red coat counted the crates one by one.",
    "Her brother wrote each number into a small grey book.",
    "The wind turned to the north and brought a little rain.",
    "Two boys carried the ropes up to the old storehouse.",
    "By four in the afternoon everything was under a roof.",
    "Then they all sat down together and drank hot tea.",
    "The eldest told them how the bridge had been built.",
    "It had taken nine summers and a great deal of stone.",
    "When the lamp went out they walked home in the dark.",
    "The next morning the boats were gone from the water.",
]
LONG = " ".join(LONG_SENTENCES)
TIMED = " ".join(LONG_SENTENCES[:3])
BAD_VOICE = "nobody-here"

BASE = os.environ["CSM_BASE"]
BUSY_BASE = os.environ["CSM_BUSY_BASE"]
API = os.environ["CSM_API"]
CONTROL = os.environ["CSM_CONTROL"]
WYOMING = os.environ.get("CSM_WYOMING")
BUSY_WYOMING = os.environ.get("CSM_BUSY_WYOMING")
ENDS = ("succeeded", "failed", "cancelled", "expired")

# Samples by which a lossy file may be longer than the receipt says.
# MP3 at 24 kHz: encoder delay of 1105, and padding of up to three frames of 576.
# Opus: the last packet of 20 ms, and the encoder's look-ahead of 6.5 ms.
SLACK = {"pcm": 0, "wav": 0, "flac": 0, "mp3": 1105 + 3 * 576, "opus": 480 + 156}


class Skip(Exception):
    """Says that a check does not apply to a client, and why."""


def get(url, method="GET", timeout=100):
    """Fetches a URL and decodes its JSON; raises `AssertionError` for an error status."""
    try:
        with urllib.request.urlopen(urllib.request.Request(url, method=method), timeout=timeout) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        raise AssertionError(f"{method} {url}: {error.code} {error.read().decode()[:300]}") from None


def mark():
    """Waits until all workers are ready and returns where the records now end."""
    return get(f"{CONTROL}/mark")


def job_since(at):
    """Waits for the first answer since a mark that names a job, and returns the job."""
    job = get(f"{CONTROL}/job?since={at['exchanges']}")["job"]
    assert job, "no answer had the header x-job-id within 30 s"
    return job


def accepted_since(at):
    """Waits for the first job that the gateway's log reports since a mark."""
    job = get(f"{CONTROL}/accepted?since={at['accepted']}")["job"]
    assert job, "the gateway's log shows no accepted job within 30 s"
    return job


def jobs_since(at):
    """Lists the jobs that the gateway's log reports since a mark, up to another one if it is given."""
    count = at.get("until", get(f"{CONTROL}/mark")["accepted"]) - at["accepted"]
    return [accepted_since({"accepted": at["accepted"] + i}) for i in range(count)]


def samples_since(at):
    """Adds up the samples of all jobs since a mark, once they have succeeded."""
    documents = [end_of(job) for job in jobs_since(at)]
    bad = [document["status"] for document in documents if document["status"] != "succeeded"]
    assert documents and not bad, f"{len(documents)} jobs, of these {bad}"
    return sum(document["receipt"]["samples"] for document in documents)


def exchanges_since(at, path=""):
    """Lists the recorded exchanges since a mark whose path begins with `path`."""
    return [x for x in get(f"{CONTROL}/exchanges?since={at['exchanges']}") if x["path"].startswith(path)]


def state(job):
    """Returns the present state of a job."""
    return get(f"{API}/v1/jobs/{job}")["status"]


def end_of(job):
    """Waits until a job has ended and returns its document."""
    document = get(f"{API}/v1/jobs/{job}?wait=60")
    assert document["status"] in ENDS, f"job {job} is {document['status']} after 60 s"
    return document


def receipt(job):
    """Waits for the end of a job and returns the receipt of the speech route."""
    document = end_of(job)
    assert document["status"] == "succeeded", f"job {job}: {document['status']}, {document.get('failure')}"
    return get(f"{API}/v1/audio/speech/{job}")


def assert_running(job):
    """Asserts that a job's first audio arrived before the job's end."""
    found = state(job)
    assert found == "running", f"job {job} was already {found} when its first audio arrived"


def assert_cancelled(job):
    """Asserts that a job ends as cancelled."""
    found = end_of(job)["status"]
    assert found == "cancelled", f"job {job} ended as {found}, not cancelled"


def assert_stopped(at):
    """Asserts that the jobs since a mark have ended without the whole of the long text.

    A gateway may make one job of a turn or one of each sentence; a sentence may have ended before.
    """
    jobs = jobs_since(at)
    documents = [end_of(job) for job in jobs]
    states = [document["status"] for document in documents]
    spoken = sum(document["receipt"]["samples"] for document in documents if "receipt" in document)
    assert "cancelled" in states or spoken < 24000 * len(LONG_SENTENCES), f"the whole text was spoken: {states}"
    if "until" not in at:
        later = get(f"{CONTROL}/accepted?since={at['accepted'] + len(jobs)}&wait=2")["job"]
        assert later is None, "a further sentence was started"


def assert_timed(words, starts, length):
    """Asserts that timed words are those of `TIMED`, and that their times cover a sound of some seconds."""
    assert "".join("".join(words).split()) == "".join(TIMED.split()), f"the words are {words}"
    assert starts == sorted(starts), f"the times are {starts}"
    span = starts[-1] - starts[0]
    assert length / 2 <= span <= length, f"{span} s from the first word to the last, in {length} s of sound"


def cancel(job):
    """Cancels a job by the job route, which breaks the stream of whoever listens."""
    get(f"{API}/v1/jobs/{job}", method="DELETE")


def cancel_newest(at):
    """Cancels the newest job since a mark, or the one behind it if that has just ended."""
    while True:
        try:
            return cancel(jobs_since(at)[-1])
        except AssertionError as error:
            if "job_already_final" not in str(error):
                raise


def kill_worker_of(job):
    """Kills the worker that runs a job; another is started at once."""
    get(f"{CONTROL}/kill?job={job}")


def assert_resumed(job):
    """Asserts that a second attempt finished a job."""
    attempt = end_of(job)["attempt"]
    assert attempt > 1, "the job ended in its first attempt: the worker died too late"


def samples_of(data, kind):
    """Counts the samples at 24 kHz of a whole file."""
    if kind == "pcm":
        assert len(data) % 2 == 0, f"{len(data)} bytes are no whole samples"
        return len(data) // 2
    if kind == "wav":
        assert data[:4] == b"RIFF" and data[8:12] == b"WAVE", f"no WAV: {data[:16]!r}"
        start = data.index(b"data") + 8
        assert (len(data) - start) % 2 == 0, "the WAV ends within a sample"
        return (len(data) - start) // 2
    rate = 48000 if kind == "opus" else 24000
    command = ["ffmpeg", "-v", "error", "-i", "-", "-f", "s16le", "-ac", "1", "-ar", str(rate), "-"]
    done = subprocess.run(command, input=data, capture_output=True, check=False)
    assert done.returncode == 0 and not done.stderr, f"ffmpeg on {kind}: {done.stderr.decode()[:300]}"
    return len(done.stdout) // 2 * 24000 // rate


def assert_whole(job, samples, kind="pcm", lost=0, added=0):
    """Asserts that as many samples arrived as the receipt says, but for what the client loses or adds."""
    expected = receipt(job)["samples"]
    extra = samples - expected
    assert -lost <= extra <= SLACK[kind] + added, f"{samples} samples of {kind}; the receipt says {expected}"


def run(client, checks):
    """Runs the checks in order and prints a JSON line for each; `CSM_CHECKS` names a selection."""
    wanted = [name for name in os.environ.get("CSM_CHECKS", "").split(",") if name]
    failed = False
    for name, check in checks.items():
        if wanted and name not in wanted:
            continue
        began = time.monotonic()
        result, note = "pass", ""
        try:
            outcome = check()
            if inspect.isawaitable(outcome):
                import asyncio
                asyncio.run(outcome)
        except Skip as reason:
            result, note = "skip", str(reason)
        except Exception as error:
            result, note, failed = "fail", f"{type(error).__name__}: {error}"[:600], True
            traceback.print_exc(file=sys.stderr)
        line = {"client": client, "check": name, "result": result, "note": note,
                "seconds": round(time.monotonic() - began, 1)}
        print(json.dumps(line), flush=True)
    return 1 if failed else 0
