#!/bin/sh
# Builds gateway and worker of another commit, and runs them and this tree's on one Redis, in both directions.
#   scripts/test-versions.sh COMMIT
set -eu
CARGO=${CARGO:-cargo}
[ $# -eq 1 ] || { echo "usage: $0 COMMIT" >&2; exit 2; }
cd "$(dirname "$0")/.."
commit=$(git rev-parse --verify "$1^{commit}")
mkdir -p "${CARGO_TARGET_DIR:-target}/versions"
target=$(cd "${CARGO_TARGET_DIR:-target}" && pwd)
old=$target/versions/$commit

# A commit does not change, so its programs are built once.
if [ ! -x "$old/csm-worker" ] || [ ! -x "$old/csm-gateway" ]; then
    tree=$(mktemp -d)
    trap 'rm -rf "$tree"' EXIT
    git archive "$commit" | tar -xf - -C "$tree"
    (cd "$tree" && CARGO_TARGET_DIR="$target/versions/build" \
        $CARGO build --locked --release --workspace --bin csm-gateway --bin csm-worker)
    mkdir -p "$old"
    mv "$target/versions/build/release/csm-gateway" "$target/versions/build/release/csm-worker" "$old/"
fi
$CARGO build --locked --release --workspace --bin csm --bin csm-gateway --bin csm-worker
python3 -B tests/operations/versions.py --old "$old" --new "$target/release" --model cli/tiny/model
