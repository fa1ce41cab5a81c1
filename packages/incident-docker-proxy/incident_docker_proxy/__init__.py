"""
A Docker Engine API that can run an investigation's container and nothing else.

Access to the Docker socket is root access to the host. This proxy sits between the Airflow workers and the
socket: it forwards the calls that an investigation needs, for containers within its limits, and rejects all
others with a reason. Forwarded requests are rebuilt from the parsed input; no client bytes are passed through.

It runs in a small container of its own, so it imports neither Airflow nor Docker's client, only h11::

    python -m incident_docker_proxy --allow-image 'alpine:3.*'

``server`` reads a request, ``policy`` decides (``parsing`` for path, query and JSON, ``endpoints`` for the
allowed calls, ``container_spec`` for the body of a create), ``engine`` forwards it.
"""
