#!/bin/sh
# The job queues that `make bench-queue` sets beside ours, each measured by the same two rules (see README.md).
#
#     run.sh setup [PEER...]      installs all peers, or those named, under target/peers (QUEUE_PEERS_DIR overrides it)
#     run.sh PEER --redis URL --jobs N --consumers C --latency-jobs M
#
# PEER is bullmq, bullmq-official, apalis-redis or celery. A run prints one JSON line on stdout, all else on stderr, and
# removes its own keys. Needs node and npm, python3 (PYTHON overrides it) and cargo; the first setup needs the network.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../../.." && pwd)
home=${QUEUE_PEERS_DIR:-$root/target/peers}
python=${PYTHON:-python3}
limit=900 # seconds after which a run that hangs is ended

usage() {
    sed -n '2,8s/^# \{0,1\}//p' "$0" >&2
    exit 2
}

# What is installed from package lists is installed again only when the list has changed.
setup_bullmq() {
    mkdir -p "$home/bullmq"
    cp "$here/bullmq/package.json" "$here/bullmq/peer.mjs" "$home/bullmq/"
    cmp -s "$here/bullmq/package-lock.json" "$home/bullmq/node_modules/.queue-peer-lock" && return
    cp "$here/bullmq/package-lock.json" "$home/bullmq/"
    (cd "$home/bullmq" && npm ci --ignore-scripts --no-audit --no-fund)
    cp "$here/bullmq/package-lock.json" "$home/bullmq/node_modules/.queue-peer-lock"
}

setup_celery() {
    cmp -s "$here/celery/requirements.txt" "$home/celery/.queue-peer-lock" && return
    "$python" -m venv "$home/celery"
    "$home/celery/bin/python" -m pip install --disable-pip-version-check -r "$here/celery/requirements.txt"
    cp "$here/celery/requirements.txt" "$home/celery/.queue-peer-lock"
}

setup_rust() {
    (cd "$here/rust" && nice cargo build --release --locked --target-dir "$home/rust")
}

setup() {
    case $1 in
    bullmq) setup_bullmq ;;
    celery) setup_celery ;;
    bullmq-official | apalis-redis) setup_rust ;;
    *) usage ;;
    esac
}

run() {
    peer=$1
    shift
    case $peer in
    bullmq) program=$home/bullmq/peer.mjs && set -- node "$program" "$@" ;;
    celery) program=$home/celery/bin/python && set -- "$program" "$here/celery/peer.py" "$@" ;;
    bullmq-official | apalis-redis) program=$home/rust/release/queue-peers && set -- "$program" "$peer" "$@" ;;
    *) usage ;;
    esac
    if [ ! -e "$program" ]; then
        echo "run.sh: $peer is not installed; first: $0 setup $peer" >&2
        exit 1
    fi
    export PYTHONDONTWRITEBYTECODE=1
    exec timeout --foreground "$limit" "$@"
}

[ $# -gt 0 ] || usage
if [ "$1" = setup ]; then
    shift
    [ $# -gt 0 ] || set -- bullmq celery bullmq-official
    for peer in "$@"; do
        setup "$peer" >&2
    done
else
    run "$@"
fi
