"""Environments of names: what resolvers answer, how long they take, and whether they agree."""

from __future__ import annotations

from benchmarks.probes.environments import (
    BROKEN,
    FAIL,
    HEALTHY,
    HTTP_OK,
    OK,
    OK_ANSWER,
    UNCHECKED,
    UNKNOWN,
    WARN,
    Check,
    add,
    check,
    http,
    in_network6,
    on_bridge,
    tolerant,
)
from benchmarks.probes.lab import DOMAIN, Lab

ZONE_BROKEN = (
    "queries for the name were {}, while the resolver answers for the root; not reached: connection, request"
)


def _slow_to_deny(lab: Lab) -> str:
    """Return the address of a resolver that knows no name, and takes its time to say so."""
    return lab.resolver(lab.free_address(), everything="NXDOMAIN", delay_s=0.5)


# A client asks for both types at once: one resolver's second of thought for each is not two seconds for the name.
add(
    HEALTHY,
    "resolver that takes 1.2 s for each question",
    OK,
    HTTP_OK,
    lambda lab: http(lab, OK_ANSWER, host=lab.name(delay_s=1.2), **on_bridge(lab.address)),
    quick=True,
)
add(
    HEALTHY,
    "second of two resolvers does not know the name",
    OK,
    HTTP_OK,
    lambda lab: http(lab, OK_ANSWER, **on_bridge(lab.address, _slow_to_deny(lab))),
)
add(
    UNCHECKED,
    "first of two resolvers does not know the name",
    UNKNOWN,
    r"the resolvers disagree: NXDOMAIN from [0-9.]+, an address from [0-9.]+; not reached: connection, request",
    lambda lab: http(
        lab,
        OK_ANSWER,
        host=lab.name(delay_s=0.8),
        **on_bridge(lab.resolver(lab.free_address(), everything="NXDOMAIN"), lab.address),
    ),
    quick=True,
)
for _code in ("FORMERR", "NOTIMP"):
    add(
        BROKEN,
        f"AAAA is answered {_code}",
        WARN,
        rf"1 address in \d+ ms; the AAAA query was answered {_code}",
        lambda lab, code=_code: http(lab, OK_ANSWER, host=lab.name(codes={"AAAA": code}), **on_bridge(lab.address)),
    )
add(
    BROKEN,
    "A is answered SERVFAIL, and there is no AAAA",
    FAIL,
    r"the A query was answered SERVFAIL, and the name has no AAAA record; not reached: connection, request",
    lambda lab: http(lab, OK_ANSWER, host=lab.name(codes={"A": "SERVFAIL"}), **on_bridge(lab.address)),
    quick=True,
)
add(
    UNCHECKED,
    "answer that is cut within its record",
    UNKNOWN,
    r"the resolver did not answer the question \(with something that is not DNS from [0-9.]+\); not reached: .+",
    lambda lab: http(lab, OK_ANSWER, host=lab.name(cut=True), **on_bridge(lab.address)),
    quick=True,
)
add(
    HEALTHY,
    "the same address twice",
    OK,
    HTTP_OK,
    lambda lab: http(lab, OK_ANSWER, host=lab.name(lab.address, lab.address)),
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
