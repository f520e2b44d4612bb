#!/bin/sh
# Compares each file of a cache of Hugging Face models with the digest that is its name, and removes those that differ.
# The worker downloads again what it misses.
#   verify-cache.sh /cache/hub
set -eu
hub=$1
[ -d "$hub" ] || { echo "$hub: no cache yet, the worker fills it"; exit 0; }

# The names of blobs are entity tags of the hub: the SHA-256 of a large file, the Git object id of a small one. Other names
# promise nothing: a download that was cut off, or a mirror with tags of its own.
find "$hub" -type f -path '*/blobs/*' | {
    checked=0 removed=0
    while read -r file; do
        name=${file##*/}
        case $name in *[!0-9a-f]*) continue ;; esac
        case ${#name} in
        64) actual=$(sha256sum "$file") ;;
        40) actual=$({ printf 'blob %s\0' "$(stat -c %s "$file")"; cat "$file"; } | sha1sum) ;;
        *) continue ;;
        esac
        checked=$((checked + 1))
        # Some mirrors name a small file by the SHA-1 of its content alone.
        [ "${actual%% *}" = "$name" ] && continue
        [ ${#name} -eq 40 ] && actual=$(sha1sum "$file") && [ "${actual%% *}" = "$name" ] && continue
        echo "$file: content has the digest ${actual%% *}, removing it" >&2
        rm -f "$file"
        removed=$((removed + 1))
    done
    echo "$hub: $checked files checked, $removed removed"
}

# Links to what was removed would be taken for the files.
find "$hub" -xtype l -delete
