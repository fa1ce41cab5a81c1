# Stands for apache/airflow: the same user, folders, environment and entry point's manners.
ARG BASE
FROM ${BASE}
ARG AIRFLOW_VERSION
RUN useradd --uid 50000 --gid 0 --create-home --home-dir /home/airflow airflow \
    && mkdir -p /opt/airflow/dags /opt/airflow/logs && chown -R airflow:0 /opt/airflow
COPY airflow.entrypoint /entrypoint
USER airflow
ENV HOME=/home/airflow AIRFLOW_HOME=/opt/airflow AIRFLOW_VERSION=${AIRFLOW_VERSION} \
    PATH=/home/airflow/.local/bin:/usr/local/bin:/usr/bin:/bin LANG=C.UTF-8 PYTHONUNBUFFERED=1 \
    PIP_NO_INDEX=1 PIP_NO_BUILD_ISOLATION=0 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN python3 -m venv --without-pip /home/airflow/.local
COPY --chown=airflow:0 constraints.txt /home/airflow/constraints.txt
COPY --chown=airflow:0 site /home/airflow/.local/lib/python3.11/site-packages
RUN cd /home/airflow/.local && mv lib/python3.11/site-packages/bin/* bin/ \
    && grep -lI '^#!.*python' bin/* | xargs sed -i '1s|^#!.*|#!/home/airflow/.local/bin/python|' \
    && python -m compileall -q -j 0 lib/python3.11/site-packages >/dev/null || true
WORKDIR /opt/airflow
ENTRYPOINT ["/usr/bin/dumb-init", "--", "/entrypoint"]
