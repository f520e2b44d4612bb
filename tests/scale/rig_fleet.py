"""Real processes of one run: Redis, a gateway, workers. The store is the rig's own, which paces the workers."""

import asyncio
import importlib.util
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def observability_fleet():
    """Returns the module that starts the processes of tests/observability; a module here has the same name."""
    found = importlib.util.spec_from_file_location("processes", ROOT / "tests/observability/fleet.py")
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


processes = observability_fleet()

SLOTS, LIVE_RESERVE_SLOTS, RESERVE_SLOTS = 5, 1, 1
CLAIM = re.compile(r"started attempt waited_ms=(\d+) .*job=([0-9a-f-]{36}) attempt=1\b")


class RigFleet(processes.Fleet):
    """A fleet whose workers are started one by one; `settings` are those of workers and gateway beside the usual."""

    def __init__(self, binaries, model, settings):
        super().__init__(binaries, model, None)
        self.scaler_port = processes.free_port()
        self.environment |= settings | {"CSM_SLOTS": str(SLOTS), "CSM_LIVE_RESERVE_SLOTS": str(LIVE_RESERVE_SLOTS),
                                        "CSM_RESERVE_SLOTS": str(RESERVE_SLOTS)}

    async def start_gateway(self, push):
        """Starts Redis and the gateway, with its scaler if that is asked for. The store must answer meanwhile."""
        await asyncio.to_thread(self.start_redis)
        if push:
            self.environment["CSM_SCALER_LISTEN"] = f"127.0.0.1:{self.scaler_port}"
        await asyncio.to_thread(self.start_program, "gateway", "gateway")

    async def start_worker(self, name):
        """Starts a worker and returns its process; the log has its name."""
        port = self.admin[name] = processes.free_port()
        with open(self.folder / f"{name}.log", "ab") as log:
            return await asyncio.create_subprocess_exec(
                str(self.binaries / "csm-worker"), "--admin-listen", f"127.0.0.1:{port}", stdout=log, stderr=log,
                cwd=self.folder, env=self.environment)

    def first_waits(self):
        """Returns the seconds from acceptance to the first claim, by job, as the workers have logged them."""
        waits = {}
        for log in self.folder.glob("worker-*.log"):
            for line in log.read_text(errors="replace").splitlines():
                if found := CLAIM.search(line):
                    waits[found[2]] = int(found[1]) / 1000
        return waits
