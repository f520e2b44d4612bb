#!/bin/sh
# Renders the Kubernetes base and resolves the compose file, each with its own tool; a missing tool is said, not hidden.
set -eu
cd "$(dirname "$0")/.."

if kubectl version --client >/dev/null 2>&1; then
    kubectl kustomize k8s >/dev/null
    echo "k8s: renders"
else
    echo "k8s: not checked, kubectl is not installed"
fi

if docker compose version >/dev/null 2>&1; then
    docker compose --profile '*' config --quiet
    echo "docker-compose.yml: valid"
else
    echo "docker-compose.yml: not checked, docker compose is not installed"
fi
