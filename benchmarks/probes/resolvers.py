"""Environments of resolvers that are slow, or that do not agree."""

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
    add,
    http,
    on_bridge,
)
from benchmarks.probes.lab import Lab


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
