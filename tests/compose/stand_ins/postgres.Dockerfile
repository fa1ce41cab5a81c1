# Stands for postgres: a new database gets its user, password and name from the environment.
ARG BASE
FROM ${BASE}
ENV PATH=/usr/lib/postgresql/15/bin:/usr/sbin:/usr/bin:/sbin:/bin PGDATA=/var/lib/postgresql/data LANG=C.UTF-8
RUN mkdir -p "$PGDATA" /run/postgresql && chown postgres:postgres "$PGDATA" /run/postgresql && chmod 700 "$PGDATA"
COPY postgres.entrypoint /entrypoint
VOLUME ${PGDATA}
STOPSIGNAL SIGINT
ENTRYPOINT ["/entrypoint"]
