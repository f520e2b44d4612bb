"""Rules of what the cluster lets pods do: rights, and tokens to use them."""

from manifests import at, matches, name_of, rule

# What a worker needs to keep the deletion cost of its pod.
PATCH_PODS = [{"apiGroups": [""], "resources": ["pods"], "verbs": ["patch"]}]
# Ports of the API, in front of its Service and behind it.
API_PORTS = (443, 6443)
# Variables that name a worker's own pod, and the fields that hold the names.
POD_FIELDS = {"CSM_POD_NAME": "metadata.name", "CSM_POD_NAMESPACE": "metadata.namespace"}
POD_OF_TOKEN = 'request.userInfo.extra["authentication.kubernetes.io/pod-name"] == [object.metadata.name]'
UNCHANGED = ("object.spec == oldObject.spec", "object.metadata.labels == oldObject.metadata.labels")


def pod_fields(workload):
    """Returns the variables of a workload that name its own pod, with their fields."""
    items = [item for container in workload.containers for item in container.get("env", []) if item["name"] in POD_FIELDS]
    return {item["name"]: at(item, "valueFrom.fieldRef.fieldPath") for item in items}


def calls_api(workload):
    """Returns whether the pods of a workload call the cluster's API."""
    return bool(pod_fields(workload))


def rights(manifests, account):
    """Returns the rights that Roles give to an account of the fleet's namespace."""
    found = []
    for binding in manifests.of("RoleBinding"):
        space = binding["metadata"].get("namespace")
        for subject in binding.get("subjects", []):
            if (subject["kind"], subject["name"], subject.get("namespace")) == ("ServiceAccount", account, space):
                role = manifests.find(binding["roleRef"]["kind"], binding["roleRef"]["name"])
                found += (role or {}).get("rules") or []
    return found


def reaches(manifests, workload, port):
    """Returns whether policies let a workload call a port of any address."""
    for thing in manifests.of("NetworkPolicy"):
        if matches(thing["spec"].get("podSelector"), workload.labels):
            for entry in thing["spec"].get("egress") or []:
                blocks = [at(peer, "ipBlock.cidr") for peer in entry.get("to", [])]
                if port in [item.get("port") for item in entry.get("ports", [])] and "0.0.0.0/0" in blocks:
                    return True
    return False


def confined(manifests, user):
    """Returns whether a policy in force lets a user patch its own pod alone, without specification and labels."""
    bound = {binding["spec"]["policyName"] for binding in manifests.of("ValidatingAdmissionPolicyBinding")
             if binding["spec"].get("validationActions") == ["Deny"] and "matchResources" not in binding["spec"]}
    for policy in manifests.of("ValidatingAdmissionPolicy"):
        spec = policy["spec"]
        conditions = [found["expression"] for found in spec.get("matchConditions", [])]
        checks = " && ".join(found["expression"] for found in spec.get("validations", [])).split(" && ")
        rules = at(spec, "matchConstraints.resourceRules", [])
        covers = any("UPDATE" in found["operations"] and "pods" in found["resources"] for found in rules)
        if policy["metadata"]["name"] in bound and spec.get("failurePolicy") == "Fail" and covers:
            if all(f'"{user}"' in text for text in conditions) and {POD_OF_TOKEN, *UNCHANGED} <= set(checks):
                return True
    return False


@rule("deletion-cost")
def deletion_cost(manifests):
    """A pod that sets its deletion cost knows its name, and has a token, the right and the way to the API."""
    for workload in manifests.workloads:
        if not calls_api(workload):
            continue
        account, space = workload.pod.get("serviceAccountName"), workload.thing["metadata"].get("namespace")
        if pod_fields(workload) != POD_FIELDS:
            yield f"{workload.name}: does not know its own pod: {pod_fields(workload)}"
        if workload.pod.get("automountServiceAccountToken") is not True:
            yield f"{workload.name}: sets its deletion cost without a token"
        if rights(manifests, account) != PATCH_PODS:
            yield f"{workload.name}: {account} has the rights {rights(manifests, account)}"
        for port in API_PORTS:
            if not reaches(manifests, workload, port):
                yield f"{workload.name}: does not reach port {port} of the cluster's API"
        if not confined(manifests, f"system:serviceaccount:{space}:{account}"):
            yield f"{workload.name}: no policy confines {account} to its own pod"


@rule("cluster-rights")
def cluster_rights(manifests):
    """Nobody has rights in the cluster but pods that set their deletion cost, and those have this right alone."""
    callers = {workload.pod.get("serviceAccountName") for workload in manifests.workloads if calls_api(workload)}
    others = {thing["metadata"]["name"] for thing in manifests.of("ServiceAccount")} - callers
    for thing in manifests.of("ClusterRole", "ClusterRoleBinding"):
        yield f"{name_of(thing)}: rights beyond the namespace"
    for thing in manifests.of("Role"):
        if thing.get("rules") != PATCH_PODS:
            yield f"{name_of(thing)}: more than patching pods"
    for thing in manifests.of("RoleBinding"):
        for subject in thing.get("subjects", []):
            if subject["kind"] != "ServiceAccount" or subject["name"] in others:
                yield f"{name_of(thing)}: {subject['name']} asks the cluster for nothing"
