#!/bin/sh
# Lays out a CUDA toolkit from PyPI's wheels where there is none: it compiles and links, it needs no GPU and no driver.
#   scripts/cuda/toolkit.sh DIR        DIR/home is then a CUDA_HOME; 1.2 GB, a few seconds
set -eu

# Driver 580, the oldest that we ask for, takes what 13.0 emits; later compilers emit newer PTX.
VERSION=13.0

[ $# -eq 1 ] || { echo "usage: $0 DIR" >&2; exit 2; }
mkdir -p "$1"
dir=$(cd "$1" && pwd)
home=$dir/home
done=$home/complete-$VERSION

[ -e "$done" ] && exit 0
"$(dirname "$0")/../need.sh" cc python3
echo "laying out CUDA $VERSION in $home"
rm -rf "$home" "$dir/venv"
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install --quiet --disable-pip-version-check \
    "cuda-toolkit[nvcc,cudart,cccl,nvrtc,curand,cublas,crt,nvvm]==$VERSION.*"

wheels=$(echo "$dir"/venv/lib/python3*/site-packages/nvidia/cu13)
[ -x "$wheels/bin/nvcc" ] || { echo "$wheels holds no nvcc" >&2; exit 1; }
mkdir -p "$home/lib"
for part in bin include nvvm; do
    ln -s "$wheels/$part" "$home/$part"
done
# A linker asks for libcublas.so; the wheels hold libcublas.so.13 alone.
for library in "$wheels"/lib/lib*; do
    name=${library##*/}
    ln -s "$library" "$home/lib/$name"
    case $name in
    *.alt.so*) ;; # a second build of a library whose plain name is there as well
    *.so.*) ln -sf "$library" "$home/lib/${name%%.so.*}.so" ;;
    esac
done
touch "$done"
