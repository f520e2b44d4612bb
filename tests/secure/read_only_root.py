#!/usr/bin/env python3
"""Runs the gateway and the worker as the pods of k8s/overlays/cpu with the component redis-secure: settings, user, volumes
and a root file system that cannot be written. Speaks jobs and a batch, ends both by SIGTERM, and shows what was written
where."""

import argparse
import signal
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/k8s"))
from check import kubectl  # noqa: E402
from manifests import Manifests  # noqa: E402
from sources import Sources  # noqa: E402
from tree import Target  # noqa: E402

import exercise  # noqa: E402
from pod import Pods, permitted  # noqa: E402
from secure_fleet import SecureFleet, faults_of, free_port, http, until  # noqa: E402

TARGET = Target("cpu + redis-secure", ("overlays/cpu",), ("components/redis-secure",), gpu=False, development=True)
# Longer than the drains of the manifests and the margins of the programs.
END_SECONDS = 90


class PodFleet(SecureFleet):
    """Fleet whose programs run as pods."""

    def __init__(self, options):
        super().__init__(options.bin.resolve(), model="/models/tiny", trust=options.trust)
        self.variable = options.trust
        self.folder.chmod(0o755)
        sources = Sources()
        manifests = Manifests(TARGET, sources.tree.render(TARGET, kubectl()), sources)
        self.pods = Pods(manifests, self.folder, self.binaries,
                         {"csm-redis-tls": {"ca.crt": self.authority.read_bytes()}})

    def start_pod(self, program, name):
        """Starts a program as its pod and waits until it is ready."""
        self.pods.prepare(program)
        workload = self.pods.workload(program)
        container = workload.containers[0]
        admin = self.admin.setdefault(name, free_port())
        environment = self.pods.environment(container) | {
            "CSM_REDIS_URL": self.url(program), "CSM_ADMIN_LISTEN": f"127.0.0.1:{admin}"}
        environment[self.variable] = environment["CSM_REDIS_CA"]
        if program == "gateway":
            environment["CSM_LISTEN"] = f"127.0.0.1:{self.api.setdefault(name, free_port())}"
        with open(self.folder / f"{name}.log", "ab") as log:
            command = self.pods.command(workload, container, f"csm-{program}")
            self.processes[name] = subprocess.Popen(command, stdout=log, stderr=log, cwd="/", env=environment)
        until(name, lambda: http(f"http://127.0.0.1:{admin}/readyz")[0] == 200)

    def terminate(self, name):
        """Sends SIGTERM to a pod; returns its exit status."""
        process = self.processes.pop(name)
        process.send_signal(signal.SIGTERM)
        return process.wait(timeout=END_SECONDS)


def run(fleet):
    """Runs the pods and uses them; returns a list of faults."""
    faults = []
    fleet.start_redis()
    for program in ("gateway", "worker"):
        fleet.start_pod(program, f"{program}-1")
        writable, declared = fleet.pods.writable(program), fleet.pods.declared(program)
        print(f"{program}: can write {sorted(writable)}; the manifest says {sorted(declared)}")
        if writable != declared:
            faults.append(f"{program}: can write {sorted(writable)}")
    exercise.jobs(fleet)
    batch = exercise.make_batch(fleet, [{"text": "Good evening."}] * 3)
    exercise.batch_is(fleet, batch, "completed")
    for name in ("worker-1", "gateway-1"):
        if status := fleet.terminate(name):
            faults.append(f"{name} ended with status {status}")
    for place, count in sorted(fleet.pods.files().items()):
        print(f"  {count:3} files in {place}")
    for name in ("gateway-1", "worker-1"):
        log = (fleet.folder / f"{name}.log").read_text()
        faults += [f"{name}: {line}" for line in log.splitlines() if "os error 30" in line]
    return faults


def main():
    """Runs the check; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bin", type=Path, required=True, help="folder with csm, csm-gateway and csm-worker")
    parser.add_argument("--trust", default="CSM_REDIS_CA", help="variable that names the authority of Redis")
    options = parser.parse_args()
    if reason := permitted():
        left_out = f"{reason}: the programs in a read-only root file system"
        subprocess.run([str(ROOT / "scripts/not-checked.sh"), left_out], check=True)
        return 0
    fleet = PodFleet(options)
    faults = faults_of(fleet, run)
    print(f"read-only root: {len(faults)} faults")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
