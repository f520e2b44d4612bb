"""What is rendered: every overlay and every example, and combinations of components."""

from tree import ROOT, Target

GKE, EKS, BULK = "components/gke-l4", "components/eks-g6", "components/bulk-pool"
MONITORING, KEDA, HPA = "components/monitoring", "autoscale/keda", "autoscale/hpa"
PUSH, COST = "autoscale/keda-push", "components/deletion-cost"
ALERTS, DASHBOARDS = "alerts", "dashboards"

# Combinations that no example has.
COMBINED = (
    Target("gke-l4 + hpa", ("overlays/gke-l4",), (MONITORING, HPA)),
    Target("gke-l4 + keda", ("overlays/gke-l4",), (MONITORING, KEDA)),
    Target("eks-g6 + keda", ("overlays/eks-g6",), (MONITORING, KEDA)),
    Target("gke-l4 + keda by push", ("overlays/gke-l4",), (MONITORING, KEDA, PUSH)),
    Target("gke-l4 + bulk-pool + keda by push", ("base",),
           (BULK, GKE, MONITORING, KEDA, "autoscale/keda-bulk", PUSH, f"{PUSH}-bulk")),
    Target("eks-g6 + redis-external", ("overlays/eks-g6",), ("components/redis-external",)),
    Target("gke-l4 + redis-secure", ("overlays/gke-l4",), ("components/redis-secure",)),
    Target("gke-l4 + bulk-pool + model-pvc + hpa", ("base",),
           (BULK, "components/model-pvc", GKE, MONITORING, HPA, "autoscale/hpa-bulk")),
    Target("eks-g6 + bulk-pool + model-image + keda", ("base",),
           (BULK, EKS, "components/model-image", MONITORING, KEDA, "autoscale/keda-bulk")),
    Target("gke-l4 + bulk-pool + deletion-cost + keda", ("base",),
           (BULK, GKE, COST, MONITORING, KEDA, "autoscale/keda-bulk")),
    Target("cpu + deletion-cost", ("base",), (COST,), gpu=False),
    Target("cpu + bulk-pool", ("base",), (BULK, MONITORING), gpu=False),
    Target("cpu + bulk-pool + redis-secure", ("base",), (BULK, "components/redis-secure"), gpu=False),
    Target("gke-l4 + tracing + alerts + dashboards", ("overlays/gke-l4",), (MONITORING, "components/tracing", ALERTS, DASHBOARDS)),
)


def targets():
    """Lists all targets."""
    found = [Target("base", ("base",), gpu=False)]
    for kind in ("overlays", "examples"):
        for file in sorted((ROOT / "k8s" / kind).glob("*/kustomization.yaml")):
            name = f"{kind}/{file.parent.name}"
            found.append(Target(name, (name,), gpu=name != "overlays/cpu", development=name == "overlays/cpu"))
    return [*found, *COMBINED]


def unrendered():
    """Lists components that no target has, by their folders."""
    used = {name for target in targets() for name in target.components}
    for example in (ROOT / "k8s/examples").glob("*/kustomization.yaml"):
        used.update(line.strip().removeprefix("- ../../") for line in example.read_text().splitlines())
    folders = [*(ROOT / "k8s/components").glob("*/"), *(ROOT / "k8s/autoscale").glob("*/")]
    names = {ALERTS, DASHBOARDS, *(f"{folder.parent.name}/{folder.name}" for folder in folders)}
    return sorted(names - used)
