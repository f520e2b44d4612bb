"""Validation against the schemas of Kubernetes, of KEDA and of the Prometheus operator."""

import json
from functools import cache

import jsonschema
import kubernetes_validate
from kubernetes_validate import utils

from manifests import name_of, rule

# The least release that docs/kubernetes.md names, and the newest that the package knows.
RELEASES = ("1.30", "1.37")
# Image volumes are on by default from this release.
IMAGE_RELEASES = ("1.35", "1.37")
# Kinds of custom resources: the packaged model, and its class.
CUSTOM = {("keda.sh/v1alpha1", "ScaledObject"): ("cloudcoil.models.keda.v1alpha1", "ScaledObject"),
          ("monitoring.coreos.com/v1", "PodMonitor"): ("cloudcoil.models.prometheus_operator.v1", "PodMonitor"),
          ("monitoring.coreos.com/v1", "PrometheusRule"): ("cloudcoil.models.prometheus_operator.v1", "PrometheusRule")}

# Each validation reads the definitions of its release anew otherwise, a megabyte each time.
utils.schema_contents = cache(utils.schema_contents)


def closed(schema):
    """Makes a schema refuse fields that it does not name."""
    if isinstance(schema, list):
        return [closed(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    made = {name: closed(part) for name, part in schema.items()}
    if "properties" in made and "additionalProperties" not in made:
        made["additionalProperties"] = False
    return made


@cache
def custom_validator(module, name):
    """Makes the validator of a custom resource from its packaged model."""
    model = getattr(__import__(module, fromlist=[name]), name)
    return jsonschema.Draft202012Validator(closed(model.model_json_schema(by_alias=True)))


@cache
def fault(text, release):
    """Returns what is wrong with an object, as JSON text, by the schema of a release; None if nothing is."""
    thing = json.loads(text)
    kind = (thing.get("apiVersion"), thing.get("kind"))
    if kind in CUSTOM:
        errors = sorted(custom_validator(*CUSTOM[kind]).iter_errors(thing), key=lambda error: -len(error.path))
        return f"{'.'.join(map(str, errors[0].path))}: {errors[0].message[:200]}" if errors else None
    try:
        kubernetes_validate.validate(thing, release, strict=True)
    except kubernetes_validate.SchemaNotFoundError as error:
        return error.message
    except kubernetes_validate.ValidationError as error:
        return f"{'.'.join(map(str, error.path))}: {error.message[:200]}"
    return None


@rule("schema")
def schema(manifests):
    """Each object has the form of its kind."""
    image = any("image" in volume for workload in manifests.workloads for volume in workload.pod.get("volumes", []))
    for thing in manifests.objects:
        for release in IMAGE_RELEASES if image else RELEASES:
            if why := fault(json.dumps(thing, sort_keys=True), release):
                yield f"{name_of(thing)} (Kubernetes {release}): {why}"
