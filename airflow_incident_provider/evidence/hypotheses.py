"""Possible causes, from what was observed: each with what supports it, what contradicts it, and what is unchecked.

:mod:`hypothesis_rules` proposes and :mod:`weighing` weighs. Below :data:`THRESHOLD` nothing is named: the engine
abstains and says what would settle it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from airflow_incident_provider.evidence.hypothesis_rules import RULES
from airflow_incident_provider.evidence.model import Cause, Hypothesis, finding_id
from airflow_incident_provider.evidence.observations import Observations, summary_of, value_of
from airflow_incident_provider.evidence.weighing import Draft
from airflow_incident_provider.models import Finding, Verdict

THRESHOLD = 0.5
LIKELY = 0.75

_MOST = 3
_MOST_CANDIDATES = 5


@dataclass(frozen=True)
class Proposal:
    """The hypotheses that reach the threshold, the best first; else why there is none.

    :param candidates: the best of the others.
    """

    hypotheses: tuple[Hypothesis, ...] = ()
    abstained: str | None = None
    candidates: tuple[Hypothesis, ...] = ()


def propose(seen: Observations, service: str | None) -> Proposal:
    """Return the possible causes of what was observed.

    :param service: the alerting service.
    """
    metric = value_of(seen.metric)
    if metric is None:
        return Proposal(abstained="No cause is named: whether and since when the metric is abnormal is not known.")
    if not metric.symptomatic:
        return Proposal(abstained="No cause is named: the metric is within its normal range.")
    drafts = [draft for rule in RULES for draft in rule(seen, service or "")]
    unchecked = unchecked_ids(seen.findings)
    for draft in drafts:
        draft.support_by_symptom(summary_of(seen.metric))
        draft.unchecked += unchecked
    return select(drafts, unchecked)


def select(drafts: Sequence[Draft], unchecked: Sequence[str]) -> Proposal:
    """Return the drafts that are named, the best first; else why there is none.

    :param unchecked: the ids of the findings that could not be checked.
    """
    known = sorted(drafts, key=lambda draft: (-draft.confidence, draft.cause, draft.subject))
    every = [draft.done() for draft in known]
    named = _without_explained(tuple(each for each in every if each.confidence >= THRESHOLD))[:_MOST]
    return Proposal(
        hypotheses=named,
        abstained=None if named else _abstention(known, unchecked),
        candidates=tuple(each for each in every if each not in named)[:_MOST_CANDIDATES],
    )


def unchecked_ids(findings: Iterable[Finding]) -> list[str]:
    """Return the ids of the findings that could not be checked."""
    return [finding_id(each) for each in findings if each.verdict is Verdict.UNKNOWN]


def _abstention(drafts: Sequence[Draft], unchecked: Sequence[str]) -> str:
    text = "No cause is named: nothing that was checked explains the metric"
    if drafts:
        text = f"No cause is named: the evidence is too weak. It would settle it: {drafts[0].settles}"
    return f"{text}. Not checked: {', '.join(unchecked)}." if unchecked else f"{text}."


def _without_explained(hypotheses: tuple[Hypothesis, ...]) -> tuple[Hypothesis, ...]:
    """Leave out that a service is abnormal where it is said what made it so."""
    explained = {
        each.subject
        for each in hypotheses
        if each.cause in {Cause.DEPLOYMENT, Cause.FEATURE_FLAG, Cause.CONFIGURATION}
    }
    return tuple(each for each in hypotheses if each.cause is not Cause.DEPENDENCY or each.subject not in explained)
