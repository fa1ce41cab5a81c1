"""Environments of gRPC servers and of their health service (grpc.health.v1)."""

from __future__ import annotations

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
)

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
