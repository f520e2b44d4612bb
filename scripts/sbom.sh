#!/bin/sh
# Writes a bill of materials (CycloneDX, JSON) for each program that is shipped into a folder.
#   scripts/sbom.sh out/sbom
set -eu
out=$1
programs="csm csm-gateway csm-worker"
mkdir -p "$out"
# The plugin writes beside the manifest of each package, one file a binary.
cargo cyclonedx --quiet --format json --describe binaries --all-features --target all
find . -path ./target -prune -o -name '*.cdx.json' -print | while read -r file; do
    name=$(basename "$file" .cdx.json)
    case " $programs " in
    *" ${name%_bin} "*) mv "$file" "$out/${name%_bin}.cdx.json" ;;
    *) rm "$file" ;;
    esac
done
for program in $programs; do
    [ -s "$out/$program.cdx.json" ] || { echo "no bill of materials for $program" >&2 && exit 1; }
    echo "$out/$program.cdx.json: $(grep -c '"purl"' "$out/$program.cdx.json") packages"
done
