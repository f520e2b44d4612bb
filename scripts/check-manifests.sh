#!/bin/sh
# Resolves the compose file with its own tool; if the tool is missing, this is said, not hidden.
set -eu
cd "$(dirname "$0")/.."

if docker compose version >/dev/null 2>&1; then
    docker compose --profile '*' config --quiet
    echo "docker-compose.yml: valid"
else
    echo "docker-compose.yml: not checked, docker compose is not installed"
fi
