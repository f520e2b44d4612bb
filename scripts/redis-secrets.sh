#!/bin/sh
# Makes what a secured Redis needs, in a folder: a password and a URL for each user, the ACL file, and a certificate with
# its authority. What is there stays: a new password needs the removal of the old file first.
#   scripts/redis-secrets.sh DIR NAME...       NAME: a name or address of Redis; the first one goes into the URLs
set -eu
umask 077
folder=$1
shift
shipped=$(dirname "$0")/../k8s/components/redis-secure
mkdir -p "$folder/passwords" "$folder/tls" "$folder/authority"

for user in gateway worker operator; do
    password=$folder/passwords/$user
    [ -s "$password" ] || openssl rand -hex 32 >"$password"
    echo "CSM_REDIS_URL=rediss://csm-$user:$(cat "$password")@$1:6379" >"$folder/$user.env"
done
sh "$shipped/acl.sh" "$shipped/users.acl" "$folder/passwords" >"$folder/users.acl"

# request FILE NAME: a new key and a request for its certificate
request() {
    openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=$2" -keyout "$1.key" -out "$1.csr" \
        2>/dev/null
}

authority=$folder/authority/ca
if ! [ -s "$folder/tls/ca.crt" ]; then
    request "$authority" csm-redis-authority
    printf 'basicConstraints=critical,CA:true\nkeyUsage=critical,keyCertSign,cRLSign\n' >"$authority.txt"
    openssl x509 -req -in "$authority.csr" -signkey "$authority.key" -days 3650 -extfile "$authority.txt" \
        -out "$folder/tls/ca.crt" 2>/dev/null
fi
if ! [ -s "$folder/tls/tls.crt" ]; then
    names=
    for name in "$@"; do
        case $name in
        *[!0-9.]*) names="$names,DNS:$name" ;;
        *) names="$names,IP:$name" ;;
        esac
    done
    request "$folder/tls/tls" "$1"
    printf 'subjectAltName=%s\nextendedKeyUsage=serverAuth\n' "${names#,}" >"$authority.txt"
    openssl x509 -req -in "$folder/tls/tls.csr" -CA "$folder/tls/ca.crt" -CAkey "$authority.key" -CAcreateserial \
        -CAserial "$authority.srl" -days 365 -extfile "$authority.txt" -out "$folder/tls/tls.crt" 2>/dev/null
fi
rm -f "$folder/tls/tls.csr" "$authority.csr" "$authority.txt"
echo "$folder: passwords/, users.acl, *.env and tls/; keep authority/ca.key away from the server"
