"""Starts a fleet from binaries: Redis, a gateway, a gateway without room, two workers."""

import json
import os
import re
import signal
import socket
import subprocess
import threading
import time
import urllib.request

READY_SECONDS = 60
JOB = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


def free_port():
    """Returns a port of the loopback address that is free now."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


class Follower(threading.Thread):
    """Copies a process's output to a file and keeps its lines; threads may wait for one."""

    def __init__(self, process, path):
        super().__init__(daemon=True)
        self.process, self.path = process, path
        self.lines, self.changed = [], threading.Condition()
        self.start()

    def run(self):
        """Copies until the process closes its output."""
        with open(self.path, "w", encoding="utf-8") as copy:
            for line in self.process.stdout:
                copy.write(line)
                copy.flush()
                with self.changed:
                    self.lines.append(line)
                    self.changed.notify_all()
        with self.changed:
            self.lines.append("")
            self.changed.notify_all()

    def wait(self, accept, seconds, since=0):
        """Returns the first result of `accept` that is not None among the lines, or None."""

        def find():
            return next((r for r in map(accept, self.lines[since:]) if r is not None), None)

        with self.changed:
            self.changed.wait_for(lambda: find() is not None or self.lines[-1:] == [""], seconds)
            return find()


class Fleet:
    """Holds the processes of one fleet and the addresses of its gateways."""

    def __init__(self, binaries, model, folder):
        self.binaries, self.folder = binaries, folder
        self.processes, self.workers, self.count = [], {}, 0
        self.redis_port = free_port()
        os.makedirs(os.path.join(folder, "store"), exist_ok=True)
        self.env = dict(
            os.environ,
            CSM_REDIS_URL=f"redis://127.0.0.1:{self.redis_port}", CSM_MODEL=model,
            CSM_DEVELOPMENT_WATERMARK="true", CSM_DEVICE="cpu", CSM_SLOTS="5",
            CSM_LOG="info", CSM_LOG_FORMAT="json", CSM_STORE=f"folder:{folder}/store")

    def start(self):
        """Starts everything and waits until each process is ready."""
        redis = ["redis-server", "--port", str(self.redis_port), "--dir", self.folder,
                 "--save", "", "--appendonly", "no"]
        _, log = self._spawn("redis", redis)
        if not log.wait(lambda line: True if "eady to accept connections" in line else None, 20):
            raise RuntimeError(f"Redis did not start: see {log.path}")
        option = self._wyoming_option()
        self.gateway, self.wyoming, self.gateway_log = self._gateway("gateway", option, [])
        self.busy, self.busy_wyoming, _ = self._gateway("busy", option, ["--lane-bytes-max", "1"])
        for _ in range(2):
            self.start_worker()
        self.wait_for_workers()

    def _spawn(self, name, command, **env):
        process = subprocess.Popen(
            command, env={**self.env, **env}, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, errors="replace", start_new_session=True)
        self.processes.append(process)
        return process, Follower(process, os.path.join(self.folder, f"{name}.log"))

    def _wyoming_option(self):
        """Returns the gateway's flag for a Wyoming address, or None if it has none."""
        text = subprocess.run([os.path.join(self.binaries, "csm-gateway"), "--help"],
                              capture_output=True, text=True, check=True, env=self.env).stdout
        found = re.search(r"^\s+(--wyoming(?:-listen)?)\b", text, re.MULTILINE)
        return found and found.group(1)

    def _gateway(self, name, wyoming_option, flags):
        port, admin, wyoming = free_port(), free_port(), free_port()
        command = [os.path.join(self.binaries, "csm-gateway"), "--admin-listen", f"127.0.0.1:{admin}", *flags]
        if wyoming_option:
            command += [wyoming_option, f"127.0.0.1:{wyoming}"]
        process, log = self._spawn(name, command, CSM_LISTEN=f"127.0.0.1:{port}")
        wait_until_ready(process, admin, log.path)
        return port, wyoming if wyoming_option else None, log

    def start_worker(self):
        """Starts a worker; `wait_for_workers` waits until it is ready."""
        self.count += 1
        admin = free_port()
        name = f"worker-{self.count}"
        command = [os.path.join(self.binaries, "csm-worker"), "--admin-listen", f"127.0.0.1:{admin}",
                   "--threads", "1"]
        process, log = self._spawn(name, command)
        self.workers[name] = (process, admin, log)

    def wait_for_workers(self):
        """Waits until all workers are ready."""
        for process, admin, log in list(self.workers.values()):
            wait_until_ready(process, admin, log.path)

    def kill_worker_of(self, job):
        """Kills the worker that runs a job, starts another, and returns the dead one's name."""
        url = f"http://127.0.0.1:{self.gateway}/v1/jobs/{job}/events"
        with urllib.request.urlopen(url, timeout=30) as events:
            for line in events:
                if line.startswith(b"data: ") and b'"started"' in line:
                    identity = json.loads(line[6:])["worker"]
                    break
            else:
                raise RuntimeError(f"job {job} was not started")
        for name, (process, _admin, log) in list(self.workers.items()):
            if any(identity in line for line in log.lines):
                process.send_signal(signal.SIGKILL)
                process.wait()
                del self.workers[name]
                self.start_worker()
                return name
        raise RuntimeError(f"no worker of this fleet is called {identity}")

    def jobs_accepted(self):
        """Lists the jobs in the order in which the gateway's log says that it accepted them."""
        lines = [line for line in list(self.gateway_log.lines) if "accepted job" in line]
        return [job_of(line) for line in lines]

    def accepted_job(self, since, seconds):
        """Returns the first job accepted after the first `since` ones, or None."""
        with self.gateway_log.changed:
            self.gateway_log.changed.wait_for(lambda: len(self.jobs_accepted()) > since, seconds)
        return next(iter(self.jobs_accepted()[since:]), None)

    def stop(self):
        """Ends all processes, the last started first."""
        for process in reversed(self.processes):
            if process.poll() is None:
                process.terminate()
        for process in reversed(self.processes):
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def job_of(line):
    """Returns the job's id of a log line, which also holds the id of the request."""
    try:
        entry = json.loads(line)
        fields = entry.get("fields", entry)
        return fields.get("job") or entry.get("job")
    except ValueError:
        found = re.search(r"job=(" + JOB.pattern + ")", line)
        return found and found.group(1)


def wait_until_ready(process, admin, path):
    """Waits until a process's readiness check passes; there is no event to wait for instead."""
    url = f"http://127.0.0.1:{admin}/readyz"
    end = time.monotonic() + READY_SECONDS
    while time.monotonic() < end:
        if process.poll() is not None:
            break
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except OSError:
            time.sleep(0.05)
    raise RuntimeError(f"not ready: see the end of {path}")
