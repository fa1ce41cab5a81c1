"""Assess a certificate by its names, its dates and the verification of its chain."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given
from hypothesis import strategies as st

from airflow_incident_provider.models import Verdict
from airflow_incident_provider.probes.certificate import (
    Clocks,
    ServerCertificate,
    assess_certificate,
    read_certificate,
    sent_certificates,
    verify_issuers,
)

NOW = datetime(2026, 11, 23, 9, 35, tzinfo=UTC)
HOST = "shop.acme.example"
PAST = (NOW - timedelta(days=400), NOW - timedelta(days=40))
FUTURE = (NOW + timedelta(days=4), NOW + timedelta(days=40))


def certificate(*names: str, verification: int = 0, starts: float = -30, ends: float = 90, **fields: Any) -> Any:
    return ServerCertificate(
        subject="shop",
        issuer="authority",
        not_before=NOW + timedelta(days=starts),
        not_after=NOW + timedelta(days=ends),
        names=names or (HOST,),
        chain=1,
        verification=verification,
        **fields,
    )


def assess(
    server_certificate: ServerCertificate,
    host: str = HOST,
    skew: timedelta | None = None,
    engine: timedelta = timedelta(),
) -> tuple[Verdict, str]:
    server = NOW + skew if skew is not None else None
    return assess_certificate(server_certificate, host, Clocks(worker=NOW, engine=NOW + engine, server=server))


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def pem_of(authority: trustme.CA, *names: str) -> str:
    issued = authority.issue_cert(*names)
    return "\n".join(pem.bytes().decode() for pem in issued.cert_chain_pems) + authority.cert_pem.bytes().decode()


def test_all_names_of_a_certificate_are_read(authority: trustme.CA) -> None:
    names = [f"tenant-{number}.shared.example" for number in range(200)]
    text = "Subject:CN = x\n" + pem_of(authority, *names, HOST, "10.0.0.1", "2001:db8::1")
    server_certificate = read_certificate(text, 0)
    assert server_certificate is not None
    assert server_certificate.covers(HOST)
    assert server_certificate.covers("tenant-199.shared.example")
    assert server_certificate.covers("10.0.0.1")
    assert server_certificate.covers("[2001:DB8:0::1]")
    assert not server_certificate.covers("other.example")


@pytest.mark.parametrize(
    "text", ["", "no certificate", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----"]
)
def test_invalid_certificate_is_none(text: str) -> None:
    assert read_certificate(text, 0) is None


@given(st.text(max_size=300))
def test_any_text_is_accepted(text: str) -> None:
    read_certificate(f"-----BEGIN CERTIFICATE-----{text}-----END CERTIFICATE-----", 0)


@pytest.mark.parametrize(
    ("names", "host", "covered"),
    [
        (("*.acme.example",), "shop.acme.example", True),
        (("*.acme.example",), "acme.example", False),
        (("*.acme.example",), "a.shop.acme.example", False),
        (("shop.acme.example",), "SHOP.acme.example.", True),
        (("xn--bcher-kva.example",), "b\u00fccher.example", True),
        (("10.0.0.1",), "10.0.0.2", False),
        ((), "shop.acme.example", False),
    ],
)
def test_host_name_matching(names: tuple[str, ...], host: str, covered: bool) -> None:
    server_certificate = certificate(*names) if names else certificate("other.example")
    assert server_certificate.covers(host) is covered


@pytest.mark.parametrize(
    ("server_certificate", "verdict", "words"),
    [
        (certificate(), Verdict.OK, "certificate valid until 2027-02-21, CN=shop"),
        (certificate(ends=6.5), Verdict.WARN, "certificate expires in 6 days (2026-11-29, CN=shop)"),
        (certificate(ends=0.5), Verdict.WARN, "certificate expires in less than a day"),
        (certificate(ends=-0.5, verification=10), Verdict.FAIL, "certificate expired less than a day ago"),
        (certificate(ends=-2.5, verification=10), Verdict.FAIL, "certificate expired 2 days ago"),
        (
            certificate(starts=1, verification=9),
            Verdict.FAIL,
            "certificate is not valid before 2026-11-24 09:35 UTC",
        ),
        (
            certificate("a.example"),
            Verdict.FAIL,
            "certificate is for another name (a.example), not shop.acme.example",
        ),
        (certificate(verification=18), Verdict.WARN, "clients with the usual authorities reject the certificate"),
        (certificate(verification=23), Verdict.FAIL, "certificate rejected: it is revoked"),
        (certificate(verification=99), Verdict.WARN, "OpenSSL rejects its chain (error 99)"),
        (certificate(verification=10, authorities=(PAST,)), Verdict.FAIL, "a certificate in its chain has expired"),
        (certificate(verification=9, authorities=(FUTURE,)), Verdict.FAIL, "in its chain is not valid yet"),
        (certificate(verification=10), Verdict.WARN, "an authority that its chain ends in has expired"),
        (certificate(verification=0, authorities=(PAST,)), Verdict.OK, "certificate valid until"),
        (certificate(verification=1), Verdict.WARN, "it is not accepted for this name"),
        (certificate("*.example"), Verdict.FAIL, "certificate is for another name (*.example)"),
    ],
)
def test_certificate_faults(server_certificate: ServerCertificate, verdict: Verdict, words: str) -> None:
    assert assess(server_certificate)[0] is verdict
    assert words in assess(server_certificate)[1]


def test_faults_are_ordered_by_severity() -> None:
    verdict, summary = assess(certificate("a.example", ends=3.5, verification=20))
    assert verdict is Verdict.FAIL
    assert [part.partition(" (")[0] for part in summary.split("; ")] == [
        "certificate is for another name",
        "clients with the usual authorities reject the certificate: its issuer is not a known authority",
        "certificate expires in 3 days",
    ]


def test_clock_skew_of_the_server_is_a_warning() -> None:
    verdict, summary = assess(certificate(starts=0.1, verification=9), skew=timedelta(hours=3))
    assert verdict is Verdict.WARN
    assert "valid by the server's clock only, 3 h from ours" in summary


@pytest.mark.parametrize(
    ("server_certificate", "engine", "words"),
    [
        (certificate(starts=-300, ends=-5), -100, "valid by the engine's clock only, 100 days from the worker's"),
        (certificate(ends=50), 100, "valid by the worker's clock only, 100 days from the engine's"),
    ],
)
def test_clock_skew_between_worker_and_engine_is_unknown(
    server_certificate: ServerCertificate, engine: float, words: str
) -> None:
    verdict, summary = assess(server_certificate, engine=timedelta(days=engine))
    assert verdict is Verdict.UNKNOWN
    assert words in summary


def test_issuers_are_verified_independently_of_the_handshake(authority: trustme.CA) -> None:
    intermediate = authority.create_child_ca()
    full_chain = "".join(pem.bytes().decode() for pem in intermediate.issue_cert(HOST).cert_chain_pems)
    leaf = intermediate.issue_cert(HOST).cert_chain_pems[0].bytes().decode()
    root = authority.cert_pem.bytes().decode()
    assert verify_issuers(full_chain, root) == 0
    assert verify_issuers(leaf, root) == 20
    assert verify_issuers(full_chain, trustme.CA().cert_pem.bytes().decode()) == 20
    assert verify_issuers(root, "") == 18
    unreadable = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
    assert verify_issuers(full_chain, unreadable + root) == 0
    assert verify_issuers(unreadable, root) == 20


def test_ip_address_is_covered_by_an_ip_address_only() -> None:
    as_address = certificate("shop.example", addresses=("192.0.2.1",))
    assert assess(as_address, "192.0.2.1")[0] is Verdict.OK
    verdict, summary = assess(certificate("192.0.2.1"), "192.0.2.1")
    assert verdict is Verdict.FAIL
    assert summary.startswith("certificate has 192.0.2.1 as a name and not as an address")


def trace_of(message: bytes) -> str:
    """Return a message and its following record in the format of curl's ``--trace``."""
    lines = [
        f"{at:04x}: {message[at : at + 16].hex(' '):<47} {'.' * len(message[at : at + 16])}"
        for at in range(0, len(message), 16)
    ]
    return "\n".join(
        ["<= Recv SSL data", *lines, "<= Recv SSL data, 5 bytes (0x5)", "0000: 16 03 03 00 72   ....r"]
    )


def test_sent_certificates_are_read_from_the_trace(authority: trustme.CA) -> None:
    ders = [
        x509.load_pem_x509_certificate(pem.bytes()).public_bytes(Encoding.DER)
        for pem in authority.create_child_ca().issue_cert(HOST).cert_chain_pems
    ]
    listed = b"".join(len(der).to_bytes(3, "big") + der for der in ders)
    body = len(listed).to_bytes(3, "big") + listed
    pem = sent_certificates(trace_of(b"\x0b" + len(body).to_bytes(3, "big") + body))
    server_certificate = read_certificate(pem, 0)
    assert server_certificate is not None
    assert server_certificate.names == (HOST,)
    assert server_certificate.chain == len(ders)


@given(st.text(alphabet="0123456789abcdef: .\n<=", max_size=300))
def test_any_trace_is_accepted(trace: str) -> None:
    assert isinstance(sent_certificates(trace), str)
