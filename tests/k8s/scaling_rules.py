"""Rules of autoscalers and disruption budgets."""

import re
from functools import cache

import promql_parser
import yaml

from manifests import at, name_of, rule

ADAPTER = "k8s/autoscale/hpa/prometheus-adapter.yaml"
LANES = ("live", "standard", "bulk")
# Gauges that each gateway states for the whole fleet.
FLEET_GAUGES = ("csm_backlog_audio_seconds", "csm_desired_slots", "csm_dlq_size", "csm_fleet_frames_per_second",
                "csm_queue_depth", "csm_queue_oldest_seconds", "csm_queue_running", "csm_workers")
# Part of a target that an HPA lets pass before it adds a pod.
TOLERANCE = 0.1
# Metadata that the gateway's own scaler takes.
PUSHED = ("lanes", "slotsPerWorker")
# Metadata that KEDA's scalers take, by type: all, and those that must be there. KEDA ignores other names.
TRIGGERS = {
    "prometheus": ({"serverAddress", "query", "threshold", "activationThreshold", "namespace", "ignoreNullValues",
                    "unsafeSsl", "timeout", "authModes", "customHeaders", "queryParameters"},
                   {"serverAddress", "query", "threshold"}),
    "cpu": ({"value", "containerName"}, {"value"}),
    # The last two are of the gateway's scaler, which KEDA hands them to; they have defaults, which are not relied on.
    "external-push": ({"scalerAddress", "tlsCertFile", "unsafeSsl", *PUSHED}, {"scalerAddress", *PUSHED}),
}


def scaled(manifests, kind, name):
    """Returns the workload that an autoscaler names, or None."""
    return next((found for found in manifests.workloads if found.name == f"{kind}/{name}"), None)


@rule("budget")
def budget(manifests):
    """A disruption budget selects pods of one workload, and leaves one to evict."""
    for thing in manifests.of("PodDisruptionBudget"):
        spec = thing["spec"]
        selected = manifests.selected(spec.get("selector"))
        if len(selected) != 1:
            yield f"{name_of(thing)}: selects pods of {[workload.name for workload in selected]}"
        for workload in selected:
            kept, evicted = spec.get("minAvailable"), spec.get("maxUnavailable")
            least = max(1, manifests.least_replicas(workload))
            blocked = str(evicted) in ("0", "0%") or kept == "100%" or (isinstance(kept, int) and kept >= least)
            if blocked:
                yield f"{name_of(thing)}: no pod of {workload.name} can be evicted while there are {least}"


@rule("scaler-target")
def scaler_target(manifests):
    """Each autoscaler has a target, each target one autoscaler, and no number of pods beside it."""
    seen = set()
    for thing, kind, name, _, _ in manifests.scalers():
        workload = scaled(manifests, kind, name)
        if workload is None:
            yield f"{name_of(thing)}: no {kind} {name}"
            continue
        if workload.name in seen:
            yield f"{name_of(thing)}: {workload.name} has another autoscaler"
        seen.add(workload.name)
        if at(workload.thing, "spec.replicas") is not None:
            yield f"{workload.name}: states replicas, which every apply would set again"


@rule("scaler-bounds")
def scaler_bounds(manifests):
    """Bounds are in order, and there is a gateway at all times, a second one included."""
    for thing, kind, name, least, most in manifests.scalers():
        workload = scaled(manifests, kind, name)
        if most is None or most < max(1, least):
            yield f"{name_of(thing)}: from {least} to {most}"
        if workload and workload.program == "gateway" and least < 2:
            yield f"{name_of(thing)}: fewer than 2 gateways"


@rule("trigger")
def trigger(manifests):
    """Triggers of KEDA have the metadata that the scaler reads; a metric that is missing is not 0."""
    for thing in manifests.of("ScaledObject"):
        for found in thing["spec"].get("triggers", []):
            metadata, kind = found.get("metadata", {}), found.get("type")
            known, needed = TRIGGERS.get(kind, (set(), set()))
            for name in sorted(metadata.keys() - known | needed - metadata.keys()):
                yield f"{name_of(thing)}: trigger {found.get('name')} of type {kind}: {name}"
            if kind == "prometheus" and metadata.get("ignoreNullValues") != "false":
                yield f"{name_of(thing)}: trigger {found.get('name')} takes a missing metric for 0"
            if kind == "cpu":
                yield from resource(manifests, thing, metadata.get("containerName"))
    for thing in manifests.of("HorizontalPodAutoscaler"):
        for found in thing["spec"].get("metrics", []):
            if "containerResource" in found:
                yield from resource(manifests, thing, found["containerResource"]["container"])


def resource(manifests, thing, container):
    """Checks that a share of a request is one of a container with a request."""
    workload = scaled(manifests, "Deployment", at(thing, "spec.scaleTargetRef.name"))
    for found in workload.containers if workload else []:
        if found["name"] == container and at(found, "resources.requests.cpu"):
            return
    yield f"{name_of(thing)}: no container {container} with a request of CPU"


def adapter_rules(manifests):
    """Returns the queries of the adapter's external metrics by their names."""
    rules = yaml.safe_load(manifests.sources.tree.read(ADAPTER))["rules"]["external"]
    return {found["name"]["as"]: found["metricsQuery"] for found in rules}


def queries(manifests):
    """Lists autoscalers with query, threshold and kind of target of each external metric."""
    for thing in manifests.of("ScaledObject"):
        for found in thing["spec"].get("triggers", []):
            if found.get("type") == "prometheus" and "query" in found["metadata"]:
                yield thing, found["metadata"]["query"], found["metadata"].get("threshold"), found.get("metricType")
    adapter = adapter_rules(manifests)
    for thing in manifests.of("HorizontalPodAutoscaler"):
        space = f'namespace="{thing["metadata"].get("namespace")}"'
        for found in thing["spec"].get("metrics", []):
            name = at(found, "external.metric.name")
            if name in adapter:
                target = found["external"]["target"]
                query = adapter[name].replace("<<.LabelMatchers>>", space)
                yield thing, query, target.get("averageValue", target.get("value")), target["type"]


@rule("adapter")
def adapter(manifests):
    """Each external metric of a HorizontalPodAutoscaler has a rule of the adapter."""
    known = adapter_rules(manifests)
    for thing in manifests.of("HorizontalPodAutoscaler"):
        for found in thing["spec"].get("metrics", []):
            name = at(found, "external.metric.name")
            if name and name not in known:
                yield f"{name_of(thing)}: {ADAPTER} has no rule for {name}"


@cache
def syntax_error(query):
    """Returns what is wrong with the syntax of a query, or None."""
    try:
        promql_parser.parse(query)
    except ValueError as error:
        return str(error)
    return None


@rule("query")
def query_(manifests):
    """Queries parse, name metrics that exist, of one fleet, and take the largest of what gateways state for it."""
    for thing, query, _, _ in queries(manifests):
        if error := syntax_error(query):
            yield f"{name_of(thing)}: {query!r}: {error}"
        for metric in re.findall(r"\bcsm_\w+", query):
            if metric not in manifests.sources.metrics:
                yield f"{name_of(thing)}: no metric {metric}"
            if metric in FLEET_GAUGES and not re.search(rf"max( by \(lane\) )?\({metric}\b", query):
                yield f"{name_of(thing)}: {metric} of several gateways is added up"
            if not re.search(rf'{metric}\{{[^}}]*namespace="{thing["metadata"].get("namespace")}"', query):
                yield f"{name_of(thing)}: {metric} of other namespaces counts"


def slots_for(variables, lanes):
    """Returns the slots that a worker has for these lanes together."""
    slots = int(variables.get("CSM_SLOTS", 5))
    if variables.get("CSM_LANES", "all") == "bulk" or slots == 1 or "live" in lanes:
        return slots
    slots -= int(variables.get("CSM_LIVE_RESERVE_SLOTS", 1))
    return max(1, slots if "standard" in lanes else slots - int(variables.get("CSM_RESERVE_SLOTS", 1)))


def pushed(manifests):
    """Lists ScaledObjects with the metadata of each trigger that pushes."""
    for thing in manifests.of("ScaledObject"):
        for found in thing["spec"].get("triggers", []):
            if found.get("type") == "external-push":
                yield thing, found["metadata"]


def lane_slots(manifests):
    """Lists autoscalers with lanes and slots of a worker of each comparison of the slots that lanes want."""
    for thing, query, limit, _ in queries(manifests):
        if "csm_desired_slots" in query:
            named = re.search(r'lane=~?"([a-z|]+)"', query)
            yield thing, named[1].split("|") if named else list(LANES), limit
    for thing, metadata in pushed(manifests):
        lanes = metadata.get("lanes", ",".join(LANES)).split(",")
        yield thing, [lane.strip() for lane in lanes], metadata.get("slotsPerWorker", "5")


def quantity(text):
    """Returns the number that a quantity of Kubernetes states, such as 4500m."""
    text = str(text)
    return float(text[:-1]) / 1000 if text.endswith("m") else float(text)


@rule("threshold")
def threshold(manifests):
    """The slots that lanes want are compared with those that a worker has for them, less the tolerance for live jobs."""
    for thing, lanes, limit in lane_slots(manifests):
        workload = scaled(manifests, "Deployment", at(thing, "spec.scaleTargetRef.name"))
        for lane in sorted(set(lanes) - set(LANES)):
            yield f"{name_of(thing)}: no lane {lane}"
        if workload and set(lanes) <= set(LANES):
            slots = slots_for(manifests.variables(workload.containers[0]), lanes)
            wanted = slots * (1 - TOLERANCE) if "live" in lanes else slots
            if quantity(limit) != wanted:
                yield f"{name_of(thing)}: {limit} slots a worker for {'+'.join(lanes)}, in place of {wanted:g}"


@rule("lanes-scaled")
def lanes_scaled(manifests):
    """Together the autoscalers of workers look at every lane."""
    seen = {lane for _, lanes, _ in lane_slots(manifests) for lane in lanes}
    for lane in LANES:
        if seen and lane not in seen:
            yield f"nothing scales for the lane {lane}"


@rule("one-number")
def one_number(manifests):
    """An autoscaler takes the slots that lanes want from one place: the larger of two answers would count."""
    by_push = {name_of(thing) for thing, _ in pushed(manifests)}
    for thing, query, _, _ in queries(manifests):
        if name_of(thing) in by_push and "csm_" in query:
            yield f"{name_of(thing)}: is told by the gateways and by Prometheus, of different moments"
