"""Environments of our own side."""

from __future__ import annotations

from airflow_incident_provider.probes import ProbeSettings
from benchmarks.probes.environments import CONTROL, FAIL, OK, WARN, add, control, in_network6, on_bridge
from benchmarks.probes.servers import answer

OUR_SIDE = r"resolver [0-9., ]+ answers; routes for IPv4(?: and IPv6)?; load [0-9.]+ on \d+ CPUs"
add(CONTROL, "network in order", OK, OUR_SIDE, lambda _lab: control(), quick=True)
add(CONTROL, "network with IPv6", OK, OUR_SIDE, lambda lab: control(**in_network6(lab)))
for _code in ("SERVFAIL", "REFUSED"):
    add(
        CONTROL,
        f"resolver of internal names only, {_code} for the root",
        OK,
        OUR_SIDE,
        lambda lab, code=_code: control(**on_bridge(lab.resolver(lab.free_address(), root=code))),
    )
add(
    CONTROL,
    "resolver that is gone",
    FAIL,
    r"no resolver answers \([0-9.]+\)",
    lambda lab: control(**on_bridge(lab.deserted)),
    quick=True,
)
add(
    CONTROL,
    "resolver with an address that leads nowhere",
    FAIL,
    r"no resolver answers \(2001:db8::53\)",
    lambda _lab: control(**on_bridge("2001:db8::53")),
)
add(
    CONTROL,
    "one of two resolvers is gone",
    WARN,
    rf"resolver [0-9.]+ does not answer; {OUR_SIDE}",
    lambda lab: control(**on_bridge(lab.deserted, lab.address)),
)
add(
    CONTROL,
    "no network",
    FAIL,
    r"the container has no address; the container has no route; no resolver answers \(.+\)",
    lambda _lab: control(network="none"),
)
add(
    CONTROL,
    "proxy that answers",
    OK,
    r"resolver [0-9.]+ answers; routes for IPv4; the proxy answers; load .+",
    lambda lab: control(
        settings=ProbeSettings(proxy=f"http://{lab.address}:{lab.serve(answer('502 Bad Gateway'))}")
    ),
)
add(
    CONTROL,
    "proxy that is gone",
    FAIL,
    r"the proxy that leads out of the network does not answer",
    lambda lab: control(settings=ProbeSettings(proxy=f"http://{lab.address}:{lab.refused()}")),
)
