"""Rules of Services, NetworkPolicies, PodMonitors and the namespace."""

from manifests import CLUSTER_KINDS, at, matches, name_of, rule

REDIS_PORTS = {6379, 6380}
# Label of the one namespace that may ask the scaler: KEDA's.
KEDA_SPACE = {"matchLabels": {"kubernetes.io/metadata.name": "keda"}}


def ports_of(workload):
    """Returns the ports of a pod by number, with their names."""
    found = [port for container in workload.containers for port in container.get("ports", [])]
    return {port["containerPort"]: port.get("name") for port in found}


def has_port(workload, port):
    """Returns whether a pod has a port of this name or number."""
    ports = ports_of(workload)
    return port in ports or port in ports.values()


@rule("service")
def service(manifests):
    """Each Service selects pods of one workload, and its ports are theirs."""
    for thing in manifests.of("Service"):
        selected = manifests.selected({"matchLabels": at(thing, "spec.selector", {"none": "none"})})
        if len(selected) != 1:
            yield f"{name_of(thing)}: selects pods of {[workload.name for workload in selected]}"
        for port in thing["spec"].get("ports", []):
            for workload in selected:
                if not has_port(workload, port.get("targetPort", port["port"])):
                    yield f"{name_of(thing)}: {workload.name} has no port {port.get('targetPort')}"
    for workload in manifests.workloads:
        name = at(workload.thing, "spec.serviceName")
        if name and not manifests.find("Service", name):
            yield f"{workload.name}: no Service {name}"


@rule("default-deny")
def default_deny(manifests):
    """A policy of all pods denies what no other allows."""
    for thing in manifests.of("NetworkPolicy"):
        spec = thing["spec"]
        if spec.get("podSelector") == {} and sorted(spec.get("policyTypes", [])) == ["Egress", "Ingress"]:
            if not spec.get("ingress") and not spec.get("egress"):
                return
    yield "no NetworkPolicy denies everything by default"


@rule("policy")
def policy(manifests):
    """Each policy selects pods, and opens ports that they have; each workload has a policy of its own."""
    covered = set()
    for thing in manifests.of("NetworkPolicy"):
        selected = manifests.selected(thing["spec"].get("podSelector"))
        if not selected:
            yield f"{name_of(thing)}: selects no pods"
        if thing["spec"].get("podSelector"):
            covered.update(workload.name for workload in selected)
        for entry in thing["spec"].get("ingress") or []:
            for port in entry.get("ports", []):
                for workload in selected:
                    if not has_port(workload, port.get("port")):
                        yield f"{name_of(thing)}: {workload.name} has no port {port.get('port')}"
    for workload in manifests.workloads:
        if workload.name not in covered:
            yield f"{workload.name}: no NetworkPolicy of its own"


@rule("policy-metadata")
def policy_metadata(manifests):
    """No pod reaches the credentials of its node."""
    for thing in manifests.of("NetworkPolicy"):
        for entry in thing["spec"].get("egress") or []:
            for peer in entry.get("to", [{}]):
                block = peer.get("ipBlock")
                open_block = block and block["cidr"] == "0.0.0.0/0" and "169.254.0.0/16" not in block.get("except", [])
                if open_block or not peer:
                    yield f"{name_of(thing)}: reaches 169.254.0.0/16"


def allows(manifests, workload, direction, peer):
    """Returns whether policies let a workload talk to Redis (egress) or Redis be called by one (ingress)."""
    side = "to" if direction == "egress" else "from"
    for thing in manifests.of("NetworkPolicy"):
        if matches(thing["spec"].get("podSelector"), workload.labels):
            for entry in thing["spec"].get(direction) or []:
                numbers = {port.get("port") for port in entry.get("ports", [])}
                if numbers & (REDIS_PORTS | {"redis"}):
                    for found in entry.get(side, []):
                        if "ipBlock" in found or matches(found.get("podSelector"), peer.labels if peer else {}):
                            return True
    return False


@rule("policy-redis")
def policy_redis(manifests):
    """Gateways and workers reach Redis."""
    redis = next((found for found in manifests.workloads if found.labels.get("app.kubernetes.io/component") == "redis"), None)
    for workload in manifests.workloads:
        if workload.program:
            if not allows(manifests, workload, "egress", redis):
                yield f"{workload.name}: may not call Redis"
            if redis and not allows(manifests, redis, "ingress", workload):
                yield f"{redis.name}: may not be called by {workload.name}"


def scaler_ports(workload):
    """Returns number and name of the port of a gateway's scaler, or nothing."""
    return {port for found in workload.containers for item in found.get("ports", []) if item.get("name") == "scaler"
            for port in ("scaler", item["containerPort"])}


@rule("scaler-address")
def scaler_address(manifests):
    """Triggers that push name a Service and its port, which leads to the port of a gateway's scaler."""
    for thing in manifests.of("ScaledObject"):
        for found in thing["spec"].get("triggers", []):
            if found.get("type") == "external-push":
                yield from (f"{name_of(thing)}: {why}" for why in unreached(manifests, thing, found["metadata"]))


def unreached(manifests, thing, metadata):
    """Says why the address of a scaler leads nowhere, if it does."""
    address = metadata.get("scalerAddress", "")
    host, _, port = address.partition(":")
    name, _, space = host.partition(".")
    found = manifests.find("Service", name)
    if not found or space not in ("", *(f"{found['metadata'].get('namespace')}{end}"
                                        for end in ("", ".svc", ".svc.cluster.local"))):
        yield f"no Service for {address}"
        return
    ports = [item for item in found["spec"]["ports"] if str(item["port"]) == port]
    gateways = [workload for workload in manifests.selected({"matchLabels": found["spec"]["selector"]})
                if workload.program == "gateway"]
    led_to = all(ports[0].get("targetPort") in scaler_ports(gateway) for gateway in gateways) if ports else False
    if not gateways or not led_to:
        yield f"{address} leads to no port of a scaler"


@rule("policy-scaler")
def policy_scaler(manifests):
    """KEDA may call the port of the scaler, and nobody else: it has no keys."""
    for workload in manifests.workloads:
        ports, opened = scaler_ports(workload), False
        for thing in manifests.of("NetworkPolicy") if ports else ():
            if not matches(thing["spec"].get("podSelector"), workload.labels):
                continue
            for entry in thing["spec"].get("ingress") or []:
                numbers = {port.get("port") for port in entry.get("ports", [])}
                if numbers & ports or not numbers:
                    opened = True
                    callers = entry.get("from") or [{}]
                    if any(caller != {"namespaceSelector": KEDA_SPACE} for caller in callers):
                        yield f"{name_of(thing)}: others than KEDA may call the scaler"
        if ports and not opened:
            yield f"{workload.name}: no NetworkPolicy lets KEDA call the scaler"


@rule("monitor")
def monitor(manifests):
    """Each PodMonitor selects pods that have its port, and no pod of this project is left out."""
    monitored = set()
    for thing in manifests.of("PodMonitor"):
        selected = manifests.selected(thing["spec"]["selector"])
        monitored.update(workload.name for workload in selected)
        if not selected:
            yield f"{name_of(thing)}: selects no pods"
        for endpoint in thing["spec"]["podMetricsEndpoints"]:
            if endpoint.get("path", "/metrics") not in manifests.sources.routes:
                yield f"{name_of(thing)}: no process serves {endpoint['path']}"
            for workload in selected:
                if not has_port(workload, endpoint.get("port")):
                    yield f"{name_of(thing)}: {workload.name} has no port {endpoint.get('port')}"
    for workload in manifests.workloads:
        if monitored and workload.program and workload.name not in monitored:
            yield f"{workload.name}: not scraped"


@rule("namespace")
def namespace(manifests):
    """All objects are in the one namespace, which enforces restricted pods."""
    spaces = manifests.of("Namespace")
    if len(spaces) != 1:
        yield f"{len(spaces)} namespaces"
        return
    labels = spaces[0]["metadata"].get("labels", {})
    if labels.get("pod-security.kubernetes.io/enforce") != "restricted":
        yield "the namespace does not enforce restricted pods"
    for thing in manifests.objects:
        if thing["kind"] not in CLUSTER_KINDS and thing["metadata"].get("namespace") != spaces[0]["metadata"]["name"]:
            yield f"{name_of(thing)}: in another namespace"
