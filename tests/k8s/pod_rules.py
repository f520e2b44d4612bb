"""Rules of pods: security, resources, probes, ends, volumes, nodes."""

import re
import shlex

from cluster_rules import calls_api
from manifests import at, matches, rule

STARTUP_SECONDS = 15 * 60
# Volumes that the restricted level of pod security allows, of Kubernetes 1.33 or later for images.
VOLUMES = {"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "image", "persistentVolumeClaim", "projected", "secret"}
GPU = "nvidia.com/gpu"


def containers(manifests):
    """Lists all containers with names for messages."""
    for workload in manifests.workloads:
        for container in workload.all_containers:
            yield workload, container, f"{workload.name} {container['name']}"


def effective(workload, container, field):
    """Returns a field of the security of a container, or else of its pod."""
    own = at(container, f"securityContext.{field}")
    return own if own is not None else at(workload.pod, f"securityContext.{field}")


@rule("grace")
def grace(manifests):
    """Pods get more time than pause, drain and the process's own margin take."""
    for workload in manifests.workloads:
        if workload.program:
            container = workload.containers[0]
            drain = int(manifests.variables(container).get("CSM_DRAIN_SECONDS", 30))
            pause = at(container, "lifecycle.preStop.sleep.seconds", 0)
            needed = pause + drain + manifests.sources.margin_seconds(workload.program)
            given = workload.pod.get("terminationGracePeriodSeconds", 30)
            if given <= needed:
                yield f"{workload.name}: terminationGracePeriodSeconds {given} is not above {needed}"


@rule("pre-stop")
def pre_stop(manifests):
    """A program that callers reach pauses before it closes its port."""
    for workload in manifests.workloads:
        if workload.program == "gateway" and not at(workload.containers[0], "lifecycle.preStop.sleep.seconds"):
            yield f"{workload.name}: closes its port before the nodes know"


@rule("limits")
def limits(manifests):
    """Each container requests CPU and memory, and has a limit of memory."""
    for _, container, name in containers(manifests):
        for path in ("requests.cpu", "requests.memory", "limits.memory"):
            if at(container, f"resources.{path}") is None:
                yield f"{name}: no {path}"


@rule("image-tag")
def image_tag(manifests):
    """Each image has a tag or a digest, and none is called latest."""
    images = [(name, container.get("image", "")) for _, container, name in containers(manifests)]
    for workload in manifests.workloads:
        references = [at(volume, "image.reference") for volume in workload.pod.get("volumes", [])]
        images += [(workload.name, reference) for reference in references if reference]
    for name, image in images:
        tag = re.search(r":([\w.-]+)$", image)
        if "@sha256:" not in image and (not tag or tag[1] == "latest"):
            yield f"{name}: image {image!r} can change"


@rule("root")
def root(manifests):
    """Nothing runs as root."""
    for workload, container, name in containers(manifests):
        if effective(workload, container, "runAsNonRoot") is not True:
            yield f"{name}: runAsNonRoot is not true"
        if not effective(workload, container, "runAsUser"):
            yield f"{name}: no user, or root"


@rule("root-filesystem")
def root_filesystem(manifests):
    """Root file systems are read-only."""
    for _, container, name in containers(manifests):
        if at(container, "securityContext.readOnlyRootFilesystem") is not True:
            yield f"{name}: the root file system can be written"


@rule("privileges")
def privileges(manifests):
    """No container has or gains a privilege."""
    for workload, container, name in containers(manifests):
        security = container.get("securityContext", {})
        if security.get("allowPrivilegeEscalation") is not False or security.get("privileged"):
            yield f"{name}: may gain privileges"
        if at(security, "capabilities.drop") != ["ALL"] or at(security, "capabilities.add"):
            yield f"{name}: keeps capabilities"
        if effective(workload, container, "seccompProfile.type") != "RuntimeDefault":
            yield f"{name}: no seccomp profile"


@rule("host")
def host(manifests):
    """Nothing of the node is shared, and volumes are of the restricted kinds."""
    for workload in manifests.workloads:
        shared = [name for name in ("hostNetwork", "hostPID", "hostIPC") if workload.pod.get(name)]
        kinds = {kind for volume in workload.pod.get("volumes", []) for kind in volume if kind != "name"}
        ports = [port["hostPort"] for container in workload.containers for port in container.get("ports", [])
                 if "hostPort" in port]
        if shared or kinds - VOLUMES or ports:
            yield f"{workload.name}: {shared + sorted(kinds - VOLUMES) + ports} of the node"


@rule("probes")
def probes(manifests):
    """Each container that stays has the three probes, on a port of its own."""
    for workload in manifests.workloads:
        for container in workload.containers:
            ports = {port.get("name") for port in container.get("ports", [])}
            for kind in ("startupProbe", "readinessProbe", "livenessProbe"):
                probe = container.get(kind)
                if not probe:
                    yield f"{workload.name} {container['name']}: no {kind}"
                    continue
                port = at(probe, "httpGet.port", at(probe, "tcpSocket.port"))
                if "exec" not in probe and port not in ports:
                    yield f"{workload.name} {container['name']}: {kind} asks port {port}, which is not there"


@rule("probe-route")
def probe_route(manifests):
    """Probes ask for routes of the admin port; liveness does not depend on other services."""
    for workload in manifests.workloads:
        if workload.program:
            for kind in ("startupProbe", "readinessProbe", "livenessProbe"):
                path = at(workload.containers[0], f"{kind}.httpGet.path")
                if path not in manifests.sources.routes:
                    yield f"{workload.name}: {kind} asks for {path}, which no process serves"
                if (kind == "livenessProbe") == (path == "/readyz"):
                    if kind == "livenessProbe" or kind == "readinessProbe":
                        yield f"{workload.name}: {kind} asks for {path}"


@rule("startup-time")
def startup_time(manifests):
    """A worker has 15 minutes to download and load its model."""
    for workload in manifests.workloads:
        if workload.program == "worker":
            probe = workload.containers[0].get("startupProbe", {})
            seconds = probe.get("periodSeconds", 10) * probe.get("failureThreshold", 3)
            if seconds < STARTUP_SECONDS:
                yield f"{workload.name}: {seconds} s to start"


@rule("port")
def port(manifests):
    """Named ports are those on which the images listen, or pods by a setting; each such setting has a port."""
    names = {"http": "CSM_LISTEN", "admin": "CSM_ADMIN_LISTEN", "scaler": "CSM_SCALER_LISTEN"}
    for workload in manifests.workloads:
        if workload.program:
            variables = manifests.variables(workload.containers[0])
            set_here = {name: int(variables[name].rsplit(":", 1)[-1]) for name in names.values() if name in variables}
            listens = manifests.sources.listens(workload.program) | set_here
            named = {found.get("name"): found["containerPort"] for found in workload.containers[0].get("ports", [])}
            for name, number in named.items():
                if listens.get(names.get(name)) != number:
                    yield f"{workload.name}: nothing listens on port {number} ({name})"
            for name, variable in names.items():
                if variable in set_here and name not in named:
                    yield f"{workload.name}: {variable} has no port {name}"


@rule("volume")
def volume(manifests):
    """Each mount has a volume, each volume a mount and a source."""
    for workload in manifests.workloads:
        templates = at(workload.thing, "spec.volumeClaimTemplates", [])
        declared = {volume["name"]: volume for volume in workload.pod.get("volumes", [])}
        declared.update({template["metadata"]["name"]: {} for template in templates})
        mounted = {mount["name"] for container in workload.all_containers for mount in container.get("volumeMounts", [])}
        for name in sorted(mounted - declared.keys()):
            yield f"{workload.name}: mounts {name}, which is no volume"
        for name in sorted(declared.keys() - mounted):
            yield f"{workload.name}: volume {name} is not mounted"
        for name, source in declared.items():
            claim, config = at(source, "persistentVolumeClaim.claimName"), at(source, "configMap.name")
            if claim and not manifests.find("PersistentVolumeClaim", claim):
                yield f"{workload.name}: volume {name} has no claim {claim}"
            if config and not manifests.find("ConfigMap", config):
                yield f"{workload.name}: volume {name} has no ConfigMap {config}"


@rule("scratch")
def scratch(manifests):
    """A folder on the node's disk has a bound."""
    for workload in manifests.workloads:
        for found in workload.pod.get("volumes", []):
            if "emptyDir" in found and not at(found, "emptyDir.sizeLimit"):
                yield f"{workload.name}: volume {found['name']} has no sizeLimit"


@rule("account")
def account(manifests):
    """Each workload has an account of its own, and no token of the cluster without a use for it."""
    names = [workload.pod.get("serviceAccountName") for workload in manifests.workloads]
    for workload, name in zip(manifests.workloads, names):
        if not name or not manifests.find("ServiceAccount", name) or names.count(name) > 1:
            yield f"{workload.name}: account {name!r} is not its own"
        if workload.pod.get("automountServiceAccountToken") is not False and not calls_api(workload):
            yield f"{workload.name}: gets a token that it has no use for"


@rule("priority")
def priority(manifests):
    """Each priority class is defined."""
    for workload in manifests.workloads:
        name = workload.pod.get("priorityClassName")
        if not name or not manifests.find("PriorityClass", name):
            yield f"{workload.name}: no priority class {name!r}"


@rule("spread")
def spread(manifests):
    """Pods of one workload are spread, by selectors that select them."""
    for workload in manifests.workloads:
        constraints = workload.pod.get("topologySpreadConstraints", [])
        if workload.program and not constraints:
            yield f"{workload.name}: all pods may be in one zone"
        for constraint in constraints:
            if [other.name for other in manifests.selected(constraint.get("labelSelector"))] != [workload.name]:
                yield f"{workload.name}: spread over {constraint.get('topologyKey')} counts other pods"


@rule("selector")
def selector(manifests):
    """A selector selects the pods of its own workload and no others."""
    for workload in manifests.workloads:
        found = at(workload.thing, "spec.selector", {})
        if not matches(found, workload.labels):
            yield f"{workload.name}: its selector does not select its pods"
        for other in manifests.selected(found):
            if other.name != workload.name:
                yield f"{workload.name}: its selector selects pods of {other.name}"


@rule("gpu")
def gpu(manifests):
    """Workers of a target with GPUs request one each, on nodes that have it; nothing else does."""
    for workload in manifests.workloads:
        wants = [at(container, "resources", {}) for container in workload.all_containers]
        wants = [(at(found, "limits", {}).get(GPU), at(found, "requests", {}).get(GPU)) for found in wants]
        wanted = manifests.target.gpu and workload.program == "worker"
        if any(pair != (None, None) for pair in wants) and not wanted:
            yield f"{workload.name}: requests a GPU"
        if wanted:
            tolerated = any(toleration.get("key") == GPU for toleration in workload.pod.get("tolerations", []))
            if wants[0] != (1, 1):
                yield f"{workload.name}: requests and limits of {GPU} are {wants[0]}"
            if not tolerated or not workload.pod.get("nodeSelector"):
                yield f"{workload.name}: may not go to a node with an L4"
            if not workload.containers[0]["image"].endswith("-cuda"):
                yield f"{workload.name}: image {workload.containers[0]['image']} cannot use a GPU"
            if not manifests.variables(workload.containers[0]).get("CSM_DEVICE", "auto").startswith("cuda"):
                yield f"{workload.name}: goes on with the CPU if its GPU is dead"


@rule("service-links")
def service_links(manifests):
    """Names of Services become no variables: CSM_... could be taken for settings."""
    for workload in manifests.workloads:
        if workload.pod.get("enableServiceLinks") is not False:
            yield f"{workload.name}: enableServiceLinks is not false"


@rule("command")
def command(manifests):
    """Commands of containers exist in the image's programs."""
    for _, container, name in containers(manifests):
        words = [word for text in container.get("command", []) for word in shlex.split(text)]
        for at_word, word in enumerate(words):
            if word == "csm" and not manifests.sources.is_command(words[at_word + 1:]):
                yield f"{name}: csm has no command {' '.join(words[at_word + 1:at_word + 3])}"
