#!/bin/sh
# Installs those of the named tools that this machine lacks; every command is printed before it runs.
#   scripts/need.sh cargo cc cmake redis-server cargo-nextest
set -eu

# Each builds with the toolchain of rust-toolchain.toml; a later one may not.
NEXTEST=0.9.143
AUDIT=0.22.2
DENY=0.20.2
CYCLONEDX=0.5.9

have() { command -v "$1" >/dev/null 2>&1; }

stop() {
    echo "$*" >&2
    exit 1
}

run() {
    echo "+ $*"
    "$@"
}

as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        run "$@"
    elif have sudo; then
        run sudo "$@"
    else
        stop "This needs root, and there is no sudo. Run it as root, then try again: $*"
    fi
}

# install WHAT APT DNF APK PACMAN BREW: the package that holds it, by the name that each package manager knows.
install() {
    echo "$1 is missing: installing it"
    if have apt-get; then
        as_root apt-get update
        as_root apt-get install --yes --no-install-recommends "$2"
    elif have dnf; then
        as_root dnf install --assumeyes "$3"
    elif have apk; then
        as_root apk add "$4"
    elif have pacman; then
        as_root pacman --sync --noconfirm "$5"
    elif have brew; then
        run brew install "$6"
    else
        stop "No known package manager (apt-get, dnf, apk, pacman, brew). Install $1 by hand and put it on PATH."
    fi
}

# promtool comes with the server. Debian's package starts the server on the gateway's admin port: it is stopped again.
install_prometheus() {
    install "promtool (of Prometheus)" prometheus golang-github-prometheus prometheus prometheus prometheus
    if have apt-get && [ -d /run/systemd/system ]; then
        as_root systemctl disable --now prometheus
    fi
}

for tool in "$@"; do
    case $tool in
    cargo) have cargo || stop "cargo is missing: install the Rust toolchain from https://rustup.rs" ;;
    cc) have cc || install "a C compiler" build-essential gcc build-base gcc gcc ;;
    cmake) have cmake || install cmake cmake cmake cmake cmake cmake ;; # builds libopus
    redis-server)
        have redis-server || have valkey-server ||
            install "redis-server (or valkey-server)" redis-server valkey valkey valkey redis
        ;;
    ffmpeg) have ffmpeg || install ffmpeg ffmpeg ffmpeg-free ffmpeg ffmpeg ffmpeg ;;
    chromium) have chromium || install chromium chromium chromium chromium chromium chromium ;;
    espeak-ng) have espeak-ng || install espeak-ng espeak-ng espeak-ng espeak-ng espeak-ng espeak-ng ;;
    flite) have flite || install flite flite flite flite flite flite ;;
    flite-dev) [ -e /usr/include/flite/flite.h ] || install "flite's headers" flite1-dev flite-devel flite-dev flite flite ;;
    wordnet) [ -e /usr/share/wordnet/data.noun ] || install WordNet wordnet-base wordnet wordnet wordnet wordnet ;;
    pocketsphinx)
        # Debian and Ubuntu only: the tests look for the models where their packages put them.
        have pocketsphinx_batch || install pocketsphinx pocketsphinx pocketsphinx pocketsphinx pocketsphinx pocketsphinx
        [ -d /usr/share/pocketsphinx/model/en-us ] ||
            install "pocketsphinx' English model" pocketsphinx-en-us pocketsphinx-models-en-us pocketsphinx pocketsphinx pocketsphinx
        ;;
    python3) python3 -c 'import ensurepip, venv' 2>/dev/null || install "python3 with venv" python3-venv python3 python3 python python ;;
    promtool) have promtool || install_prometheus ;;
    haproxy) have haproxy || install haproxy haproxy haproxy haproxy haproxy haproxy ;;
    openssl) have openssl || install openssl openssl openssl openssl openssl openssl ;;
    cargo-audit) cargo audit --version >/dev/null 2>&1 || run cargo install cargo-audit --locked --version "$AUDIT" ;;
    cargo-deny) cargo deny --version >/dev/null 2>&1 || run cargo install cargo-deny --locked --version "$DENY" ;;
    cargo-cyclonedx)
        cargo cyclonedx --version >/dev/null 2>&1 || run cargo install cargo-cyclonedx --locked --version "$CYCLONEDX"
        ;;
    cargo-nextest) cargo nextest --version >/dev/null 2>&1 || run cargo install cargo-nextest --locked --version "$NEXTEST" ;;
    *) stop "usage: $0 [cargo] [cc] [cmake] [redis-server] [cargo-nextest] [cargo-audit] [cargo-deny] [cargo-cyclonedx] [openssl] [haproxy] [python3] [ffmpeg] [chromium] [espeak-ng] [flite] [flite-dev] [wordnet] [pocketsphinx] [promtool]" ;;
    esac
done
