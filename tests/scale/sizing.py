"""A day of a large fleet, and what it takes: GPUs, gateways, shards of Redis, money for an hour of audio."""

import math
from dataclasses import dataclass, replace

import curve
import redis_load
from flow import Model
from manifests import load
from recording import Fleet

# Downward policies of the manifests take one pod a minute, which no large fleet can wait for.
PROPORTIONAL_DOWN = {"stabilizationWindowSeconds": 600,
                     "policies": [{"type": "Percent", "value": 10, "periodSeconds": 60},
                                  {"type": "Pods", "value": 1, "periodSeconds": 60}]}


# Of each fleet (autoscale/keda/gateway.yaml).
GATEWAYS_LEAST = 2


@dataclass(frozen=True)
class Prices:
    """Money for an hour. Parameters: list prices of clouds change, and none was looked up for this table."""
    gpu: float = 0.71
    gateway: float = 0.10
    redis: float = 0.25


@dataclass(frozen=True)
class Assumptions:
    """Numbers that were not measured, or that an operator chooses."""
    # Frames a second of five slots on an NVIDIA L4, sound included: a forecast, since none was measured.
    gpu_frames_per_second: float = 100.0
    slots: int = 5
    # Seconds of a slot beside its frames: prompt, marks, file, store, commit.
    overhead: float = 0.2
    start_delay: float = 90.0
    load_delay: float = 30.0
    # Live connections of a gateway: the target of its autoscaler, or a larger gateway's.
    gateway_connections: int = 2_000
    # Share of a core at which a shard counts as full.
    busy_max: float = 0.6
    # Busy slots at the day's greatest load, of those that the named number of workers has.
    busy_at_peak: float = 0.8
    metric_age: float = 7.0
    kills_per_worker_hour: float = 0.0

    def fleet(self):
        """Returns the workers of the fleet."""
        return Fleet(self.slots, frames_per_second=self.gpu_frames_per_second / self.slots, overhead=self.overhead,
                     start_delay=(self.start_delay,) * 2, load_delay=(self.load_delay,) * 2, metric_age=self.metric_age)

    def peak_audio(self, workers):
        """Returns the audio seconds a second that so many workers are asked for at the day's greatest load."""
        means = curve.demand(1.0, 11.5 * 3600)
        jobs = [audio / mean for audio, mean in zip(means, curve.MEANS)]
        slots = sum(rate * self.took(lane) for lane, rate in enumerate(jobs))
        return workers * self.slots * self.busy_at_peak / slots

    def took(self, lane):
        """Returns the mean seconds of a slot for a job."""
        return curve.MEANS[lane] / (self.gpu_frames_per_second / self.slots * 0.08) + self.overhead


@dataclass(frozen=True)
class Day:
    """What a day of a fleet took."""
    workers: int
    peak_audio: float
    most_workers: int
    mean_workers: float
    busy: float
    p95: tuple[float, float, float]
    starts: int
    stops: int
    audio_hours: float
    traffic: redis_load.Traffic
    fewest_fleets: tuple[int, int]
    fewest_servers: tuple[int, int]
    gateways: int
    money: dict[str, float]


def scaler(down=None, **overrides):
    """Returns the autoscaler of the manifest for workers, without its bound of 20, and with another way down."""
    path = "k8s/autoscale/keda/worker.yaml"
    made = load(path)
    overrides = {"maxReplicaCount": 10 ** 7, **overrides}
    if down:
        up = {"stabilizationWindowSeconds": made.hpa.behaviour.up.window,
              "policies": [{"type": policy.kind, "value": policy.value, "periodSeconds": policy.period}
                           for policy in made.hpa.behaviour.up.policies]}
        config = {"horizontalPodAutoscalerConfig": {"behavior": {"scaleUp": up, "scaleDown": down}}}
        overrides["advanced"] = config
    return load(path, overrides=overrides)


def day(workers, assumptions=Assumptions(), prices=Prices(), down=None, seed=1, seconds=86_400.0, step=0.5):
    """Simulates a day of a fleet whose greatest load fills so many workers."""
    fleet, peak = assumptions.fleet(), assumptions.peak_audio(workers)
    first = float(curve.demand(peak, 0.0).sum()) / peak
    begin = max(1, math.ceil(workers * first * 1.1))
    flow = Model(fleet, scaler(down), lambda times: curve.demand(peak, times), seconds, begin, seed, step,
                 assumptions.kills_per_worker_hour).run()
    traffic, gateways = busiest(workers, assumptions, peak)
    fleets = redis_load.cells_for(traffic, assumptions.busy_max)
    servers = redis_load.fewest_servers(traffic, assumptions.busy_max)
    gateways = max(gateways, GATEWAYS_LEAST * servers[0])
    mean = flow.worker_seconds / seconds
    hours, audio = seconds / 3600, flow.audio / 3600
    money = {"gpu": mean * hours * prices.gpu / audio, "gateway": gateways * hours * prices.gateway / audio,
             "redis": 2 * math.prod(servers) * hours * prices.redis / audio}
    return flow, Day(workers, peak, flow.most, mean, flow.busy_slot_seconds / flow.worker_seconds / fleet.slots,
                     tuple(flow.wait(lane, 0.95) for lane in range(3)), flow.starts, flow.stops, audio, traffic, fleets,
                     servers, gateways, money)


def busiest(workers, assumptions, peak):
    """Returns the traffic at the day's greatest load, and the gateways for it."""
    asked = curve.demand(peak, 11.5 * 3600)
    jobs = [audio / mean for audio, mean in zip(asked, curve.MEANS)]
    took = sum(rate * assumptions.took(lane) for lane, rate in enumerate(jobs)) / sum(jobs)
    # Callers hear live audio at its own pace: a connection lasts as long as the audio.
    connections = float(asked[0])
    gateways = max(GATEWAYS_LEAST, math.ceil(connections / assumptions.gateway_connections))
    free = 1 - assumptions.busy_at_peak ** assumptions.slots
    return redis_load.Traffic(workers, gateways, float(sum(jobs)), took, float(asked[0]), float(asked[1:].sum()),
                              free), gateways


def failover(seconds, traffic, shards, prices, workers):
    """Returns what it costs if one of the shards answers nothing for so long: numbers by name."""
    share = 1 / shards
    return {"streams that stall": traffic.live_audio * share, "jobs that wait": traffic.jobs * share * seconds,
            "mean wait added to them, s": seconds / 2, "GPU hours lost, at most": workers * share * seconds / 3600,
            "money, at most": workers * share * seconds / 3600 * prices.gpu}


def with_gpu(frames_per_second):
    """Returns the assumptions for another GPU."""
    return replace(Assumptions(), gpu_frames_per_second=frames_per_second)
