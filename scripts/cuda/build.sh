#!/bin/sh
# Builds the CUDA worker for one compute capability into target/cuda/CAP/; needs no GPU.
#   scripts/cuda/build.sh 89                      89: L4; 90: H100, H200
#   scripts/cuda/build.sh 90 csm-worker csm-cli   `csm` too, for `csm bench engine --device cuda`
# The toolkit is that of CUDA_HOME, else of the nvcc on PATH, else one made from PyPI's wheels.
set -eu

cap=${1:-89}
case $cap in
*[!0-9]*) echo "usage: $0 [CAPABILITY, such as 89] [PACKAGE...]" >&2; exit 2 ;;
esac
[ $# -eq 0 ] || shift
[ $# -gt 0 ] || set -- csm-worker

here=$(dirname "$0")
out=${CARGO_TARGET_DIR:-target}/cuda
mkdir -p "$out"
out=$(cd "$out" && pwd)

if [ -z "${CUDA_HOME:-}" ]; then
    if nvcc=$(command -v nvcc); then
        CUDA_HOME=$(dirname "$(dirname "$(readlink -f "$nvcc")")")
    else
        "$here/toolkit.sh" "$out/toolkit"
        CUDA_HOME=$out/toolkit/home
    fi
fi
[ -x "$CUDA_HOME/bin/nvcc" ] || { echo "CUDA_HOME=$CUDA_HOME holds no bin/nvcc" >&2; exit 1; }
libraries=$CUDA_HOME/lib64
[ -d "$libraries" ] || libraries=$CUDA_HOME/lib
stubs=$libraries/stubs
if [ ! -e "$stubs/libcuda.so" ]; then
    stubs=$out/stubs
    [ -e "$stubs/libcuda.so" ] || "$here/stub.sh" "$CUDA_HOME/include/cuda.h" "$stubs"
fi

export CUDA_HOME NVCC="$CUDA_HOME/bin/nvcc" PATH="$CUDA_HOME/bin:$PATH"
export CUDA_COMPUTE_CAP="$cap" CUDAFORGE_THREADS="${CUDAFORGE_THREADS:-$(nproc)}"
export LIBRARY_PATH="$libraries:$stubs${LIBRARY_PATH:+:$LIBRARY_PATH}"
echo "CUDA toolkit: $CUDA_HOME ($("$NVCC" --version | grep -o 'release [0-9.]*'))"

features=
packages=
for package in "$@"; do
    features=$features${features:+,}$package/cuda
    packages="$packages --package $package"
done
# A target folder of its own: the features change most of what is built.
# shellcheck disable=SC2086  # the packages are words
CARGO_TARGET_DIR=$out/build "${CARGO:-cargo}" build --locked --release $packages --features "$features"

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
