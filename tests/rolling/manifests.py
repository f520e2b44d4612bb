"""What the manifests say about the start and the end of each pod."""

from dataclasses import dataclass
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]
# Kubernetes' own default.
FAILURES = 3


@dataclass(frozen=True)
class Probe:
    """A check that the kubelet makes of a pod."""

    path: str
    period: int
    failures: int


@dataclass(frozen=True)
class PodSpec:
    """A pod of a Deployment, or of a StatefulSet."""

    # Pods that may be there beside the replicas while pods are replaced.
    surge: int
    # Seconds between the deletion of the pod and SIGTERM.
    pre_stop: int
    # Seconds between the deletion of the pod and SIGKILL.
    grace: int
    startup: Probe
    readiness: Probe
    arguments: tuple
    settings: dict


def documents(path):
    """Returns the objects of a file."""
    return [document for document in yaml.safe_load_all((ROOT / path).read_text()) if document]


def settings(path):
    """Returns the settings of an env file."""
    lines = (ROOT / path).read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def probe(container, name):
    """Returns a probe of a container. Only the paths of HTTP probes matter here."""
    found = container[name]
    path = found.get("httpGet", {}).get("path", "")
    return Probe(path, found["periodSeconds"], found.get("failureThreshold", FAILURES))


def pod(path, env=None, grace=None):
    """Reads the pod of the first workload of a file."""
    workload = next(document for document in documents(path) if document["kind"] in ("Deployment", "StatefulSet"))
    spec = workload["spec"]["template"]["spec"]
    container = spec["containers"][0]
    hook = container.get("lifecycle", {}).get("preStop", {}).get("sleep", {})
    return PodSpec(
        surge=workload["spec"].get("strategy", {}).get("rollingUpdate", {}).get("maxSurge", 0),
        pre_stop=hook.get("seconds", 0),
        grace=grace or spec["terminationGracePeriodSeconds"],
        startup=probe(container, "startupProbe"), readiness=probe(container, "readinessProbe"),
        arguments=tuple(container.get("args", ())), settings=settings(env) if env else {})


def gateway():
    """Reads the gateway's pod."""
    return pod("k8s/base/gateway.yaml", "k8s/base/gateway.env")


def worker():
    """Reads the worker's pod."""
    return pod("k8s/base/worker/worker.yaml", "k8s/base/worker/worker.env")


def spot_worker(drain=None):
    """Reads the worker's pod of the bulk pool, whose nodes may go at short notice. Here it takes all lanes.

    `drain` takes the place of the manifest's seconds.
    """
    folder = "k8s/components/bulk-pool/pool"
    grace = documents(f"{folder}/settings.yaml")[0]["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]
    literals = documents(f"{folder}/kustomization.yaml")[0]["configMapGenerator"][0]["literals"]
    given = dict(literal.split("=", 1) for literal in literals)["CSM_DRAIN_SECONDS"]
    base = pod("k8s/base/worker/worker.yaml", "k8s/base/worker/worker.env", grace)
    drain = given if drain is None else str(drain)
    return PodSpec(**{**vars(base), "settings": base.settings | {"CSM_DRAIN_SECONDS": drain}})


def redis():
    """Reads the pod of Redis."""
    return pod("k8s/base/redis.yaml")
