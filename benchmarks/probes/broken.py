"""Environments that are broken: no ok is right."""

from __future__ import annotations

from typing import Any

import trustme

from airflow_incident_provider.probes import ProbeSettings
from benchmarks.probes.environments import (
    BROKEN,
    FAIL,
    OK_ANSWER,
    TIMES,
    UNKNOWN,
    WARN,
    Check,
    add,
    check,
    environment,
    grpc,
    http,
    https,
    in_network6,
    on_bridge,
    tolerant,
)
from benchmarks.probes.lab import DOMAIN, Lab
from benchmarks.probes.servers import answer, hang_up, raw_answer, read_request, say, wait_for_end

ZONE_BROKEN = (
    "queries for the name were {}, while the resolver answers for the root; not reached: connection, request"
)
for _status in (
    "500 Internal Server Error",
    "501 Not Implemented",
    "502 Bad Gateway",
    "503 Service Unavailable",
    "504 Gateway Timeout",
    "505 HTTP Version Not Supported",
    "511 Network Authentication Required",
):
    add(
        BROKEN,
        f"status {_status}",
        FAIL,
        f"HTTP {_status[:3]}{TIMES}",
        lambda lab, status=_status: http(lab, answer(status)),
        quick=_status.startswith("503"),
    )
for _status in ("400 Bad Request", "404 Not Found", "410 Gone", "429 Too Many Requests"):
    add(
        BROKEN,
        f"status {_status}",
        WARN,
        f"HTTP {_status[:3]}{TIMES}",
        lambda lab, status=_status: http(lab, answer(status)),
    )
add(
    BROKEN,
    "200 where the table expects 204",
    FAIL,
    f"HTTP 200{TIMES}; expected 204",
    lambda lab: http(lab, OK_ANSWER, expect=tolerant(statuses=("204",))),
)
add(
    BROKEN,
    "body that does not match",
    FAIL,
    f"HTTP 200{TIMES}; the body does not match '\\^up\\$'",
    lambda lab: http(lab, OK_ANSWER, expect=tolerant(body="^up$")),
)
add(
    BROKEN,
    "slow answer",
    WARN,
    f"HTTP 200{TIMES}; slow: the limit is 500 ms",
    lambda lab: http(lab, answer("200 OK", delay_s=1), expect=tolerant(slow_ms=500)),
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
add(
    BROKEN,
    "no such name",
    FAIL,
    r"no such name \(NXDOMAIN\); not reached: connection, TLS, request",
    lambda _lab: check(f"https://nobody.{DOMAIN}/"),
    quick=True,
)
add(
    BROKEN,
    "no such name, port alone",
    FAIL,
    r"no such name \(NXDOMAIN\); not reached: connection",
    lambda _lab: check(f"nobody.{DOMAIN}:5432"),
)
add(
    BROKEN,
    "name without an address",
    FAIL,
    r"the name has no address; not reached: connection, request",
    lambda lab: check(f"http://{_no_address(lab)}/"),
)
add(
    BROKEN,
    "zone that cannot be resolved",
    FAIL,
    ZONE_BROKEN.format("answered SERVFAIL"),
    lambda lab: check(f"http://{lab.name(codes={'A': 'SERVFAIL', 'AAAA': 'SERVFAIL'})}/", **on_bridge(lab.address)),
)
add(
    BROKEN,
    "name that the resolver never answers for",
    FAIL,
    ZONE_BROKEN.format("not answered"),
    lambda lab: check(f"http://{lab.name(codes={'A': 'DROP', 'AAAA': 'DROP'})}/", **on_bridge(lab.address)),
)
for _code in ("SERVFAIL", "NXDOMAIN", "REFUSED"):
    add(
        BROKEN,
        f"AAAA is answered {_code}",
        WARN,
        rf"1 address in \d+ ms; the AAAA query was answered {_code}",
        lambda lab, code=_code: http(lab, OK_ANSWER, host=lab.name(codes={"AAAA": code}), **on_bridge(lab.address)),
        quick=_code == "SERVFAIL",
    )
add(
    BROKEN,
    "AAAA is never answered",
    WARN,
    r"1 address in \d+ ms; the AAAA query was not answered; the name took \d+\.\d s to resolve",
    lambda lab: http(lab, OK_ANSWER, host=lab.name(codes={"AAAA": "DROP"}), **on_bridge(lab.address)),
)
add(
    BROKEN,
    "A is answered SERVFAIL next to a good AAAA",
    WARN,
    r"1 address in \d+ ms; the A query was answered SERVFAIL",
    lambda lab: _broken_a(lab),  # noqa: PLW0108 - it is defined below
)
add(
    BROKEN,
    "name that takes three seconds",
    WARN,
    r"1 address in \d+ ms; the name took \d\.\d s to resolve",
    lambda lab: http(
        lab, OK_ANSWER, host=lab.name(delay_s=3), expect=tolerant(slow_ms=20_000), **on_bridge(lab.address)
    ),
)


def _no_address(lab: Lab) -> str:
    """Return a name that exists and has no address."""
    name = lab.name()
    lab.zone[name] = type(lab.zone[name])(records=())
    return name


def _broken_a(lab: Lab) -> Check:
    """Return the check of a name whose IPv4 half does not resolve."""
    address = lab.network6.address6 or ""
    host = lab.name(address, codes={"A": "SERVFAIL"})
    return check(f"http://{host}:{lab.serve(OK_ANSWER, at=address)}/", **in_network6(lab))


@environment(
    BROKEN, "expired certificate", FAIL, r"certificate expired 2 days ago \(\d{4}-\d\d-\d\d, CN=.+\)", quick=True
)
def _expired(lab: Lab) -> Check:
    name = lab.name()
    return https(lab, OK_ANSWER, lab.tls(name, days=-2.5), host=name)


@environment(
    BROKEN,
    "certificate that expires in six days",
    WARN,
    r"certificate expires in 6 days \(\d{4}-\d\d-\d\d, CN=.+\)",
    quick=True,
)
def _expiring(lab: Lab) -> Check:
    name = lab.name()
    return https(lab, OK_ANSWER, lab.tls(name, days=6.5), host=name)


@environment(
    BROKEN,
    "certificate that is not valid yet",
    FAIL,
    r"certificate is not valid before \d{4}-\d\d-\d\d \d\d:\d\d UTC \(.+\)",
)
def _not_yet(lab: Lab) -> Check:
    name = lab.name()
    return https(lab, OK_ANSWER, lab.tls(name, starts_in_days=2), host=name)


@environment(
    BROKEN,
    "certificate for another name",
    FAIL,
    rf"certificate is for another name \(other\.example\), not host-\d+\.{DOMAIN}",
    quick=True,
)
def _other_name(lab: Lab) -> Check:
    return https(lab, OK_ANSWER, lab.tls("other.example"))


@environment(
    BROKEN, "wildcard certificate two labels up", FAIL, rf"certificate is for another name \(\*\.{DOMAIN}\), not .+"
)
def _wildcard_too_far(lab: Lab) -> Check:
    name = f"deep.{lab.name()}"
    lab.zone[name] = lab.zone[name.partition(".")[2]]
    return https(lab, OK_ANSWER, lab.tls(f"*.{DOMAIN}"), host=name)


@environment(
    BROKEN,
    "certificate by an unknown authority",
    WARN,
    r"clients with the usual authorities reject the certificate: its issuer is not a known authority",
    quick=True,
)
def _unknown_authority(lab: Lab) -> Check:
    name = lab.name()
    return https(lab, OK_ANSWER, lab.tls(name, authority=trustme.CA()), host=name)


@environment(
    BROKEN,
    "chain without its intermediate",
    WARN,
    r"clients with the usual authorities reject the certificate: its issuer is not a known authority",
)
def _incomplete_chain(lab: Lab) -> Check:
    name = lab.name()
    context = lab.tls(name, authority=lab.authority.create_child_ca(), without_chain=True)
    return https(lab, OK_ANSWER, context, host=name)


@environment(
    BROKEN,
    "certificate for another name and by an unknown authority",
    FAIL,
    r"certificate is for another name \(other\.example\), not [^;]+",
)
def _two_faults(lab: Lab) -> Check:
    return https(lab, OK_ANSWER, lab.tls("other.example", authority=trustme.CA()))


@environment(
    BROKEN, "503 with an expiring certificate", FAIL, rf"HTTP 503{TIMES}; certificate expires in 6 days \(.+\)"
)
def _both(lab: Lab) -> Check:
    name = lab.name()
    return https(lab, answer("503 Service Unavailable"), lab.tls(name, days=6.5), host=name)


add(
    BROKEN,
    "TLS handshake that hangs",
    FAIL,
    r"the TLS handshake did not end within 4 s; not reached: request",
    lambda lab: check(f"https://{lab.name()}:{lab.serve(wait_for_end)}/"),
    quick=True,
)
add(
    BROKEN,
    "no TLS on the port",
    FAIL,
    r"the TLS handshake failed \(.+\); not reached: request",
    lambda lab: check(f"https://{lab.name()}:{lab.serve(say(b'HTTP/1.1 400 Bad Request', then_wait=True))}/"),
)
add(
    BROKEN,
    "hangs up in the handshake",
    FAIL,
    r"the TLS handshake failed.*; not reached: request",
    lambda lab: check(f"https://{lab.name()}:{lab.serve(hang_up)}/"),
)
add(BROKEN, "no answer to the request", FAIL, r"no answer within 10 s", lambda lab: http(lab, wait_for_end))
add(
    BROKEN,
    "hangs up after the request",
    FAIL,
    r"the server closed the connection without an answer",
    lambda lab: http(lab, lambda connection: read_request(connection) and None),
    quick=True,
)
add(
    BROKEN,
    "answer that breaks off",
    WARN,
    rf"HTTP 200{TIMES}; the answer broke off: .+",
    lambda lab: http(lab, raw_answer(b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\nbegin")),
)
add(
    BROKEN,
    "answer that stops halfway",
    WARN,
    rf"HTTP 200{TIMES}; the answer did not end within 10 s; slow: .+",
    lambda lab: http(lab, stalled),
)
add(
    BROKEN,
    "something else than HTTP",
    FAIL,
    r"the answer is not HTTP",
    lambda lab: http(lab, say(b"220 mail.acme.example ESMTP\r\n" * 4, then_wait=True)),
)


def stalled(connection: Any) -> None:
    """Answer half of what was announced, and then nothing."""
    read_request(connection)
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\nbegin")
    wait_for_end(connection)


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


@environment(
    BROKEN, "redirect that is followed to a 503", FAIL, rf"redirects to http://[^ ]+: HTTP 503{TIMES}", quick=True
)
def _followed_to_failure(lab: Lab) -> Check:
    there = f"http://{lab.name()}:{lab.serve(answer('503 Service Unavailable'))}/"
    return http(lab, answer("302 Found", Location=there), expect=tolerant(follow_redirects=True))


@environment(
    BROKEN,
    "redirect that is followed to a refused port",
    FAIL,
    r"redirects to http://[^ ]+: port \d+: connection refused at .+",
)
def _followed_to_refusal(lab: Lab) -> Check:
    there = f"http://{lab.name()}:{lab.refused()}/"
    return http(lab, answer("302 Found", Location=there), expect=tolerant(follow_redirects=True))


@environment(
    BROKEN,
    "redirects in a circle",
    UNKNOWN,
    r"redirects to .+: HTTP 302.+; redirects to [^ ]+, which was not followed",
)
def _circle(lab: Lab) -> Check:
    return http(lab, answer("302 Found", Location="/again"), expect=tolerant(follow_redirects=True))


@environment(
    BROKEN,
    "client certificate that the server does not take",
    FAIL,
    r"the (?:TLS handshake failed|connection broke).*",
)
def _wrong_client(lab: Lab) -> Check:
    name, clients = lab.name(), trustme.CA()
    issued = trustme.CA().issue_cert("stranger@acme.example")
    pem = (issued.cert_chain_pems[0].bytes() + issued.private_key_pem.bytes()).decode()
    settings = ProbeSettings(ca_pem=lab.ca_pem, client_pem=pem)
    expect = tolerant(client_certificate="probe_certificate")
    return https(lab, OK_ANSWER, lab.tls(name, clients=clients), host=name, expect=expect, settings=settings)


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
