"""How evidence for and against a hypothesis is weighed, and which hypotheses are named.

Confidence is the noisy-or of the weights of the supporting evidence, so that losing any of it weakens the
hypothesis, times a factor for each contradiction. Below :data:`THRESHOLD` nothing is named: the engine abstains and
says what would settle it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from airflow_incident_provider.evidence.model import (
    Cause,
    Citation,
    Contradiction,
    Hypothesis,
    Support,
    finding_id,
)
from airflow_incident_provider.models import Finding, Verdict

THRESHOLD = 0.5
LIKELY = 0.75

CHANGES = frozenset({Cause.DEPLOYMENT, Cause.FEATURE_FLAG, Cause.CONFIGURATION})
"""The causes that somebody brought about."""

_MOST = 3
_MOST_CANDIDATES = 5


@dataclass
class Draft:
    """A hypothesis while it is weighed."""

    cause: Cause
    subject: str
    text: str
    settles: str
    path: tuple[str, ...] = ()
    supporting: tuple[Citation, ...] = ()
    contradicting: tuple[Citation, ...] = ()
    unchecked: tuple[str, ...] = ()

    @classmethod
    def of(cls, hypothesis: Hypothesis) -> Draft:
        """Return a hypothesis as a draft again, to weigh further evidence."""
        return cls(**{name: value for name, value in hypothesis if name != "confidence"})

    def support(self, kind: Support, finding: str, text: str) -> None:
        """Add evidence for it; of one finding each kind counts once."""
        if all((kind, finding) != (each.kind, each.finding) for each in self.supporting):
            self.supporting += (Citation(finding=finding, text=text, kind=kind),)

    def contradict(self, finding: str, text: str, kind: Contradiction = Contradiction.OBSERVED) -> None:
        """Add evidence against it; the same statement counts once."""
        if all(text != each.text for each in self.contradicting):
            self.contradicting += (Citation(finding=finding, text=text, kind=kind),)

    def support_by_symptom(self, text: str) -> None:
        """Add that the metric is abnormal, unless it says more about this hypothesis already."""
        if all(each.finding != "metric" for each in self.supporting):
            self.support(Support.SYMPTOM, "metric", text)

    @property
    def confidence(self) -> float:
        """How well the evidence supports it, between 0 and 1."""
        doubt = math.prod(1 - each.kind.weight for each in self.supporting if each.kind)
        return (1 - doubt) * math.prod(each.kind.weight for each in self.contradicting if each.kind)

    def done(self) -> Hypothesis:
        """Return the hypothesis."""
        return Hypothesis(confidence=round(self.confidence, 4), **vars(self))


@dataclass(frozen=True)
class Proposal:
    """The hypotheses that reach the threshold, the best first; else why there is none.

    :param candidates: the best of the others.
    """

    hypotheses: tuple[Hypothesis, ...] = ()
    abstained: str | None = None
    candidates: tuple[Hypothesis, ...] = ()


def select(drafts: Sequence[Draft], unchecked: Sequence[str]) -> Proposal:
    """Return the drafts that are named, the best first; else why there is none.

    :param unchecked: the ids of the findings that could not be checked.
    """
    known = sorted(drafts, key=lambda draft: (-draft.confidence, draft.cause, draft.subject))
    every = [draft.done() for draft in known]
    named = _without_explained([each for each in every if each.confidence >= THRESHOLD])[:_MOST]
    others = tuple(each for each in every if each not in named)[:_MOST_CANDIDATES]
    return Proposal(named, None if named else _abstention(known, unchecked), others)


def unchecked_ids(findings: Iterable[Finding]) -> tuple[str, ...]:
    """Return the ids of the findings that could not be checked."""
    return tuple(finding_id(each) for each in findings if each.verdict is Verdict.UNKNOWN)


def _abstention(drafts: Sequence[Draft], unchecked: Sequence[str]) -> str:
    text = "No cause is named: nothing that was checked explains the metric"
    if drafts:
        text = f"No cause is named: the evidence is too weak. It would settle it: {drafts[0].settles}"
    return f"{text}. Not checked: {', '.join(unchecked)}." if unchecked else f"{text}."


def _without_explained(hypotheses: Sequence[Hypothesis]) -> tuple[Hypothesis, ...]:
    """Leave out that a service is abnormal where it is said what made it so."""
    explained = {each.subject for each in hypotheses if each.cause in CHANGES}
    return tuple(each for each in hypotheses if each.cause is not Cause.DEPENDENCY or each.subject not in explained)
