#!/usr/bin/env bash
# Makes local images that stand for apache/airflow, postgres and redis, of Debian's and PyPI's packages alone, for
# machines that reach no image registry. For the tests only: nobody who can pull the real ones needs them.
#
#     tests/compose/stand_ins/build.sh UV        # UV: the uv to install Python packages with
set -euo pipefail
uv=$1
here=$(cd "$(dirname "$0")" && pwd)
prefix=incident-stand-in
airflow_version=3.3.2
debian_packages=ca-certificates,curl,dumb-init,netbase,postgresql-15,procps,python3,redis-server

# What is made is named by what it is made of, so that it is rebuilt only when that changes.
version=$(cat "$here"/* | sha256sum | cut -c 1-12)
if docker image inspect "$prefix/airflow:$version" >/dev/null 2>&1; then
  echo "$version"
  exit 0
fi

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

debian=$prefix/debian:$(sha256sum <<<"$debian_packages" | cut -c 1-12)
if ! docker image inspect "$debian" >/dev/null 2>&1; then
  echo "Making a Debian root for the stand-in images" >&2
  if ! command -v mmdebstrap >/dev/null; then
    apt-get update -q >/dev/null
    DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends mmdebstrap >/dev/null
  fi
  mmdebstrap --quiet --variant=minbase --aptopt='Acquire::Languages "none"' --include="$debian_packages" \
    bookworm - http://deb.debian.org/debian | docker import - "$debian" >/dev/null
fi

# hatchling: so that this package's own wheel can be built with no index.
echo "Installing Airflow for the stand-in image" >&2
"$uv" pip install -q --target "$scratch/site" --python-version 3.11 \
  "apache-airflow[celery,docker,fab,postgres,slack]==$airflow_version" 'celery<5.7' asyncpg redis \
  apache-airflow-providers-datadog cryptography datadog-api-client h11 hatchling httpx idna pip python-multipart \
  python-slugify rapidfuzz rich
"$uv" pip freeze -q --path "$scratch/site" >"$scratch/constraints.txt"

for image in postgres redis airflow; do
  cp "$here/$image".* "$scratch/"
  docker build -q --network none --build-arg BASE="$debian" \
    --build-arg AIRFLOW_VERSION="$airflow_version" -f "$here/$image.Dockerfile" -t "$prefix/$image:$version" \
    "$scratch" >/dev/null
done
echo "$version"
