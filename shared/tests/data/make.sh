#!/bin/sh
# Makes the files of this folder with ffmpeg. The tests read the files as they are, without ffmpeg.
set -eu
cd "$(dirname "$0")"
tone() {
    file=$1
    shift
    ffmpeg -v error -y -f lavfi -i sine=frequency=440:sample_rate=24000:duration=0.5 -af volume=4 \
        -map_metadata -1 -fflags +bitexact -flags:a +bitexact "$@" "$file"
}
tone tone.flac -sample_fmt s16 -c:a flac
tone tone.mp3 -c:a libmp3lame -b:a 32k
tone tone-vorbis.ogg -ac 2 -ar 44100 -c:a libvorbis -q:a 0
tone tone-opus.ogg -ar 48000 -c:a libopus -b:a 24k
tone tone.m4a -c:a aac -b:a 64k
tone tone-fragmented.mp4 -ar 48000 -c:a libopus -b:a 24k -movflags frag_keyframe+empty_moov -frag_duration 200000
tone tone-alac.caf -ar 8000 -c:a alac
tone tone.webm -ar 48000 -c:a libopus -b:a 24k -live 1 -cluster_time_limit 200
tone tone-flac.oga -ar 8000 -sample_fmt s16 -c:a flac
tone tone.aac -c:a aac -b:a 64k
tone tone.mp2 -c:a mp2 -b:a 32k
# Six channels, the tone in the centre.
tone tone-51.opus -ar 48000 -af volume=4,pan=5.1\|FC=c0 -c:a libopus -mapping_family 1 -b:a 96k -vbr off
tone tone-51-vorbis.ogg -ar 48000 -af volume=4,pan=5.1\|FC=c0 -c:a libvorbis -q:a -1

# The marked recordings are made of marked.wav, which is not kept:
#   cargo nextest run --workspace --locked --run-ignored only -E 'test(write_marked)'
if [ -e marked.wav ]; then
    code() {
        file=$1
        shift
        ffmpeg -v error -y -i marked.wav -map_metadata -1 -fflags +bitexact -flags:a +bitexact "$@" "$file"
    }
    code marked.mp3 -c:a libmp3lame -b:a 32k
    code marked-vorbis.ogg -c:a libvorbis -q:a 0
    code marked-opus.ogg -ar 48000 -c:a libopus -b:a 24k
    rm marked.wav
fi
