#!/bin/sh
# Runs a command in a root file system of its own that cannot be written, as a user without rights: what Kubernetes
# makes of readOnlyRootFilesystem, runAsUser 10001 and dropped capabilities. To be run within `unshare --mount`.
#   enter.sh ROOT PROGRAMS VOLUME... -- COMMAND...
# PROGRAMS is the folder for /usr/local/bin, and each VOLUME is FOLDER:PATH:rw or FOLDER:PATH:ro.
set -eu
root=$1
programs=$2
shift 2

# bind FOLDER PATH rw|ro
bind() {
    mkdir -p "$root$2"
    mount --bind "$1" "$root$2"
    [ "$3" = rw ] || mount -o remount,bind,ro "$root$2"
}

mount -t tmpfs -o mode=755 root "$root"
for part in usr etc; do bind "/$part" "/$part" ro; done
for part in bin lib lib64 sbin; do
    if [ -L "/$part" ]; then cp -P "/$part" "$root/$part"; elif [ -d "/$part" ]; then bind "/$part" "/$part" ro; fi
done
mkdir -p "$root/tmp" "$root/proc" "$root/dev"
mount --rbind /proc "$root/proc"
mount --rbind /dev "$root/dev"
bind "$programs" /usr/local/bin ro
while [ "$1" != -- ]; do
    folder=${1%%:*}
    rest=${1#*:}
    bind "$folder" "${rest%:*}" "${rest##*:}"
    shift
done
shift
mount -o remount,ro "$root"
chroot=$(PATH=$PATH:/usr/sbin:/sbin command -v chroot)
exec "$chroot" "$root" setpriv --reuid 10001 --regid 10001 --clear-groups --no-new-privs --bounding-set=-all "$@"
