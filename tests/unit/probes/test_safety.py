"""Refuse unsafe targets by their text."""

from __future__ import annotations

import socket
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_incident_provider.models import Target
from airflow_incident_provider.probes import refuse_target
from airflow_incident_provider.probes.safety import (
    IN_ALLOWED_NETWORKS,
    NAT64,
    AddressKind,
    classify,
    is_permitted,
    refuse_host,
    refuse_url,
)

EVERYTHING = ("0.0.0.0/0", "::/0")


@pytest.mark.parametrize(
    "host",
    [
        "169.254.169.254",
        "169.254.169.254.",
        "2852039166",
        "0xa9fea9fe",
        "0xA9.0xFE.0xA9.0xFE",
        "0251.0376.0251.0376",
        "169.254.43518",
        "169.16689662",
        "[::ffff:169.254.169.254]",
        "::ffff:a9fe:a9fe",
        "::169.254.169.254",
        "64:ff9b::169.254.169.254",
        "64:ff9b:1::a9fe:a9fe",
        "2002:a9fe:a9fe::",
        "2001:0:4136:e378:8000:63bf:5601:5601",
        "fd00:ec2::254",
        "100.100.100.200",
        "fe80::1",
        "fe80::1%eth0",
        "0.0.0.0",
        "0",
        "::",
        "224.0.0.1",
        "ff02::1",
        "255.255.255.255",
        "1.2.3.4.5",
        "metadata.google.internal",
        "Metadata.Google.internal.",
        "\uff11\uff16\uff19.254.169.254",
        "169\u3002254\u3002169\u3002254",
        "",
        ".",
        "-oProxyCommand=x",
        "a b",
        "a\nb",
        "$(id)",
        "a;b",
        "a" * 64 + ".example.com",
        ".".join(["abcdefgh"] * 32),
    ],
)
def test_unsafe_host_is_refused_even_if_allowed(host: str) -> None:
    assert refuse_host(host, EVERYTHING) is not None


@pytest.mark.parametrize(
    ("host", "network"),
    [
        ("10.0.0.1", "10.0.0.0/8"),
        ("172.31.255.255", "172.16.0.0/12"),
        ("192.168.1.1", "192.168.1.0/24"),
        ("100.64.0.1", "100.64.0.0/10"),
        ("127.0.0.1", "127.0.0.0/8"),
        ("localhost", "127.0.0.0/8"),
        ("a.localhost.", "127.0.0.0/8"),
        ("LocalHost.localdomain", "127.0.0.0/8"),
        ("fd12::1", "fd12::/16"),
        ("::1", "::1/128"),
        ("198.18.0.1", "198.18.0.0/15"),
    ],
)
def test_private_host_requires_an_allowed_network(host: str, network: str) -> None:
    assert refuse_host(host) is not None
    assert refuse_host(host, ("203.0.113.0/24",)) is not None
    assert refuse_host(host, (network,)) is None


@pytest.mark.parametrize(
    "host", ["8.8.8.8", "2606:4700::1111", "[2606:4700::1111]", "a.example.com.", "x_y.example"]
)
def test_public_host_is_permitted(host: str) -> None:
    assert refuse_host(host) is None


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        "gopher://a.example.com/",
        "ftp://a.example.com/",
        "//a.example.com/",
        "a.example.com",
        "http://",
        "http:///x",
        "http://user@a.example.com/",
        "http://user:hunter2@a.example.com/",
        "http://a.example.com@169.254.169.254/",
        "http://169.254.169.254#@a.example.com/",
        "http://a.example.com\\@169.254.169.254/",
        "http://a.example.com:99999/",
        "http://a.example.com:0/",
        "http://a.example.com/\nHost: x",
        "http://a.example.com/ x",
        "http://[::1/",
        "http://[::ffff:169.254.169.254]/",
        "http://a.example.com\t/",
    ],
)
def test_unsafe_url_is_refused(url: str) -> None:
    reason = refuse_url(url, EVERYTHING)
    assert reason is not None
    assert "hunter2" not in reason


def test_url_and_host_of_a_target_are_checked() -> None:
    assert refuse_target(Target(url="https://10.0.0.1/")) is not None
    assert refuse_target(Target(host="10.0.0.1", port=1)) is not None
    assert refuse_target(Target()) is not None
    assert refuse_target(Target(url="https://a.example.com/")) is None


@given(st.integers(0, 2**32 - 1))
def test_numeric_notations_of_an_address_are_refused(number: int) -> None:
    plain = str(IPv4Address(number))
    a, b, c, d = plain.split(".")
    for text in (str(number), hex(number), f"0{number:o}", f"{a}.{int(b) * 65536 + int(c) * 256 + int(d)}"):
        assert socket.inet_aton(text) == IPv4Address(number).packed
        assert refuse_host(text, EVERYTHING) is not None


@given(st.ip_addresses(v=4))
def test_permitted_ipv4_address_is_global(address: IPv4Address) -> None:
    if is_permitted(address):
        assert address.is_global
        assert not address.is_multicast


@given(st.ip_addresses(v=6))
def test_permitted_ipv6_address_is_global_and_embeds_no_ipv4(address: IPv6Address) -> None:
    if is_permitted(address) and address not in NAT64:
        assert address in ip_network("2000::/3")
        assert address.sixtofour is None
        assert address.teredo is None
        assert address.is_global


@given(st.ip_addresses())
def test_allowed_network_never_permits_always_refused_address(address: IPv4Address | IPv6Address) -> None:
    if classify(address) not in IN_ALLOWED_NETWORKS | {AddressKind.PUBLIC}:
        assert not is_permitted(address, EVERYTHING)


@given(st.text(max_size=40))
def test_any_text_is_accepted(text: str) -> None:
    refuse_host(text)
    refuse_url(text)
    refuse_url(f"http://{text}/")


def test_known_metadata_addresses() -> None:
    for text in ("169.254.169.254", "169.254.170.2", "100.100.100.200", "168.63.129.16", "fd00:ec2::254"):
        assert classify(ip_address(text)) == "metadata"


@pytest.mark.parametrize(
    ("address", "kind", "permitted"),
    [
        ("64:ff9b::5db8:d822", "public", True),
        ("64:ff9b::a00:1", "private", False),
        ("64:ff9b::a9fe:a9fe", "metadata", False),
        ("64:ff9b::7f00:1", "loopback", False),
        ("64:ff9b:1::5db8:d822", "embedding", False),
    ],
)
def test_nat64_address_is_classified_by_its_ipv4_address(address: str, kind: str, permitted: bool) -> None:
    assert classify(ip_address(address)) == kind
    assert is_permitted(ip_address(address)) is permitted


def test_private_nat64_address_requires_its_ipv4_network() -> None:
    assert is_permitted(ip_address("64:ff9b::a00:1"), ("10.0.0.0/8",))
    assert not is_permitted(ip_address("64:ff9b::a00:1"), ("64:ff9b::/96",))


@pytest.mark.parametrize(
    "url",
    [
        "https://b\u00fccher.acme.example/healthz",
        "https://B\u00dcCHER.acme.example:8443/gr\u00f6\u00dfe?\u00e4=1",
        "https://\u4f8b\u5b50.example/",
        "grpc://orders.acme.example:50051",
        "grpcs://orders.acme.example/orders.v1.Orders",
        "tcp://db.acme.example:5432",
        "tls://cache.acme.example:6380",
    ],
)
def test_international_names_and_other_protocols_are_permitted(url: str) -> None:
    assert refuse_url(url) is None


@pytest.mark.parametrize("url", ["grpc://orders.acme.example", "tcp://db.acme.example/", "redis://cache.example/"])
def test_url_without_port_or_with_unsupported_scheme_is_refused(url: str) -> None:
    assert refuse_url(url) is not None
