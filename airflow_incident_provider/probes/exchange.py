"""One transfer by curl, and what it shows of the TLS handshake and of a proxy."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import cached_property
from typing import Any
from urllib.parse import quote

from airflow_incident_provider.models import ProbeRun, Stage, StageName, Verdict
from airflow_incident_provider.probes.certificate import (
    Clocks,
    ServerCertificate,
    assess_certificate,
    read_certificate,
    sent_certificates,
    verify_issuers,
)
from airflow_incident_provider.probes.output import plain_text
from airflow_incident_provider.probes.reachability import Attempt
from airflow_incident_provider.probes.script import CONNECT_S, TOTAL_S, endpoint_of, expectation, speaks_tls
from airflow_incident_provider.probes.targets import canonical_url

NOT_FOLLOWED = ", which was not followed"
"""What is said of a redirect."""

_MAX_SHOWN_URL = 300
_IN_URLS = "!#$%&'()*+,/:;=?@[]~"
UNEXPECTED_END = "unexpected eof while reading"
"""OpenSSL's words for a server that ends the connection without ending TLS, as many do."""

_ENDED = (UNEXPECTED_END, "reset by peer", "SSL_ERROR_SYSCALL")
_TLS_FAILED = 35
TIMED_OUT = 28
_PROXY_WANTS_LOGIN = 407
REDIRECTS = range(300, 400)

# What curl's exit codes mean to a reader; see curl(1), "EXIT CODES".
_CURL_WORDS = {
    1: "the answer is not HTTP",
    8: "the answer breaks the rules of HTTP",
    16: "the answer breaks the rules of HTTP/2",
    18: "the connection ended before the answer was complete",
    35: "the TLS handshake failed",
    52: "the server closed the connection without an answer",
    55: "the connection broke while the request was sent",
    56: "the connection broke before the answer was complete",
    61: "the answer is not in an encoding that clients know",
    92: "the answer breaks the rules of HTTP/2",
    95: "the answer breaks the rules of HTTP/3",
    97: "the proxy did not connect",
    100: "the answer's headers are larger than curl takes",
}
_UNUSABLE_CLIENT = "the client certificate of the connection could not be used"
OUR_SIDE = {
    2: "curl could not start",
    27: "curl ran out of memory",
    43: _UNUSABLE_CLIENT,
    58: _UNUSABLE_CLIENT,
    77: "the authorities that the probe is to trust cannot be read",
}
"""What curl's exit codes mean that are about our own side, and say nothing about the target."""

_WORDS_OF_MESSAGE = {
    "chunk": "the answer breaks the rules of HTTP",
    "Too large response headers": "the answer's headers are larger than curl takes",
    "reset by server": "the server reset the stream of HTTP/2",
}
"""What curl's own words say more exactly than its exit code does."""

WANTS_CERTIFICATE = "the server asks for a client certificate, and none is configured"
_TIMES = re.compile(r" in \d+ ms \([^)]*\)")
_OPENSSL_REASON = re.compile(r"routines::(.+)$")


@dataclass(frozen=True)
class Exchange:
    """One transfer by curl, at one address.

    :param at: when the probe ran, by the worker's clock.
    :param engine_at: the same by the engine's.
    """

    run: ProbeRun
    attempt: Attempt
    name_ms: int
    at: datetime
    engine_at: datetime

    @property
    def transfer(self) -> dict[str, Any]:
        """What curl reported."""
        return self.attempt.transfer or {}

    @property
    def exit_code(self) -> int:
        """Curl's exit code."""
        return int(self._number("exitcode"))

    @property
    def status(self) -> int:
        """The status of the answer; 0 if there was none."""
        return int(self._number("http_code"))

    @property
    def handshake_ms(self) -> int | None:
        """The milliseconds of the TLS handshake, if it completed."""
        ended = self._ms("time_appconnect")
        return max(0, ended - self._ms("time_connect")) if ended else None

    @property
    def connect_status(self) -> int:
        """The status of the proxy's answer to CONNECT; 0 if there was none."""
        return int(self._number("http_connect"))

    @property
    def total_ms(self) -> int:
        """The milliseconds from the look-up of the name to the end of the answer."""
        return self.name_ms + self._ms("time_total")

    @property
    def phases(self) -> str:
        """The milliseconds of each phase, as text."""
        connected, agreed = self._ms("time_connect"), self._ms("time_appconnect")
        first_byte = self._ms("time_starttransfer") - max(connected, agreed)
        phases = {"name": self.name_ms, "connect": connected, "TLS": self.handshake_ms, "first byte": first_byte}
        return ", ".join(f"{name} {ms}" for name, ms in phases.items() if ms is not None)

    @property
    def location(self) -> str | None:
        """Where a redirect leads, as a URL in ASCII."""
        given = str(self.transfer.get("redirect_url") or "")
        return quote(canonical_url(given) or given, safe=_IN_URLS) or None

    @property
    def lacks_client_certificate(self) -> bool:
        """Whether the server asked for a client certificate, and none is configured."""
        return "Request CERT" in self.attempt.trace and expectation(self.run).client_certificate is None

    @cached_property
    def certificate(self) -> ServerCertificate | None:
        """The server's certificate, if it showed one, with what a verifying client made of it."""
        shown = self.attempt.verified or self.transfer
        if pem := shown.get("certs") or self.transfer.get("certs"):
            return read_certificate(str(pem), int(shown.get("ssl_verify_result") or 0))
        if pem := sent_certificates(self.attempt.sent):
            return read_certificate(pem, verify_issuers(pem, self.attempt.authorities))
        return None

    @property
    def clocks(self) -> Clocks:
        """The time by the clocks of the worker, the engine and, by its ``Date`` header, the server."""
        server = None
        with suppress(ValueError, TypeError, OverflowError):
            # A cache passes on the time at which the answer was made, and says how old it is (RFC 9111, 5.1).
            age = timedelta(seconds=int(self.header("age") or 0))
            made = parsedate_to_datetime(self.header("date") or "")
            # A zone of -0000 is none; HTTP's times are UTC.
            server = (made if made.tzinfo else made.replace(tzinfo=UTC)) + age
        return Clocks(worker=self.at, engine=self.engine_at, server=server)

    def header(self, name: str) -> str | None:
        """Return the last header or trailer of this name."""
        pattern = rf"(?im)^{re.escape(name)}:[ \t]*(.*?)[ \t]*\r?$"
        found = re.findall(pattern, self.attempt.headers.decode("latin-1"))
        return str(found[-1]) if found else None

    @property
    def message(self) -> str:
        """Curl's own words for why the transfer failed."""
        return str(self.transfer.get("errormsg") or "")

    @property
    def failure(self) -> str:
        """Why there was no answer, as text."""
        if self.exit_code == TIMED_OUT:
            if speaks_tls(self.run, endpoint_of(self.run)) and self.handshake_ms is None:
                return f"the TLS handshake did not end within {CONNECT_S} s"
            return f"no answer within {TOTAL_S} s"
        words = _CURL_WORDS.get(self.exit_code, f"no answer (curl exit code {self.exit_code})")
        words = next((more for known, more in _WORDS_OF_MESSAGE.items() if known in self.message), words)
        reason = _OPENSSL_REASON.search(self.message)
        return f"{words} ({plain_text(reason[1].encode())[:120].strip()})" if reason else words

    def _number(self, key: str) -> float:
        value = self.transfer.get(key)
        return value if isinstance(value, int | float) else 0

    def _ms(self, key: str) -> int:
        return round(self._number(key) * 1000)


def shown_location(location: str) -> str:
    """Return a URL as a sentence has it."""
    return location if len(location) <= _MAX_SHOWN_URL else f"{location[:_MAX_SHOWN_URL]}..."


# --- TLS ----------------------------------------------------------------------------------------------


def assess_tls(made: Sequence[Exchange]) -> Stage:
    """Return whether the handshake completed with a certificate that a client accepts, at every address."""
    return worst(StageName.TLS, [(each, *_handshake(each)) for each in made])


def _handshake(made: Exchange) -> tuple[Verdict, str, int | None]:
    certificate = made.certificate
    refused = made.handshake_ms is None and made.lacks_client_certificate
    if made.exit_code in OUR_SIDE:
        return Verdict.UNKNOWN, OUR_SIDE[made.exit_code], None
    if certificate is None and refused:
        return Verdict.UNKNOWN, WANTS_CERTIFICATE, None
    if certificate is None and made.handshake_ms is not None:
        return Verdict.UNKNOWN, "the certificate cannot be read", made.handshake_ms
    if certificate is None or (made.handshake_ms is None and not refused):
        words = made.failure
        return Verdict.FAIL, words if "TLS" in words else f"no TLS handshake: {words}", None
    verdict, summary = assess_certificate(certificate, endpoint_of(made.run).host, made.clocks)
    if refused and verdict is Verdict.OK:
        return Verdict.UNKNOWN, f"{WANTS_CERTIFICATE}; {summary}", None
    return verdict, f"{summary}; {WANTS_CERTIFICATE}" if refused else summary, made.handshake_ms


# --- the proxy ----------------------------------------------------------------------------------------


def assess_proxy(made: Exchange | None) -> Stage | None:
    """Return what keeps a proxy from leading to the target, if anything does: it says nothing about the target."""
    if made is None:
        return _proxy("the proxy does not answer")
    connected, tls = made.connect_status, speaks_tls(made.run, endpoint_of(made.run))
    if _PROXY_WANTS_LOGIN in {connected, 0 if tls else made.status}:
        return _proxy("the proxy requires authentication")
    if connected >= REDIRECTS.start:
        return _proxy(f"the proxy answers {connected} to CONNECT")
    if made.status or (tls and made.handshake_ms is not None):
        return None
    silent = made.exit_code == TIMED_OUT or any(word in made.message for word in _ENDED)
    tunnelled = tls and (connected or made.exit_code == _TLS_FAILED)
    if tunnelled and (not silent or "(IN), TLS" in made.attempt.trace):
        return None
    waited = CONNECT_S if tunnelled else TOTAL_S
    reason = f" within {waited} s" if made.exit_code == TIMED_OUT else f": {made.failure}"
    return _proxy(
        f"{'nothing came through the tunnel of' if tunnelled else 'no answer came through'} the proxy{reason}"
    )


def _proxy(summary: str) -> Stage:
    return Stage(name=StageName.CONNECTION, verdict=Verdict.UNKNOWN, summary=summary)


# --- several addresses --------------------------------------------------------------------------------


def graver(one: Verdict, other: Verdict) -> Verdict:
    """Return the worse of two verdicts."""
    return min(one, other, key=list(Verdict).index)


def worst(name: StageName, results: Sequence[tuple[Exchange, Verdict, str, int | None]]) -> Stage:
    """Return one stage for all addresses; a fault at some of them, while others are in order, is a warning.

    Faults that differ are all listed, each with its addresses.
    """
    ordered = sorted(results, key=lambda result: list(Verdict).index(result[1]))
    first, verdict, summary, took = ordered[0]
    faults = _by_fault(ordered)
    if verdict is Verdict.FAIL and any(found is Verdict.OK for _, found, _, _ in results):
        verdict = Verdict.WARN
    if any(len(where) < len(results) for where in faults.values()):
        summary = "; ".join(
            f"at {len(where)} of {len(results)} addresses ({', '.join(where)}): {words}"
            for words, where in faults.items()
        )
    elif len(results) > 1 and verdict is Verdict.OK:
        summary = f"{summary} at {first.attempt.address.address}; the same verdict at {len(results)} addresses"
    return Stage(name=name, verdict=verdict, summary=summary, duration_ms=took)


def _by_fault(results: Sequence[tuple[Exchange, Verdict, str, int | None]]) -> dict[str, list[str]]:
    """Return the addresses at which each fault was seen, in the words for the first; times are no difference."""
    words_of: dict[str, str] = {}
    found: dict[str, list[str]] = {}
    for made, verdict, words, _ in results:
        if verdict is not Verdict.OK:
            shown = words_of.setdefault(_TIMES.sub("", words), words)
            found.setdefault(shown, []).append(made.attempt.address.address)
    return found
