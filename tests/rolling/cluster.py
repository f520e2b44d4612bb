"""A fleet whose pods start and end in Kubernetes' order: two gateways behind a Service, two workers, a Redis."""

import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import manifests
from service import Service

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "observability"))

from fleet import Fleet, free_port, http, until  # noqa: E402

# Longest time until all nodes know that a pod is going, in seconds.
PROPAGATION_MAX = 2.0
LOG_FILTER = "info"


class Cluster(Fleet):
    """Pods by name. A replaced pod has another name and other ports."""

    def __init__(self, options):
        super().__init__(Path(options.bin).resolve(), Path(options.model).resolve(), None)
        self.random = random.Random(options.seed)
        self.specs = {"gateway": manifests.gateway(), "worker": manifests.worker(),
                      "spot": manifests.spot_worker(options.spot_drain), "redis": manifests.redis()}
        self.pre_stop = self.specs["gateway"].pre_stop if options.pre_stop is None else options.pre_stop
        self.service = Service(self.folder, free_port(), self.specs["gateway"].readiness)
        self.environment |= {"CSM_LOG": LOG_FILTER, "CSM_LOG_FORMAT": "json"}
        # Time without any Redis: the pod is gone, the next one is scheduled, its volume is mounted, its server starts.
        self.redis_away = options.redis_away
        self.count, self.gateways, self.workers = 0, [], {}
        # Moments of the restart in progress, by name.
        self.marks = {}
        # What went wrong with processes, beside what callers saw.
        self.faults = []

    def begin(self):
        """Starts everything."""
        self.start_server()
        self.start("haproxy", self.service.command())
        until("HAProxy", lambda: self.service.order("show info"))
        for _ in range(2):
            self.gateways.append(self.start_gateway())
        for kind in ("worker", "spot"):
            self.workers[kind] = self.start_worker(kind)

    def start_server(self):
        """Starts Redis on its files, with the arguments of the manifest."""
        data = self.folder / "redis"
        data.mkdir(exist_ok=True)
        self.start("redis", ["redis-server", "--port", str(self.redis_port), "--dir", str(data),
                             *self.specs["redis"].arguments])
        until("Redis", lambda: self.redis("PING").strip() == "PONG")

    def redis(self, *words):
        """Runs redis-cli; returns what it prints. A server that is away raises `OSError`."""
        try:
            return super().redis(*words)
        except subprocess.CalledProcessError as error:
            raise ConnectionError(error.stderr) from error

    def name(self, kind):
        """Returns the name of a new pod."""
        self.count += 1
        return f"{kind}-{self.count}"

    def start_gateway(self):
        """Starts a gateway, and adds it to the Service once it is ready; returns its name."""
        spec, name = self.specs["gateway"], self.name("gateway")
        self.admin[name], self.api[name] = free_port(), free_port()
        self.start(name, [str(self.binaries / "csm-gateway"), "--listen", f"127.0.0.1:{self.api[name]}",
                          "--admin-listen", f"127.0.0.1:{self.admin[name]}"], spec.settings)
        self.wait_for_probe(name, spec.startup)
        self.wait_for_probe(name, spec.readiness)
        self.service.add(name, self.api[name], self.admin[name])
        return name

    def start_worker(self, kind):
        """Starts a worker and waits until it is ready; returns its name."""
        name = self.name(kind)
        self.admin[name] = free_port()
        self.start(name, [str(self.binaries / "csm-worker"), "--admin-listen", f"127.0.0.1:{self.admin[name]}"],
                   self.specs[kind].settings)
        until(name, lambda: http(f"http://127.0.0.1:{self.admin[name]}/readyz")[0] == 200)
        return name

    def wait_for_probe(self, name, probe):
        """Waits until a probe passes, which is asked as seldom as the kubelet asks."""
        for _ in range(probe.failures * 10):
            try:
                if http(f"http://127.0.0.1:{self.admin[name]}{probe.path}")[0] == 200:
                    return
            except OSError:
                pass
            time.sleep(probe.period)
        raise TimeoutError(f"{name}: {probe.path} does not pass")

    def roll_gateway(self, place):
        """Replaces a gateway: the next one is ready before this one is told to end."""
        assert self.specs["gateway"].surge == 1, "a rolling update of gateways adds a pod first"
        old = self.gateways[place]
        self.gateways[place] = self.start_gateway()
        # The Service and the kubelet hear of the deletion at the same time, each by its own way.
        propagation = threading.Timer(self.random.uniform(0, PROPAGATION_MAX), self.service.drain, [old])
        propagation.start()
        self.end_pod(old, self.pre_stop, self.specs["gateway"].grace)
        propagation.join()
        self.service.remove(old)

    def roll_worker(self, kind):
        """Replaces a worker: the next one gets the place of this one, which must end before."""
        spec = self.specs[kind]
        assert spec.surge == 0, "a rolling update of workers adds no pod"
        self.end_pod(self.workers[kind], spec.pre_stop, spec.grace)
        self.workers[kind] = self.start_worker(kind)

    def roll_redis(self):
        """Restarts Redis on its files."""
        spec = self.specs["redis"]
        self.end_pod("redis", spec.pre_stop, spec.grace)
        time.sleep(self.redis_away)
        self.start_server()

    def end_pod(self, name, pre_stop, grace):
        """Ends a pod as the kubelet does: pause, SIGTERM, and SIGKILL at the end of the grace."""
        time.sleep(pre_stop)
        process = self.processes[name]
        self.marks["SIGTERM"] = time.monotonic()
        process.send_signal(signal.SIGTERM)
        try:
            status = process.wait(grace - pre_stop)
        except subprocess.TimeoutExpired:
            process.kill()
            status = process.wait()
        del self.processes[name]
        self.marks["end"] = time.monotonic()
        if status != 0:
            self.faults.append(f"{name} ended with status {status}")

    def end(self):
        """Ends all processes; keeps their files."""
        for process in self.processes.values():
            process.kill()
            process.wait()
