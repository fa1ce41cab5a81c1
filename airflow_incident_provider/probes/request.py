"""The last stage of a check: the answer to a request, of HTTP or of gRPC."""

from __future__ import annotations

import codecs
import re
from collections.abc import Sequence

from airflow_incident_provider.models import Expectation, ProbeRun, Stage, StageName, Verdict
from airflow_incident_provider.probes.exchange import (
    NOT_FOLLOWED,
    OUR_SIDE,
    REDIRECTS,
    TIMED_OUT,
    UNEXPECTED_END,
    WANTS_CERTIFICATE,
    Exchange,
    graver,
    shown_location,
    worst,
)
from airflow_incident_provider.probes.script import TOTAL_S, expectation

SLOW_MS = 2_000
"""From how many milliseconds on an answer is slow, unless the routing table says otherwise."""

MAX_BODY_BYTES = 32_768
"""How much of a body is matched; the container reads one byte more, so that a longer one is noticed."""
_CHARSET = re.compile(r"charset\s*=\s*[\"']?([\w.:+-]+)", re.IGNORECASE)
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    *((mark, "utf-32") for mark in (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)),
    *((mark, "utf-16") for mark in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)),
)
_STOPPED_READING, _TOO_LARGE = 23, 63
_SERVER_ERROR, _CLIENT_ERROR, _SUCCESS = 500, 400, 200
_PROXY_ANSWERS = {403: Verdict.UNKNOWN} | dict.fromkeys((502, 503, 504, 511), Verdict.WARN)
"""Statuses that a proxy itself may have answered a request of HTTP with, and what they are worth then."""
_MULTIPLE_CHOICES = 300
_NOT_MODIFIED = 304

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
_STREAMS = (
    *("text/event-stream", "multipart/x-mixed-replace", "application/x-ndjson", "application/stream+json"),
    *("audio/", "video/"),
)
"""Types of answers that may go on for ever."""

_WITHOUT_LOGIN = frozenset({401, 403})
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


def assess_request(run: ProbeRun, made: Sequence[Exchange]) -> Stage:
    """Return whether the answer is what the routing table expects, or by default one of a server that is up."""
    judge = _grpc_answer if run.probe == "grpc" else _http_answer
    return worst(StageName.REQUEST, [(each, *judge(each), each.total_ms) for each in made])


def _http_answer(made: Exchange) -> tuple[Verdict, str]:
    expected = expectation(made.run)
    if made.status < _SUCCESS:
        return _without_answer(made)
    verdict, words = _status(made, expected)
    parts = [f"HTTP {made.status} in {made.total_ms} ms ({made.phases})", *words]
    if broken := _broken_off(made):
        verdict, parts = graver(verdict, Verdict.WARN), [*parts, broken]
    slow_ms = expected.slow_ms or SLOW_MS
    if made.total_ms > slow_ms and not _is_stream(made):
        verdict, parts = graver(verdict, Verdict.WARN), [*parts, f"slow: the limit is {slow_ms} ms"]
    follows = expected.follow_redirects and made.status in REDIRECTS and made.location is not None
    counts = verdict is not Verdict.FAIL and not follows
    if expected.body and counts and (fault := _body_fault(made, expected.body)):
        verdict, parts = graver(verdict, fault[0]), [*parts, fault[1]]
    return verdict, "; ".join(parts)


def _without_answer(made: Exchange) -> tuple[Verdict, str]:
    if made.exit_code in OUR_SIDE:
        return Verdict.UNKNOWN, OUR_SIDE[made.exit_code]
    words = f"{made.failure}; HTTP {made.status} was all that came" if made.status else made.failure
    if not made.lacks_client_certificate:
        return Verdict.FAIL, words
    if _ALERT.search(made.attempt.trace):
        return Verdict.UNKNOWN, WANTS_CERTIFICATE
    # A server that says nothing may be broken, too.
    if made.exit_code == TIMED_OUT:
        return Verdict.FAIL, f"{words}; {WANTS_CERTIFICATE}"
    return Verdict.UNKNOWN, f"{WANTS_CERTIFICATE}; {words}"


def _status(made: Exchange, expected: Expectation) -> tuple[Verdict, list[str]]:
    status = made.status
    if expected.statuses:
        if any(is_status(status, pattern) for pattern in expected.statuses):
            return Verdict.OK, []
        if not (expected.follow_redirects and status in REDIRECTS):
            return Verdict.FAIL, [f"expected {', '.join(expected.statuses)}"]
    if status in _WITHOUT_CERTIFICATE and made.lacks_client_certificate:
        return Verdict.UNKNOWN, [WANTS_CERTIFICATE]
    if status in _PROXY_ANSWERS and made.attempt.proxied and made.handshake_ms is None:
        return _PROXY_ANSWERS[status], ["the proxy may have answered so itself"]
    return (Verdict.OK, [_UP[status]]) if status in _UP else _by_class(made)


def _by_class(made: Exchange) -> tuple[Verdict, list[str]]:
    """Return what the class of a status means (RFC 9110, 15)."""
    if made.status in REDIRECTS and made.status != _NOT_MODIFIED:
        return _redirect(made)
    if made.status >= _SERVER_ERROR:
        return Verdict.FAIL, []
    return (Verdict.WARN, []) if made.status >= _CLIENT_ERROR else (Verdict.OK, [])


def _redirect(made: Exchange) -> tuple[Verdict, list[str]]:
    if made.location:
        return Verdict.UNKNOWN, [f"redirects to {shown_location(made.location)}{NOT_FOLLOWED}"]
    if made.status == _MULTIPLE_CHOICES:
        return Verdict.UNKNOWN, ["offers several answers, of which none was asked for"]
    if made.header("location"):
        return Verdict.WARN, ["redirects to what is no single URL"]
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
    if made.exit_code == TIMED_OUT:
        return f"the answer did not end within {TOTAL_S} s"
    unannounced = made.header("content-length") is None and made.header("transfer-encoding") is None
    if unannounced and UNEXPECTED_END in made.message:
        return None
    return made.failure if made.failure.startswith("the answer") else f"the answer broke off: {made.failure}"


def _is_stream(made: Exchange) -> bool:
    """Return whether the answer is of a kind that is not meant to end."""
    return (made.header("content-type") or "").lower().startswith(_STREAMS)


def _body_fault(made: Exchange, pattern: str) -> tuple[Verdict, str] | None:
    """Return what is wrong with the body, as far as it was read."""
    if re.search(pattern, _text(made)):
        return None
    shown = repr(pattern[:80])
    if len(made.attempt.body) > MAX_BODY_BYTES:
        beginning = f"the first {MAX_BODY_BYTES // 1024} KB of the body do not match {shown}"
        return Verdict.UNKNOWN, f"{beginning}, and the rest was not read"
    if _is_stream(made):
        return Verdict.UNKNOWN, f"what came of the body within {TOTAL_S} s does not match {shown}"
    body = "what came of the body" if made.exit_code else "the body"
    return Verdict.FAIL, f"{body} does not match {shown}"


def _text(made: Exchange) -> str:
    """Return the body as text: by its byte order mark, else in the charset that the answer names, else as UTF-8."""
    body = made.attempt.body[:MAX_BODY_BYTES]
    named = _CHARSET.search(made.header("content-type") or "")
    encoding = next((name for mark, name in _MARKS if body.startswith(mark)), named[1] if named else "utf-8")
    try:
        text = body.decode(encoding, errors="replace")
    except (LookupError, ValueError):
        text = body.decode(errors="replace")
    return text.replace("\r\n", "\n")


def _grpc_answer(made: Exchange) -> tuple[Verdict, str]:
    """Return what the server's health service says (grpc.health.v1)."""
    if made.status == 0:
        return _without_answer(made)
    code = made.header("grpc-status")
    took = f"in {made.total_ms} ms ({made.phases})"
    if code is None and made.status in _WITHOUT_LOGIN:
        return Verdict.OK, f"HTTP {made.status} {took}; {_UP[made.status]}"
    if code is None:
        return Verdict.FAIL, f"HTTP {made.status} {took}; the answer is not gRPC"
    if code == _GRPC_OK:
        serving = made.attempt.body[6] if made.attempt.body[5:6] == b"\x08" and len(made.attempt.body) > 6 else 0  # noqa: PLR2004
        state = _SERVING.get(serving, "UNKNOWN")
        verdict, words = (Verdict.OK, "") if state == "SERVING" else (Verdict.FAIL, "")
        slow_ms = expectation(made.run).slow_ms or SLOW_MS
        if made.total_ms > slow_ms:
            verdict, words = graver(verdict, Verdict.WARN), f"; slow: the limit is {slow_ms} ms"
        return verdict, f"the health check was answered {state} {took}{words}"
    answered = f"the health check was answered {_GRPC_CODES.get(code, f'status {code[:20]}')}"
    verdict, words = _GRPC_ANSWERS.get(code, (Verdict.FAIL, answered))
    return verdict, f"{words} {took}"
