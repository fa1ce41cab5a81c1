"""Build a check's finding, with the ids of the API calls that it follows from."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import UTC

from airflow_incident_provider.evidence.calls import Answer, Answers, call_ids
from airflow_incident_provider.evidence.reading import utc
from airflow_incident_provider.evidence.request import EvidenceRequest
from airflow_incident_provider.models import Finding, Verdict

_GIB, _MIB, _LARGE = 2**30, 2**20, 1000


def finding(  # noqa: PLR0917 - its callers read like a sentence
    name: str,
    request: EvidenceRequest,
    verdict: Verdict,
    summary: str,
    answers: Answers,
    calls: Sequence[str],
    *,
    facts: Mapping[str, str | int | float | bool] | None = None,
    evidence: str = "",
) -> Finding:
    """Return a finding.

    :param calls: the names of the calls that it follows from.
    """
    made = [answers[call].call for call in calls if call in answers]
    return Finding(
        probe=name,
        target=request.service or request.env or "",
        verdict=verdict,
        summary=summary,
        facts=dict(facts or {}),
        evidence=evidence[:4_000],
        started_at=request.now,
        duration_ms=max((call.duration_ms for call in made), default=0),
        calls=call_ids(answers, calls),
    )


def unchecked(name: str, request: EvidenceRequest, answers: Answers, calls: Sequence[str], what: str) -> Finding:
    """Return the finding of a check that has no (usable) answer: ``unknown``, with the reason."""
    reasons = [answers[call].call.reason for call in calls if call in answers and not answers[call].usable]
    reason = next(filter(None, reasons), "it was not asked")
    return finding(name, request, Verdict.UNKNOWN, f"{what} not known: {reason}", answers, calls)


def skipped(name: str, request: EvidenceRequest, reason: str) -> Finding:
    """Return the finding of a check that does not apply."""
    return finding(name, request, Verdict.SKIPPED, reason, {}, ())


def partly(answer: Answer | None) -> str:
    """Return the remark on an answer that is not complete."""
    return "" if answer is None or answer.complete else f" ({answer.call.reason})"


def clock(seconds: float, request: EvidenceRequest) -> str:
    """Return a time as ``09:31 UTC``, with the date where it is not the day of the alert."""
    at = utc(seconds)
    same_day = at.date() == request.alerted_at.astimezone(UTC).date()
    return f"{at:%H:%M} UTC" if same_day else f"{at:%Y-%m-%d %H:%M} UTC"


def ago(seconds: float, onset: float) -> str:
    """Return how long before or after the onset something was: ``3 min before``."""
    # As the clock shows it: both are shown in whole minutes.
    minutes = math.floor(onset / 60) - math.floor(seconds / 60)
    if minutes == 0:
        return "in the same minute as"
    words = f"{abs(minutes)} min" if abs(minutes) < 120 else f"{abs(minutes) / 60:.0f} h"  # noqa: PLR2004
    return f"{words} {'before' if minutes > 0 else 'after'}"


def number(value: float, unit: str | None = None) -> str:
    """Return a figure as people read it."""
    if unit == "byte":
        return f"{value / _GIB:.2f} GiB" if abs(value) >= _GIB else f"{value / _MIB:.0f} MiB"
    if unit == "share":
        return percent(value)
    text = f"{value:,.0f}" if abs(value) >= _LARGE else f"{value:.3g}"
    return {"percent": f"{text} %", "second": f"{text} s"}.get(unit or "", text)


def percent(share: float) -> str:
    """Return a share as a percentage."""
    return f"{share * 100:.2g} %" if share < 0.1 else f"{share * 100:.0f} %"  # noqa: PLR2004


def listed(words: Sequence[str], most: int = 5) -> str:
    """Return ``a, b and 3 more``."""
    shown = ", ".join(words[:most])
    return f"{shown} and {len(words) - most} more" if len(words) > most else shown
