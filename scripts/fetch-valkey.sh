#!/bin/sh
# Unpacks Valkey 8 of Debian 12's backports into a folder, without installing it, and prints the server's path.
set -eu
dir=${1:?usage: fetch-valkey.sh DIR}
mkdir -p "$dir/lists/partial" "$dir/archives/partial"
dir=$(cd "$dir" && pwd)
server=$dir/root/usr/bin/valkey-server
if [ ! -x "$server" ]; then
  cd "$dir"
  echo 'deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://deb.debian.org/debian bookworm-backports main' >sources.list
  apt() {
    apt-get -qq -o Dir::Etc::sourcelist="$dir/sources.list" -o Dir::Etc::sourceparts=/dev/null \
      -o Dir::State::lists="$dir/lists" -o Dir::Cache="$dir" -o APT::Sandbox::User=root "$@" >&2
  }
  apt update
  apt download valkey-server valkey-tools
  for package in valkey-*.deb; do dpkg -x "$package" root; done
fi
"$server" --version >&2
echo "$server"
