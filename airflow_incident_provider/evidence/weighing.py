"""How evidence for and against a hypothesis is weighed.

Confidence is the noisy-or of the weights of the supporting evidence, so that losing any of it weakens the
hypothesis, times a factor for each contradiction.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from airflow_incident_provider.evidence.model import Cause, Citation, Contradiction, Hypothesis, Support

SUPPORT: Mapping[Support, float] = {
    Support.SYMPTOM: 0.15,
    Support.CHANGE_JUST_BEFORE: 0.5,
    Support.CHANGE_BEFORE: 0.2,
    Support.VERSION_ARRIVED: 0.4,
    Support.VERSION_FAILS_MORE: 0.6,
    Support.VERSION_SLOWER: 0.6,
    Support.ERROR_IN_VERSION: 0.4,
    Support.NEW_ERROR: 0.15,
    Support.ERROR_TEXT: 0.45,
    Support.LOG_TEXT: 0.4,
    Support.LOG_TEXT_NEW: 0.45,
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
    Support.PROBE_FAILED_TOO: 0.1,
    Support.PROBE_PASSED: 0.3,
    Support.PROBE_PASSED_TOO: 0.1,
    Support.EXPIRED_JUST_BEFORE: 0.4,
}
"""How much each kind of evidence supports a hypothesis, between 0 and 1."""

CONTRADICTION: Mapping[Contradiction, float] = {
    Contradiction.OBSERVED: 0.5,
    # A server that is slow or fails some requests regularly answers a probe.
    Contradiction.PROBE_PASSED: 0.85,
}
"""The factor of each kind of contradicting observation."""


@dataclass
class Draft:
    """A hypothesis while it is weighed."""

    cause: Cause
    subject: str
    text: str
    settles: str
    path: tuple[str, ...] = ()
    supporting: list[Citation] = field(default_factory=list)
    contradicting: list[Citation] = field(default_factory=list)
    unchecked: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, hypothesis: Hypothesis) -> Draft:
        """Return a hypothesis as a draft again, to weigh further evidence."""
        return cls(
            cause=hypothesis.cause,
            subject=hypothesis.subject,
            text=hypothesis.text,
            settles=hypothesis.settles,
            path=hypothesis.path,
            supporting=list(hypothesis.supporting),
            contradicting=list(hypothesis.contradicting),
            unchecked=list(hypothesis.unchecked),
        )

    def support(self, kind: Support, finding: str, text: str) -> None:
        """Add evidence for it; of one finding each kind counts once."""
        if all((kind, finding) != (each.kind, each.finding) for each in self.supporting):
            self.supporting.append(Citation(finding=finding, text=text, kind=kind))

    def contradict(self, finding: str, text: str, kind: Contradiction = Contradiction.OBSERVED) -> None:
        """Add evidence against it; the same statement counts once."""
        if all(text != each.text for each in self.contradicting):
            self.contradicting.append(Citation(finding=finding, text=text, kind=kind))

    def support_by_symptom(self, text: str) -> None:
        """Add that the metric is abnormal, unless it says more about this hypothesis already."""
        if all(each.finding != "metric" for each in self.supporting):
            self.support(Support.SYMPTOM, "metric", text)

    @property
    def confidence(self) -> float:
        """How well the evidence supports it, between 0 and 1."""
        doubt = math.prod(1 - SUPPORT[each.kind] for each in self.supporting if isinstance(each.kind, Support))
        kinds = [each.kind for each in self.contradicting if isinstance(each.kind, Contradiction)]
        return (1 - doubt) * math.prod(CONTRADICTION[kind] for kind in kinds)

    def done(self) -> Hypothesis:
        """Return the hypothesis."""
        return Hypothesis(
            cause=self.cause,
            subject=self.subject,
            text=self.text,
            confidence=round(self.confidence, 4),
            supporting=tuple(self.supporting),
            contradicting=tuple(self.contradicting),
            unchecked=tuple(self.unchecked),
            settles=self.settles,
            path=self.path,
        )
