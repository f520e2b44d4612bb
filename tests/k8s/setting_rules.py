"""Rules of settings and secrets."""

import re
from urllib.parse import urlsplit

from manifests import at, name_of, rule

# Settings on which a fleet agrees.
AGREED = ("CSM_MODEL", "CSM_STORE", "CSM_REDIS_URL", "CSM_KEY_PREFIX", "CSM_QUEUE_SHARDS", "CSM_S3_ENDPOINT")
# Secrets that only workers may have.
WORKER_SECRETS = ("csm-watermark", "csm-worker-credentials", "csm-redis-worker")


def programs(manifests):
    """Lists the workloads of this project with their first containers."""
    return [(workload, workload.containers[0]) for workload in manifests.workloads if workload.program]


@rule("setting")
def setting(manifests):
    """Each variable is a setting of the program that gets it."""
    for workload, container in programs(manifests):
        known = manifests.sources.settings(workload.program)
        literals = {item["name"] for item in container.get("env", [])}
        for name in sorted((manifests.variables(container).keys() | literals) - known.keys()):
            yield f"{workload.name}: {name} is no setting of the {workload.program}"


@rule("config-map")
def config_map(manifests):
    """ConfigMaps and secrets that pods read exist, or are documented secrets."""
    for workload, container in programs(manifests):
        for source in container.get("envFrom", []):
            name = at(source, "configMapRef.name")
            if name and not manifests.find("ConfigMap", name):
                yield f"{workload.name}: no ConfigMap {name}"


@rule("required")
def required(manifests):
    """Each program gets the settings without which it does not start, and an address of Redis."""
    for workload, container in programs(manifests):
        variables, secrets = manifests.variables(container), manifests.secrets(container)
        for name in ("CSM_MODEL", "CSM_STORE"):
            if not variables.get(name):
                yield f"{workload.name}: no {name}"
        if "CSM_REDIS_URL" not in variables and not any(name.startswith("csm-redis") for name in secrets):
            yield f"{workload.name}: no CSM_REDIS_URL"
        host = urlsplit(variables.get("CSM_REDIS_URL", "")).hostname
        if host and not manifests.find("Service", host):
            yield f"{workload.name}: no Service {host} for CSM_REDIS_URL"


@rule("agreement")
def agreement(manifests):
    """Gateways and workers have the same values for what a fleet agrees on."""
    found = programs(manifests)
    for name in AGREED:
        values = {manifests.variables(container).get(name) for _, container in found}
        if len(values) > 1:
            yield f"{name} differs between pods: {sorted(map(str, values))}"


@rule("folder")
def folder(manifests):
    """Folders that settings name are volumes."""
    for workload, container in programs(manifests):
        variables = manifests.variables(container)
        places = [variables.get("CSM_MODEL", ""), variables.get("CSM_STORE", "").removeprefix("folder:")]
        mounts = [mount["mountPath"] for mount in container.get("volumeMounts", [])]
        for place in places:
            if place.startswith("/") and not any(f"{place}/".startswith(f"{mount}/") for mount in mounts):
                yield f"{workload.name}: {place} is on no volume"
        if "/cache" not in mounts:
            yield f"{workload.name}: /cache, the home of the image's user, is on no volume"


@rule("watermark")
def watermark(manifests):
    """Workers get a secret of their own; the published key is for development."""
    for workload, container in programs(manifests):
        published = manifests.variables(container).get("CSM_DEVELOPMENT_WATERMARK")
        if published and not manifests.target.development:
            yield f"{workload.name}: marks with the published key"
        if workload.program == "worker" and not published and "csm-watermark" not in manifests.secrets(container):
            yield f"{workload.name}: no secret of the watermark"


@rule("secret")
def secret(manifests):
    """No secret is in a ConfigMap, a literal or an object of the tree."""
    hidden = {name for program in ("gateway", "worker")
              for name, found in manifests.sources.settings(program).items() if found.secret}
    values = [(name_of(thing), item) for thing in manifests.of("ConfigMap") for item in (thing.get("data") or {}).items()]
    for workload, container in programs(manifests):
        values += [(workload.name, (item["name"], item["value"])) for item in container.get("env", []) if "value" in item]
    for place, (name, value) in values:
        password = re.search(r"://[^/@\s]*:[^/@\s]+@", value)
        if password or (name in hidden and not (name == "CSM_REDIS_URL" and "@" not in value)):
            yield f"{place}: {name} is a secret"
    for thing in manifests.of("Secret"):
        yield f"{name_of(thing)}: a secret in the tree"


@rule("secret-of-workers")
def secret_of_workers(manifests):
    """The gateway, which callers reach, gets no secret of the workers."""
    for workload, container in programs(manifests):
        if workload.program == "gateway":
            for name in manifests.secrets(container):
                if name in WORKER_SECRETS:
                    yield f"{workload.name}: gets {name}"
