#!/bin/sh
# Runs the engine's tests that need a CUDA device, on the one of this machine, of compute capability CAP.
#   scripts/cuda/test.sh 89
set -eu

cap=${1:-89}
case $cap in
*[!0-9]*) echo "usage: $0 [CAPABILITY, such as 89]" >&2; exit 2 ;;
esac
. "$(dirname "$0")/env.sh"

# One at a time: no graph can be captured while another thread opens the device.
LD_LIBRARY_PATH="$libraries${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}" "${CARGO:-cargo}" test --locked --release \
    --package csm-engine --features csm-engine/cuda --lib -- --ignored --test-threads=1 cuda
