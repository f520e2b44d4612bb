"""Rules of a Redis of the tree that speaks TLS and knows users."""

from manifests import at, rule

# Settings of secure.conf that name files of volumes.
FILES = ("tls-cert-file", "tls-key-file", "tls-ca-cert-file", "aclfile")
PROBES = ("startupProbe", "readinessProbe")
# Nobody can log in as this user, as which Redis replays its append-only file.
DEFAULT_USER = "user default off ~* &* +@all"


def redis_of(manifests):
    """Returns the workload of Redis and the settings of its file; None without a file, or without Redis."""
    for workload in manifests.workloads:
        first = (workload.containers[0].get("args") or [""])[0]
        if workload.labels.get("app.kubernetes.io/component") == "redis" and first.endswith(".conf"):
            names = [at(volume, "configMap.name") for volume in workload.pod.get("volumes", [])]
            maps = [manifests.find("ConfigMap", name) for name in names if name]
            text = next((thing["data"][first.rsplit("/", 1)[-1]] for thing in maps if thing), "")
            lines = [line.split(None, 1) for line in text.splitlines() if line and not line.startswith("#")]
            return workload, {name: value.strip() for name, value in lines}
    return None


def on_volume(container, path):
    """Returns whether a path is on a volume of a container."""
    return any(f"{path}/".startswith(f"{mount['mountPath']}/") for mount in container.get("volumeMounts", []))


@rule("redis-tls")
def redis_tls(manifests):
    """A Redis with a file of settings speaks TLS alone, with users; its files are there, and its probes fit."""
    found = redis_of(manifests)
    if not found:
        return
    workload, settings = found
    container = workload.containers[0]
    if settings.get("port") != "0" or not settings.get("tls-port"):
        yield f"{workload.name}: has a port without TLS"
    for name in FILES:
        if not on_volume(container, settings.get(name, "")):
            yield f"{workload.name}: {name} is on no volume"
    rules = [thing["data"]["users.acl"] for thing in manifests.of("ConfigMap") if "users.acl" in (thing.get("data") or {})]
    if not any(DEFAULT_USER in text.splitlines() for text in rules):
        yield f"{workload.name}: the user default is not off, or lacks rights to replay the append-only file"
    for name in PROBES:
        if "--tls " not in at(container, f"{name}.exec.command", ["", "", ""])[2]:
            yield f"{workload.name}: its {name} speaks no TLS"


@rule("redis-login")
def redis_login(manifests):
    """Each program knows the authority of such a Redis, and has the login of its own kind alone."""
    if not redis_of(manifests):
        return
    for workload in manifests.workloads:
        if workload.program:
            container = workload.containers[0]
            if not on_volume(container, manifests.variables(container).get("CSM_REDIS_CA", "")):
                yield f"{workload.name}: CSM_REDIS_CA is on no volume"
            logins = [name for name in manifests.secrets(container) if name.startswith("csm-redis")]
            if logins != [f"csm-redis-{workload.program}"]:
                yield f"{workload.name}: has the logins {logins}"
