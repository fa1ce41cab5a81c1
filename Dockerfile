# Airflow with this package. docker-compose.yaml builds it; every Airflow service runs it.
ARG AIRFLOW_IMAGE=apache/airflow:3.3.2
FROM ${AIRFLOW_IMAGE}

# The versions are those that the image was built and tested with: its own constraints. This repository's
# constraints.txt would lift packages that other providers in the image hold back.
COPY --chown=airflow:0 pyproject.toml hatch_build.py README.md LICENSE /tmp/package/
COPY --chown=airflow:0 airflow_incident_provider /tmp/package/airflow_incident_provider
COPY --chown=airflow:0 dags/*.py /tmp/package/dags/
COPY --chown=airflow:0 packages /tmp/package/packages
RUN pip install --no-cache-dir --constraint "${HOME}/constraints.txt" \
        "apache-airflow==${AIRFLOW_VERSION}" "/tmp/package[celery]" \
        /tmp/package/packages/incident-docker-proxy /tmp/package/packages/incident-sandbox \
    && rm -r /tmp/package

# The DAGs are part of the image, because they and the package are one version: an upgrade changes both at once,
# in every service, and no task runs a DAG of one version with operators of another.
COPY --chown=airflow:0 dags/*.py ${AIRFLOW_HOME}/dags/
COPY --chown=airflow:0 compose/component_alive.py ${AIRFLOW_HOME}/

# A volume takes its first owner from the folder that it is mounted over.
RUN mkdir -p "${AIRFLOW_HOME}/incident_directory"
