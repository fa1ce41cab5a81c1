"""Certificates that a server showed, parsed on the worker, and what a client would make of them."""

from __future__ import annotations

import math
import re
import warnings
from base64 import b64encode
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from ipaddress import ip_address
from typing import TYPE_CHECKING

from airflow_incident_provider.models import Verdict
from airflow_incident_provider.probes.safety import literal_address
from airflow_incident_provider.text import ascii_host

if TYPE_CHECKING:
    from cryptography.x509 import Certificate, Name

SOON_DAYS = 14
"""Under how many days of remaining life a certificate is a warning."""

_BLOCK = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)
_DAY = timedelta(days=1)
_DUMPED = re.compile(r"^[0-9a-f]{4,8}: ((?:[0-9a-f]{2} ){1,16})", re.MULTILINE)
_CERTIFICATE_MESSAGE, _LIST_STARTS = b"\x0b", 7

# OpenSSL's X509_V_ERR_*: what curl reports as ssl_verify_result.
_REASONS = {
    2: "its issuer is not a known authority",
    7: "its signature is wrong",
    9: "it is not valid yet",
    10: "it has expired",
    18: "it is self-signed",
    19: "its chain ends in an unknown authority",
    20: "its issuer is not a known authority",
    21: "its chain is incomplete",
    23: "it is revoked",
    24: "an authority in its chain is none",
    25: "its chain is longer than an authority in it allows",
    26: "it is not for servers",
    47: "an authority may not issue certificates for its names",
    48: "an authority may not issue certificates for its names",
    66: "its key is too weak",
    67: "an authority's key is too weak",
    68: "a signature in its chain is too weak",
}
_TIME_REASONS = frozenset({9, 10})
_ACCEPTED, _NAME_REJECTED = 0, 1
"""Curl reports 1 where the chain was accepted and the name was not."""
_UNKNOWN_ISSUER, _SELF_SIGNED = 20, 18
_LONGEST_CHAIN = 10
_EXPIRED = 10
_REJECTED = "clients with the usual authorities reject the certificate"
_BROKEN_REASONS = frozenset({7, 23, 26})


@dataclass(frozen=True, kw_only=True)
class ServerCertificate:
    """The certificate that a server showed for itself.

    :param names: every DNS name that it is for, in lower case.
    :param addresses: every IP address that it is for; a name that looks like one is none.
    :param verification: what OpenSSL made of the chain: 0, or one of its error numbers.
    :param authorities: from when until when each authority is valid that the server showed with it.
    """

    subject: str
    issuer: str
    not_before: datetime
    not_after: datetime
    names: tuple[str, ...]
    chain: int
    verification: int
    addresses: tuple[str, ...] = ()
    authorities: tuple[tuple[datetime, datetime], ...] = ()

    def covers(self, host: str) -> bool:
        """Return whether a client accepts it for the host.

        RFC 9525: ``*`` matches one whole label. Clients accept none for all of a top-level domain.
        """
        name = ascii_host(host) or host
        if (address := literal_address(name)) is not None:
            return str(address) in self.addresses
        domain = name.partition(".")[2]
        return name in self.names or ("." in domain and f"*.{domain}" in self.names)

    def is_valid(self, at: datetime) -> bool:
        """Return whether its own times allow for this moment, whatever those of its authorities do."""
        return self.not_before <= at <= self.not_after

    def days_left(self, at: datetime) -> int:
        """Return the whole days until it expires; negative once it has."""
        return math.floor((self.not_after - at) / _DAY)


def read_certificate(pem: str, verification: int) -> ServerCertificate | None:
    """Return the first certificate of a chain in PEM, or ``None`` if there is none that can be read."""
    from cryptography import x509

    try:
        chain = _read_all(pem)
        if not chain:
            return None
        own = chain[0]
        names, addresses = _alternative_names(own)
        return ServerCertificate(
            subject=_common_name(own.subject),
            issuer=_common_name(own.issuer),
            not_before=own.not_valid_before_utc,
            not_after=own.not_valid_after_utc,
            names=names,
            addresses=addresses,
            chain=len(chain),
            verification=verification,
            authorities=tuple((each.not_valid_before_utc, each.not_valid_after_utc) for each in chain[1:]),
        )
    except (ValueError, x509.ExtensionNotFound):
        return None


def _read_all(pem: str) -> list[Certificate]:
    from cryptography import x509

    return [x509.load_pem_x509_certificate(block.encode()) for block in _BLOCK.findall(pem)]


def _readable(pem: str) -> list[Certificate]:
    """Return the certificates that can be read: one old root that breaks a rule is no fault of the others."""
    found: list[Certificate] = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for block in _BLOCK.findall(pem):
            with suppress(ValueError):
                found += _read_all(block)
    return found


def verify_issuers(pem: str, authorities: str) -> int:
    """Return whether a chain leads to one of these authorities, as OpenSSL's number: 0 if it does.

    For a handshake that the server ended before curl verified anything; times and names are evaluated elsewhere.
    """
    chain, trusted = _readable(pem), _readable(authorities)
    if not chain:
        return _UNKNOWN_ISSUER
    current = chain[0]
    for _ in range(_LONGEST_CHAIN):
        if any(_is_issued_by(current, authority) for authority in trusted):
            return _ACCEPTED
        issuer = next((each for each in chain[1:] if _is_issued_by(current, each)), None)
        if issuer is None or issuer == current:
            break
        current = issuer
    return _SELF_SIGNED if _is_issued_by(chain[0], chain[0]) else _UNKNOWN_ISSUER


def _is_issued_by(certificate: Certificate, issuer: Certificate) -> bool:
    from cryptography.exceptions import InvalidSignature

    if certificate.issuer != issuer.subject:
        return False
    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def sent_certificates(dump: str) -> str:
    """Return the certificates in curl's dump of the message that a server of TLS 1.2 sends them in, as PEM.

    RFC 5246, 7.4.2: the type, three bytes of length, three of the list's, and each certificate after its length.
    """
    octets = "".join(_DUMPED.findall(dump)).replace(" ", "")
    message = bytes.fromhex(octets[: len(octets) // 2 * 2])
    at, blocks = _LIST_STARTS, []
    end = min(at + int.from_bytes(message[at - 3 : at], "big"), len(message))
    while message[:1] == _CERTIFICATE_MESSAGE and at + 3 <= end:
        length = int.from_bytes(message[at : at + 3], "big")
        body = b64encode(message[at + 3 : at + 3 + length]).decode()
        blocks.append(f"-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----")
        at += 3 + length
    return "\n".join(blocks)


def _alternative_names(certificate: Certificate) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return every DNS name and every IP address that a certificate is for."""
    from cryptography import x509

    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return (), ()
    names = (name.lower().removesuffix(".") for name in found.get_values_for_type(x509.DNSName))
    addresses = (str(ip_address(str(each))) for each in found.get_values_for_type(x509.IPAddress))
    return tuple(names), tuple(addresses)


def _common_name(name: Name) -> str:
    from cryptography.x509.oid import NameOID

    values = name.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(values[0].value) if values else name.rfc4514_string()


@dataclass(frozen=True, kw_only=True)
class Clocks:
    """The time by every clock that there is.

    :param worker: the time by the worker's clock, which certificates are evaluated by.
    :param engine: the time by the engine's clock, which curl in the container verified them by.
    :param server: the time by the server's clock, if it sent its time.
    """

    worker: datetime
    engine: datetime
    server: datetime | None = None


def assess_certificate(found: ServerCertificate, host: str, at: Clocks) -> tuple[Verdict, str]:
    """Return the verdict on a certificate and the reasons for it, the worst first.

    A certificate that is valid by one clock and not by another is no proof against the certificate.
    """
    date = f"{found.not_after:%Y-%m-%d}, CN={found.subject}"
    faults = [*_time_faults(found, at, date), *_name_faults(found, host), *_chain_faults(found, host, at)]
    days = found.days_left(at.worker)
    if 0 <= days < SOON_DAYS:
        faults.append((Verdict.WARN, f"certificate expires in {_days(days)} ({date})"))
    if not faults:
        return Verdict.OK, f"certificate valid until {date}"
    ordered = sorted(faults, key=lambda fault: list(Verdict).index(fault[0]))
    return ordered[0][0], "; ".join(words for _, words in ordered)


def _time_faults(found: ServerCertificate, at: Clocks, date: str) -> Sequence[tuple[Verdict, str]]:
    here, there = found.is_valid(at.worker), found.is_valid(at.engine)
    if here != there:
        one, other = ("worker", "engine") if here else ("engine", "worker")
        apart = _about(abs(at.worker - at.engine))
        words = f"certificate is valid by the {one}'s clock only, {apart} from the {other}'s ({date})"
        return [(Verdict.UNKNOWN, words)]
    if here:
        return ()
    if at.server is not None and found.is_valid(at.server):
        apart = _about(abs(at.server - at.worker))
        return [(Verdict.WARN, f"certificate is valid by the server's clock only, {apart} from ours ({date})")]
    if at.worker < found.not_before:
        return [(Verdict.FAIL, f"certificate is not valid before {found.not_before:%Y-%m-%d %H:%M} UTC ({date})")]
    return [(Verdict.FAIL, f"certificate expired {_days(-found.days_left(at.worker) - 1)} ago ({date})")]


def _about(length: timedelta) -> str:
    """Return a length of time in the largest unit of which it has at least two."""
    for unit, name in ((_DAY, "days"), (timedelta(hours=1), "h")):
        if length >= 2 * unit:
            return f"{round(length / unit)} {name}"
    return f"{round(length / timedelta(minutes=1))} min"


def _name_faults(found: ServerCertificate, host: str) -> Sequence[tuple[Verdict, str]]:
    if found.covers(host):
        return ()
    if literal_address(host) is not None and host in found.names:
        return [
            (Verdict.FAIL, f"certificate has {host} as a name and not as an address, which clients do not accept")
        ]
    names = (*found.names, *found.addresses)
    shown = ", ".join(names[:3]) or "no name"
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""  # noqa: PLR2004
    return [(Verdict.FAIL, f"certificate is for another name ({shown}{more}), not {host}")]


def _chain_faults(found: ServerCertificate, host: str, at: Clocks) -> Sequence[tuple[Verdict, str]]:
    code = found.verification
    if code in _TIME_REASONS:
        return _authority_time_faults(found, at)
    if code == _ACCEPTED or (code == _NAME_REJECTED and not found.covers(host)):
        return ()
    reason = _REASONS.get(code, f"OpenSSL rejects its chain (error {code})")
    if code == _NAME_REJECTED:
        reason = "it is not accepted for this name"
    if code in _BROKEN_REASONS:
        return [(Verdict.FAIL, f"certificate rejected: {reason}")]
    return [(Verdict.WARN, f"{_REJECTED}: {reason}")]


def _authority_time_faults(found: ServerCertificate, at: Clocks) -> Sequence[tuple[Verdict, str]]:
    """Return which authority is not valid now, if it is not the certificate itself that is not.

    OpenSSL verified by the engine's clock, and does not say which certificate it means.
    """
    if any(ended < at.worker and ended < at.engine for _, ended in found.authorities):
        return [(Verdict.FAIL, "a certificate in its chain has expired")]
    if any(began > at.worker and began > at.engine for began, _ in found.authorities):
        return [(Verdict.FAIL, "a certificate in its chain is not valid yet")]
    shown = [(found.not_before, found.not_after), *found.authorities]
    if not all(began <= at.engine <= ended for began, ended in shown):
        return ()
    ends = "has expired" if found.verification == _EXPIRED else "is not valid yet"
    return [(Verdict.WARN, f"{_REJECTED}: an authority that its chain ends in {ends}")]


def _days(days: int) -> str:
    return "less than a day" if days == 0 else f"{days} day{'' if days == 1 else 's'}"
