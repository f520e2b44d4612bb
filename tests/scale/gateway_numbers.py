"""What an autoscaler reads of the gateway: its Prometheus text as a Prometheus has scraped it, or its KEDA scaler."""

import asyncio
import importlib
import math
import sys
import tempfile
from pathlib import Path

import aiohttp
import grpc

ROOT = Path(__file__).resolve().parents[2]
PROTO = ROOT / "gateway/proto/externalscaler.proto"
LANES = ("live", "standard", "bulk")
READ = ("csm_desired_slots", "csm_backlog_audio_seconds", "csm_fleet_frames_per_second", "csm_slots")
REQUEST_SECONDS = 5.0
# A stream that breaks is opened again after this pause, as KEDA does at once and then more slowly.
REOPEN_SECONDS = 0.1


class Client:
    """Client of admin ports and of the API."""

    def __init__(self):
        limit = aiohttp.TCPConnector(limit=0)
        self.session = aiohttp.ClientSession(connector=limit, timeout=aiohttp.ClientTimeout(total=REQUEST_SECONDS))

    async def metrics(self, port):
        """Returns the samples of an admin port that are read here, by name and labels; None if it does not answer."""
        try:
            async with self.session.get(f"http://127.0.0.1:{port}/metrics") as answer:
                text = await answer.text() if answer.status == 200 else ""
        except (aiohttp.ClientError, TimeoutError):
            return None
        lines = (line.rsplit(" ", 1) for line in text.splitlines() if line.startswith(READ))
        return {name: float(value) for name, value in lines}

    async def desired_slots(self, port):
        """Returns the slots that each lane wants by the API, or None if it does not answer."""
        try:
            async with self.session.get(f"http://127.0.0.1:{port}/v1/fleet") as answer:
                document = await answer.json() if answer.status == 200 else None
        except (aiohttp.ClientError, TimeoutError):
            return None
        if document is None:
            return None
        return {lane["lane"]: float(lane["desired_slots"]) for lane in document["lanes"]}

    async def is_ready(self, port):
        """Tells whether a process is ready."""
        try:
            async with self.session.get(f"http://127.0.0.1:{port}/readyz") as answer:
                return answer.status == 200
        except (aiohttp.ClientError, TimeoutError):
            return False

    async def close(self):
        """Closes all connections."""
        await self.session.close()


class Scraped:
    """The gateway's numbers as of the last scrape. `worth` is the number of frames for which one of the rig counts.

    With the port of the API, wanted slots come from `GET /v1/fleet`, which computes them when asked. The gauges are
    up to 2 s old: nothing in a real fleet, and minutes of a fast day."""

    def __init__(self, client, port, every, worth, api=None):
        self.client, self.port, self.every, self.worth, self.api = client, port, every, worth, api
        self.samples, self.lanes = None, None

    async def run(self):
        """Scrapes for ever."""
        while True:
            samples = await self.client.metrics(self.port)
            if self.api is None:
                lanes = samples and {lane: samples.get(f'csm_desired_slots{{lane="{lane}"}}', 0.0) for lane in LANES}
            else:
                lanes = await self.client.desired_slots(self.api)
            self.samples, self.lanes = samples, lanes
            await asyncio.sleep(self.every)

    async def values(self, scaler):
        """Returns the answers to the queries of an autoscaler."""
        if self.samples is None or self.lanes is None:
            return scaler.values(None, None, None)
        backlog = sum(self.samples.get(f'csm_backlog_audio_seconds{{lane="{lane}"}}', 0.0) for lane in LANES)
        rate = self.samples.get("csm_fleet_frames_per_second", 0.0)
        return scaler.values(self.lanes, backlog * self.worth, rate * self.worth)


def stubs():
    """Returns the messages and the stubs that are made of the gateway's copy of KEDA's protocol."""
    from grpc_tools import protoc
    folder = tempfile.mkdtemp()
    wrong = protoc.main(["protoc", f"-I{PROTO.parent}", f"--python_out={folder}", f"--grpc_python_out={folder}",
                         str(PROTO)])
    if wrong:
        raise RuntimeError(f"{PROTO}: protoc failed")
    sys.path.insert(0, folder)
    return importlib.import_module("externalscaler_pb2"), importlib.import_module("externalscaler_pb2_grpc")


class PushScaler:
    """Client of the gateway's scaler, as KEDA is one. Triggers that ask for slots ask the scaler, others Prometheus."""

    def __init__(self, port, scaler, scraped):
        self.messages, services = stubs()
        self.channel = grpc.aio.insecure_channel(f"127.0.0.1:{port}")
        self.stub = services.ExternalScalerStub(self.channel)
        self.scraped, self.changes = scraped, []
        # The scaler takes whole slots.
        sizes = {target.name: math.ceil(target.value) for target in scaler.hpa.targets}
        self.triggers = {name: self.reference(name, query.lanes, sizes[name])
                         for name, query in scaler.queries.items() if query.lanes}

    def reference(self, name, lanes, slots):
        """Returns what KEDA sends for a trigger."""
        metadata = {"lanes": ",".join(lanes), "slotsPerWorker": str(slots)}
        return self.messages.ScaledObjectRef(name=name, namespace="csm", scalerMetadata=metadata)

    async def check(self, scaler):
        """Compares the scaler's metrics and their targets with those of the manifest."""
        for target in scaler.hpa.targets:
            if target.name in self.triggers:
                spec, = (await self.stub.GetMetricSpec(self.triggers[target.name])).metricSpecs
                if spec.targetSize != math.ceil(target.value):
                    raise ValueError(f"{target.name}: target {spec.targetSize}, not {target.value}")

    async def values(self, scaler):
        """Returns the answers to the triggers of an autoscaler, as KEDA's metrics server gets them."""
        values = await self.scraped.values(scaler)
        for name, reference in self.triggers.items():
            request = self.messages.GetMetricsRequest(scaledObjectRef=reference, metricName="csm-desired-slots")
            try:
                answer = await self.stub.GetMetrics(request, timeout=REQUEST_SECONDS)
                values[name] = float(sum(value.metricValue for value in answer.metricValues))
            except grpc.aio.AioRpcError:
                values[name] = None
        return values

    async def active(self):
        """Tells whether any trigger is active, and whether one did not answer. One that is active decides."""
        try:
            for reference in self.triggers.values():
                if (await self.stub.IsActive(reference, timeout=REQUEST_SECONDS)).result:
                    return True, False
        except grpc.aio.AioRpcError:
            return False, True
        return False, False

    async def listen(self, clock, told):
        """Calls `told` with each message of the streams, one stream for each trigger, for ever."""
        await asyncio.gather(*(self.listen_to(reference, clock, told) for reference in self.triggers.values()))

    async def listen_to(self, reference, clock, told):
        """Follows one stream, and opens it again if it breaks."""
        while True:
            try:
                async for message in self.stub.StreamIsActive(reference):
                    self.changes.append([clock(), reference.name, message.result])
                    await told(message.result)
            except grpc.aio.AioRpcError:
                pass
            await asyncio.sleep(REOPEN_SECONDS)

    async def close(self):
        """Closes the channel."""
        await self.channel.close()
