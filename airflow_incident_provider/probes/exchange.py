"""The last two stages of a check: the TLS handshake, and the answer to a request."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import cached_property
from typing import Any

from airflow_incident_provider.models import Expectation, ProbeRun, Stage, StageName, Verdict
from airflow_incident_provider.probes.certificate import (
    ServerCertificate,
    assess_certificate,
    read_certificate,
    sent_certificates,
)
from airflow_incident_provider.probes.output import plain_text
from airflow_incident_provider.probes.reachability import Attempt, Outcome
from airflow_incident_provider.probes.script import CONNECT_S, TOTAL_S, endpoint_of, speaks_tls

NOT_FOLLOWED = ", which was not followed"
"""What is said of a redirect."""

SLOW_MS = 2_000
"""From how many milliseconds on an answer is slow, unless the routing table says otherwise."""

_TIMED_OUT, _STOPPED_READING, _TOO_LARGE = 28, 23, 63
_SERVER_ERROR, _CLIENT_ERROR, _SUCCESS = 500, 400, 200
_PROXY_WANTS_LOGIN = 407
_GATEWAY_ERRORS = range(502, 505)
_MULTIPLE_CHOICES = 300
_REDIRECTS = range(300, 400)
_NOT_MODIFIED = 304

# What curl's exit codes mean to a reader; see curl(1), "EXIT CODES".
_CURL_WORDS = {
    1: "the answer is not HTTP",
    8: "the answer breaks the rules of HTTP",
    16: "the answer breaks the rules of HTTP/2",
    35: "the TLS handshake failed",
    52: "the server closed the connection without an answer",
    55: "the connection broke while the request was sent",
    56: "the connection broke before the answer was complete",
    58: "the client certificate of the connection could not be used",
    61: "the answer is not in an encoding that clients know",
    92: "the answer breaks the rules of HTTP/2",
    95: "the answer breaks the rules of HTTP/3",
    100: "the answer's headers are larger than curl takes",
}
_WORDS_OF_MESSAGE = {
    "Too large response headers": "the answer's headers are larger than curl takes",
    "reset by server": "the server reset the stream of HTTP/2",
}
"""What curl's own words say more exactly than its exit code does."""

_WANTS_CERTIFICATE = "the server asks for a client certificate, and none is configured"
_WITHOUT_CERTIFICATE = frozenset({400, 401, 403, 495, 496})
"""Statuses by which servers that let the handshake succeed refuse a client without a certificate."""

_UP = {
    401: "up, requires authentication",
    403: "up, requires authentication",
    405: "up, does not accept GET",
    407: "up, requires authentication",
    426: "up, requires another protocol",
}
"""Statuses by which a server that is well says that it wants something else than a plain GET."""

_ALERT = re.compile(r"\(IN\), TLS alert, (?!close notify)")
_TIMES = re.compile(r" in \d+ ms \([^)]*\)")
_OPENSSL_REASON = re.compile(r"routines::(.+)$")
_STREAMS = (
    *("text/event-stream", "multipart/x-mixed-replace", "application/x-ndjson", "application/stream+json"),
    *("audio/", "video/"),
)
"""Types of answers that may go on for ever."""

_WITHOUT_GOODBYE = "unexpected eof while reading"
"""OpenSSL's words for a server that ends the connection without ending TLS, as many do."""

_GRPC_OK = "0"
_GRPC_ANSWERS = {
    "5": (Verdict.UNKNOWN, "the health service does not know the service that was asked about,"),
    "7": (Verdict.OK, "up, requires authentication,"),
    "8": (Verdict.WARN, "the health check was answered RESOURCE_EXHAUSTED"),
    "12": (Verdict.OK, "up, has no health service,"),
    "16": (Verdict.OK, "up, requires authentication,"),
}
"""Statuses of gRPC that say something else than that the server is out of order."""

_SERVING = {1: "SERVING", 2: "NOT_SERVING", 3: "SERVICE_UNKNOWN"}
_GRPC_CODES = {"2": "UNKNOWN", "4": "DEADLINE_EXCEEDED", "13": "INTERNAL", "14": "UNAVAILABLE"}


@dataclass(frozen=True)
class Exchange:
    """One transfer by curl, at one address.

    :param at: when the probe ran, by the worker's clock.
    """

    run: ProbeRun
    attempt: Attempt
    name_ms: int
    at: datetime

    @property
    def transfer(self) -> dict[str, Any]:
        """What curl reported."""
        return self.attempt.transfer or {}

    @property
    def exit_code(self) -> int:
        """Curl's exit code."""
        return self._number("exitcode")

    @property
    def status(self) -> int:
        """The status of the answer; 0 if there was none."""
        return self._number("http_code")

    @property
    def handshake_ms(self) -> int | None:
        """The milliseconds of the TLS handshake, if it completed."""
        ended = self._ms("time_appconnect")
        return max(0, ended - self._ms("time_connect")) if ended else None

    @property
    def connect_status(self) -> int:
        """The status of the proxy's answer to CONNECT; 0 if there was none."""
        return self._number("http_connect")

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
        """Where a redirect leads."""
        return str(self.transfer.get("redirect_url") or "") or None

    @property
    def lacks_client_certificate(self) -> bool:
        """Whether the server asked for a client certificate, and none is configured."""
        expected = self.run.target.expect if self.run.target else None
        configured = expected is not None and expected.client_certificate is not None
        return "Request CERT" in self.attempt.trace and not configured

    @cached_property
    def certificate(self) -> ServerCertificate | None:
        """The server's certificate, if it showed one, with what a verifying client made of it."""
        shown = self.attempt.verified or self.transfer
        verification = int(shown.get("ssl_verify_result") or 0)
        pem = shown.get("certs") or self.transfer.get("certs") or sent_certificates(self.attempt.sent)
        return read_certificate(str(pem), verification, self.at)

    @property
    def skew(self) -> timedelta | None:
        """How far the server's clock is ahead of ours, by its ``Date`` header."""
        if not (date := self.header("date")):
            return None
        try:
            return parsedate_to_datetime(date) - self.at
        except (ValueError, TypeError):
            return None

    def header(self, name: str) -> str | None:
        """Return the last header or trailer of this name."""
        found = re.findall(
            rf"(?im)^{re.escape(name)}:[ \t]*(.*?)[ \t]*\r?$", self.attempt.headers.decode("latin-1")
        )
        return str(found[-1]) if found else None

    @property
    def failure(self) -> str:
        """Why there was no answer, as text."""
        if self.exit_code == _TIMED_OUT:
            if speaks_tls(self.run, endpoint_of(self.run)) and self.handshake_ms is None:
                return f"the TLS handshake did not end within {CONNECT_S} s"
            return f"no answer within {TOTAL_S} s"
        message = str(self.transfer.get("errormsg") or "")
        words = _CURL_WORDS.get(self.exit_code, f"no answer (curl exit code {self.exit_code})")
        words = next((more for known, more in _WORDS_OF_MESSAGE.items() if known in message), words)
        reason = _OPENSSL_REASON.search(message)
        return f"{words} ({plain_text(reason[1].encode())[:120].strip()})" if reason else words

    def _number(self, key: str) -> int:
        value = self.transfer.get(key)
        return int(value) if isinstance(value, int | float) else 0

    def _ms(self, key: str) -> int:
        value = self.transfer.get(key)
        return round(float(value) * 1000) if isinstance(value, int | float) else 0


def exchanges(run: ProbeRun, attempts: Sequence[Attempt], name_ms: int, at: datetime) -> tuple[Exchange, ...]:
    """Return the transfers of the addresses that accepted a connection."""
    opened = (each for each in attempts if each.outcome is Outcome.OPEN and each.transfer is not None)
    return tuple(Exchange(run, attempt, name_ms, at) for attempt in opened)


# --- TLS ----------------------------------------------------------------------------------------------


def assess_tls(run: ProbeRun, made: Sequence[Exchange]) -> Stage:
    """Return whether the handshake completed with a certificate that a client accepts, at every address."""
    return _worst(StageName.TLS, [(each, *_handshake(run, each)) for each in made])


def _handshake(run: ProbeRun, made: Exchange) -> tuple[Verdict, str, int | None]:
    certificate = made.certificate
    refused = made.handshake_ms is None and made.lacks_client_certificate
    if certificate is None and refused:
        return Verdict.UNKNOWN, _WANTS_CERTIFICATE, None
    if certificate is None or (made.handshake_ms is None and not refused):
        words = made.failure
        return Verdict.FAIL, words if "TLS" in words else f"no TLS handshake: {words}", None
    verdict, summary = assess_certificate(certificate, endpoint_of(run).host, made.at, made.skew)
    if refused and verdict is Verdict.OK:
        return Verdict.UNKNOWN, f"{_WANTS_CERTIFICATE}; {summary}", None
    return verdict, f"{summary}; {_WANTS_CERTIFICATE}" if refused else summary, made.handshake_ms


# --- the proxy ----------------------------------------------------------------------------------------


def assess_proxy(made: Exchange | None) -> Stage | None:
    """Return what keeps a proxy from leading to the target, if anything does: it says nothing about the target."""
    if made is None:
        return _proxy("the proxy does not answer")
    connected, tls = made.connect_status, speaks_tls(made.run, endpoint_of(made.run))
    if _PROXY_WANTS_LOGIN in {connected, 0 if tls else made.status}:
        return _proxy("the proxy requires authentication")
    if connected >= _REDIRECTS.start:
        return _proxy(f"the proxy answers {connected} to CONNECT")
    if (tls and not connected) or (not tls and not made.status):
        reason = f" within {TOTAL_S} s" if made.exit_code == _TIMED_OUT else f": {made.failure}"
        return _proxy(f"no answer came through the proxy{reason}")
    return None


def _proxy(summary: str) -> Stage:
    return Stage(name=StageName.CONNECTION, verdict=Verdict.UNKNOWN, summary=summary)


# --- the request --------------------------------------------------------------------------------------


def assess_request(run: ProbeRun, made: Sequence[Exchange]) -> Stage:
    """Return whether the answer is what the routing table expects, or by default one of a server that is up."""
    judge = _grpc_answer if run.probe == "grpc" else _http_answer
    return _worst(StageName.REQUEST, [(each, *judge(each), each.total_ms) for each in made])


def _http_answer(made: Exchange) -> tuple[Verdict, str]:
    expected = (made.run.target.expect if made.run.target else None) or Expectation()
    if made.status < _SUCCESS:
        return _without_answer(made)
    verdict, words = _status(made, expected)
    parts = [f"HTTP {made.status} in {made.total_ms} ms ({made.phases})", *words]
    if broken := _broken_off(made):
        verdict, parts = _graver(verdict, Verdict.WARN), [*parts, broken]
    slow_ms = expected.slow_ms or SLOW_MS
    if made.total_ms > slow_ms and not _is_stream(made):
        verdict, parts = _graver(verdict, Verdict.WARN), [*parts, f"slow: the limit is {slow_ms} ms"]
    if expected.body and verdict is not Verdict.FAIL and not _matches(expected.body, made.attempt.body):
        verdict, parts = Verdict.FAIL, [*parts, f"the body does not match {expected.body[:80]!r}"]
    return verdict, "; ".join(parts)


def _without_answer(made: Exchange) -> tuple[Verdict, str]:
    words = f"{made.failure}; HTTP {made.status} was all that came" if made.status else made.failure
    if not made.lacks_client_certificate:
        return Verdict.FAIL, words
    if _ALERT.search(made.attempt.trace):
        return Verdict.UNKNOWN, _WANTS_CERTIFICATE
    # A server that says nothing may be broken, too.
    if made.exit_code == _TIMED_OUT:
        return Verdict.FAIL, f"{words}; {_WANTS_CERTIFICATE}"
    return Verdict.UNKNOWN, f"{_WANTS_CERTIFICATE}; {words}"


def _status(made: Exchange, expected: Expectation) -> tuple[Verdict, list[str]]:
    status = made.status
    if expected.statuses:
        if any(is_status(status, pattern) for pattern in expected.statuses):
            return Verdict.OK, []
        if not (expected.follow_redirects and status in _REDIRECTS):
            return Verdict.FAIL, [f"expected {', '.join(expected.statuses)}"]
    if status in _WITHOUT_CERTIFICATE and made.lacks_client_certificate:
        return Verdict.UNKNOWN, [_WANTS_CERTIFICATE]
    if status in _GATEWAY_ERRORS and made.attempt.proxied and not made.connect_status:
        return Verdict.WARN, ["the proxy may have answered so itself"]
    return (Verdict.OK, [_UP[status]]) if status in _UP else _by_class(made)


def _by_class(made: Exchange) -> tuple[Verdict, list[str]]:
    """Return what the class of a status means (RFC 9110, 15)."""
    if made.status in _REDIRECTS and made.status != _NOT_MODIFIED:
        return _redirect(made)
    if made.status >= _SERVER_ERROR:
        return Verdict.FAIL, []
    return (Verdict.WARN, []) if made.status >= _CLIENT_ERROR else (Verdict.OK, [])


def _redirect(made: Exchange) -> tuple[Verdict, list[str]]:
    if made.location:
        return Verdict.UNKNOWN, [f"redirects to {made.location}{NOT_FOLLOWED}"]
    if made.status == _MULTIPLE_CHOICES:
        return Verdict.UNKNOWN, ["offers several answers, of which none was asked for"]
    return Verdict.WARN, ["redirects without saying where"]


def is_status(status: int, pattern: str) -> bool:
    """Return whether a status is what a pattern such as ``204``, ``2xx`` or ``200-299`` means."""
    first, dash, last = pattern.partition("-")
    if dash:
        return int(first) <= status <= int(last)
    return re.fullmatch(pattern.lower().replace("x", "[0-9]"), str(status)) is not None


def _broken_off(made: Exchange) -> str | None:
    if made.exit_code in {0, _STOPPED_READING, _TOO_LARGE} or _is_stream(made):
        return None
    if made.exit_code == _TIMED_OUT:
        return f"the answer did not end within {TOTAL_S} s"
    unannounced = made.header("content-length") is None and made.header("transfer-encoding") is None
    if unannounced and _WITHOUT_GOODBYE in str(made.transfer.get("errormsg") or ""):
        return None
    return made.failure if made.failure.startswith("the answer") else f"the answer broke off: {made.failure}"


def _is_stream(made: Exchange) -> bool:
    """Return whether the answer is of a kind that is not meant to end."""
    return (made.header("content-type") or "").lower().startswith(_STREAMS)


def _matches(pattern: str, body: bytes) -> bool:
    return re.search(pattern, body.decode("utf-8", errors="replace")) is not None


def _grpc_answer(made: Exchange) -> tuple[Verdict, str]:
    """Return what the server's health service says (grpc.health.v1)."""
    if made.status == 0:
        return _without_answer(made)
    code = made.header("grpc-status")
    took = f"in {made.total_ms} ms ({made.phases})"
    if code is None:
        return Verdict.FAIL, f"HTTP {made.status} {took}; the answer is not gRPC"
    if code == _GRPC_OK:
        serving = made.attempt.body[6] if made.attempt.body[5:6] == b"\x08" and len(made.attempt.body) > 6 else 0  # noqa: PLR2004
        state = _SERVING.get(serving, "UNKNOWN")
        verdict = Verdict.OK if state == "SERVING" else Verdict.FAIL
        return verdict, f"the health check was answered {state} {took}"
    answered = f"the health check was answered {_GRPC_CODES.get(code, f'status {code[:20]}')}"
    verdict, words = _GRPC_ANSWERS.get(code, (Verdict.FAIL, answered))
    return verdict, f"{words} {took}"


# --- several addresses --------------------------------------------------------------------------------


def _graver(one: Verdict, other: Verdict) -> Verdict:
    order = list(Verdict)
    return min(one, other, key=order.index)


def _worst(name: StageName, results: Sequence[tuple[Exchange, Verdict, str, int | None]]) -> Stage:
    """Return one stage for all addresses; a fault at some of them, while others are in order, is a warning.

    Faults that differ are all listed, each with its addresses.
    """
    order = list(Verdict)
    ordered = sorted(results, key=lambda result: order.index(result[1]))
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
