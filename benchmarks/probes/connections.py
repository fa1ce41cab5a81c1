"""Environments of ports: refused, silent, filtered, and open at some addresses only."""

from __future__ import annotations

from benchmarks.probes.environments import (
    BROKEN,
    FAIL,
    HEALTHY,
    HTTP_OK,
    OK,
    OK_ANSWER,
    PUBLIC_IPV6,
    TIMES,
    UNCHECKED,
    UNKNOWN,
    WARN,
    Check,
    add,
    check,
    environment,
    http,
    in_network6,
)
from benchmarks.probes.lab import Lab
from benchmarks.probes.servers import answer, hang_up, say, wait_for_end

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


_INTERNAL = r"IPv4 not checked: 93\.184\.215\.14 does not answer a container in an internal network"

# --- firewalls, and networks without a way ----------------------------------------------------------------

for _how, _words in (
    ("icmp-port-unreachable", "connection refused"),
    ("tcp-reset", "connection refused"),
    ("icmp-admin-prohibited", "no route to the host"),
    ("icmp-host-unreachable", "no route to the host"),
):
    add(
        BROKEN,
        f"firewall that rejects with {_how}",
        FAIL,
        rf"port \d+: {_words} at [0-9.]+; not reached: request",
        lambda lab, how=_how: check(f"http://{lab.name()}:{lab.rejected(how)}/"),
    )
    add(
        BROKEN,
        f"firewall that rejects with {_how}, port alone",
        FAIL,
        rf"port \d+: {_words} at [0-9.]+",
        lambda lab, how=_how: check(f"{lab.name()}:{lab.rejected(how)}"),
    )
add(
    UNCHECKED,
    "public address, from a network without a way out",
    UNKNOWN,
    rf"not checked: {_INTERNAL}; not reached: TLS, request",
    lambda lab: check(f"https://{lab.name('93.184.215.14')}/"),
    quick=True,
)
add(
    UNCHECKED,
    "public literal, from a network without a way out",
    UNKNOWN,
    rf"not checked: {_INTERNAL}",
    lambda _lab: check("93.184.215.14:5432"),
)
add(
    HEALTHY,
    "private address next to a public one, from a network without a way out",
    OK,
    rf"{HTTP_OK}; {_INTERNAL}",
    lambda lab: http(lab, OK_ANSWER, host=lab.name(lab.address, "93.184.215.14")),
)
add(
    BROKEN,
    "503, and an address family that was not checked",
    FAIL,
    rf"HTTP 503{TIMES}; IPv6 not checked: this container has no route to {PUBLIC_IPV6}",
    lambda lab: http(lab, answer("503 Service Unavailable"), host=lab.name(lab.address, PUBLIC_IPV6)),
    quick=True,
)
add(
    BROKEN,
    "503 of an address that is written as one",
    FAIL,
    f"HTTP 503{TIMES}",
    lambda lab: http(lab, answer("503 Service Unavailable"), host=lab.address),
)

# --- services that speak no HTTP --------------------------------------------------------------------------

_MYSQL_BLOCKED = b"\x45\x00\x00\x00\xffj\x04Host '172.30.0.2' is blocked because of many connection errors"
for _name, _target, _script in (
    (
        "Redis that requires a login",
        "redis://:s3cret@{}/0",
        say(b"-NOAUTH Authentication required.\r\n", then_wait=True),
    ),
    ("PostgreSQL without TLS", "postgresql+psycopg2://app:s3cret@{}/orders", say(b"N", then_wait=True)),
    ("MySQL that blocks our host", "mysql://app:s3cret@{}/orders", say(_MYSQL_BLOCKED)),
    ("SMTP that is not ready", "smtp://{}", say(b"421 too many connections\r\n")),
    ("SSH", "ssh://deploy@{}", say(b"SSH-2.0-OpenSSH_9.9\r\n", then_wait=True)),
    ("Kafka that waits for a request", "kafka://{}", wait_for_end),
    ("MQTT that waits for a request", "mqtt://{}", wait_for_end),
    ("LDAP that hangs up", "ldap://{}", hang_up),
    ("SQL Server by JDBC", "jdbc:sqlserver://{};databaseName=orders;user=app;password=s3cret", wait_for_end),
    ("AMQP in capitals", "AMQP://guest:guest@{}/%2F", say(b"AMQP\x00\x00\x09\x01")),
    ("any service, by tcp", "tcp://{}", wait_for_end),
):
    add(
        HEALTHY,
        f"port of {_name}",
        OK,
        r"port \d+ open",
        lambda lab, target=_target, script=_script: check(target.format(f"{lab.name()}:{lab.serve(script)}")),
    )
for _name, _target in (
    ("LDAP", "ldaps://{}"),
    ("MQTT", "mqtts://{}"),
    ("AMQP", "amqps://u:s3cret@{}/"),
    ("SMTP", "smtps://{}"),
):
    add(
        HEALTHY,
        f"{_name} over TLS",
        OK,
        r"certificate valid until .+",
        lambda lab, target=_target: check(
            target.format(
                f"{(name := lab.name())}:{lab.serve(say(b'220 ready', then_wait=True), tls=lab.tls(name))}"
            )
        ),
    )
add(
    BROKEN,
    "service over TLS whose certificate has expired",
    FAIL,
    r"certificate expired 4 days ago \(.+\)",
    lambda lab: check(f"rediss://{(name := lab.name())}:{lab.serve(wait_for_end, tls=lab.tls(name, days=-4.5))}/0"),
)
add(
    BROKEN,
    "service that is asked for TLS and knows none",
    FAIL,
    r"the TLS handshake failed \(.+\)",
    lambda lab: check(f"rediss://{lab.name()}:{lab.serve(say(b'-ERR unknown command', then_wait=True))}/0"),
)
add(
    BROKEN,
    "service over TLS that says nothing",
    FAIL,
    r"the TLS handshake did not end within 4 s",
    lambda lab: check(f"amqps://{lab.name()}:{lab.serve(wait_for_end)}/"),
)
add(
    HEALTHY,
    "port 443 without a scheme",
    OK,
    r"certificate valid until .+",
    lambda lab: _port_443(lab),  # noqa: PLW0108 - it is defined below
)
add(
    HEALTHY,
    "port of an IPv6 literal",
    OK,
    r"port \d+ open",
    lambda lab: check(
        f"[{lab.network6.address6}]:{lab.serve(wait_for_end, at=lab.network6.address6)}", **in_network6(lab)
    ),
)
add(
    BROKEN,
    "port of an IPv6 literal that refuses",
    FAIL,
    r"port \d+: connection refused at fd00:[0-9a-f:]+",
    lambda lab: check(f"tcp://[{lab.network6.address6}]:{lab.refused(lab.network6.address6)}", **in_network6(lab)),
)
add(
    HEALTHY,
    "port at three addresses",
    OK,
    r"port \d+ open at 3 addresses",
    lambda lab: _ports(lab, lab.network.addresses[:3]),
)


def _port_443(lab: Lab) -> Check:
    name = lab.name(lab.network.addresses[2])
    lab.serve(OK_ANSWER, at=lab.network.addresses[2], port=443, tls=lab.tls(name))
    return check(f"{name}:443")


def _ports(lab: Lab, addresses: tuple[str, ...]) -> Check:
    port = lab.serve(wait_for_end, at=addresses[0])
    for address in addresses[1:]:
        lab.serve(wait_for_end, at=address, port=port)
    return check(f"{lab.name(*addresses)}:{port}")
