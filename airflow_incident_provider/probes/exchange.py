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
from airflow_incident_provider.probes.certificate import ServerCertificate, assess_certificate, read_certificate
from airflow_incident_provider.probes.output import plain_text
from airflow_incident_provider.probes.reachability import Attempt, Outcome
from airflow_incident_provider.probes.script import CONNECT_S, TOTAL_S, endpoint_of, speaks_tls

SLOW_MS = 2_000
"""From how many milliseconds on an answer is slow, unless the routing table says otherwise."""

_TIMED_OUT, _STOPPED_READING, _TOO_LARGE = 28, 23, 63
_SERVER_ERROR, _CLIENT_ERROR, _REDIRECT, _SUCCESS = 500, 400, 300, 200
_NOT_FOLLOWED = range(300, 400)
_NOT_MODIFIED = 304

# What curl's exit codes mean to a reader; see curl(1), "EXIT CODES".
_CURL_WORDS = {
    1: "the answer is not HTTP",
    8: "the answer is not HTTP",
    16: "the answer breaks the rules of HTTP/2",
    35: "the TLS handshake failed",
    52: "the server closed the connection without an answer",
    55: "the connection broke while the request was sent",
    56: "the connection broke before the answer was complete",
    58: "the client certificate of the connection could not be used",
    61: "the answer's encoding is unknown",
    92: "the answer breaks the rules of HTTP/2",
    95: "the answer breaks the rules of HTTP/3",
}
_UP = {
    401: "up, requires authentication",
    403: "up, requires authentication",
    405: "up, does not accept GET",
    407: "up, requires authentication",
    426: "up, requires another protocol",
}
"""Statuses by which a server that is well says that it wants something else than a plain GET."""

_OPENSSL_REASON = re.compile(r"routines::(.+)$")
_STREAMS = ("text/event-stream", "multipart/x-mixed-replace")
_GRPC_OK, _GRPC_UNIMPLEMENTED = "0", "12"
_SERVING = {1: "SERVING", 2: "NOT_SERVING", 3: "SERVICE_UNKNOWN"}
_GRPC_CODES = {
    "2": "UNKNOWN",
    "4": "DEADLINE_EXCEEDED",
    "5": "NOT_FOUND",
    "7": "PERMISSION_DENIED",
    "8": "RESOURCE_EXHAUSTED",
    "13": "INTERNAL",
    "14": "UNAVAILABLE",
    "16": "UNAUTHENTICATED",
}


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
    def wants_client_certificate(self) -> bool:
        """Whether the server asked for a client certificate."""
        return "Request CERT" in self.attempt.trace

    @cached_property
    def certificate(self) -> ServerCertificate | None:
        """The server's certificate, if it showed one, with what a verifying client made of it."""
        shown = self.attempt.verified or self.transfer
        verification = int(shown.get("ssl_verify_result") or 0)
        return read_certificate(str(shown.get("certs") or ""), verification, self.at)

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
        words = _CURL_WORDS.get(self.exit_code, f"no answer (curl exit code {self.exit_code})")
        reason = _OPENSSL_REASON.search(str(self.transfer.get("errormsg") or ""))
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
    if made.handshake_ms is None and made.wants_client_certificate and not _has_client_certificate(run):
        return Verdict.UNKNOWN, "the server asks for a client certificate, and none is configured", None
    if made.handshake_ms is None or certificate is None:
        words = made.failure
        return Verdict.FAIL, words if "TLS" in words else f"no TLS handshake: {words}", None
    verdict, summary = assess_certificate(certificate, endpoint_of(run).host, made.at, made.skew)
    return verdict, summary, made.handshake_ms


def _has_client_certificate(run: ProbeRun) -> bool:
    return bool(run.target and run.target.expect and run.target.expect.client_certificate)


# --- the request --------------------------------------------------------------------------------------


def assess_request(run: ProbeRun, made: Sequence[Exchange]) -> Stage:
    """Return whether the answer is what the routing table expects, or by default one of a server that is up."""
    judge = _grpc_answer if run.probe == "grpc" else _http_answer
    return _worst(StageName.REQUEST, [(each, *judge(run, each), each.total_ms) for each in made])


def _http_answer(run: ProbeRun, made: Exchange) -> tuple[Verdict, str]:
    expected = (run.target.expect if run.target else None) or Expectation()
    if made.status == 0:
        return _without_answer(run, made)
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


def _without_answer(run: ProbeRun, made: Exchange) -> tuple[Verdict, str]:
    if made.wants_client_certificate and not _has_client_certificate(run):
        return Verdict.UNKNOWN, "the server asks for a client certificate, and none is configured"
    return Verdict.FAIL, made.failure


def _status(made: Exchange, expected: Expectation) -> tuple[Verdict, list[str]]:
    status = made.status
    if expected.statuses:
        if any(is_status(status, pattern) for pattern in expected.statuses):
            return Verdict.OK, []
        if not (expected.follow_redirects and status in _NOT_FOLLOWED):
            return Verdict.FAIL, [f"expected {', '.join(expected.statuses)}"]
    if status in _UP:
        return Verdict.OK, [_UP[status]]
    if status in _NOT_FOLLOWED and status != _NOT_MODIFIED:
        where = made.location or "somewhere else"
        return Verdict.UNKNOWN, [f"redirects to {where}, which was not followed"]
    if status >= _SERVER_ERROR:
        return Verdict.FAIL, []
    return (Verdict.WARN, []) if status >= _CLIENT_ERROR or status < _SUCCESS else (Verdict.OK, [])


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
    return f"the answer broke off: {made.failure}"


def _is_stream(made: Exchange) -> bool:
    """Return whether the answer is of a kind that is not meant to end."""
    return (made.header("content-type") or "").lower().startswith(_STREAMS)


def _matches(pattern: str, body: bytes) -> bool:
    return re.search(pattern, body.decode("utf-8", errors="replace")) is not None


def _grpc_answer(run: ProbeRun, made: Exchange) -> tuple[Verdict, str]:
    """Return what the server's health service says (grpc.health.v1)."""
    if made.status == 0:
        return _without_answer(run, made)
    code = made.header("grpc-status")
    took = f"in {made.total_ms} ms ({made.phases})"
    if code is None:
        return Verdict.FAIL, f"HTTP {made.status} {took}; the answer is not gRPC"
    if code == _GRPC_UNIMPLEMENTED:
        return Verdict.OK, f"up, has no health service, {took}"
    if code != _GRPC_OK:
        return Verdict.FAIL, f"the health check was answered {_GRPC_CODES.get(code, f'status {code[:20]}')} {took}"
    serving = made.attempt.body[6] if made.attempt.body[5:6] == b"\x08" and len(made.attempt.body) > 6 else 0  # noqa: PLR2004
    state = _SERVING.get(serving, "UNKNOWN")
    verdict = Verdict.OK if state == "SERVING" else Verdict.FAIL
    return verdict, f"the health check was answered {state} {took}"


# --- several addresses --------------------------------------------------------------------------------


def _graver(one: Verdict, other: Verdict) -> Verdict:
    order = list(Verdict)
    return min(one, other, key=order.index)


def _worst(name: StageName, results: Sequence[tuple[Exchange, Verdict, str, int | None]]) -> Stage:
    """Return one stage for all addresses; a fault at some of them only is a warning that names them."""
    order = list(Verdict)
    first, verdict, summary, took = min(results, key=lambda result: order.index(result[1]))
    faulty = [each for each, found, _, _ in results if found is verdict]
    if verdict is not Verdict.OK and len(faulty) < len(results):
        where = ", ".join(each.attempt.address.address for each in faulty)
        verdict = Verdict.WARN if verdict is Verdict.FAIL else verdict
        summary = f"at {len(faulty)} of {len(results)} addresses ({where}): {summary}"
    elif len(results) > 1 and verdict is Verdict.OK:
        summary = f"{summary} at {first.attempt.address.address}; the same verdict at {len(results)} addresses"
    return Stage(name=name, verdict=verdict, summary=summary, duration_ms=took)
