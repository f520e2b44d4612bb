#!/bin/sh
# Makes the throw-away certificates of the tests anew: under one root a signer, and a signer whose time is over.
# Nobody trusts them, and their keys are public.
set -eu
cd "$(dirname "$0")"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
: >"$work/index.txt"
echo 1000 >"$work/serial"
cat >"$work/ca.conf" <<CONF
[ca]
database = $work/index.txt
new_certs_dir = $work
serial = $work/serial
unique_subject = no
policy = any
[any]
organizationName = supplied
commonName = supplied
[root]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
[signer]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = critical, emailProtection
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
CONF
request() { # key file, name
    openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$1"
    openssl req -new -key "$1" -subj "/O=csm-fleet tests/CN=Throw-away $2" -out "$work/$2.csr"
}
issue() { # name, kind, start, end, options
    name=$1 kind=$2 start=$3 end=$4
    shift 4
    openssl ca -batch -notext -config "$work/ca.conf" -name ca -preserveDN -md sha256 -extensions "$kind" \
        -startdate "$start" -enddate "$end" -keyfile "$work/root.key" -in "$work/$name.csr" -out "$work/$name.pem" "$@"
}
request "$work/root.key" root
issue root root 20200101000000Z 21200101000000Z -selfsign
request signer.key signer
issue signer signer 20200101000000Z 21200101000000Z -cert "$work/root.pem"
request expired.key expired
issue expired signer 20200101000000Z 20210101000000Z -cert "$work/root.pem"
cat "$work/signer.pem" "$work/root.pem" >signer.pem
cat "$work/expired.pem" "$work/root.pem" >expired.pem
