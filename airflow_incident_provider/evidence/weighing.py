"""How evidence for and against a hypothesis is weighed.

Confidence is the noisy-or of the weights of the supporting evidence, so that losing any of it weakens the
hypothesis, times a factor for each contradiction.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from airflow_incident_provider.evidence.model import Cause, Citation, Hypothesis


class Support(StrEnum):
    """Kinds of evidence for a hypothesis."""

    SYMPTOM = "symptom"
    CHANGE_JUST_BEFORE = "change_just_before"
    CHANGE_BEFORE = "change_before"
    VERSION_ARRIVED = "version_arrived"
    VERSION_FAILS_MORE = "version_fails_more"
    ERROR_IN_VERSION = "error_in_version"
    NEW_ERROR = "new_error"
    ERROR_TEXT = "error_text"
    LOG_TEXT = "log_text"
    ONE_HOST = "one_host"
    EXPLAINS_EXCESS = "explains_excess"
    ALERTED_FIRST = "alerted_first"
    TRAFFIC_ROSE = "traffic_rose"
    RESOURCE_ABNORMAL = "resource_abnormal"
    RESOURCE_GROWS = "resource_grows"
    STOPPED_REPORTING = "stopped_reporting"
    REQUESTS_CONTINUE = "requests_continue"
    DOWNTIME = "downtime"
    PROBE_FAILED = "probe_failed"


SUPPORT: Mapping[Support, float] = {
    Support.SYMPTOM: 0.15,
    Support.CHANGE_JUST_BEFORE: 0.5,
    Support.CHANGE_BEFORE: 0.2,
    Support.VERSION_ARRIVED: 0.4,
    Support.VERSION_FAILS_MORE: 0.6,
    Support.ERROR_IN_VERSION: 0.4,
    Support.NEW_ERROR: 0.15,
    Support.ERROR_TEXT: 0.45,
    Support.LOG_TEXT: 0.4,
    Support.ONE_HOST: 0.55,
    Support.EXPLAINS_EXCESS: 0.6,
    Support.ALERTED_FIRST: 0.3,
    Support.TRAFFIC_ROSE: 0.55,
    Support.RESOURCE_ABNORMAL: 0.45,
    Support.RESOURCE_GROWS: 0.55,
    Support.STOPPED_REPORTING: 0.45,
    Support.REQUESTS_CONTINUE: 0.4,
    Support.DOWNTIME: 0.65,
    Support.PROBE_FAILED: 0.5,
}
"""How much each kind of evidence supports a hypothesis, between 0 and 1."""

CONTRADICTED = 0.5
"""The factor of each contradicting observation."""


@dataclass
class Draft:
    """A hypothesis while it is weighed."""

    cause: Cause
    subject: str
    text: str
    settles: str
    path: tuple[str, ...] = ()
    supporting: list[tuple[Support, Citation]] = field(default_factory=list)
    contradicting: list[Citation] = field(default_factory=list)
    unchecked: list[str] = field(default_factory=list)

    def support(self, kind: Support, finding: str, text: str) -> None:
        """Add evidence for it; of one finding each kind counts once."""
        if all((kind, finding) != (each, citation.finding) for each, citation in self.supporting):
            self.supporting.append((kind, Citation(finding=finding, text=text)))

    def contradict(self, finding: str, text: str) -> None:
        """Add evidence against it."""
        self.contradicting.append(Citation(finding=finding, text=text))

    @property
    def confidence(self) -> float:
        """How well the evidence supports it, between 0 and 1."""
        doubt = 1.0
        for kind, _ in self.supporting:
            doubt *= 1 - SUPPORT[kind]
        return (1 - doubt) * CONTRADICTED ** len(self.contradicting)

    def done(self) -> Hypothesis:
        """Return the hypothesis."""
        return Hypothesis(
            cause=self.cause,
            subject=self.subject,
            text=self.text,
            confidence=round(self.confidence, 4),
            supporting=tuple(citation for _, citation in self.supporting),
            contradicting=tuple(self.contradicting),
            unchecked=tuple(self.unchecked),
            settles=self.settles,
            path=self.path,
        )
