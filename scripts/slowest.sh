#!/bin/sh
# Prints the ten slowest tests of a run: scripts/slowest.sh target/nextest/ci/junit.xml
set -eu
echo 'The ten slowest tests, in seconds:'
grep -o '<testcase [^>]*' "$1" |
    sed -E 's/.* name="([^"]*)" classname="([^"]*)".* time="([^"]*)".*/\3 \2 \1/' |
    sort -rn | head -10
