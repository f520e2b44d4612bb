"""A real fleet under a real Prometheus: Redis, gateways, workers, all on free ports of this machine."""

import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

READY_SECONDS = 60
ANSWER_SECONDS = 60
SCRAPE_SECONDS = 1


def free_port():
    """Returns a port that nothing listens on."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def http(url, data=None, headers=None, method=None):
    """Sends a request; returns status and body."""
    request = urllib.request.Request(url, data=data, headers=headers or {}, method=method)
    try:
        with urllib.request.urlopen(request, timeout=ANSWER_SECONDS) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def until(what, condition, seconds=READY_SECONDS):
    """Waits for a condition; fails if it does not come true in time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            if condition():
                return
        except OSError:
            pass
        time.sleep(0.1)
    raise TimeoutError(f"{what}: not within {seconds} s")


class Fleet:
    """Processes of a fleet, with the folder that holds their files."""

    def __init__(self, binaries, model, rules):
        self.binaries, self.model, self.rules = binaries, model, rules
        self.folder = Path(tempfile.mkdtemp())
        self.processes, self.admin, self.api = {}, {}, {}
        self.redis_port, self.prometheus_port = free_port(), free_port()
        self.environment = {
            "PATH": os.environ["PATH"], "HOME": str(self.folder), "CSM_MODEL": str(model), "CSM_DEVICE": "cpu",
            "CSM_REDIS_URL": f"redis://127.0.0.1:{self.redis_port}", "CSM_STORE": f"folder:{self.folder}/store",
            "CSM_DEVELOPMENT_WATERMARK": "true", "CSM_THREADS": "1"}

    def start(self, name, command, environment=None):
        """Starts a process, whose output goes to a file."""
        with open(self.folder / f"{name}.log", "ab") as log:
            self.processes[name] = subprocess.Popen(command, stdout=log, stderr=log, cwd=self.folder,
                                                    env=self.environment | (environment or {}))

    def start_redis(self):
        """Starts Redis, without files."""
        self.start("redis", ["redis-server", "--port", str(self.redis_port), "--save", "", "--appendonly", "no"])
        until("Redis", lambda: socket.create_connection(("127.0.0.1", self.redis_port), 1).close() is None)

    def start_program(self, program, name, *settings):
        """Starts a gateway or a worker with settings; its ports are known before and stay."""
        admin = self.admin.setdefault(name, free_port())
        words = [str(self.binaries / f"csm-{program}"), "--admin-listen", f"127.0.0.1:{admin}", *settings]
        if program == "gateway":
            words += ["--listen", f"127.0.0.1:{self.api.setdefault(name, free_port())}"]
        self.start(name, words)
        until(name, lambda: http(f"http://127.0.0.1:{admin}/readyz")[0] == 200)

    def start_prometheus(self):
        """Starts Prometheus, which scrapes all admin ports known so far and evaluates the rule file."""
        jobs = [{"job_name": f"csm-{kind}", "static_configs": [
            {"targets": [f"127.0.0.1:{port}" for name, port in self.admin.items() if name.startswith(kind)],
             "labels": {"namespace": "csm", "pod": kind}}]} for kind in ("gateway", "worker")]
        # JSON is YAML.
        (self.folder / "prometheus.yml").write_text(json.dumps({
            "global": {"scrape_interval": f"{SCRAPE_SECONDS}s", "evaluation_interval": "5s"},
            "rule_files": [str(self.rules)], "scrape_configs": jobs}))
        self.start("prometheus", ["prometheus", f"--config.file={self.folder}/prometheus.yml",
                                  f"--storage.tsdb.path={self.folder}/prometheus",
                                  f"--web.listen-address=127.0.0.1:{self.prometheus_port}"])
        until("Prometheus", lambda: http(f"http://127.0.0.1:{self.prometheus_port}/-/ready")[0] == 200)
        # Prometheus begins to scrape some seconds after its start.
        running = sum(name in self.processes for name in self.admin)
        until("all targets", lambda: self.ask("query", query=f"sum(up) >= {running}")["result"])

    def ask(self, path, **parameters):
        """Asks Prometheus; returns the data of its answer."""
        url = f"http://127.0.0.1:{self.prometheus_port}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
        status, body = http(url)
        answer = json.loads(body)
        if status != 200:
            raise ValueError(answer.get("error"))
        return answer["data"]

    def redis(self, *words):
        """Runs redis-cli; returns what it prints."""
        command = ["redis-cli", "-p", str(self.redis_port), *words]
        return subprocess.run(command, capture_output=True, text=True, timeout=ANSWER_SECONDS, check=True).stdout

    def send_signal(self, name, number):
        """Sends a signal to a process."""
        self.processes[name].send_signal(number)

    def kill(self, name):
        """Kills a process and waits for its end."""
        process = self.processes.pop(name)
        process.kill()
        process.wait()

    def post(self, gateway, path, body, headers=None):
        """Sends JSON to a gateway; returns status and answer."""
        status, answer = http(f"http://127.0.0.1:{self.api[gateway]}{path}", json.dumps(body).encode(),
                              {"content-type": "application/json", **(headers or {})})
        return status, json.loads(answer)

    def get(self, gateway, path, headers=None):
        """Returns status and body of a path of a gateway."""
        return http(f"http://127.0.0.1:{self.api[gateway]}{path}", headers=headers)

    def series(self):
        """Returns the series that the processes show, each with the name of its process."""
        pages = {name: http(f"http://127.0.0.1:{port}/metrics")[1].decode() for name, port in self.admin.items()
                 if name in self.processes}
        return {f"{name} {line.rsplit(' ', 1)[0]}" for name, page in pages.items() for line in page.splitlines()
                if line and not line.startswith("#")}

    def end(self):
        """Ends all processes and removes their files."""
        for process in self.processes.values():
            process.send_signal(signal.SIGCONT)
            process.kill()
            process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)
