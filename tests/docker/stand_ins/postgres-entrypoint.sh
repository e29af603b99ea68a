#!/bin/sh
# What docker-compose.yml needs of the official image's entrypoint, for the stand-in: on a new
# volume a cluster with the superuser's password and the database, served on the socket only
# until it is complete; then the server.
set -eu

if [ ! -s "$PGDATA/PG_VERSION" ]; then
    umask 077
    printf '%s\n' "${POSTGRES_PASSWORD:?}" >/tmp/password
    initdb --username=postgres --pwfile=/tmp/password
    rm /tmp/password
    echo 'host all all all scram-sha-256' >>"$PGDATA/pg_hba.conf"
    pg_ctl start --wait -o "-c listen_addresses=''"
    createdb --username=postgres "${POSTGRES_DB:?}"
    pg_ctl stop --wait --mode=fast
fi
exec "$@"
