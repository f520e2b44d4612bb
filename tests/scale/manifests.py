"""Autoscalers of workers, made from the files of k8s/autoscale/, so that what is simulated is what is deployed."""

import re
from dataclasses import dataclass
from pathlib import Path

import yaml

from policies import (AVERAGE, COOLDOWN_SECONDS, DOWN_DEFAULT, MAX, POLLING_SECONDS, SYNC_SECONDS, TOLERANCE,
                      UP_DEFAULT, VALUE, Behaviour, Hpa, Keda, Policy, Rules, Target)

ROOT = Path(__file__).resolve().parents[2]
ADAPTER = ROOT / "k8s/autoscale/hpa/prometheus-adapter.yaml"
LANES = ("live", "standard", "bulk")
FRAME_SECONDS = 0.08

LABELS = r'\{(?P<labels>[^}]*)\}'
# Queries that the simulation can answer. Any other is refused, so a manifest that changes is noticed.
SUM_OF_LANES = re.compile(rf'sum\(max by \(lane\) \(csm_desired_slots{LABELS}\)\)')
ONE_LANE = re.compile(rf'max\(csm_desired_slots{LABELS}\)')
DRAIN = re.compile(r'sum\(max by \(lane\) \(csm_backlog_audio_seconds\{[^}]*\}\)\) '
                   r'/ clamp_min\(max\(csm_fleet_frames_per_second\{[^}]*\}\) \* 0\.08, 1\)')
LANE_LABEL = re.compile(r'lane=~?"([^"]*)"')


@dataclass(frozen=True)
class Query:
    """Answer that a trigger asks for: slots that lanes want or, without lanes, seconds until the backlog ends."""
    lanes: tuple[str, ...] | None

    def value(self, desired_slots, backlog_audio_s, frames_per_second):
        """Returns the answer; None for a number that is missing is passed on."""
        if self.lanes is None:
            if backlog_audio_s is None or frames_per_second is None:
                return None
            return backlog_audio_s / max(frames_per_second * FRAME_SECONDS, 1.0)
        return None if desired_slots is None else float(sum(desired_slots[lane] for lane in self.lanes))


@dataclass
class Scaler:
    """Autoscaler of one workload, with the times at which it wants to be called.

    `sync` is the period of `step`, `polling` that of `poll`; a plain HPA has no polls, and `polling` is None."""
    hpa: Hpa
    keda: Keda | None
    queries: dict[str, Query]
    sync: float
    polling: float | None
    push: bool

    @property
    def least(self):
        """Smallest number of replicas."""
        return self.keda.least if self.keda else self.hpa.least

    def values(self, desired_slots, backlog_audio_s, frames_per_second):
        """Returns the answer to each trigger's query."""
        return {name: query.value(desired_slots, backlog_audio_s, frames_per_second)
                for name, query in self.queries.items()}

    def step(self, now, current, ready, values):
        """Returns the replicas after a sync of the HPA."""
        return self.hpa.step(now, current, ready, values)

    def poll(self, now, current, values):
        """Returns the replicas after a poll of KEDA."""
        return self.keda.poll(now, current, *self.keda.active(values)) if self.keda else current

    def pushed(self, now, current, active):
        """Returns the replicas after a message of the push scaler."""
        return self.keda.pushed(now, current, active) if self.keda and self.push else current


def load(path, *, push=False, time_scale=1.0, overrides=None):
    """Returns the autoscaler of a manifest, a path in the repository. Times are divided by `time_scale`."""
    manifest = yaml.safe_load((ROOT / path).read_text())
    kind = manifest.get("kind") if isinstance(manifest, dict) else None
    if kind not in ("ScaledObject", "HorizontalPodAutoscaler"):
        raise ValueError(f"{path}: no ScaledObject or HorizontalPodAutoscaler")
    spec = manifest["spec"] | (overrides or {})
    return scaled_object(spec, push, time_scale) if kind == "ScaledObject" else plain(spec, time_scale)


def scaled_object(spec, push, time_scale):
    """Returns the autoscaler of a ScaledObject."""
    queries, targets, activations = {}, [], {}
    for trigger in spec["triggers"]:
        name, metadata = trigger["name"], trigger["metadata"]
        if trigger["type"] != "prometheus":
            raise ValueError(f"{name}: triggers of type {trigger['type']} cannot be simulated")
        queries[name] = query_of(metadata["query"])
        targets.append(target(name, trigger.get("metricType", AVERAGE), metadata["threshold"], time_scale))
        activations[name] = float(metadata.get("activationThreshold", 0))
    config = spec.get("advanced", {}).get("horizontalPodAutoscalerConfig", {})
    hpa = Hpa(behaviour(config.get("behavior", {}), time_scale), tuple(targets), 1, spec.get("maxReplicaCount", 100))
    polling = spec.get("pollingInterval", POLLING_SECONDS) / time_scale
    cooldown = spec.get("cooldownPeriod", COOLDOWN_SECONDS) / time_scale
    keda = Keda(hpa, spec.get("minReplicaCount", 0), polling, cooldown, activations)
    return Scaler(hpa, keda, queries, SYNC_SECONDS / time_scale, polling, push)


def plain(spec, time_scale):
    """Returns the autoscaler of a HorizontalPodAutoscaler, whose queries are those of prometheus-adapter."""
    external_rules = yaml.safe_load(ADAPTER.read_text())["rules"]["external"]
    known = {rule["name"]["as"]: rule["metricsQuery"] for rule in external_rules}
    queries, targets = {}, []
    for metric in spec["metrics"]:
        external = metric["external"]
        name, wanted = external["metric"]["name"], external["target"]
        queries[name] = query_of(known[name])
        number = wanted["averageValue" if wanted["type"] == AVERAGE else "value"]
        targets.append(target(name, wanted["type"], number, time_scale))
    least, most = spec.get("minReplicas", 1), spec["maxReplicas"]
    hpa = Hpa(behaviour(spec.get("behavior", {}), time_scale), tuple(targets), least, most)
    return Scaler(hpa, None, queries, SYNC_SECONDS / time_scale, None, False)


def quantity(text):
    """Returns the number that a quantity of Kubernetes states, such as 4500m."""
    text = str(text)
    return float(text[:-1]) / 1000 if text.endswith("m") else float(text)


def target(name, kind, number, time_scale):
    """Returns a target. A target by value is one of seconds, which pass faster in a run with a time scale."""
    return Target(name, kind, quantity(number) / (time_scale if kind == VALUE else 1.0))


def behaviour(spec, time_scale):
    """Returns a behaviour; what is not stated is as Kubernetes has it."""
    return Behaviour(rules(spec.get("scaleUp", {}), UP_DEFAULT, time_scale),
                     rules(spec.get("scaleDown", {}), DOWN_DEFAULT, time_scale))


def rules(spec, default, time_scale):
    """Returns the rules of one direction."""
    stated = [Policy(each["type"], each["value"], float(each["periodSeconds"])) for each in spec.get("policies", [])]
    policies = tuple(Policy(policy.kind, policy.value, policy.period / time_scale)
                     for policy in stated or default.policies)
    window = spec.get("stabilizationWindowSeconds", default.window) / time_scale
    return Rules(window, policies, spec.get("selectPolicy", MAX), float(spec.get("tolerance", TOLERANCE)))


def query_of(text):
    """Returns what a query asks for."""
    text = " ".join(text.split())
    if DRAIN.fullmatch(text):
        return Query(None)
    found = SUM_OF_LANES.fullmatch(text) or ONE_LANE.fullmatch(text)
    if not found:
        raise ValueError(f"the simulation cannot answer the query {text}")
    chosen = LANE_LABEL.search(found["labels"])
    lanes = tuple(chosen[1].split("|")) if chosen else LANES
    if not set(lanes) <= set(LANES) or (found.re is ONE_LANE and len(lanes) != 1):
        raise ValueError(f"the simulation cannot answer the query {text}")
    return Query(lanes)
