"""Environments of gRPC servers and of their health service (grpc.health.v1)."""

from __future__ import annotations

import socket

from airflow_incident_provider.probes import ProbeSettings
from benchmarks.probes.environments import (
    BROKEN,
    FAIL,
    HEALTHY,
    OK,
    OK_ANSWER,
    TIMES,
    UNKNOWN,
    WARN,
    add,
    check,
    grpc,
    tolerant,
)
from benchmarks.probes.servers import Script, wait_for_end

for _code, _where in (("UNAUTHENTICATED", "without a login"), ("PERMISSION_DENIED", "without permission")):
    add(
        HEALTHY,
        f"gRPC server whose health service answers nobody {_where}",
        OK,
        f"up, requires authentication,{TIMES}",
        lambda lab, code=_code: grpc(lab, 1, code=code),
        quick=_code == "UNAUTHENTICATED",
    )
add(
    HEALTHY,
    "gRPC server whose health service does not know the service",
    UNKNOWN,
    f"the health service does not know the service that was asked about,{TIMES}",
    lambda lab: grpc(lab, 1, code="NOT_FOUND"),
)
add(
    BROKEN,
    "gRPC server that is exhausted",
    WARN,
    f"the health check was answered RESOURCE_EXHAUSTED{TIMES}",
    lambda lab: grpc(lab, 1, code="RESOURCE_EXHAUSTED"),
)
add(
    BROKEN,
    "gRPC server behind a URL of HTTP",
    FAIL,
    r"the server reset the stream of HTTP/2",
    lambda lab: check(f"http://{lab.name()}:{lab.serve_grpc(1, None, None)}/"),
)
add(
    BROKEN,
    "gRPC server that is not serving",
    FAIL,
    f"the health check was answered NOT_SERVING{TIMES}",
    lambda lab: grpc(lab, 2),
    quick=True,
)
add(
    BROKEN,
    "gRPC server that is unavailable",
    FAIL,
    f"the health check was answered UNAVAILABLE{TIMES}",
    lambda lab: grpc(lab, 1, code="UNAVAILABLE"),
)
add(
    BROKEN,
    "gRPC port that speaks HTTP/1",
    FAIL,
    r"(?:the answer .+|the connection broke .+|the server closed .+)",
    lambda lab: check(f"grpc://{lab.name()}:{lab.serve(OK_ANSWER)}"),
)
add(
    BROKEN,
    "gRPC port that refuses",
    FAIL,
    r"port \d+: connection refused at [0-9.]+; not reached: request",
    lambda lab: check(f"grpc://{lab.name()}:{lab.refused()}"),
)

# --- what is in front of a server, and what it answers instead --------------------------------------------

for _code, _words in (
    ("DEADLINE_EXCEEDED", "DEADLINE_EXCEEDED"),
    ("INTERNAL", "INTERNAL"),
    ("UNKNOWN", "UNKNOWN"),
    ("ABORTED", "status 10"),
):
    add(
        BROKEN,
        f"gRPC server whose health check ends with {_code}",
        FAIL,
        f"the health check was answered {_words}{TIMES}",
        lambda lab, code=_code: grpc(lab, 1, code=code),
    )
add(
    BROKEN,
    "gRPC server of an unknown state",
    FAIL,
    f"the health check was answered UNKNOWN{TIMES}",
    lambda lab: grpc(lab, 0),
)
add(
    HEALTHY,
    "gRPC server that does not implement the check",
    OK,
    f"up, has no health service,{TIMES}",
    lambda lab: grpc(lab, 1, code="UNIMPLEMENTED"),
)
add(
    HEALTHY,
    "gRPC server, asked about one of its services",
    OK,
    f"the health check was answered SERVING{TIMES}",
    lambda lab: check(f"grpc://{lab.name()}:{lab.serve_grpc(1, None, None)}/shop.v1.Orders"),
)
add(
    BROKEN,
    "gRPC server that takes its time",
    WARN,
    f"the health check was answered SERVING{TIMES}; slow: the limit is 600 ms",
    lambda lab: check(
        f"grpc://{lab.name()}:{lab.serve_grpc(1, None, None, delay_s=1)}", expect=tolerant(slow_ms=600)
    ),
    quick=True,
)
add(
    BROKEN,
    "gRPC server that never answers",
    FAIL,
    r"no answer within 10 s",
    lambda lab: check(f"grpc://{lab.name()}:{lab.serve(wait_for_end)}"),
)
add(
    BROKEN,
    "gRPC server by an unknown authority",
    WARN,
    r"clients with the usual authorities reject the certificate: .+",
    lambda lab: check(
        f"grpcs://{(name := lab.name())}:{lab.serve_grpc(1, name, None)}", settings=ProbeSettings(ca_pem="")
    ),
)
add(
    BROKEN,
    "gRPC server with TLS that has none",
    FAIL,
    r"the TLS handshake failed \(.+\); not reached: request",
    lambda lab: check(f"grpcs://{lab.name()}:{lab.serve_grpc(1, None, None)}"),
)
add(
    BROKEN,
    "gRPC server without TLS that has some",
    FAIL,
    r"the .+",
    lambda lab: check(f"grpc://{(name := lab.name())}:{lab.serve_grpc(1, name, None)}"),
)


def status_frames(status: str) -> Script:
    """Return a script that answers with a status of HTTP/2 and nothing of gRPC, as a gateway does."""
    # A literal header without indexing whose name is entry 8 of the static table, ":status" (RFC 7541, 6.2.2).
    block = b"\x08\x03" + status.encode()
    headers = len(block).to_bytes(3, "big") + b"\x01\x05" + (1).to_bytes(4, "big") + block

    def script(connection: socket.socket) -> None:
        connection.sendall(b"\x00\x00\x00\x04" + bytes(5))
        received = b""
        while b"grpc" not in received and len(received) < 70:
            if not (chunk := connection.recv(65536)):
                return
            received += chunk
        connection.sendall(headers)
        wait_for_end(connection)

    return script


for _status in ("401", "403"):
    add(
        HEALTHY,
        f"gateway in front of a gRPC server that answers {_status}",
        OK,
        f"HTTP {_status}{TIMES}; up, requires authentication",
        lambda lab, status=_status: check(f"grpc://{lab.name()}:{lab.serve(status_frames(status))}"),
    )
for _status in ("200", "404", "502", "503"):
    add(
        BROKEN,
        f"gateway in front of a gRPC server that answers {_status}",
        FAIL,
        f"HTTP {_status}{TIMES}; the answer is not gRPC",
        lambda lab, status=_status: check(f"grpc://{lab.name()}:{lab.serve(status_frames(status))}"),
    )
