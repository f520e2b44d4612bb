#!/bin/sh
# Prints the ACL file of Redis: the rules without comments, one line a user, with the SHA-256 of each password.
#   acl.sh users.acl FOLDER       FOLDER has the files gateway, worker and operator, each with a password
set -eu
rules=$1
passwords=$2
edits=
for user in gateway worker operator; do
    password=$(cat "$passwords/$user")
    [ -n "$password" ] || { echo "$passwords/$user is empty" >&2 && exit 1; }
    hash=$(printf %s "$password" | sha256sum | cut -d ' ' -f 1)
    edits="$edits;s/@$user@/$hash/"
done
awk '/^ *(# |$)/ { next } /^user / && users++ { print "" } { printf "%s ", $0 } END { print "" }' "$rules" |
    sed "$edits"
