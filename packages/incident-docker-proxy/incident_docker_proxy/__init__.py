"""
A Docker Engine API that can run an investigation's container and nothing else.

Who holds the Docker socket owns the host. This proxy stands between the Airflow workers and the socket: it
lets through the calls that an investigation needs, for containers that it can bound, and refuses the rest
in words. What it lets through is written anew from what it understood; nothing of the client's bytes is
passed on.

It runs in a small container of its own, so it imports neither Airflow nor Docker's client, only h11::

    python -m incident_docker_proxy --allow-image 'alpine:3.*'

The way of a request: ``server`` reads it, ``policy`` decides (``target`` for the path and query,
``endpoints`` for the calls, ``container_spec`` for the body of a create), ``engine`` carries it on.
"""
