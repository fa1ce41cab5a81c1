"""Environments of names: what resolvers answer, how long they take, and whether they agree."""

from __future__ import annotations

from benchmarks.probes.environments import (
    BROKEN,
    FAIL,
    HEALTHY,
    HTTP_OK,
    OK,
    OK_ANSWER,
    SKIPPED,
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
from benchmarks.probes.servers import Behaviour

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


# --- aliases ----------------------------------------------------------------------------------------------


def aliases(lab: Lab, *, end: str | None, length: int = 5) -> str:
    """Return a name that is an alias of an alias of an alias, up to this end; without one, of itself in the end."""
    first = name = lab.name()
    for _ in range(length - 1):
        following = lab.name()
        lab.zone[name] = Behaviour(alias=f"{following}.")
        name = following
    lab.zone[name] = Behaviour(alias=f"{end or first}.")
    return first


add(
    HEALTHY,
    "alias of an alias, five times",
    OK,
    HTTP_OK,
    lambda lab: http(lab, OK_ANSWER, host=aliases(lab, end=lab.name())),
)
add(
    BROKEN,
    "alias of a name that does not exist",
    FAIL,
    r"alias of gone\.lab\.test, and there is no such name \(NXDOMAIN\); not reached: connection, request",
    lambda lab: http(lab, OK_ANSWER, host=aliases(lab, end="gone.lab.test", length=1)),
    quick=True,
)
add(
    BROKEN,
    "alias of a name without an address",
    FAIL,
    r"alias of host-\d+\.lab\.test, which has no address; not reached: connection, request",
    lambda lab: http(lab, OK_ANSWER, host=aliases(lab, end=_no_address(lab), length=2)),
)
add(
    BROKEN,
    "aliases in a circle",
    FAIL,
    r"alias of host-\d+\.lab\.test, which has no address; not reached: connection, request",
    lambda lab: http(lab, OK_ANSWER, host=aliases(lab, end=None, length=3), **on_bridge(lab.address)),
)

# --- addresses that are odd, or many ----------------------------------------------------------------------

for _address, _kind in (("0.0.0.0", "unspecified"), ("::", "unspecified"), ("255.255.255.255", "broadcast")):
    add(
        UNCHECKED,
        f"name at {_address}",
        SKIPPED,
        rf"refused: [^ ]+ is at {_address} \({_kind}\), which may not be probed",
        lambda lab, address=_address: http(lab, OK_ANSWER, host=lab.name(address)),
    )
add(
    BROKEN,
    "name alone, at 0.0.0.0",
    WARN,
    r"1 address in \d+ ms; 0\.0\.0\.0 \(unspecified\) is no address of a service",
    lambda lab: check(lab.name("0.0.0.0")),
)
add(
    HEALTHY,
    "name alone, with 60 addresses",
    OK,
    r"32 addresses or more in \d+ ms",
    lambda lab: check(lab.name(*(f"10.9.8.{number}" for number in range(1, 61)))),
    quick=True,
)
add(
    HEALTHY,
    "name of which 60 addresses of IPv6 cannot be reached from here",
    OK,
    rf"{HTTP_OK}; IPv6 not checked: this container has no route .+",
    lambda lab: http(lab, OK_ANSWER, host=lab.name(lab.address, *(f"2606:4700::{n:x}" for n in range(1, 61)))),
)
add(
    HEALTHY,
    "name of 250 characters",
    OK,
    HTTP_OK,
    lambda lab: http(lab, OK_ANSWER, host=_long(lab)),
)
add(
    HEALTHY,
    "name that begins with a digit",
    OK,
    HTTP_OK,
    lambda lab: http(lab, OK_ANSWER, host=lab.name(label="1e100")),
)


def _long(lab: Lab) -> str:
    known = lab.name()
    name = f"{'a' * 60}.{'b' * 60}.{'c' * 60}.{'d' * 40}.{known}"
    lab.zone[name] = lab.zone[known]
    return name


# --- names with an underscore, which musl does not resolve ------------------------------------------------

add(
    UNCHECKED,
    "name with an underscore, truncated over UDP",
    UNKNOWN,
    r"the resolver's answer was cut off, and such names are asked for over UDP only; not reached: .+",
    lambda lab: http(lab, OK_ANSWER, host=lab.name(label="my_service", truncate=True)),
)
add(
    HEALTHY,
    "name with an underscore that is an alias",
    OK,
    HTTP_OK,
    lambda lab: http(lab, OK_ANSWER, host=lab.name(label="my_service", alias=f"{lab.name()}.")),
)
for _code in ("SERVFAIL", "REFUSED"):
    add(
        HEALTHY,
        f"name with an underscore, and the first of two resolvers answers {_code}",
        OK,
        HTTP_OK,
        lambda lab, code=_code: http(
            lab,
            OK_ANSWER,
            host=lab.name(label="my_service"),
            **on_bridge(lab.resolver(lab.free_address(), everything=code), lab.address),
        ),
        quick=_code == "SERVFAIL",
    )
add(
    BROKEN,
    "name with an underscore that does not exist",
    FAIL,
    r"no such name \(NXDOMAIN\); not reached: connection, request",
    lambda _lab: check("http://no_body.lab.test/"),
)
add(
    BROKEN,
    "name with an underscore whose AAAA is answered SERVFAIL",
    WARN,
    r"1 address in \d+ ms; the AAAA query was answered SERVFAIL",
    lambda lab: http(
        lab,
        OK_ANSWER,
        host=lab.name(label="my_service", codes={"AAAA": "SERVFAIL"}),
        **on_bridge(lab.address),
    ),
)
add(
    HEALTHY,
    "name with an underscore and IPv6 only",
    OK,
    HTTP_OK,
    lambda lab: check(
        f"http://{lab.name(lab.network6.address6 or '', label='my_service')}:"
        f"{lab.serve(OK_ANSWER, at=lab.network6.address6)}/",
        **in_network6(lab),
    ),
)

# --- search domains, and Docker's own resolver ------------------------------------------------------------

add(
    HEALTHY,
    "short name, by the engine's search domain",
    OK,
    HTTP_OK,
    lambda lab: http(lab, OK_ANSWER, host=lab.name().partition(".")[0], search=DOMAIN),
    quick=True,
)
add(
    BROKEN,
    "short name that is in no search domain",
    FAIL,
    r"no such name \(NXDOMAIN\); not reached: connection, request",
    lambda _lab: check("http://nobody/", search=DOMAIN),
)
add(
    BROKEN,
    "zone that cannot be resolved, behind Docker's resolver",
    FAIL,
    ZONE_BROKEN.format("answered SERVFAIL"),
    lambda lab: check(f"http://{lab.name(codes={'A': 'SERVFAIL', 'AAAA': 'SERVFAIL'})}/"),
)
add(
    BROKEN,
    "name that is never answered for, behind Docker's resolver",
    FAIL,
    ZONE_BROKEN.format("(?:not answered|answered SERVFAIL)"),
    lambda lab: check(f"http://{lab.name(codes={'A': 'DROP', 'AAAA': 'DROP'})}/"),
)
add(
    UNCHECKED,
    "resolver that is gone, behind Docker's",
    UNKNOWN,
    r"(?:no resolver answered|the resolver did not answer the question) \(.+\); not reached: connection, request",
    lambda lab: http(lab, OK_ANSWER, dns=(lab.deserted,)),
)
add(
    HEALTHY,
    "resolver that fails once for each question",
    OK,
    HTTP_OK,
    lambda lab: http(lab, OK_ANSWER, host=lab.name(failures=1), **on_bridge(lab.address)),
)
add(
    UNCHECKED,
    "three resolvers that are gone",
    UNKNOWN,
    r"no resolver answered \([0-9.]+, [0-9.]+, [0-9.]+\); not reached: connection, request",
    lambda lab: http(
        lab, OK_ANSWER, **on_bridge(*(f"{lab.deserted.rpartition('.')[0]}.{n}" for n in (197, 198, 199)))
    ),
)
add(
    UNCHECKED,
    "resolvers of which one is gone and one declines",
    UNKNOWN,
    r"the resolver did not answer the question \(REFUSED, not at all from [0-9., ]+\); not reached: .+",
    lambda lab: http(
        lab, OK_ANSWER, **on_bridge(lab.resolver(lab.free_address(), everything="REFUSED"), lab.deserted)
    ),
)
