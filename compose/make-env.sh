#!/bin/sh
# Writes .env from .env.example, with fresh secrets. Leaves a .env that is there alone.
set -eu
cd "$(dirname "$0")/.."
if [ -e .env ]; then
    echo ".env is there already; nothing was changed."
    exit 0
fi

hex() {
    head -c "$1" /dev/urandom | od -An -v -tx1 | tr -d ' \n'
}

umask 077
sed -e "s|^AIRFLOW_FERNET_KEY=\$|&$(head -c 32 /dev/urandom | base64 | tr '+/' '-_')|" \
    -e "s|^AIRFLOW_JWT_SECRET=\$|&$(hex 32)|" \
    -e "s|^AIRFLOW_SECRET_KEY=\$|&$(hex 32)|" \
    -e "s|^AIRFLOW_ADMIN_PASSWORD=\$|&$(hex 12)|" \
    -e "s|^POSTGRES_PASSWORD=\$|&$(hex 32)|" \
    -e "s|^REDIS_PASSWORD=\$|&$(hex 32)|" \
    -e "s|^INCIDENT_WEBHOOK_SECRET=\$|&$(hex 24)|" \
    .env.example >.env
echo "Wrote .env. The password of Airflow's user admin is its AIRFLOW_ADMIN_PASSWORD."
