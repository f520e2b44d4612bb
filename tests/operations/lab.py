"""A small fleet with a Redis that keeps its file, whose processes a procedure starts, stops and replaces."""

import json
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "observability"))
import fleet  # noqa: E402
from fleet import Fleet, free_port, http  # noqa: E402

# Generous, because machines of tests are slow.
END_SECONDS = 240
KEY = "0123456789abcdef0123456789abcdef"
# As docs/operations.md and k8s/base/redis.yaml set it.
REDIS = ("--appendonly", "yes", "--appendfsync", "always", "--save", "", "--maxmemory-policy", "noeviction")
FINAL = ("succeeded", "failed", "cancelled", "expired")


def until(what, condition, seconds=END_SECONDS):
    """Waits for a condition; fails if it does not come true in time."""
    fleet.until(what, condition, seconds)


class Lab(Fleet):
    """Fleet for one procedure."""

    def __init__(self, binaries, model):
        super().__init__(binaries, model, None)
        del self.environment["CSM_DEVELOPMENT_WATERMARK"]
        self.environment |= {"CSM_WATERMARK_KEY": KEY, "CSM_LOG": "info"}
        self.data = self.folder / "redis"
        self.data.mkdir()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.end()

    def start_redis(self, *settings, folder=None, answers=True):
        """Starts Redis on its file, or on that of another folder."""
        words = ["redis-server", "--port", str(self.redis_port), "--dir", str(folder or self.data), *REDIS, *settings]
        self.start("redis", words)
        if answers:
            until("Redis", lambda: subprocess.run(["redis-cli", "-p", str(self.redis_port), "ping"], check=False,
                                                  capture_output=True).stdout == b"PONG\n")

    def program(self, program, name, binaries=None, wait=True, environment=None):
        """Starts a gateway or a worker of some version; its ports stay if the name does."""
        admin = self.port(self.admin, name)
        words = [str((binaries or self.binaries) / f"csm-{program}"), "--admin-listen", f"127.0.0.1:{admin}"]
        if program == "gateway":
            words += ["--listen", f"127.0.0.1:{self.port(self.api, name)}"]
        self.start(name, words, environment)
        if wait:
            until(f"{name} is ready or has ended", lambda: self.processes[name].poll() is not None
                  or self.readiness(name)["status"] == "ready")
            if self.processes[name].poll() is not None:
                raise AssertionError(f"{name} ended: {self.log(name)[-300:]}")

    @staticmethod
    def port(ports, name):
        """Returns the port of a name, a free one at first."""
        return ports.setdefault(name, free_port())

    def readiness(self, name):
        """Returns what a process says of itself."""
        return json.loads(http(f"http://127.0.0.1:{self.admin[name]}/readyz")[1])

    def stop(self, name):
        """Sends SIGTERM to a process and waits for its end; returns its status."""
        process = self.processes.pop(name)
        process.terminate()
        return process.wait(END_SECONDS)

    def csm(self, *words, status=0, gateway="gateway"):
        """Runs csm; returns what it prints."""
        environment = self.environment | {"CSM_URL": f"http://127.0.0.1:{self.api.get(gateway)}"}
        run = subprocess.run([str(self.binaries / "csm"), *words], capture_output=True, text=True, cwd=self.folder,
                             env=environment, timeout=END_SECONDS, check=False)
        if run.returncode != status:
            raise AssertionError(f"csm {' '.join(words)}: status {run.returncode}: {run.stdout}{run.stderr}")
        return run.stdout

    def submit(self, seed, frames=25, gateway="gateway", **fields):
        """Submits a job of so many frames; returns its id."""
        body = {"text": "Good things take time, and this sentence does, too.", "seed": seed,
                "max_audio_length_ms": 80 * frames} | fields
        status, answer = self.post(gateway, "/v1/jobs", body)
        if status != 202:
            raise AssertionError(f"{status} {answer}")
        return answer["id"]

    def job(self, job, gateway="gateway"):
        """Returns a job's record, or the problem document."""
        return json.loads(self.get(gateway, f"/v1/jobs/{job}")[1])

    def ended(self, job, gateway="gateway"):
        """Waits for the end of a job; returns its record."""
        until(f"{job} ends", lambda: self.job(job, gateway).get("status") in FINAL)
        return self.job(job, gateway)

    def stats(self):
        """Returns the numbers of the queue."""
        return json.loads(self.csm("queue", "stats", "--json"))

    def refuses(self):
        """Returns whether the gateway answers that a part is out of reach."""
        return self.post("gateway", "/v1/jobs", {"text": "Hello.", "seed": 1})[0] == 503

    def batch(self, lines, out="speech"):
        """Starts `csm bulk run` of so many lines; returns its process and the id of the batch."""
        (self.folder / "lines.txt").write_text("".join(f"This is line number {line}.\n" for line in range(lines)))
        environment = self.environment | {"CSM_URL": f"http://127.0.0.1:{self.api['gateway']}"}
        words = [str(self.binaries / "csm"), "bulk", "run", "lines.txt", "--out", out]
        with open(self.folder / "bulk.log", "ab") as log:
            self.processes["bulk"] = subprocess.Popen(words, stdout=log, stderr=log, cwd=self.folder, env=environment)
        until("the batch is checked", lambda: "batch_" in (batches := self.csm("bulk", "list"))
              and "validating" not in batches)
        return self.processes["bulk"], self.csm("bulk", "list").split()[0]

    def counts(self, batch):
        """Returns status and counts of a batch."""
        document = json.loads(self.csm("bulk", "status", batch, "--json"))
        return document["status"], document["request_counts"]

    def log(self, name):
        """Returns what a process has logged."""
        return (self.folder / f"{name}.log").read_text()
