"""Environments of ports: refused, silent, filtered, and open at some addresses only."""

from __future__ import annotations

from benchmarks.probes.environments import (
    BROKEN,
    FAIL,
    OK_ANSWER,
    TIMES,
    WARN,
    Check,
    add,
    check,
    environment,
    http,
    in_network6,
)
from benchmarks.probes.lab import Lab
from benchmarks.probes.servers import (
    answer,
    wait_for_end,
)

add(
    BROKEN,
    "port refused, by URL",
    FAIL,
    r"port \d+: connection refused at [0-9.]+; not reached: request",
    lambda lab: check(f"http://{lab.name()}:{lab.refused()}/"),
    quick=True,
)
add(
    BROKEN,
    "port refused, with TLS",
    FAIL,
    r"port \d+: connection refused at [0-9.]+; not reached: TLS, request",
    lambda lab: check(f"https://{lab.name()}:{lab.refused()}/"),
)
add(
    BROKEN,
    "port refused",
    FAIL,
    r"port \d+: connection refused at [0-9.]+",
    lambda lab: check(f"{lab.name()}:{lab.refused()}"),
    quick=True,
)
add(
    BROKEN,
    "packets dropped, by URL",
    FAIL,
    r"port \d+: no connection in time at [0-9.]+; not reached: request",
    lambda lab: check(f"http://{lab.name()}:{lab.silent()}/"),
    quick=True,
)
add(
    BROKEN,
    "packets dropped",
    FAIL,
    r"port \d+: no connection in time at [0-9.]+",
    lambda lab: check(f"{lab.name()}:{lab.silent()}"),
)
add(
    BROKEN,
    "machine that is gone",
    FAIL,
    r"port 80: no route to the host at [0-9.]+; not reached: request",
    lambda lab: check(f"http://{lab.name(lab.deserted)}:80/"),
)


@environment(
    BROKEN,
    "one of two addresses refuses",
    WARN,
    r"port \d+ open at 1 of 2 addresses; connection refused at [0-9.]+",
    quick=True,
)
def _one_refuses(lab: Lab) -> Check:
    return http(lab, OK_ANSWER, host=lab.name(*lab.network.addresses[:2]))


@environment(
    BROKEN,
    "one of two addresses refuses, port alone",
    WARN,
    r"port \d+ open at 1 of 2 addresses; connection refused at [0-9.]+",
)
def _one_refuses_port(lab: Lab) -> Check:
    return check(f"{lab.name(*lab.network.addresses[:2])}:{lab.serve(wait_for_end)}")


@environment(
    BROKEN,
    "one of two machines is gone",
    WARN,
    r"port \d+ open at 1 of 2 addresses; no route to the host at [0-9.]+",
)
def _one_gone(lab: Lab) -> Check:
    return http(lab, OK_ANSWER, host=lab.name(lab.address, lab.deserted))


@environment(
    BROKEN,
    "both addresses fail differently",
    FAIL,
    r"port \d+: connection refused at [0-9.]+; no route to the host at [0-9.]+; not reached: request",
)
def _both_fail(lab: Lab) -> Check:
    return check(f"http://{lab.name(lab.address, lab.deserted)}:{lab.refused()}/")


@environment(
    BROKEN,
    "one of two addresses answers 503",
    WARN,
    rf"at 1 of 2 addresses \([0-9.]+\): HTTP 503{TIMES}",
    quick=True,
)
def _one_fails(lab: Lab) -> Check:
    port = lab.serve(OK_ANSWER)
    other = lab.network.addresses[1]
    lab.serve(answer("503 Service Unavailable"), at=other, port=port)
    return check(f"http://{lab.name(lab.address, other)}:{port}/")


@environment(
    BROKEN,
    "one of two addresses has an old certificate",
    WARN,
    r"at 1 of 2 addresses \([0-9.]+\): certificate expired .+",
)
def _one_expired(lab: Lab) -> Check:
    other = lab.network.addresses[1]
    name = lab.name(lab.address, other)
    port = lab.serve(OK_ANSWER, tls=lab.tls(name))
    lab.serve(OK_ANSWER, at=other, port=port, tls=lab.tls(name, days=-2.5))
    return check(f"https://{name}:{port}/")


@environment(
    BROKEN,
    "IPv6 refuses next to a good IPv4",
    WARN,
    r"port \d+ open at 1 of 2 addresses; connection refused at [0-9a-f:]+",
)
def _ipv6_refuses(lab: Lab) -> Check:
    here, here6 = lab.network6.addresses[0], lab.network6.address6 or ""
    return check(f"http://{lab.name(here, here6)}:{lab.serve(OK_ANSWER, at=here)}/", **in_network6(lab))
