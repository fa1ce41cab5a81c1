"""Requests that could escape from a container, sent by the scheduler to the Docker proxy of the stack."""

from __future__ import annotations

import json
from typing import Any

from .stack import Stack

CREATE = "POST /v1.41/containers/create"
INVESTIGATION: dict[str, Any] = {
    "Image": "alpine:3.23",
    "User": "65534:65534",
    "Cmd": ["id"],
    "Labels": {"airflow_incident_provider": "investigation"},
}
HOST_CONFIG: dict[str, Any] = {
    "ReadonlyRootfs": True,
    "CapDrop": ["ALL"],
    "SecurityOpt": ["no-new-privileges:true"],
    "Memory": 67108864,
    "MemorySwap": 67108864,
    "PidsLimit": 64,
    "NanoCpus": 500000000,
    "NetworkMode": "none",
    "LogConfig": {"Type": "json-file", "Config": {"max-size": "1m"}},
}


def _create(host: dict[str, Any] | None = None, **changed: Any) -> tuple[str, dict[str, Any]]:
    return CREATE, {**INVESTIGATION, **changed, "HostConfig": {**HOST_CONFIG, **(host or {})}}


ESCAPES: dict[str, tuple[str, dict[str, Any] | None]] = {
    "privileged": _create({"Privileged": True}),
    "privileged in lower case": _create({"privileged": True}),
    "the host's root": _create({"Binds": ["/:/host"]}),
    "the socket": _create({"Mounts": [{"Type": "bind", "Source": "/var/run/docker.sock", "Target": "/s"}]}),
    "the host's network": _create({"NetworkMode": "host"}),
    "the database's network": _create({"NetworkMode": "incident-compose-local_default"}),
    "the host's processes": _create({"PidMode": "host"}),
    "the host's IPC": _create({"IpcMode": "host"}),
    "a capability": _create({"CapAdd": ["SYS_ADMIN"]}),
    "no capability dropped": _create({"CapDrop": []}),
    "a device": _create({"Devices": [{"PathOnHost": "/dev/sda", "PathInContainer": "/dev/sda"}]}),
    "no seccomp": _create({"SecurityOpt": ["no-new-privileges:true", "seccomp=unconfined"]}),
    "root": _create(User="0:0"),
    "another image": _create(Image="postgres:17"),
    "no label": _create(Labels={}),
    "unlimited memory": _create({"Memory": 0, "MemorySwap": 0}),
    "a volume of another container": _create({"VolumesFrom": ["incident-compose-local-postgres-1"]}),
    "exec in another container": ("POST /v1.41/containers/incident-compose-local-postgres-1/exec", {"Cmd": ["id"]}),
    "removal of another container": ("DELETE /v1.41/containers/incident-compose-local-postgres-1?force=true", None),
    "another container's log": ("GET /v1.41/containers/incident-compose-local-postgres-1/logs?stdout=1", None),
    "another container's files": ("GET /v1.41/containers/incident-compose-local-postgres-1/archive?path=/", None),
    "building an image": ("POST /v1.41/build", None),
    "volumes": ("GET /v1.41/volumes", None),
    "path traversal": ("POST /v1.41/containers/../containers/create", {"HostConfig": {"Privileged": True}}),
    "an encoded path": ("POST /v1.41/containers%2Fcreate", {"HostConfig": {"Privileged": True}}),
    "another API version": ("POST /v1.12/containers/create", {"HostConfig": {"Privileged": True}}),
}
"""Method and target, and the body, by name."""

_SEND = """
import http.client, json, sys

responses = {}
for name, (line, body) in json.load(sys.stdin).items():
    connection = http.client.HTTPConnection("docker-proxy", 2375, timeout=20)
    method, target = line.split(" ", 1)
    connection.request(method, target, json.dumps(body) if body else None, {"Content-Type": "application/json"})
    response = connection.getresponse()
    responses[name] = [response.status, response.read().decode()]
print(json.dumps(responses))
"""


def attempt_all(stack: Stack) -> dict[str, tuple[int, str]]:
    """Send all requests from the scheduler's container and return the responses by name."""
    output = stack.compose("exec", "-T", "airflow-scheduler", "python", "-c", _SEND, stdin=json.dumps(ESCAPES))
    return {name: (status, message) for name, (status, message) in json.loads(output).items()}
