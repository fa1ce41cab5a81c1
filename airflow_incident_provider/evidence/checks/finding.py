"""Conclude a check with its finding, which cites the API calls that it follows from."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC
from typing import Any

from airflow_incident_provider.evidence.calls import Answer, Answers
from airflow_incident_provider.evidence.observations import Checked, Seen
from airflow_incident_provider.evidence.reading import utc
from airflow_incident_provider.evidence.request import EvidenceRequest
from airflow_incident_provider.models import Finding, Verdict

_GIB, _LARGE = 2**30, 1000
_SIZES = (("MiB", 2**20), ("KiB", 2**10), ("B", 1))
_UNITS = {
    "percent": "%",
    "nanosecond": "ns",
    "microsecond": "µs",
    "millisecond": "ms",
    "second": "s",
    "minute": "min",
    "hour": "h",
}


@dataclass(frozen=True)
class Check:
    """A check of a request, by what the monitoring answered.

    :param calls: the names of the calls that its finding follows from.
    """

    name: str
    request: EvidenceRequest
    answers: Answers
    calls: Sequence[str]

    def answer(self, call: str | None = None) -> Answer | None:
        """Return the answer of a call, the first by default; ``None`` if there is no usable one."""
        answer = self.answers.get(call or self.calls[0])
        return answer if answer is not None and answer.usable else None

    def found(
        self,
        summary: str,
        seen: Seen | None = None,
        verdict: Verdict = Verdict.OK,
        *,
        facts: Mapping[str, str | int | float | bool] | None = None,
        evidence: str = "",
    ) -> Checked[Seen]:
        """Conclude the check with what was seen."""
        made = [self.answers[call].call for call in self.calls if call in self.answers]
        finding = Finding(
            probe=self.name,
            target=self.request.service or self.request.env or "",
            verdict=verdict,
            summary=summary,
            facts=dict(facts or {}),
            evidence=evidence[:4_000],
            started_at=self.request.now,
            duration_ms=max((call.duration_ms for call in made), default=0),
            calls=tuple(call.id for call in made),
        )
        return Checked(finding, seen)

    def unknown(self, summary: str) -> Checked[Any]:
        """Conclude that the answers do not show it."""
        return self.found(summary, None, Verdict.UNKNOWN)

    def unanswered(self, what: str) -> Checked[Any]:
        """Conclude that there is no usable answer, with the reason."""
        known = [self.answers[call] for call in self.calls if call in self.answers]
        reasons = [answer.call.reason for answer in known if not answer.usable]
        return self.unknown(f"{what} not known: {next(filter(None, reasons), 'it was not asked')}")

    def skipped(self, reason: str) -> Checked[Any]:
        """Conclude that it does not apply, whatever was answered."""
        return replace(self, calls=()).found(reason, None, Verdict.SKIPPED)


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


def to_onset(seconds: float, onset: float, onset_from: float | None = None) -> str:
    """Return how long before or after the onset something was.

    :param onset_from: from when on the onset may be, if it is not known to the minute.
    """
    if onset_from is None or seconds >= onset:
        return f"{ago(seconds, onset)} the onset"
    minutes = math.floor(onset_from / 60) - math.floor(seconds / 60)
    return f"at least {minutes} min before the onset" if minutes > 0 else "before the onset"


def number(value: float, unit: str | None = None) -> str:
    """Return a figure as people read it."""
    if unit == "byte":
        if abs(value) >= _GIB:
            return f"{value / _GIB:.2f} GiB"
        name, size = next(each for each in _SIZES if abs(value) >= each[1] or each[1] == 1)
        return f"{_digits(value / size)} {name}"
    if unit == "share":
        return percent(value)
    shown = _UNITS.get(unit or "", "")
    return f"{_digits(value)} {shown}".rstrip()


def _digits(value: float) -> str:
    # Three digits of 999.7 would be 1e+03.
    return f"{value:,.0f}" if abs(value) >= _LARGE - 0.5 else f"{value:.3g}"


def percent(share: float) -> str:
    """Return a share as a percentage."""
    if share < 0.1:  # noqa: PLR2004
        return f"{share * 100:.2g} %"
    # Nearly all is not all.
    shown = f"{share * 100:.0f}"
    return f"{shown} %" if shown != "100" or share >= 1 else f"{min(share * 100, 99.99):.4g} %"


def listed(words: Sequence[str], most: int = 5) -> str:
    """Return ``a, b and 3 more``."""
    shown = ", ".join(words[:most])
    return f"{shown} and {len(words) - most} more" if len(words) > most else shown
