"""Rendered objects of one target, and questions about them."""

from dataclasses import dataclass, field

WORKLOADS = ("Deployment", "StatefulSet")
# Objects of the cluster, not of a namespace.
CLUSTER_KINDS = ("Namespace", "PriorityClass", "ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding")
RULES = {}


def rule(name):
    """Adds a function to the rules, by the name under which it reports."""
    def add(function):
        assert name not in RULES, name
        RULES[name] = function
        return function
    return add


def name_of(thing):
    """Returns kind and name of an object."""
    return f"{thing.get('kind')}/{thing.get('metadata', {}).get('name')}"


def at(thing, path, default=None):
    """Returns what is at a path such as `spec.template.spec`, or a default."""
    for part in path.split("."):
        if not isinstance(thing, dict) or thing.get(part) is None:
            return default
        thing = thing[part]
    return thing


def matches(selector, labels):
    """Returns whether a label selector selects these labels."""
    for name, value in (selector or {}).get("matchLabels", {}).items():
        if labels.get(name) != value:
            return False
    for expression in (selector or {}).get("matchExpressions", []):
        if expression["operator"] != "In":
            raise ValueError(f"operator {expression['operator']} is not known here")
        if labels.get(expression["key"]) not in expression["values"]:
            return False
    return True


@dataclass
class Workload:
    """Deployment or StatefulSet with its pods."""

    thing: dict
    name: str = field(init=False)

    def __post_init__(self):
        self.name = name_of(self.thing)

    @property
    def pod(self):
        """Specification of the pods."""
        return at(self.thing, "spec.template.spec", {})

    @property
    def labels(self):
        """Labels of the pods."""
        return at(self.thing, "spec.template.metadata.labels", {})

    @property
    def containers(self):
        """Containers that run for the life of a pod."""
        return self.pod.get("containers", [])

    @property
    def all_containers(self):
        """Containers and init containers."""
        return [*self.containers, *self.pod.get("initContainers", [])]

    @property
    def program(self):
        """Program of this project that the pods run, or None."""
        component = self.labels.get("app.kubernetes.io/component")
        return component if component in ("gateway", "worker") else None

    @property
    def replicas(self):
        """Number of pods that the object states; 1 if it states none."""
        return at(self.thing, "spec.replicas", 1)


class Manifests:
    """All objects of a target."""

    def __init__(self, target, objects, sources):
        self.target, self.objects, self.sources = target, objects, sources

    def of(self, *kinds):
        """Lists the objects of some kinds."""
        return [thing for thing in self.objects if thing.get("kind") in kinds]

    def find(self, kind, name):
        """Returns one object, or None."""
        return next((thing for thing in self.of(kind) if thing["metadata"]["name"] == name), None)

    @property
    def workloads(self):
        """Deployments and StatefulSets."""
        return [Workload(thing) for thing in self.of(*WORKLOADS)]

    def selected(self, selector):
        """Lists the workloads whose pods a selector selects."""
        return [workload for workload in self.workloads if matches(selector, workload.labels)]

    def variables(self, container):
        """Returns the variables that a container gets from ConfigMaps and literals; those of secrets are unknown."""
        found = {}
        for source in container.get("envFrom", []):
            config = self.find("ConfigMap", at(source, "configMapRef.name", ""))
            found.update((config or {}).get("data") or {})
        found.update({item["name"]: item["value"] for item in container.get("env", []) if "value" in item})
        return found

    def scalers(self):
        """Lists autoscalers with their targets, least and largest numbers of pods."""
        for thing in self.of("ScaledObject", "HorizontalPodAutoscaler"):
            spec, names = thing["spec"], ("minReplicas", "maxReplicas")
            default = 1
            if thing["kind"] == "ScaledObject":
                names, default = ("minReplicaCount", "maxReplicaCount"), 0
            target = spec.get("scaleTargetRef", {})
            yield thing, target.get("kind", "Deployment"), target.get("name"), spec.get(names[0], default), spec.get(names[1])

    def least_replicas(self, workload):
        """Returns the smallest number of pods that a workload is meant to have."""
        for _, kind, name, least, _ in self.scalers():
            if f"{kind}/{name}" == workload.name:
                return least
        return workload.replicas

    def secrets(self, container):
        """Lists the names of the secrets that a container gets as variables."""
        names = [at(source, "secretRef.name") for source in container.get("envFrom", [])]
        names += [at(item, "valueFrom.secretKeyRef.name") for item in container.get("env", [])]
        return [name for name in names if name]
