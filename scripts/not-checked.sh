#!/bin/sh
# Says loudly, on standard error, what a check has left out: scripts/not-checked.sh 'REASON: WHAT'
printf '\n*** NOT CHECKED *** %s\n\n' "$1" >&2
