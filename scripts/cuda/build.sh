#!/bin/sh
# Builds the CUDA worker for one compute capability into target/cuda/CAP/; needs no GPU.
#   scripts/cuda/build.sh 89                      89: L4; 90: H100, H200
#   scripts/cuda/build.sh 90 csm-worker csm-cli   `csm` too, for `csm bench engine --device cuda`
set -eu

cap=${1:-89}
case $cap in
*[!0-9]*) echo "usage: $0 [CAPABILITY, such as 89] [PACKAGE...]" >&2; exit 2 ;;
esac
[ $# -eq 0 ] || shift
[ $# -gt 0 ] || set -- csm-worker

. "$(dirname "$0")/env.sh"

features=
packages=
for package in "$@"; do
    features=$features${features:+,}$package/cuda
    packages="$packages --package $package"
done
# shellcheck disable=SC2086  # the packages are words
"${CARGO:-cargo}" build --locked --release $packages --features "$features"

mkdir -p "$out/$cap"
echo
for package in "$@"; do
    binary=$package
    [ "$package" != csm-cli ] || binary=csm
    cp "$out/build/release/$binary" "$out/$cap/$binary"
    echo "$out/$cap/$binary: $(du -h "$out/$cap/$binary" | cut -f1), compute capability $cap"
done
echo "It starts where the NVIDIA driver (580 or later) and the CUDA 13 libraries are; from this folder:"
echo "  LD_LIBRARY_PATH=$libraries $out/$cap/csm-worker --version"
echo "What this machine lacks for it, if anything: csm doctor"
