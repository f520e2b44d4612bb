#!/bin/sh
# Checks the format, the lints and the unit tests of the crates that differ from a commit: scripts/check.sh [COMMIT]
set -eu
base=${1:-HEAD}
CARGO=${CARGO:-cargo}
$CARGO fmt --all --check
packages=$({ git diff --name-only "$base" && git ls-files --others --exclude-standard; } | while read -r file; do
    folder=$(dirname "$file")
    while [ "$folder" != . ] && [ ! -f "$folder/Cargo.toml" ]; do folder=$(dirname "$folder"); done
    [ "$folder" = . ] || sed -n 's/^name = "\(.*\)"$/-p \1/p' "$folder/Cargo.toml" | head -1
done | sort -u)
if [ -z "$packages" ]; then
    echo "no crate differs from $base"
    exit 0
fi
# shellcheck disable=SC2086
$CARGO clippy --locked --all-targets $packages -- -D warnings
# shellcheck disable=SC2086
$CARGO nextest run --locked --no-tests pass --lib --bins $packages
