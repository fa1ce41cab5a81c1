"""Environments that cannot be checked from where we are: nothing may be claimed about the target."""

from __future__ import annotations

import ssl

import trustme

from airflow_incident_provider.probes import ProbeSettings
from benchmarks.probes.environments import (
    OK_ANSWER,
    PUBLIC_IPV6,
    SKIPPED,
    TIMES,
    UNCHECKED,
    UNKNOWN,
    Check,
    add,
    check,
    environment,
    http,
    https,
    on_bridge,
    tolerant,
)
from benchmarks.probes.lab import Lab
from benchmarks.probes.servers import answer

add(
    UNCHECKED,
    "no network",
    UNKNOWN,
    r"the resolver did not answer .+|no resolver answered .+|the container has no resolver.*",
    lambda lab: http(lab, OK_ANSWER, network="none"),
)
add(
    UNCHECKED,
    "resolver that is gone",
    UNKNOWN,
    r"no resolver answered \([0-9.]+\); not reached: connection, request",
    lambda lab: http(lab, OK_ANSWER, **on_bridge(lab.deserted)),
    quick=True,
)
add(
    UNCHECKED,
    "resolver with an address that leads nowhere",
    UNKNOWN,
    r"no resolver answered \(2001:db8::53\); not reached: connection, request",
    lambda lab: http(lab, OK_ANSWER, **on_bridge("2001:db8::53")),
)
for _code in ("REFUSED", "SERVFAIL", "NOTIMP"):
    add(
        UNCHECKED,
        f"resolver that answers everything {_code}",
        UNKNOWN,
        rf"the resolver did not answer the question \({_code} from [0-9.]+\); not reached: connection, request",
        lambda lab, code=_code: http(
            lab, OK_ANSWER, **on_bridge(lab.resolver(lab.free_address(), everything=code))
        ),
        quick=_code == "SERVFAIL",
    )
add(
    UNCHECKED,
    "resolver that answers with garbage",
    UNKNOWN,
    r"the resolver did not answer the question \(with something that is not DNS from .+\); not reached: .+",
    lambda lab: http(lab, OK_ANSWER, **on_bridge(lab.resolver(lab.free_address(), everything="GARBAGE"))),
)
add(
    UNCHECKED,
    "truncated answer, and no TCP",
    UNKNOWN,
    r"the resolver's answer was cut off, and it gave none over TCP; not reached: connection, request",
    lambda lab: http(
        lab, OK_ANSWER, host=lab.name(truncate=True), **on_bridge(lab.resolver(lab.free_address(), tcp=False))
    ),
)
add(
    UNCHECKED,
    "IPv6 only, from a network without IPv6",
    UNKNOWN,
    rf"not checked: IPv6 not checked: this container has no route to {PUBLIC_IPV6}; not reached: request",
    lambda lab: http(lab, OK_ANSWER, host=lab.name(PUBLIC_IPV6)),
    quick=True,
)
add(
    UNCHECKED,
    "host name that is Datadog's alone",
    UNKNOWN,
    r"a host name of the alert that our resolvers have no address for: no such name \(NXDOMAIN\)",
    lambda _lab: check("ip-10-20-3-41.ec2.internal-shop_prod", host_only=True),
    quick=True,
)
add(
    UNCHECKED,
    "redirect that is not followed",
    UNKNOWN,
    rf"HTTP 302{TIMES}; redirects to https://login\.acme\.example/x, which was not followed",
    lambda lab: http(lab, answer("302 Found", Location="https://login.acme.example/x")),
    quick=True,
)
for _version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
    add(
        UNCHECKED,
        f"client certificate wanted, {_version.name.replace('_', '.')}",
        UNKNOWN,
        r"the server asks for a client certificate, and none is configured.*",
        lambda lab, version=_version: https(
            lab,
            OK_ANSWER,
            lab.tls(name := lab.name(), clients=trustme.CA(), versions=(version, version)),
            host=name,
        ),
        quick=True,
    )


@environment(
    UNCHECKED,
    "redirect that is followed to the metadata service",
    UNKNOWN,
    r"redirects to http://169\.254\.169\.254/x: 169\.254\.169\.254 \(metadata\) may not be probed",
    quick=True,
)
def _to_metadata(lab: Lab) -> Check:
    return http(
        lab, answer("302 Found", Location="http://169.254.169.254/x"), expect=tolerant(follow_redirects=True)
    )


@environment(
    UNCHECKED,
    "redirect that is followed to a name of the metadata service",
    UNKNOWN,
    r"redirects to http://[^ ]+: refused: [^ ]+ is at 169\.254\.169\.254 \(metadata\), which may not be probed",
)
def _to_metadata_name(lab: Lab) -> Check:
    there = f"http://{lab.name('169.254.169.254')}/"
    return http(lab, answer("302 Found", Location=there), expect=tolerant(follow_redirects=True))


for _kind, _address in (
    ("metadata", "169.254.169.254"),
    ("metadata", "fd00:ec2::254"),
    ("metadata", "64:ff9b::a9fe:a9fe"),
    ("embedding", "::ffff:a9fe:a9fe"),
    ("link-local", "fe80::1"),
    ("multicast", "224.0.0.1"),
    ("loopback", "127.0.0.1"),
):
    add(
        UNCHECKED,
        f"name at {_address}",
        SKIPPED,
        rf"refused: [^ ]+ is at [^ ]+ \({_kind}\), which may not be probed",
        lambda lab, address=_address: http(lab, OK_ANSWER, host=lab.name(lab.address, address)),
        quick=_address.endswith("254"),
    )
add(
    UNCHECKED,
    "private address that an alert brought",
    SKIPPED,
    r"refused: [^ ]+ is at [0-9.]+ \(private\), which may not be probed",
    lambda lab: http(lab, OK_ANSWER, trusted=False),
)
add(
    UNCHECKED,
    "image that is missing",
    UNKNOWN,
    r"the container could not run: the image .+ is not on this engine",
    lambda lab: http(lab, OK_ANSWER, image="127.0.0.1:1/nope:1"),
)


@environment(
    UNCHECKED, "target outside, and the proxy is gone", UNKNOWN, r"the proxy does not answer; not reached: request"
)
def _proxy_gone(lab: Lab) -> Check:
    settings = ProbeSettings(proxy=f"http://{lab.address}:{lab.refused()}")
    return check("http://outside.acme.example/", settings=settings)
