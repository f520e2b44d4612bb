"""Uses of a fleet that reach all of its commands to Redis which a test can bring about in minutes."""

import base64
import json
import signal

from secure_fleet import http, until

FINAL = ("succeeded", "failed", "cancelled", "expired")
LONG_TEXT = "The quick brown fox jumps over the lazy dog. " * 90


def submit(fleet, gateway="gateway-1", tenant="default", **fields):
    """Sends a job that must be accepted; returns its id."""
    status, answer = fleet.post(gateway, "/v1/jobs", {"text": "Hello there.", **fields}, {"x-tenant": tenant})
    assert status == 202, answer
    return answer["id"]


def record(fleet, job, tenant="default"):
    """Returns the record of a job."""
    return json.loads(fleet.get("gateway-1", f"/v1/jobs/{job}", {"x-tenant": tenant})[1])


def end(fleet, job, expected="succeeded", seconds=120):
    """Waits for the end of a job, which must be as expected."""
    until(f"the end of {job}", lambda: record(fleet, job)["status"] in FINAL, seconds)
    found = record(fleet, job)
    assert found["status"] == expected, found


def call(fleet, method, path, body=None, headers=None):
    """Sends a request to the first gateway; returns status and answer."""
    status, answer = http(f"http://127.0.0.1:{fleet.api['gateway-1']}{path}", body, headers, method)
    return status, json.loads(answer) if answer[:1] in (b"{", b"[") else answer


def upload(fleet, lines):
    """Uploads lines for a batch; returns the id of the file."""
    bound = "a-bound-of-parts"
    text = "".join(json.dumps({"custom_id": f"line-{number}", "method": "POST", "url": "/v1/jobs", "body": body}) + "\n"
                   for number, body in enumerate(lines))
    form = (f'--{bound}\r\ncontent-disposition: form-data; name="purpose"\r\n\r\nbatch\r\n'
            f'--{bound}\r\ncontent-disposition: form-data; name="file"; filename="lines.jsonl"\r\n\r\n{text}\r\n'
            f"--{bound}--\r\n").encode()
    status, made = call(fleet, "POST", "/v1/files", form, {"content-type": f"multipart/form-data; boundary={bound}"})
    assert status in (200, 201), made
    return made["id"]


def make_batch(fleet, lines):
    """Makes a batch; returns its id."""
    status, made = fleet.post("gateway-1", "/v1/batches", {
        "input_file_id": upload(fleet, lines), "endpoint": "/v1/jobs", "completion_window": "1h"})
    assert status in (200, 201, 202), made
    return made["id"]


def batch_is(fleet, batch, *states):
    """Waits for a state of a batch."""
    until(f"batch {batch} {states}", lambda: call(fleet, "GET", f"/v1/batches/{batch}")[1]["status"] in states, 120)


def jobs(fleet):
    """Speaks jobs of all lanes and kinds: polled, followed, with a context, repeated, by the compatible route."""
    ids = [submit(fleet, lane=lane, delivery="both") for lane in ("live", "standard", "bulk")]
    status, events = fleet.get("gateway-1", f"/v1/jobs/{ids[0]}/events")
    assert status == 200 and b"event: done" in events, events[:300]
    for job in ids:
        end(fleet, job)
    audio = fleet.get("gateway-1", f"/v1/jobs/{ids[1]}/audio")[1]
    assert audio[:4] == b"RIFF"
    context = [{"text": "Hello there.", "speaker": 0, "audio": base64.b64encode(audio).decode()}]
    end(fleet, submit(fleet, context=context))
    end(fleet, submit(fleet, editable=True))
    key = {"idempotency-key": "one"}
    same = {fleet.post("gateway-1", "/v1/jobs", {"text": "Once."}, key)[1]["id"] for _ in range(2)}
    assert len(same) == 1
    status, answer = fleet.post("gateway-1", "/generate", {"text": "Hello there."})
    assert status == 200 and answer["audio"], answer
    status, _ = fleet.post("gateway-1", "/v1/jobs", {"text": "On the disk.", "durability": "fsync"})
    assert status in (202, 501), status
    status, found = call(fleet, "POST", "/v1/watermark/detect", audio, {"content-type": "audio/wav"})
    assert status == 200, found
    return audio


def ends(fleet):
    """Cancels a running and a waiting job, lets one expire, and asks for a job that does not exist."""
    running = submit(fleet, text=LONG_TEXT, max_audio_length_ms=90000)
    until("a claim", lambda: record(fleet, running)["status"] == "running")
    assert call(fleet, "DELETE", f"/v1/jobs/{running}")[0] in (200, 202)
    end(fleet, running, "cancelled")
    assert fleet.csm("queue", "pause", "standard").returncode == 0
    waiting, late = submit(fleet), submit(fleet, expires_in=1)
    assert call(fleet, "DELETE", f"/v1/jobs/{waiting}")[0] in (200, 202)
    end(fleet, waiting, "cancelled")
    end(fleet, late, "expired")
    assert fleet.csm("queue", "resume", "standard").returncode == 0


def batches(fleet):
    """Speaks, pauses, continues, repeats and cancels batches; lists and deletes files."""
    batch = make_batch(fleet, [{"text": "Good evening."}] * 3)
    batch_is(fleet, batch, "completed")
    for words in (["list"], ["status", batch], ["errors", batch], ["redo", batch, "2"]):
        done = fleet.csm("bulk", *words)
        assert done.returncode == 0, (words, done.stderr)
    batch_is(fleet, batch, "completed")
    # No line begins before the order to stop.
    assert fleet.csm("queue", "pause", "bulk").returncode == 0
    stopped = make_batch(fleet, [{"text": "Good morning."}] * 40)
    batch_is(fleet, stopped, "in_progress")
    for word in ("pause", "resume", "cancel"):
        done = fleet.csm("bulk", word, stopped)
        assert done.returncode == 0, done.stderr
    batch_is(fleet, stopped, "cancelled")
    assert fleet.csm("queue", "resume", "bulk").returncode == 0
    file = upload(fleet, [{"text": "Good night."}])
    files = call(fleet, "GET", "/v1/files?limit=1")[1]
    assert files["data"], files
    assert call(fleet, "GET", f"/v1/files?limit=1&after={files['data'][0]['id']}")[0] == 200
    assert call(fleet, "GET", f"/v1/batches?limit=1&after={batch}")[0] == 200
    assert call(fleet, "DELETE", f"/v1/files/{file}")[0] == 200


def faults(fleet):
    """Kills a worker, drains one, deletes keys of the queue, and spoils requests until they are dead letters."""
    cut = submit(fleet, text=LONG_TEXT, max_audio_length_ms=90000)
    until("a claim", lambda: record(fleet, cut)["status"] == "running")
    fleet.kill("worker-1")
    fleet.start_program("worker", "worker-1", *fleet.worker_settings)
    until("a suspect's turn", lambda: record(fleet, cut)["status"] == "running" and record(fleet, cut)["attempt"] > 1)
    fleet.send_signal("worker-1", signal.SIGTERM)
    fleet.processes.pop("worker-1").wait(timeout=60)
    fleet.start_program("worker", "worker-1", *fleet.worker_settings)
    end(fleet, cut)
    fleet.kill("worker-1")
    lost, spoilt = submit(fleet, lane="bulk"), [submit(fleet) for _ in range(3)]
    fleet.redis("DEL", "csm:{q0}:s:bulk", "csm:{q0}:waits:csm:{q0}:s:bulk")
    for job in spoilt:
        fleet.redis("HSET", f"csm:{{q0}}:job:{job}", "spec", "{")
    fleet.start_program("worker", "worker-1", *fleet.worker_settings)
    for job in spoilt:
        end(fleet, job, "failed")
    end(fleet, lost)
    return spoilt


def operator(fleet, letters):
    """Runs the operator's commands."""
    for words in (["queue", "stats"], ["queue", "stats", "--json"], ["top", "--once"], ["queue", "drain", "--reopen"],
                  ["queue", "open"], ["dlq", "list"], ["dlq", "list", "--json"], ["dlq", "show", letters[0]],
                  ["dlq", "retry", letters[0]], ["dlq", "purge", letters[1]], ["dlq", "retry", "--all", "--yes"],
                  ["dlq", "purge", "--all", "--yes"]):
        done = fleet.csm(*words)
        assert done.returncode == 0, (words, done.stdout, done.stderr)
    doctor = json.loads(fleet.csm("doctor", "--json").stdout)
    return doctor


def everything(fleet):
    """Runs all of it; returns what `csm doctor` says."""
    jobs(fleet)
    ends(fleet)
    batches(fleet)
    return operator(fleet, faults(fleet))
