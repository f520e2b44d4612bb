"""Faults that the self test plants, one at a time, and the rule that must name each."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Optional

from tree import Edit

GKE, EKS, CPU, BASE = "examples/gke-l4-keda", "examples/eks-g6-hpa", "overlays/cpu", "base"
SECURE, COST = "gke-l4 + redis-secure", "gke-l4 + bulk-pool + deletion-cost + keda"
PUSH, PUSH_BULK = "gke-l4 + keda by push", "gke-l4 + bulk-pool + keda by push"


@dataclass(frozen=True)
class Fault:
    """Change of rendered objects, or edits of files, and the rule that finds it."""

    name: str
    rule: str
    target: str
    change: Optional[Callable] = None
    edits: tuple = ()


def get(objects, kind, name):
    """Returns an object by kind and name; that of a ConfigMap without its hash."""
    def own(thing):
        found = thing["metadata"]["name"]
        return found.rsplit("-", 1)[0] if kind == "ConfigMap" else found

    return next(thing for thing in objects if thing["kind"] == kind and own(thing) == name)


def put(path, value, kind="Deployment", name="csm-worker"):
    """Makes a change that puts a value at a path of an object."""
    def change(objects):
        thing = get(objects, kind, name)
        *parents, last = path.split(".")
        for part in parents:
            thing = thing[int(part)] if isinstance(thing, list) else thing.setdefault(part, {})
        thing[int(last) if isinstance(thing, list) else last] = value
    return change


def drop(path, kind="Deployment", name="csm-worker"):
    """Makes a change that removes what is at a path of an object."""
    def change(objects):
        thing = get(objects, kind, name)
        *parents, last = path.split(".")
        for part in parents:
            thing = thing[int(part)] if isinstance(thing, list) else thing[part]
        del thing[int(last) if isinstance(thing, list) else last]
    return change


def remove(kind, name):
    """Makes a change that removes an object."""
    return lambda objects: objects.remove(get(objects, kind, name))


def add(thing):
    """Makes a change that adds an object."""
    return lambda objects: objects.append(thing)


POD, FIRST = "spec.template.spec", "spec.template.spec.containers.0"
TRIGGER = "spec.triggers.0.metadata"

PODS = (
    Fault("a worker gets less time than it drains", "grace", GKE, put(f"{POD}.terminationGracePeriodSeconds", 60)),
    Fault("a program needs longer to end, by its source", "grace", BASE,
          edits=(Edit("worker/src/main.rs", "Duration::from_secs(14)", "Duration::from_secs(40)"),)),
    Fault("a gateway does not pause before SIGTERM", "pre-stop", BASE, drop(f"{FIRST}.lifecycle", name="csm-gateway")),
    Fault("a container has no limit of memory", "limits", BASE, drop(f"{FIRST}.resources.limits.memory")),
    Fault("an init container requests nothing", "limits", CPU, drop(f"{POD}.initContainers.0.resources.requests")),
    Fault("an image is called latest", "image-tag", BASE, put(f"{FIRST}.image", "redis:latest", "StatefulSet", "csm-redis")),
    Fault("an image has no tag, in the sources", "image-tag", BASE,
          edits=(Edit("k8s/base/kustomization.yaml", "{ name: csm-gateway, newTag: dev }", "{ name: other, newTag: dev }"),)),
    Fault("the model's image can change", "image-tag", GKE, put(f"{POD}.volumes.1.image.reference", "csm-model")),
    Fault("a pod runs as root", "root", BASE, put(f"{POD}.securityContext.runAsUser", 0)),
    Fault("a container may run as root", "root", EKS,
          put(f"{POD}.initContainers.0.securityContext.runAsNonRoot", False)),
    Fault("a root file system can be written", "root-filesystem", BASE,
          drop(f"{FIRST}.securityContext.readOnlyRootFilesystem", name="csm-gateway")),
    Fault("a container keeps capabilities", "privileges", BASE, put(f"{FIRST}.securityContext.capabilities", {})),
    Fault("a container may gain privileges", "privileges", BASE,
          drop(f"{FIRST}.securityContext.allowPrivilegeEscalation", "StatefulSet", "csm-redis")),
    Fault("a pod has no seccomp profile", "privileges", BASE, drop(f"{POD}.securityContext.seccompProfile")),
    Fault("a pod mounts a folder of its node", "host", BASE,
          put(f"{POD}.volumes.0", {"name": "cache", "hostPath": {"path": "/var/cache"}})),
    Fault("a probe is missing", "probes", BASE, drop(f"{FIRST}.readinessProbe", name="csm-gateway")),
    Fault("a probe asks a port that is not there", "probes", BASE, put(f"{FIRST}.livenessProbe.httpGet.port", "health")),
    Fault("a probe asks for a path that nothing serves", "probe-route", BASE,
          put(f"{FIRST}.readinessProbe.httpGet.path", "/healthz")),
    Fault("a route is renamed in the source", "probe-route", BASE,
          edits=(Edit("shared/src/process/admin.rs", '"/livez"', '"/alive"'),)),
    Fault("liveness depends on Redis and the store", "probe-route", BASE,
          put(f"{FIRST}.livenessProbe.httpGet.path", "/readyz", name="csm-gateway")),
    Fault("a worker has five minutes to start", "startup-time", GKE, put(f"{FIRST}.startupProbe.failureThreshold", 30)),
    Fault("an image listens on another port", "port", BASE,
          edits=(Edit("gateway/Dockerfile", "CSM_ADMIN_LISTEN=0.0.0.0:9090", "CSM_ADMIN_LISTEN=0.0.0.0:9099"),)),
    Fault("a mount has no volume", "volume", BASE, drop(f"{POD}.volumes.0")),
    Fault("a claim is missing", "volume", EKS, remove("PersistentVolumeClaim", "csm-models")),
    Fault("a folder on the node's disk has no bound", "scratch", BASE, put(f"{POD}.volumes.0.emptyDir", {})),
    Fault("a pod gets a token of the cluster", "account", BASE, drop(f"{POD}.automountServiceAccountToken")),
    Fault("two programs share an account", "account", BASE, put(f"{POD}.serviceAccountName", "csm-gateway")),
    Fault("a priority class is not defined", "priority", GKE, remove("PriorityClass", "csm-bulk")),
    Fault("pods are spread by those of another workload", "spread", BASE,
          put(f"{POD}.topologySpreadConstraints.0.labelSelector.matchLabels", {"app.kubernetes.io/name": "csm-gateway"})),
    Fault("two Deployments select the same pods", "selector", GKE,
          put("spec.selector.matchLabels", {"app.kubernetes.io/component": "worker"})),
    Fault("a fleet without GPUs requests one", "gpu", CPU,
          put(f"{FIRST}.resources.limits", {"memory": "4Gi", "nvidia.com/gpu": 1})),
    Fault("a worker's node need have no L4", "gpu", "overlays/gke-l4", drop(f"{POD}.nodeSelector")),
    Fault("a worker with a GPU has the image without CUDA", "gpu", "overlays/eks-g6",
          put(f"{FIRST}.image", "csm-worker:dev-cpu")),
    Fault("a worker goes on without its GPU", "gpu", GKE, put(f"{FIRST}.env", [{"name": "CSM_DEVICE", "value": "auto"}])),
    Fault("names of Services become variables", "service-links", BASE, drop(f"{POD}.enableServiceLinks")),
    Fault("an init container calls a command that csm lacks", "command", CPU,
          put(f"{POD}.initContainers.0.command", ["sh", "-c", "csm model fetch-all /models"])),
    Fault("a command is renamed in the source", "command", CPU,
          edits=(Edit("cli/src/commands/model.rs", "    WriteTiny {", "    WriteToy {"),)),
)

SETTINGS = (
    Fault("a ConfigMap has a key that is no setting, in the sources", "setting", BASE,
          edits=(Edit("k8s/base/config.env", "CSM_LOG=", "CSM_LOGS="),)),
    Fault("a setting is renamed in the source", "setting", BASE,
          edits=(Edit("worker/src/config.rs", 'env = "CSM_SLOTS"', 'env = "CSM_JOBS"'),)),
    Fault("a gateway gets a setting of the worker", "setting", BASE,
          put("data.CSM_LANES", "bulk", "ConfigMap", "csm-gateway-config")),
    Fault("a pod has a literal that is no setting", "setting", BASE,
          put(f"{FIRST}.env", [{"name": "CSM_VERBOSE", "value": "1"}])),
    Fault("a ConfigMap is missing", "config-map", BASE, remove("ConfigMap", "csm-worker-config")),
    Fault("there is no store", "required", BASE, drop("data.CSM_STORE", "ConfigMap", "csm-config")),
    Fault("Redis has another name than its Service", "required", BASE,
          put("data.CSM_REDIS_URL", "redis://redis:6379", "ConfigMap", "csm-config")),
    Fault("a pool of workers has another model", "agreement", GKE,
          put(f"{FIRST}.env", [{"name": "CSM_MODEL", "value": "sesame/csm-1b"}], name="csm-worker-bulk")),
    Fault("the model's folder is on no volume", "folder", CPU, put("data.CSM_MODEL", "/toy", "ConfigMap", "csm-config")),
    Fault("a fleet with a GPU marks with the published key", "watermark", GKE,
          put("data.CSM_DEVELOPMENT_WATERMARK", "true", "ConfigMap", "csm-config")),
    Fault("a worker gets no secret of the watermark", "watermark", BASE, drop(f"{FIRST}.envFrom.3")),
    Fault("a secret is in a ConfigMap", "secret", BASE,
          put("data.CSM_WATERMARK_KEY", "0123456789abcdef", "ConfigMap", "csm-config")),
    Fault("a password is in a URL of a ConfigMap", "secret", BASE,
          put("data.CSM_REDIS_URL", "redis://user:password@csm-redis:6379", "ConfigMap", "csm-config")),
    Fault("an object of the tree is a secret", "secret", BASE,
          add({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "csm-watermark", "namespace": "csm"}})),
    Fault("the gateway gets the workers' secret", "secret-of-workers", BASE,
          put(f"{FIRST}.envFrom.2", {"secretRef": {"name": "csm-watermark"}}, name="csm-gateway")),
)

NETWORK = (
    Fault("a Service selects no pods", "service", BASE,
          put("spec.selector", {"app.kubernetes.io/name": "gateway"}, "Service", "csm-gateway")),
    Fault("a Service leads to a port that is not there", "service", BASE,
          put("spec.ports.0.targetPort", "https", "Service", "csm-gateway")),
    Fault("nothing is denied by default", "default-deny", BASE, remove("NetworkPolicy", "csm-default-deny")),
    Fault("a policy selects no pods", "policy", BASE,
          put("spec.podSelector.matchLabels", {"app.kubernetes.io/component": "workers"}, "NetworkPolicy", "csm-worker")),
    Fault("a policy opens a port that is not there", "policy", BASE,
          put("spec.ingress.0.ports.0.port", "metrics", "NetworkPolicy", "csm-worker")),
    Fault("pods reach the credentials of their node", "policy-metadata", BASE,
          drop("spec.egress.2.to.0.ipBlock.except", "NetworkPolicy", "csm-worker")),
    Fault("workers may not call Redis", "policy-redis", BASE, drop("spec.egress.1", "NetworkPolicy", "csm-worker")),
    Fault("Redis may not be called by workers", "policy-redis", BASE,
          drop("spec.ingress.0.from.1", "NetworkPolicy", "csm-redis")),
    Fault("a PodMonitor reads a port that is not there", "monitor", GKE,
          put("spec.podMetricsEndpoints.0.port", "metrics", "PodMonitor", "csm-worker")),
    Fault("a pool of workers is not scraped", "monitor", GKE,
          put("spec.selector.matchLabels", {"app.kubernetes.io/name": "csm-worker"}, "PodMonitor", "csm-worker")),
    Fault("the namespace lets any pod in", "namespace", BASE,
          put("metadata.labels", {}, "Namespace", "csm")),
    Fault("an object is in another namespace", "namespace", BASE, put("metadata.namespace", "default", "Service", "csm-redis")),
)

SCALING = (
    Fault("a disruption budget blocks every eviction", "budget", BASE,
          put("spec.minAvailable", 2, "PodDisruptionBudget", "csm-gateway")),
    Fault("a disruption budget selects no pods", "budget", GKE,
          put("spec.selector.matchLabels", {"app.kubernetes.io/name": "worker"}, "PodDisruptionBudget", "csm-worker")),
    Fault("an autoscaler has no target", "scaler-target", GKE,
          put("spec.scaleTargetRef.name", "csm-workers", "ScaledObject", "csm-worker")),
    Fault("two autoscalers have one target", "scaler-target", EKS,
          put("spec.scaleTargetRef.name", "csm-worker", "HorizontalPodAutoscaler", "csm-worker-bulk")),
    Fault("a scaled Deployment states its replicas", "scaler-target", GKE, put("spec.replicas", 3)),
    Fault("gateways may be scaled to one", "scaler-bounds", GKE, put("spec.minReplicaCount", 1, "ScaledObject", "csm-gateway")),
    Fault("metadata of a trigger is misspelt", "trigger", GKE,
          put(f"{TRIGGER}.treshold", "5", "ScaledObject", "csm-worker")),
    Fault("a metric that is missing counts as 0", "trigger", GKE,
          drop(f"{TRIGGER}.ignoreNullValues", "ScaledObject", "csm-worker-bulk")),
    Fault("a share of CPU is one of no request", "trigger", EKS,
          put("spec.metrics.2.containerResource.container", "proxy", "HorizontalPodAutoscaler", "csm-gateway")),
    Fault("an external metric has no rule of the adapter", "adapter", EKS,
          put("spec.metrics.0.external.metric.name", "csm_slots_wanted", "HorizontalPodAutoscaler", "csm-worker")),
    Fault("a query does not parse", "query", GKE, put(f"{TRIGGER}.query", "sum(csm_websockets", "ScaledObject", "csm-gateway")),
    Fault("a metric is renamed in the source", "query", GKE,
          edits=(Edit("tests/it/metric_names.rs", '    "csm_websockets",\n', '    "csm_sockets",\n'),)),
    Fault("a number of the fleet is added up over gateways", "query", EKS,
          edits=(Edit("k8s/autoscale/hpa/prometheus-adapter.yaml", 'max(csm_desired_slots{<<.LabelMatchers>>,lane="bulk"})',
                      'sum(csm_desired_slots{<<.LabelMatchers>>,lane="bulk"})'),)),
    Fault("a query counts other fleets", "query", GKE,
          put(f"{TRIGGER}.query", "sum(csm_http_connections)", "ScaledObject", "csm-gateway")),
    Fault("a threshold is not the slots of a worker", "threshold", GKE,
          put("data.CSM_SLOTS", "8", "ConfigMap", "csm-worker-config")),
    Fault("nothing scales for a lane", "lanes-scaled", GKE, remove("ScaledObject", "csm-worker-bulk")),
)

SCALER = "k8s/autoscale/keda-push/scaler.yaml"
PUSHED = (
    Fault("the scaler's address has no Service", "scaler-address", PUSH,
          put(f"{TRIGGER}.scalerAddress", "csm-scalers.csm.svc:9092", "ScaledObject", "csm-worker")),
    Fault("the scaler's address is in another namespace", "scaler-address", PUSH,
          put(f"{TRIGGER}.scalerAddress", "csm-scaler.keda.svc:9092", "ScaledObject", "csm-worker")),
    Fault("the scaler's address has a port that its Service lacks", "scaler-address", PUSH_BULK,
          put(f"{TRIGGER}.scalerAddress", "csm-scaler.csm.svc:9090", "ScaledObject", "csm-worker-bulk")),
    Fault("the scaler's Service leads to the admin port", "scaler-address", PUSH,
          put("spec.ports.0.targetPort", "admin", "Service", "csm-scaler")),
    Fault("no policy lets KEDA call the scaler", "policy-scaler", PUSH,
          put("spec.ingress.0.ports", [{"port": "admin"}], "NetworkPolicy", "csm-scaler")),
    Fault("every namespace may call the scaler", "policy-scaler", PUSH,
          put("spec.ingress.0.from", [{"namespaceSelector": {}}], "NetworkPolicy", "csm-scaler")),
    Fault("the scaler's policy is of another namespace, in the sources", "policy-scaler", PUSH,
          edits=(Edit(SCALER, "kubernetes.io/metadata.name: keda", "kubernetes.io/metadata.name: default"),)),
    Fault("the scaler listens on another port than KEDA calls", "port", PUSH,
          put("data.CSM_SCALER_LISTEN", "0.0.0.0:9093", "ConfigMap", "csm-gateway-config")),
    Fault("the scaler does not listen", "port", PUSH, drop("data.CSM_SCALER_LISTEN", "ConfigMap", "csm-gateway-config")),
    Fault("the scaler's port is not the container's", "port", PUSH, drop(f"{FIRST}.ports.2", name="csm-gateway")),
    Fault("the scaler's setting is renamed in the source", "setting", PUSH,
          edits=(Edit("gateway/src/config.rs", 'env = "CSM_SCALER_LISTEN"', 'env = "CSM_KEDA_LISTEN"'),)),
    Fault("a trigger that pushes names an unknown lane", "threshold", PUSH,
          put(f"{TRIGGER}.lanes", "live,normal,bulk", "ScaledObject", "csm-worker")),
    Fault("a trigger that pushes has other slots than a worker", "threshold", PUSH_BULK,
          put(f"{TRIGGER}.slotsPerWorker", "5", "ScaledObject", "csm-worker-bulk")),
    Fault("a trigger that pushes leaves its slots to a default", "trigger", PUSH,
          drop(f"{TRIGGER}.slotsPerWorker", "ScaledObject", "csm-worker")),
    Fault("no trigger that pushes is of a lane", "lanes-scaled", PUSH_BULK, remove("ScaledObject", "csm-worker-bulk")),
    Fault("Prometheus is asked beside the scaler", "one-number", PUSH,
          put("spec.triggers.2", {"name": "drain", "type": "prometheus", "metadata": {
              "serverAddress": "http://prometheus", "threshold": "3", "ignoreNullValues": "false",
              "query": 'max(csm_desired_slots{namespace="csm",lane="bulk"})'}}, "ScaledObject", "csm-worker")),
)

FORMS = (
    Fault("a file is missing, in the sources", "render", BASE,
          edits=(Edit("k8s/base/kustomization.yaml", "  - network.yaml\n", "  - networks.yaml\n"),)),
    Fault("a patch has no place any more, in the sources", "render", GKE,
          edits=(Edit("k8s/base/network.yaml", "    - ports: [{ port: 6379 }]", "    - ports: [{ port: 6378 }]"),)),
    Fault("a field is misspelt", "schema", BASE, put(f"{FIRST}.imagePullPolicies", "Always")),
    Fault("a value has the wrong type", "schema", BASE, put("spec.replicas", "two", name="csm-gateway")),
    Fault("a kind does not exist in this version", "schema", EKS,
          put("apiVersion", "autoscaling/v2beta2", "HorizontalPodAutoscaler", "csm-gateway")),
    Fault("a field of a ScaledObject is misspelt", "schema", GKE, put("spec.minReplicas", 1, "ScaledObject", "csm-worker")),
    Fault("a trigger's value is a number", "schema", GKE, put(f"{TRIGGER}.threshold", 5, "ScaledObject", "csm-worker")),
    Fault("a field of a PodMonitor is misspelt", "schema", GKE,
          put("spec.podMetricsEndpoints.0.scrapeInterval", "5s", "PodMonitor", "csm-worker")),
)

ALERTS, DASHBOARDS = "k8s/alerts/prometheus-rule.yaml", "k8s/dashboards"
FIRST_ALERT = "spec.groups.0.rules.0"

OBSERVABILITY = (
    Fault("a panel names a metric that does not exist", "panel-query", GKE,
          edits=(Edit(f"{DASHBOARDS}/fleet.json", "max(csm_workers{", "max(csm_workers_alive{"),)),
    Fault("a metric is renamed in the source, and a panel has it", "panel-query", GKE,
          edits=(Edit("tests/it/metric_names.rs", '    "csm_rtf",\n', '    "csm_real_time_factor",\n'),)),
    Fault("a panel adds a number of the fleet up over gateways", "panel-query", GKE,
          edits=(Edit(f"{DASHBOARDS}/fleet.json", "max(csm_dlq_size{", "sum(csm_dlq_size{"),)),
    Fault("a panel shows a number of the fleet once for each gateway", "panel-query", EKS,
          edits=(Edit(f"{DASHBOARDS}/cost.json", "$price * max(csm_workers{namespace=~\\\"$namespace\\\"})\"",
                      "$price * csm_workers{namespace=~\\\"$namespace\\\"}\""),)),
    Fault("a panel counts other namespaces", "panel-query", GKE,
          edits=(Edit(f"{DASHBOARDS}/fleet.json", "max(csm_queue_running{namespace=~\\\"$namespace\\\"})",
                      "max(csm_queue_running)"),)),
    Fault("a query of a panel does not parse", "panel-query", GKE,
          edits=(Edit(f"{DASHBOARDS}/job.json", "histogram_quantile(0.5, ", "histogram_quantile(0.5, ("),)),
    Fault("a panel has no unit", "panel", GKE, edits=(Edit(f"{DASHBOARDS}/job.json", '"unit": "bytes"', '"unit": ""'),)),
    Fault("a panel has no description", "panel", GKE,
          edits=(Edit(f"{DASHBOARDS}/fleet.json", "Workers that reported in the last 20 s.", ""),)),
    Fault("a panel has a fixed data source", "panel", GKE,
          edits=(Edit(f"{DASHBOARDS}/watermark.json", '"uid": "${datasource}"', '"uid": "prometheus"'),)),
    Fault("Grafana's sidecar does not find a dashboard", "dashboard", GKE,
          put("metadata.labels", {}, "ConfigMap", "csm-dashboard")),
    Fault("a dashboard is no JSON", "dashboard", GKE,
          edits=(Edit(f"{DASHBOARDS}/job.json", '"panels": [', '"panels": [,'),)),
    Fault("a dashboard has no variable for the namespace", "dashboard", GKE,
          edits=(Edit(f"{DASHBOARDS}/cost.json", '"name": "namespace"', '"name": "space"'),)),
    Fault("a metric is shown nowhere", "metric-shown", GKE,
          edits=(Edit("tests/it/metric_names.rs", '    "csm_rtf",\n', '    "csm_rtf",\n    "csm_runs",\n'),)),
    Fault("the dashboards are older than their panels", "generated", GKE,
          edits=(Edit("k8s/dashboards/panels.yaml", "title: Dead letters", "title: Letters"),)),
    Fault("the PrometheusRule is older than the rule file", "generated", EKS,
          edits=(Edit("k8s/alerts/rules.yaml", "> 600", "> 900"),)),
    Fault("an alert names a metric that does not exist", "alert-query", GKE,
          edits=(Edit(ALERTS, "(csm_dlq_size)", "(csm_dead_letters)"),)),
    Fault("an alert adds a number of the fleet up over gateways", "alert-query", GKE,
          edits=(Edit(ALERTS, "max by (namespace) (csm_dlq_size)", "sum by (namespace) (csm_dlq_size)"),)),
    Fault("an alert mixes fleets", "alert-query", GKE,
          edits=(Edit(ALERTS, "max by (namespace) (csm_dlq_size)", "max(csm_dlq_size)"),)),
    Fault("an alert has no section of the runbooks", "runbook", GKE,
          edits=(Edit("docs/runbooks.md", "## CsmDeadLetters", "## Letters"),)),
    Fault("an alert names the section of another", "runbook", GKE,
          put(f"{FIRST_ALERT}.annotations.runbook_url", "docs/runbooks.md#csmnoworker", "PrometheusRule", "csm-alerts")),
    Fault("an alert has no severity", "alert", GKE, drop(f"{FIRST_ALERT}.labels.severity", "PrometheusRule", "csm-alerts")),
    Fault("an alert does not say the figure", "alert", EKS,
          put(f"{FIRST_ALERT}.annotations.description", "Bad.", "PrometheusRule", "csm-alerts")),
    Fault("a field of an alert is misspelt", "schema", GKE,
          put(f"{FIRST_ALERT}.duration", "5m", "PrometheusRule", "csm-alerts")),
)

REDIS = (
    Fault("Redis keeps a port without TLS", "redis-tls", SECURE,
          edits=(Edit("k8s/components/redis-secure/secure.conf", "port 0\ntls-port 6379", "port 6379"),)),
    Fault("the ACL file of Redis is on no volume", "redis-tls", SECURE,
          edits=(Edit("k8s/components/redis-secure/secure.conf", "aclfile /acl/users.acl", "aclfile /etc/users.acl"),)),
    Fault("the user default of Redis has no rights", "redis-tls", SECURE,
          edits=(Edit("k8s/components/redis-secure/users.acl", "user default off ~* &* +@all", "user default off"),)),
    Fault("a probe of Redis speaks no TLS", "redis-tls", SECURE,
          put(f"{FIRST}.readinessProbe.exec.command.2", "redis-cli ping | grep -q PONG", "StatefulSet", "csm-redis")),
    Fault("a worker does not know the authority of Redis", "redis-login", SECURE,
          drop("data.CSM_REDIS_CA", "ConfigMap", "csm-config")),
    Fault("a gateway has the workers' login to Redis", "redis-login", SECURE,
          put(f"{FIRST}.envFrom.3", {"secretRef": {"name": "csm-redis-worker"}}, name="csm-gateway")),
    Fault("the setting of the authority is renamed in the source", "setting", SECURE,
          edits=(Edit("shared/queue/src/redis_client/tls.rs", 'env = "CSM_REDIS_CA"', 'env = "CSM_REDIS_ROOT"'),)),
)

COST_FOLDER, OWN_POD = "k8s/components/deletion-cost", "csm-worker-own-pod"
COST_ROLE = "csm-worker-deletion-cost"

CLUSTER = (
    Fault("workers lack the right to patch pods", "deletion-cost", COST, put("rules.0.verbs", ["get"], "Role", COST_ROLE)),
    Fault("the right is given to no account of a pool", "deletion-cost", COST, drop("subjects.1", "RoleBinding", COST_ROLE)),
    Fault("a worker sets its cost without a token", "deletion-cost", COST, drop(f"{POD}.automountServiceAccountToken")),
    Fault("a worker does not know its pod, in the sources", "deletion-cost", COST,
          edits=(Edit(f"{COST_FOLDER}/workers.yaml", "fieldPath: metadata.name }", "fieldPath: metadata.uid }"),)),
    Fault("the setting of the pod is renamed in the source", "setting", COST,
          edits=(Edit("worker/src/deletion_cost.rs", 'env = "CSM_POD_NAME"', 'env = "CSM_POD"'),)),
    Fault("workers do not reach the cluster's API", "deletion-cost", COST,
          drop("spec.egress.0.ports.1", "NetworkPolicy", "csm-worker-api")),
    Fault("the policy of a worker's own pod is not in force", "deletion-cost", COST,
          put("spec.validationActions", ["Audit"], "ValidatingAdmissionPolicyBinding", OWN_POD)),
    Fault("a worker may patch the pods of others", "deletion-cost", COST,
          drop("spec.validations.0", "ValidatingAdmissionPolicy", OWN_POD)),
    Fault("a worker may patch the image of its pod, in the sources", "deletion-cost", COST,
          edits=(Edit(f"{COST_FOLDER}/own-pod.yaml", "object.spec == oldObject.spec && ", ""),)),
    Fault("a pool is not confined to its own pods, in the sources", "deletion-cost", COST,
          edits=(Edit(f"{COST_FOLDER}/own-pod.yaml", ', "system:serviceaccount:csm:csm-worker-bulk"', ""),)),
    Fault("workers may delete pods", "cluster-rights", COST,
          put("rules.0.verbs", ["patch", "delete"], "Role", COST_ROLE)),
    Fault("gateways get the right of the workers", "cluster-rights", COST,
          put("subjects.1.name", "csm-gateway", "RoleBinding", COST_ROLE)),
    Fault("a right holds in all namespaces", "cluster-rights", COST, put("kind", "ClusterRole", "Role", COST_ROLE)),
    Fault("a gateway gets a token of the cluster", "account", COST,
          put(f"{POD}.automountServiceAccountToken", True, name="csm-gateway")),
)

FAULTS = (*PODS, *CLUSTER, *SETTINGS, *NETWORK, *SCALING, *PUSHED, *FORMS, *OBSERVABILITY, *REDIS)
