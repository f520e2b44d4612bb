#!/bin/sh
# Trains the checkpoint `tiny` from nothing: train.sh WORK OUT. Goes on after an interruption.
# DEVICE=cpu or cuda; SEED; STEPS_CSM, STEPS_DECODER, STEPS_ENCODER; PYTHON; THREADS of each of the two trainings that run
# side by side.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
work=$1 out=$2
python=${PYTHON:-python3} device=${DEVICE:-cpu} seed=${SEED:-0} threads=${THREADS:-1}
mkdir -p "$work"
[ -x "$work/flite" ] || cc -O2 "$here/flite.c" -lflite_cmu_us_slt -lflite_usenglish -lflite_cmulex -lflite -lm -o "$work/flite"
[ -e "$work/train.txt" ] || "$python" "$here/texts.py" "$work" --seed $((seed + 1))
[ -e "$work/tokenizer.json" ] || "$python" "$here/spelling.py" "$work" --flite "$work/flite"
[ -e "$work/heldout.npz" ] || "$python" "$here/dataset.py" "$work" --flite "$work/flite" --seed $((seed + 3))
# On virtual machines half of the time goes into page tables: jemalloc with huge pages halves a step.
jemalloc=$(ls /usr/lib/*/libjemalloc.so.2 2>/dev/null | head -n 1)
[ -z "$jemalloc" ] || export LD_PRELOAD="$jemalloc" \
    MALLOC_CONF='dirty_decay_ms:5000,muzzy_decay_ms:5000,oversize_threshold:0,thp:always'
common="--threads $threads --device $device --seed $seed"
"$python" "$here/train_csm.py" "$work" "$work/parts" --steps "${STEPS_CSM:-7000}" $common &
csm=$!
"$python" "$here/train_codec.py" decoder "$work" "$work/parts" --steps "${STEPS_DECODER:-15500}" $common
"$python" "$here/train_codec.py" encoder "$work" "$work/parts" --steps "${STEPS_ENCODER:-4000}" $common
wait $csm
"$python" "$here/plot.py" "$work/parts"
"$python" "$here/export.py" "$work" "$work/parts" "$out" --sharpen 2
