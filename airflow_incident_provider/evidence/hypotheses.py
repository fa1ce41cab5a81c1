"""Possible causes, from what was observed: each with what supports it, what contradicts it, and what is unchecked.

:mod:`hypothesis_rules` proposes and :mod:`weighing` weighs. Below :data:`THRESHOLD` nothing is named: the engine
abstains and says what would settle it.
"""

from __future__ import annotations

from dataclasses import dataclass

from airflow_incident_provider.evidence.hypothesis_rules import RULES
from airflow_incident_provider.evidence.model import Cause, Hypothesis
from airflow_incident_provider.evidence.observations import Observations, summary_of, value_of
from airflow_incident_provider.evidence.weighing import Draft, Support
from airflow_incident_provider.models import Verdict

THRESHOLD = 0.5
LIKELY = 0.75

_MOST = 3


@dataclass(frozen=True)
class Proposal:
    """The hypotheses that reach the threshold, the best first; else why there is none."""

    hypotheses: tuple[Hypothesis, ...] = ()
    abstained: str | None = None


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
    for draft in drafts:
        if all(citation.finding != "metric" for _, citation in draft.supporting):
            draft.support(Support.SYMPTOM, "metric", summary_of(seen.metric))
        draft.unchecked += _unchecked(seen)
    known = sorted(drafts, key=lambda draft: (-draft.confidence, draft.cause, draft.subject))
    named = tuple(draft.done() for draft in known if draft.confidence >= THRESHOLD)
    if named:
        return Proposal(_without_explained(named)[:_MOST])
    return Proposal(abstained=_abstention(known, seen))


def _abstention(drafts: list[Draft], seen: Observations) -> str:
    unchecked = _unchecked(seen)
    text = "No cause is named: nothing that was checked explains the metric"
    if drafts:
        text = f"No cause is named: the evidence is too weak. It would settle it: {drafts[0].settles}"
    return f"{text}. Not checked: {', '.join(unchecked)}." if unchecked else f"{text}."


def _unchecked(seen: Observations) -> list[str]:
    return [each.probe for each in seen.findings if each.verdict is Verdict.UNKNOWN]


def _without_explained(hypotheses: tuple[Hypothesis, ...]) -> tuple[Hypothesis, ...]:
    """Leave out that a service is abnormal where it is said what made it so."""
    explained = {
        each.subject
        for each in hypotheses
        if each.cause in {Cause.DEPLOYMENT, Cause.FEATURE_FLAG, Cause.CONFIGURATION}
    }
    return tuple(each for each in hypotheses if each.cause is not Cause.DEPENDENCY or each.subject not in explained)
