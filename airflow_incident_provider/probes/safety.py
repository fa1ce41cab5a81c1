"""
Which addresses may be contacted.

The first of two layers. Here literals are checked when the investigation is planned. A name can only be checked by
what it resolves to, so the container judges again, by the rules that :func:`address_rules` writes for it, and
connects to nothing that they do not permit.

Never contacted: metadata services, link-local, unspecified, broadcast, multicast, and IPv6 addresses that embed an
IPv4 address. Contacted only inside an allowed network: private, shared, loopback, unique local and reserved ranges
(RFC 1918, 6598, 1122, 4193, 6890). An address behind NAT64 (RFC 6052, 64:ff9b::/96) is checked by the IPv4 address
in it: networks without IPv4 reach every IPv4 host that way.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from enum import StrEnum
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from urllib.parse import SplitResult

from airflow_incident_provider.intake.targets import PROBE_SCHEMES, SRV
from airflow_incident_provider.models import Target
from airflow_incident_provider.probes.targets import canonical_url
from airflow_incident_provider.text import ascii_host, split_url

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network


class AddressKind(StrEnum):
    """What an address is for, as far as it matters to whether it may be contacted."""

    PUBLIC = "public"
    PRIVATE = "private"
    SHARED = "shared"
    LOOPBACK = "loopback"
    UNIQUE_LOCAL = "unique-local"
    RESERVED = "reserved"
    LINK_LOCAL = "link-local"
    METADATA = "metadata"
    UNSPECIFIED = "unspecified"
    BROADCAST = "broadcast"
    MULTICAST = "multicast"
    EMBEDDING = "embedding"
    MALFORMED = "malformed"


_INTERNAL = frozenset({AddressKind.PRIVATE, AddressKind.SHARED, AddressKind.UNIQUE_LOCAL})
IN_ALLOWED_NETWORKS = _INTERNAL | {AddressKind.LOOPBACK, AddressKind.RESERVED}
"""The kinds that may be contacted inside an allowed network; of the others only public ones, anywhere."""

NAT64 = IPv6Network("64:ff9b::/96")

RANGES: tuple[tuple[AddressKind, Network], ...] = tuple(
    (kind, ip_network(network))
    for kind, networks in (
        # AWS and most others, ECS, Alibaba, Azure, Oracle; EC2 and Google over IPv6.
        (AddressKind.METADATA, "169.254.169.254/32 169.254.170.2/32 100.100.100.200/32 168.63.129.16/32"),
        (AddressKind.METADATA, "192.0.0.192/32 fd00:ec2::/32 fd20:ce::/32"),
        (AddressKind.UNSPECIFIED, "0.0.0.0/8 ::/128"),
        (AddressKind.BROADCAST, "255.255.255.255/32"),
        (AddressKind.LOOPBACK, "127.0.0.0/8 ::1/128"),
        (AddressKind.EMBEDDING, "::/96 ::ffff:0:0/96 ::ffff:0:0:0/96 64:ff9b:1::/48 2001::/32 2002::/16"),
        (AddressKind.LINK_LOCAL, "169.254.0.0/16 fe80::/10"),
        (AddressKind.PRIVATE, "10.0.0.0/8 172.16.0.0/12 192.168.0.0/16"),
        (AddressKind.SHARED, "100.64.0.0/10"),
        (AddressKind.UNIQUE_LOCAL, "fc00::/7"),
        (AddressKind.MULTICAST, "224.0.0.0/4 ff00::/8"),
        (AddressKind.RESERVED, "192.0.0.0/24 192.0.2.0/24 192.88.99.0/24 198.18.0.0/15 198.51.100.0/24"),
        (AddressKind.RESERVED, "203.0.113.0/24 240.0.0.0/4 2001::/23 2001:db8::/32 3fff::/20"),
        (AddressKind.PUBLIC, "0.0.0.0/0 2000::/3"),
        (AddressKind.RESERVED, "::/0"),
    )
    for network in networks.split()
)
"""The kind of every address: the first network that contains it counts."""

INTERNAL_NETWORKS = tuple(str(network) for kind, network in RANGES if kind in _INTERNAL)
"""The private networks, which a target that the routing table names may lie in."""

_MAX_NAME = 253
_LABEL = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?")
# A name whose last label is a number is an IPv4 address to inet_aton() and to browsers (WHATWG URL, "ends in a
# number"): 2852039166, 0xa9fea9fe, 0251.0376.0251.0376 and 169.16689662 are all 169.254.169.254.
_NUMBER = re.compile(r"[0-9]+|0[xX][0-9A-Fa-f]*")
# What the hosts file of many systems, and the resolver of every machine on Google's cloud, answers.
_KNOWN_NAMES = {
    "localhost.localdomain": "127.0.0.1",
    "metadata.google.internal": "169.254.169.254",
}
_URL_CHARACTERS = re.compile(r"[!-~]+")


def classify(address: Address) -> AddressKind:
    """Return what kind of address this is; behind NAT64, what kind the embedded IPv4 address is."""
    if address in NAT64:
        return classify(IPv4Address(int(address) & 0xFFFFFFFF))
    return next(kind for kind, network in RANGES if address in network)


def is_permitted(address: Address, allowed_networks: Iterable[str] = ()) -> bool:
    """Return whether an address may be contacted, given the networks that the routing table allows."""
    if address in NAT64:
        return is_permitted(IPv4Address(int(address) & 0xFFFFFFFF), allowed_networks)
    kind = classify(address)
    if kind is AddressKind.PUBLIC:
        return True
    return kind in IN_ALLOWED_NETWORKS and any(address in ip_network(each) for each in allowed_networks)


def address_rules(allowed_networks: Iterable[str] = ()) -> str:
    """Return the rules by which the container judges what a name resolved to.

    Each line is ``yes|no KIND REGEX``. The first whose expression matches an address counts; an address is written
    as ``4`` or ``6`` and its hexadecimal digits (``40a000001`` for 10.0.0.1), so that a prefix is a network.
    """
    allowed = [ip_network(each) for each in allowed_networks]
    rules = list(_rules(allowed))
    embedded = f"6{int(NAT64.network_address) >> 32:024x}"
    behind_nat64 = [(verdict, kind, embedded + regex[1:]) for verdict, kind, regex in rules if regex[0] == "4"]
    return "\n".join(f"{verdict} {kind} ^{regex}" for verdict, kind, regex in (*behind_nat64, *rules))


def _rules(allowed: list[Network]) -> Iterator[tuple[str, AddressKind, str]]:
    for kind, network in RANGES:
        if kind in IN_ALLOWED_NETWORKS:
            for each in allowed:
                if each.version == network.version and each.overlaps(network):
                    yield "yes", kind, _regex(max(each, network, key=lambda one: one.prefixlen))
        yield "yes" if kind is AddressKind.PUBLIC else "no", kind, _regex(network)


def _regex(network: Network) -> str:
    """Return the beginning of every address of a network, in the notation of :func:`address_rules`."""
    whole, rest = divmod(network.prefixlen, 4)
    digits = f"{int(network.network_address):0{network.max_prefixlen // 4}x}"
    partial = ""
    if rest:
        first = int(digits[whole], 16)
        partial = f"[{''.join(f'{digit:x}' for digit in range(first, first + (1 << (4 - rest))))}]"
    return f"{network.version}{digits[:whole]}{partial}"


def refuse_host(host: str, allowed_networks: Iterable[str] = ()) -> str | None:
    """Return why a host must not be contacted, or None if its text is no reason to refuse it."""
    name = ascii_host(host) or ""
    if (address := literal_address(name)) is not None:
        if is_permitted(address, allowed_networks):
            return None
        return f"{address} ({classify(address)}) may not be probed"
    if _NUMBER.fullmatch(name.rpartition(".")[2]):
        return "an address has to be written as four decimal numbers, or as IPv6"
    if not _is_name(name):
        return "this is not a host name"
    known = "127.0.0.1" if name == "localhost" or name.endswith(".localhost") else _KNOWN_NAMES.get(name)
    return refuse_host(known, allowed_networks) if known is not None else None


def refuse_url(url: str, allowed_networks: Iterable[str] = ()) -> str | None:
    """Return why a URL must not be requested, without repeating the URL, or None."""
    canonical = canonical_url(url)
    if canonical is None or not _URL_CHARACTERS.fullmatch(canonical) or "\\" in canonical:
        return "the URL holds characters that a URL may not hold"
    if (parts := split_url(canonical)) is None:
        return "the URL cannot be read"
    if (problem := _refuse_parts(parts)) is not None:
        return problem
    return refuse_host(parts.hostname or "", allowed_networks)


def _refuse_parts(parts: SplitResult) -> str | None:
    if parts.scheme.lower().endswith(SRV):
        return "it names SRV records, which are not looked up: name the hosts behind them to probe those"
    if parts.scheme.lower() not in PROBE_SCHEMES:
        return f"only {', '.join(PROBE_SCHEMES)} URLs are probed"
    if "@" in parts.netloc:
        return "the URL holds credentials"
    port = parts.port if parts.port is not None else PROBE_SCHEMES[parts.scheme.lower()]
    return None if parts.hostname and port else "the URL names no host or no port that can be probed"


def refuse_target(target: Target, allowed_networks: Iterable[str] = ()) -> str | None:
    """Return why a target must not be contacted, or None if its text is no reason to refuse it."""
    if target.url is not None:
        return refuse_url(target.url, allowed_networks)
    return refuse_host(target.host or "", allowed_networks)


def literal_address(name: str) -> Address | None:
    """Return the address that a host is written as, or None if it is a name."""
    bare = name[1:-1] if name.startswith("[") and name.endswith("]") else name
    try:
        return ip_address(bare)
    except ValueError:
        return None


def _is_name(name: str) -> bool:
    return 0 < len(name) <= _MAX_NAME and all(_LABEL.fullmatch(label) for label in name.split("."))
