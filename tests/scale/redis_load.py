"""What a fleet costs Redis: the share of a core that each shard's main thread is busy, connections, and bytes.

Costs of calls are measured (`redis_costs.json`, by `measure_redis.py`). How often they come is read from the sources,
named beside each number. Two parts of a shard's load are kept apart. The work of jobs is divided by the shards. The
rest is not: a worker reports to, waits on, and asks each shard, however many there are."""

import json
from dataclasses import dataclass
from pathlib import Path

COSTS = json.loads(Path(__file__).with_name("redis_costs.json").read_text())
# BEAT_EVERY (queue.rs), REPORT_EVERY (worker_report.rs), WAIT_MAX (wake.rs), LOOK_PAUSE_MS (janitor.rs), CHECK_EVERY
# (readiness.rs).
BEAT_SECONDS, REPORT_SECONDS, WAIT_SECONDS, LOOK_SECONDS, CHECK_SECONDS = 5.0, 5.0, 1.0, 1.0, 2.0
# Five frames in an event (docs/benchmarks/2026-11-30-gateway.md, "as csm-worker writes them").
EVENT_SECONDS = 0.4
# Largest CSM_QUEUE_SHARDS (docs/operations.md).
SHARDS_MAX = 64
# Bytes of an event with five frames of samples in base64, and of one with codes alone (measure_redis.py).
AUDIO_EVENT_BYTES, CODES_EVENT_BYTES = 26_300, 700
# Connections of a worker and of a gateway to one server with one shard: CLIENT LIST of a fleet of one each.
WORKER_CONNECTIONS, GATEWAY_CONNECTIONS = 5, 4


@dataclass(frozen=True)
class Traffic:
    """A fleet at one moment. `free` is the share of workers that have a free slot, and so ask and wait."""
    workers: float
    gateways: float
    jobs: float
    took: float
    live_audio: float
    other_audio: float
    free: float


def by_workers(name, workers):
    """Returns a cost in seconds, between those measured with few and with many workers, or beyond in proportion."""
    points = sorted((int(number), costs[name]) for number, costs in COSTS["by_workers"].items())
    if name == "workers_read":  # It reads all workers.
        most, cost = points[-1]
        return cost * workers / most / 1e6
    return max(cost for _, cost in points) / 1e6


def divided(traffic):
    """Returns the cores that the jobs of all shards take together."""
    cost = {name: each / 1e6 for name, each in COSTS["by_job"].items()}
    beats = 1 + traffic.took / BEAT_SECONDS
    job = cost["enqueue"] + cost["claim"] + cost["finish"] + beats * cost["beat"] + 2 * cost["publish_codes"]
    # Live events are read by a gateway, and again when they move to the store.
    live = (cost["publish_audio"] + 2 * cost["read_audio"]) / EVENT_SECONDS
    return traffic.jobs * job + traffic.live_audio * live + traffic.other_audio * cost["publish_codes"] / EVENT_SECONDS


def undivided(traffic):
    """Returns the cores of each shard that do not depend on the number of shards."""
    workers = traffic.workers
    claim = by_workers("idle_claim", workers)
    own = by_workers("look", workers) / LOOK_SECONDS
    own += (by_workers("report", workers) + by_workers("waits", workers)) / REPORT_SECONDS
    asking = traffic.free * (claim + by_workers("idle_wait", workers)) / WAIT_SECONDS
    # A worker asks all shards when it has taken a job, and when one has ended, until one of them has a job.
    passes = traffic.jobs * 2 * traffic.free * claim
    check = by_workers("workers_read", workers) + by_workers("waits", workers)
    gateways = traffic.gateways * (check / CHECK_SECONDS + by_workers("look", workers) / LOOK_SECONDS)
    return workers * (own + asking) + passes + gateways


def load(traffic, shards):
    """Returns the share of a core of each shard, were each shard's master a server of its own."""
    return divided(traffic) / shards + undivided(traffic)


def shards_for(traffic, busy_max):
    """Returns the fewest shards that keep each below a share of a core, or None if none do."""
    rest = busy_max - undivided(traffic)
    if rest <= 0:
        return None
    shards = max(1, -int(-divided(traffic) / rest // 1))
    return shards if shards <= SHARDS_MAX else None


def scaled(traffic, factor):
    """Returns a fleet that is smaller or larger in all its parts."""
    return Traffic(traffic.workers * factor, traffic.gateways * factor, traffic.jobs * factor, traffic.took,
                   traffic.live_audio * factor, traffic.other_audio * factor, traffic.free)


def cells_for(traffic, busy_max, most=10_000):
    """Returns the fewest equal fleets, with a queue of their own each, and the shards of each of them."""
    for cells in range(1, most):
        shards = shards_for(scaled(traffic, 1 / cells), busy_max)
        if shards:
            return cells, shards
    raise ValueError(f"more than {most} fleets")


def fewest_servers(traffic, busy_max, most=10_000):
    """Returns the fleets, and the shards of each, that take the fewest servers; of equals the fewest fleets."""
    first, _ = cells_for(traffic, busy_max)
    best = None
    for cells in range(first, most):
        if best and cells >= best[0] * best[1]:
            break
        shards = shards_for(scaled(traffic, 1 / cells), busy_max)
        if shards and (best is None or cells * shards < best[0] * best[1]):
            best = cells, shards
    return best


def most_workers(traffic, shards, busy_max):
    """Returns the workers at which so many shards are busy for so large a share of a core."""
    low, high = 0.0, 1e7
    for _ in range(60):
        middle = (low + high) / 2
        if load(scaled(traffic, middle / traffic.workers), shards) <= busy_max:
            low = middle
        else:
            high = middle
    return int(low)


def connections(traffic):
    """Returns the connections to a server with one shard."""
    return traffic.workers * WORKER_CONNECTIONS + traffic.gateways * GATEWAY_CONNECTIONS


def event_bytes(traffic):
    """Returns bytes a second of events: written, once more to the append-only file, and read."""
    written = (traffic.live_audio * AUDIO_EVENT_BYTES + traffic.other_audio * CODES_EVENT_BYTES) / EVENT_SECONDS
    return written, 2 * traffic.live_audio * AUDIO_EVENT_BYTES / EVENT_SECONDS
