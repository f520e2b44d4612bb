# Sourced by build.sh and test.sh: finds or makes a CUDA toolkit for compute capability $cap, and points cargo at it.
# The toolkit is that of CUDA_HOME, else of the nvcc on PATH, else one made from PyPI's wheels.

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
# A target folder of its own: the features change most of what is built.
export CARGO_TARGET_DIR="$out/build"
