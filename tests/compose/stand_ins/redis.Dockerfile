# Stands for redis.
ARG BASE
FROM ${BASE}
RUN mkdir -p /data && chown redis:redis /data
WORKDIR /data
VOLUME /data
USER redis
CMD ["redis-server"]
