"""
Which addresses may be touched, judged from a target's text.

The first of two layers. Here literals are judged, when the investigation is planned; a name can only be judged
by what it resolves to, so ``shell/addresses.sh`` judges again inside the container, from the same table, and
connects to nothing that it has not judged.

Never touched, whoever asks: metadata services, link-local, unspecified, broadcast, multicast, and IPv6
addresses that carry an IPv4 address in them. Touched only inside an allowed network: private, shared, loopback,
unique local and reserved ranges (RFC 1918, 6598, 1122, 4193, 6890).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from enum import StrEnum
from functools import cache
from importlib.resources import files
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from urllib.parse import urlsplit

from airflow_incident_provider.models import Target

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network


class AddressKind(StrEnum):
    """What an address is for, as far as it matters to whether it may be touched."""

    PUBLIC = "public"
    PRIVATE = "private"
    SHARED = "shared"
    LOOPBACK = "loopback"
    UNIQUE_LOCAL = "unique_local"
    RESERVED = "reserved"
    LINK_LOCAL = "link_local"
    METADATA = "metadata"
    UNSPECIFIED = "unspecified"
    BROADCAST = "broadcast"
    MULTICAST = "multicast"
    EMBEDDING = "embedding"

    @property
    def words(self) -> str:
        """The kind as it is written in a sentence."""
        return self.value.replace("_", "-")


IN_ALLOWED_NETWORKS = frozenset(
    {
        AddressKind.PRIVATE,
        AddressKind.SHARED,
        AddressKind.LOOPBACK,
        AddressKind.UNIQUE_LOCAL,
        AddressKind.RESERVED,
    }
)
"""The kinds that may be touched inside an allowed network; of the others only public ones, anywhere."""

ALWAYS_REFUSED = frozenset(AddressKind) - IN_ALLOWED_NETWORKS - {AddressKind.PUBLIC}

_INTERNAL = frozenset({AddressKind.PRIVATE, AddressKind.SHARED, AddressKind.UNIQUE_LOCAL})
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


@cache
def address_ranges() -> tuple[tuple[AddressKind, Network], ...]:
    """Return the table of ranges; the first that contains an address says its kind."""
    table = files("airflow_incident_provider.probes").joinpath("shell/address_ranges.txt")
    rows = (line.split() for line in table.read_text(encoding="utf-8").splitlines())
    return tuple((AddressKind(kind), ip_network(network)) for kind, network in rows)


def internal_networks() -> tuple[str, ...]:
    """Return the ranges of private networks, which a target that the routing table names may lie in."""
    return tuple(str(network) for kind, network in address_ranges() if kind in _INTERNAL)


def classify(address: Address) -> AddressKind:
    """Return what kind of address this is."""
    return next(kind for kind, network in address_ranges() if address in network)


def may_touch(address: Address, allowed_networks: Iterable[str] = ()) -> bool:
    """Return whether an address may be touched, given the networks that the routing table allows."""
    kind = classify(address)
    if kind is AddressKind.PUBLIC:
        return True
    return kind in IN_ALLOWED_NETWORKS and any(address in ip_network(each) for each in allowed_networks)


def refuse_host(host: str, allowed_networks: Iterable[str] = ()) -> str | None:
    """Return why a host must not be touched, in words, or None if its text is no reason to refuse it."""
    name = host.removesuffix(".")
    if (address := _literal(name)) is not None:
        if may_touch(address, allowed_networks):
            return None
        return f"{address} ({classify(address).words}) may not be probed"
    if _NUMBER.fullmatch(name.rpartition(".")[2]):
        return "an address has to be written as four decimal numbers, or as IPv6"
    if not _is_name(name):
        return "this is not a host name"
    if (stands_for := _known_address(name.lower())) is not None:
        return refuse_host(stands_for, allowed_networks)
    return None


def refuse_url(url: str, allowed_networks: Iterable[str] = ()) -> str | None:
    """Return why a URL must not be fetched, in words that do not repeat it, or None."""
    if not _URL_CHARACTERS.fullmatch(url) or "\\" in url:
        return "the URL holds characters that a URL may not hold"
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return "the URL cannot be read"
    if parts.scheme.lower() not in {"http", "https"}:
        return "only http and https are probed"
    if "@" in parts.netloc:
        return "the URL holds credentials"
    if not parts.hostname or port == 0:
        return "the URL names no host or no port that can be probed"
    return refuse_host(parts.hostname, allowed_networks)


def refuse_target(target: Target, allowed_networks: Iterable[str] = ()) -> str | None:
    """Return why a target must not be touched, in words, or None if its text is no reason to refuse it."""
    networks = tuple(allowed_networks)
    if target.url is not None:
        return refuse_url(target.url, networks)
    return refuse_host(target.host or "", networks)


def is_literal(host: str) -> bool:
    """Return whether a host is written as an address."""
    return _literal(host) is not None


def _literal(name: str) -> Address | None:
    bare = name[1:-1] if name.startswith("[") and name.endswith("]") else name
    try:
        return ip_address(bare)
    except ValueError:
        return None


def _known_address(name: str) -> str | None:
    """Return the address that a name stands for everywhere; where others lead is judged in the container."""
    return "127.0.0.1" if name == "localhost" or name.endswith(".localhost") else _KNOWN_NAMES.get(name)


def _is_name(name: str) -> bool:
    return 0 < len(name) <= _MAX_NAME and all(_LABEL.fullmatch(label) for label in name.split("."))
