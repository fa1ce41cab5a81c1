"""Errors that are new since the onset, and log messages that became more frequent."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from airflow_incident_provider.evidence.calls import LOGS_LIMIT, Answer, Answers, member
from airflow_incident_provider.evidence.checks.finding import Check, clock, listed, partly
from airflow_incident_provider.evidence.observations import (
    Checked,
    ErrorKind,
    LogPattern,
    MetricSeen,
    NewError,
    TrafficSeen,
)
from airflow_incident_provider.evidence.reading import plain, seconds_of, text_of
from airflow_incident_provider.evidence.request import EvidenceRequest
from airflow_incident_provider.models import Verdict

_KINDS = (
    (
        ErrorKind.CERTIFICATE,
        r"certificate (?:has )?expired|cert(?:ificate)?_?(?:has_?)?expired|x509:|certificate verify failed"
        r"|CertificateExpired|PKIX path|certificate is not yet valid",
    ),
    (
        ErrorKind.DNS,
        r"no such host|NXDOMAIN|getaddrinfo|name or service not known|nodename nor servname|UnknownHost|ENOTFOUND"
        r"|EAI_AGAIN|EAI_NONAME|name resolution|name (?:does|did) not resolve|could not (?:be )?resolve|SERVFAIL"
        # Go, gRPC, Rust and nginx.
        r"|\blookup \S+(?: on \S+)?: (?:server misbehaving|i/o timeout)|DNS resolution|produced zero addresses"
        r"|failed to lookup address|host not found|\bdns error\b",
    ),
    (
        ErrorKind.POOL,
        r"connection pool|pool (?:is )?(?:exhausted|timeout|limit)|too many connections|remaining connection slots"
        r"|HikariPool|PoolTimeout|QueuePool|unable to acquire (?:a )?connection",
    ),
    (ErrorKind.MEMORY, r"out ?of ?memory|oom-?kill|cannot allocate memory|MemoryError|heap space"),
    (ErrorKind.RATE_LIMITED, r"\b429\b|too many requests|rate.?limit(?:ed)?|quota exceeded"),
    (ErrorKind.TIMEOUT, r"time[d]?[ -]?out|deadline exceeded|ETIMEDOUT"),
    (ErrorKind.REFUSED, r"connection refused|ECONNREFUSED|connection reset|ECONNRESET"),
)
_PATTERNS = tuple((kind, re.compile(pattern, re.IGNORECASE)) for kind, pattern in _KINDS)

_NEW_BEFORE_ONSET_S = 1800
"""How long before the onset an error may have been seen first and still belong to the incident."""

_MASKS = tuple(
    (re.compile(pattern), mask)
    for pattern, mask in (
        (r"\x1b\[[0-9;]{0,20}[A-Za-z]", ""),
        (r"\b[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}\b", "<id>"),
        (r"\b\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d[\d.,]*(?:Z|[+-]\d\d:?\d\d)?", "<time>"),
        (r"\b(?:\d{1,3}\.){3}\d{1,3}(?::\d+)?\b", "<address>"),
        (r"[\w.+-]{1,64}@[\w-]{1,64}(?:\.[\w-]{1,64})+", "<email>"),
        (r"\"[^\"]{0,200}\"|'[^']{0,200}'", "<text>"),
        (r"(?<![\w/])/(?:[\w.@%+-]+/)*[\w.@%+-]*", "<path>"),
        (r"\b(?=[0-9a-fA-F]*\d)[0-9a-fA-F]{8,}\b", "<hex>"),
        (r"\d+", "<n>"),
    )
)
_PATTERN_LENGTH = 160
_EXAMPLE_LENGTH = 200
_LEAST_COUNT = 5
_LEAST_RISE = 2.0
_EXAMPLES = 3
_SHOWN = 3


def kind_of(*texts: str | None) -> ErrorKind:
    """Return what an error's text points to; the text proves nothing by itself."""
    for text in filter(None, texts):
        for kind, pattern in _PATTERNS:
            if pattern.search(text):
                return kind
    return ErrorKind.OTHER


def check_errors(
    request: EvidenceRequest, answers: Answers, metric: MetricSeen | None
) -> Checked[tuple[NewError, ...]]:
    """List the errors that were first seen with the incident: an old error with more traffic is not new."""
    check = Check("errors", request, answers, ["errors"])
    if (answer := check.answer()) is None:
        return check.unanswered("whether errors are new is")
    onset = metric.onset if metric and metric.symptomatic else None
    since = (onset if onset is not None else int(request.alerted_at.timestamp())) - _NEW_BEFORE_ONSET_S
    counts = {row.get("id"): row.get("attributes") for row in answer.rows("data")}
    issues = [row for row in answer.rows("included") if row.get("type") in {None, "issue"}]
    new = sorted(_new_errors(issues, counts, since), key=lambda each: -(each.count or 0))
    old = len(issues) - len(new)
    if not new and not answer.complete:
        return check.unknown(f"no new error was found, but not all were read: {answer.call.reason}")
    known = f" ({old} known {'error' if old == 1 else 'errors'} in the window)" if old else ""
    text = "; ".join(_error_text(each, request) for each in new[:_SHOWN]) or f"no new error{known}"
    verdict = Verdict.WARN if new and onset is not None else Verdict.OK
    return check.found(f"{text}{partly(answer)}", tuple(new), verdict)


def _new_errors(issues: Iterable[Mapping[str, Any]], counts: Mapping[Any, Any], since: int) -> Iterable[NewError]:
    for row in issues:
        first = seconds_of(member(row, "attributes", "first_seen")) or 0
        again = seconds_of(member(row, "attributes", "regression", "regressed_at")) or 0
        if first < since and again < since:
            continue
        regressed = first < since
        version = ("regression", "regressed_at_version") if regressed else ("first_seen_version",)
        total = member(counts.get(row.get("id")), "total_count")
        message = text_of(row, "attributes", "error_message", limit=_PATTERN_LENGTH) or ""
        yield NewError(
            type=text_of(row, "attributes", "error_type", limit=80) or "error",
            message=message,
            first_seen=again if regressed else first,
            version=text_of(row, "attributes", *version, limit=60),
            count=total if isinstance(total, int) else None,
            kind=kind_of(text_of(row, "attributes", "error_type"), message),
            regression=regressed,
        )


def _error_text(error: NewError, request: EvidenceRequest) -> str:
    verb = "came back" if error.regression else "first seen"
    version = f" in version {error.version}" if error.version else ""
    count = f", {error.count} times" if error.count is not None else ""
    return f"{error.type} {verb} {clock(error.first_seen, request)}{version}{count}"


def mask(message: str) -> str:
    """Return a log message with what varies replaced, so that equal messages look equal."""
    text = plain(message, 1000)
    for pattern, replacement in _MASKS:
        text = pattern.sub(replacement, text)
    return text[:_PATTERN_LENGTH]


def check_logs(
    request: EvidenceRequest, answers: Answers, traffic: TrafficSeen | None
) -> Checked[tuple[LogPattern, ...]]:
    """List masked error logs that became more frequent than requests did."""
    check = Check("logs", request, answers, ["logs", "logs_before"])
    now, before = map(check.answer, check.calls)
    if now is None or before is None:
        return check.unanswered("which log messages increased is")
    rows, earlier = now.rows("data"), before.rows("data")
    partial = next((each for each in (now, before) if not each.complete and not _only_page(each)), None)
    increased = _increased(rows, earlier, _traffic_factor(traffic))
    if partial is not None:
        return check.unknown(f"the log search is partial: {partial.call.reason}")
    more = " (only the newest 1,000 of each span were read)" if _full(rows) or _full(earlier) else ""
    if not increased:
        if _full(rows):
            # The counts are cut: what became more frequent need not be among them as often as it was logged.
            return check.unknown(f"which log messages increased is not known{more}")
        text = f"no error log message became more frequent{more}" if rows else "no error logs in the window"
        return check.found(text, ())
    if _full(earlier):
        # The time before is cut: counts of it are too low, and every pattern would look increased.
        return check.unknown(f"{listed([each.pattern for each in increased], _SHOWN)}: frequent{more}")
    text = "; ".join(f"“{each.pattern}” {each.count} times, {each.before} before" for each in increased[:_SHOWN])
    evidence = "\n".join(example for each in increased[:_SHOWN] for example in each.examples)
    return check.found(f"{text}{more}", tuple(increased), Verdict.WARN, evidence=evidence)


def _full(rows: list[Mapping[str, Any]]) -> bool:
    return len(rows) >= LOGS_LIMIT


def _only_page(answer: Answer) -> bool:
    """Return whether an answer is partial only because it fills its page."""
    return _full(answer.rows("data")) and answer.at("meta", "status") != "timeout"


def _traffic_factor(traffic: TrafficSeen | None) -> float:
    """Return how many times as many requests there are as normally: more traffic brings more of the same logs."""
    shift = traffic.requests if traffic else None
    return max(shift.factor or 1.0, 1.0) if shift and shift.onset is not None else 1.0


def _increased(
    rows: list[Mapping[str, Any]], earlier: list[Mapping[str, Any]], traffic_factor: float
) -> list[LogPattern]:
    counts, before = Counter(map(_pattern, rows)), Counter(map(_pattern, earlier))
    examples: dict[str, list[str]] = {}
    for row in rows:
        kept = examples.setdefault(_pattern(row), [])
        if len(kept) < _EXAMPLES:
            kept.append(_message(row, _EXAMPLE_LENGTH))
    increased = [
        LogPattern(
            pattern=pattern,
            count=count,
            before=before[pattern],
            kind=kind_of(*examples[pattern]),
            examples=tuple(examples[pattern]),
        )
        for pattern, count in counts.items()
        if pattern and count >= _LEAST_COUNT and count >= _LEAST_RISE * traffic_factor * before[pattern]
    ]
    return sorted(increased, key=lambda each: (-(each.count - each.before), each.pattern))


def _message(row: Mapping[str, Any], limit: int = 1000) -> str:
    return text_of(row, "attributes", "message", limit=limit) or ""


def _pattern(row: Mapping[str, Any]) -> str:
    return mask(_message(row))
