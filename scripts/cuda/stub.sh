#!/bin/sh
# Makes a stand-in for the driver's libcuda.so, to link against where no driver is installed. It defines every function
# that cuda.h names, and each answers CUDA_ERROR_STUB_LIBRARY. Nothing loads it at run time: programs ask the loader for
# libcuda.so.1, which only a driver installs.
#   scripts/cuda/stub.sh CUDA_H DIR
set -eu

[ $# -eq 2 ] || { echo "usage: $0 CUDA_H DIR" >&2; exit 2; }
mkdir -p "$2"
# The header maps old names to versioned ones (cuMemAlloc to cuMemAlloc_v2): both are words in it, and both are defined.
grep -oE '\bcu[A-Z][A-Za-z0-9_]*' "$1" | sort -u | sed 's/.*/int &(void) { return 34; }/' >"$2/libcuda.c"
[ -s "$2/libcuda.c" ] || { echo "$1 names no function of the driver" >&2; exit 1; }
"${CC:-cc}" -shared -fPIC -Wl,-soname,libcuda.so.1 -o "$2/libcuda.so" "$2/libcuda.c"
