#!/bin/sh
# Builds csm-worker from two edited copies of the tree, and lets each take over cut-off jobs of this tree's worker:
#   log      a log line and a Lua comment differ: jobs resume
#   kernel   a statement of the kernels differs: jobs begin anew
set -eu
CARGO=${CARGO:-cargo}
cd "$(dirname "$0")/.."
mkdir -p "${CARGO_TARGET_DIR:-target}/builds"
target=$(cd "${CARGO_TARGET_DIR:-target}" && pwd)
builds=$target/builds
mkdir -p "$builds"

# copy NAME: the working tree, with its changes, in $builds/NAME.
copy() {
    rm -rf "${builds:?}/$1"
    mkdir "$builds/$1"
    git ls-files --cached --others --exclude-standard | while read -r file; do
        [ ! -f "$file" ] || echo "$file"
    done | tar -cf - -T - | tar -xf - -C "$builds/$1"
}

# edit FILE EXPRESSION: changes a file by sed; an expression without effect is an error.
edit() {
    sed "$2" "$1" >"$1.edited"
    if cmp -s "$1" "$1.edited"; then
        echo "$0: nothing to edit in $1" >&2
        exit 1
    fi
    mv "$1.edited" "$1"
}

# build NAME: builds the copy in a copy of the target folder, so that only what was edited is compiled again.
build() {
    mkdir -p "$builds/$1/target/debug"
    for part in .fingerprint build deps; do
        cp -a "$target/debug/$part" "$builds/$1/target/debug/"
    done
    (cd "$builds/$1" && CARGO_TARGET_DIR="$builds/$1/target" $CARGO build --locked --workspace --bin csm-worker)
    mv "$builds/$1/target/debug/csm-worker" "$builds/csm-worker-$1"
    rm -rf "${builds:?}/$1"
}

$CARGO build --locked --workspace --bins --tests

copy log
edit "$builds/log/worker/src/runner.rs" 's/"draining worker"/"draining worker of another build"/'
edit "$builds/log/shared/queue/src/queue/lua/claim.lua" 's/^-- queued -> running/-- Edited: queued -> running/'
build log

copy kernel
edit "$builds/kernel/worker/kernels/src/math.rs" 's/^    let x = x\.clamp(.*;$/& let _edited = 0;/'
build kernel

CSM_TEST_WORKER_LOG=$builds/csm-worker-log CSM_TEST_WORKER_KERNEL=$builds/csm-worker-kernel \
    $CARGO nextest run --locked --workspace --run-ignored only -E 'package(csm-tests) & test(builds::)'
