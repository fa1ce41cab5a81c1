"""Weigh the possible causes again by what the probes found.

Datadog is asked while the probes run, so their findings come later. They support or contradict what was weighed,
and can name causes of their own. Where our own network fails, or the metric is not abnormal, they are left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property

from airflow_incident_provider.evidence.model import Cause, Contradiction, Evidence, Support, finding_id
from airflow_incident_provider.evidence.series import State
from airflow_incident_provider.evidence.weighing import CHANGES, Draft, select, unchecked_ids
from airflow_incident_provider.models import Finding, StageName, Verdict
from airflow_incident_provider.probes.interpretation import measured_endpoint
from airflow_incident_provider.probes.targets import Endpoint, endpoint, read_target

_JUST_BEFORE = timedelta(hours=1)
_MINUTE = timedelta(minutes=1)
_PLACES = frozenset({Cause.DEPENDENCY, Cause.THIRD_PARTY, Cause.HOST})
_RESPONSES = (StageName.REQUEST, StageName.TLS, StageName.CONNECTION)
_TEXTS = frozenset({Support.ERROR_TEXT, Support.LOG_TEXT, Support.LOG_TEXT_NEW})
_FURTHER = {
    Support.PROBE_FAILED: Support.PROBE_FAILED_TOO,
    Support.PROBE_PASSED: Support.PROBE_PASSED_TOO,
}
_CITED = 160


@dataclass(frozen=True)
class ProbeResult:
    """A finding of a probe, with its target taken apart."""

    finding: Finding
    where: Endpoint

    @property
    def id(self) -> str:
        """What hypotheses cite it by."""
        return finding_id(self.finding)

    @property
    def text(self) -> str:
        """What it observed, as hypotheses cite it."""
        return f"{self.where.authority}: {self.finding.summary}"[:_CITED]

    @property
    def passed(self) -> bool:
        """Whether the target answered as it should; that a name resolves is no answer of its host."""
        reached = any(stage.name in _RESPONSES and stage.verdict is Verdict.OK for stage in self.finding.stages)
        return self.finding.verdict is Verdict.OK and reached

    @property
    def is_elsewhere(self) -> bool:
        """Whether redirects led to another host or port, which the stages are about."""
        there = measured_endpoint(self.finding)
        return there is None or there.authority != self.where.authority

    @property
    def failed(self) -> bool:
        """Whether its target failed; of a redirect that led elsewhere it is not known what did."""
        return self.finding.verdict is Verdict.FAIL and not self.is_elsewhere

    def stage(self, name: StageName) -> Verdict:
        """Return the verdict of a stage; skipped if the probe has no such stage of its target."""
        if self.is_elsewhere:
            return Verdict.SKIPPED
        return next((each.verdict for each in self.finding.stages if each.name is name), Verdict.SKIPPED)

    def is_of(self, names: str) -> bool:
        """Return whether the target's host is one of these hosts or services, by its whole or its first label."""
        known = {name.strip().casefold() for name in names.split(",")}
        return bool({self.where.host.casefold(), self.where.host.casefold().partition(".")[0]} & known)

    @property
    def expired_at(self) -> datetime | None:
        """When the certificate that its target shows expired; ``None`` unless it is rejected for that."""
        left, end = (self.finding.facts.get(f"certificate_{name}") for name in ("days_left", "not_after"))
        if self.stage(StageName.TLS) is not Verdict.FAIL or not isinstance(left, int) or left >= 0:
            return None
        return datetime.fromisoformat(str(end))


@dataclass
class _Case:
    """The evidence while probes are weighed in."""

    evidence: Evidence
    probes: Sequence[ProbeResult]
    unchecked: tuple[str, ...]
    drafts: list[Draft] = field(default_factory=list)

    @cached_property
    def symptom(self) -> Finding | None:
        """The finding about the alert's own metric."""
        return next((each for each in self.evidence.findings if each.probe == "metric"), None)

    @property
    def is_over(self) -> bool:
        """Whether the metric was back to normal already: then a probe that passes contradicts nothing."""
        return self.symptom is not None and self.symptom.facts.get("state") == State.RECOVERED.value

    def failing(self, stage: StageName) -> Iterator[ProbeResult]:
        """Return the probes that failed at a stage."""
        return (probe for probe in self.probes if probe.failed and probe.stage(stage) is Verdict.FAIL)

    def about(self, cause: Cause, subject: str, text: str, settles: str) -> Draft:
        """Return the draft of a cause: one without a subject of its own is about whatever the probe found."""
        service = self.evidence.service
        found = (each for each in self.drafts if each.cause is cause and each.subject in {subject, service})
        if (draft := next(found, None)) is not None:
            return draft
        draft = Draft(cause, subject, text, settles, unchecked=self.unchecked)
        if self.symptom is not None:
            draft.support_by_symptom(self.symptom.summary)
        self.drafts.append(draft)
        return draft


def weigh_probes(evidence: Evidence, findings: Sequence[Finding]) -> Evidence:
    """Return the evidence with its hypotheses weighed again.

    :param findings: what the probes found, with the control of our own network.
    """
    probes = [
        ProbeResult(each, where)
        for each in findings
        if not each.is_control and (where := endpoint(read_target(each.target))) is not None
    ]
    own_network_fails = any(each.is_control and each.verdict is Verdict.FAIL for each in findings)
    if not evidence.symptomatic or not probes or own_network_fails:
        return evidence
    known = [Draft.of(each) for each in (*evidence.hypotheses, *evidence.candidates)]
    unchecked = unchecked_ids((*evidence.findings, *findings))
    case = _Case(evidence, probes, unchecked, known)
    for draft in known:
        draft.unchecked += tuple(each for each in unchecked if each not in draft.unchecked)
    _weigh_places(case)
    _weigh_certificates(case)
    _weigh_names(case)
    _weigh_connections(case)
    _weigh_emitter(case)
    return evidence.model_copy(update=vars(select(case.drafts, unchecked)))


def _support(draft: Draft, probe: ProbeResult, kind: Support = Support.PROBE_FAILED) -> None:
    """Add a probe; those after the first of their kind look at the same server and add little."""
    first = all(each.kind is not kind for each in draft.supporting)
    draft.support(kind if first else _FURTHER[kind], probe.id, probe.text)


def _weigh_places(case: _Case) -> None:
    """Support a host or service that a probe finds failing, and doubt one that answers."""
    for draft in case.drafts:
        if draft.cause not in _PLACES:
            continue
        own = [each for each in case.probes if each.is_of(draft.subject)]
        for probe in (each for each in own if each.failed):
            _support(draft, probe)
        _doubt(case, draft, [each for each in own if each.passed])


def _doubt(case: _Case, draft: Draft, passed: Sequence[ProbeResult]) -> None:
    """Add that probes passed, once: they look at the same server."""
    if passed and not case.is_over:
        draft.contradict(passed[0].id, passed[0].text, Contradiction.PROBE_PASSED)


def _weigh_certificates(case: _Case) -> None:
    """Propose a certificate that expired before the onset, the likelier the closer; after it, it is no cause."""
    for probe in case.failing(StageName.TLS):
        expired, onset = probe.expired_at, case.evidence.onset
        if expired is None or (onset is not None and expired > onset + _MINUTE):
            continue
        text = f"the certificate of {probe.where.authority} has expired, which may have caused it"
        settles = f"renew the certificate of {probe.where.authority} and see whether the metric recovers"
        draft = case.about(Cause.CERTIFICATE, probe.where.host, text, settles)
        _support(draft, probe)
        if onset is not None and not case.evidence.onset_open:
            _weigh_expiry(case, draft, probe, onset - expired)
    _doubt_texts(case, Cause.CERTIFICATE, StageName.TLS)


def _weigh_expiry(case: _Case, draft: Draft, probe: ProbeResult, before: timedelta) -> None:
    """Weigh how long before the onset a certificate expired; what errors say of one is not doubted for that."""
    if before > _JUST_BEFORE:
        if not _cited_texts(draft):
            draft.contradict(probe.id, f"it had expired {_hours(before)} before the onset")
        return
    text = f"the certificate of {probe.where.authority} expired {round(before / _MINUTE)} min before the onset"
    if all(each.kind is not Support.EXPIRED_JUST_BEFORE for each in draft.supporting):
        draft.support(Support.EXPIRED_JUST_BEFORE, probe.id, text)
    for change in (each for each in case.drafts if each.cause in CHANGES):
        change.contradict(probe.id, text)


def _hours(time: timedelta) -> str:
    hours = round(time / timedelta(hours=1))
    return f"{hours} h" if hours < 48 else f"{hours // 24} days"  # noqa: PLR2004


def _weigh_names(case: _Case) -> None:
    """Propose a name that does not resolve."""
    for probe in case.failing(StageName.NAME):
        text = f"{probe.where.host} does not resolve, which may have caused it"
        settles = f"find out since when {probe.where.host} does not resolve, from a host of the service as well"
        draft = case.about(Cause.DNS, probe.where.host, text, settles)
        _support(draft, probe)
    _doubt_texts(case, Cause.DNS, StageName.NAME)


def _doubt_texts(case: _Case, cause: Cause, stage: StageName) -> None:
    """Doubt what errors say about a host where the same stage of a probe of that host passes."""
    for draft in (each for each in case.drafts if each.cause is cause):
        cited = _cited_texts(draft)
        passed = [
            probe
            for probe in case.probes
            if probe.stage(stage) is Verdict.OK and any(probe.where.host in text for text in cited)
        ]
        _doubt(case, draft, passed)


def _cited_texts(draft: Draft) -> list[str]:
    """Return the errors and log messages that support a hypothesis."""
    return [each.text for each in draft.supporting if each.kind in _TEXTS]


def _weigh_connections(case: _Case) -> None:
    """Propose what accepts no connection, unless a hypothesis about that host or service cites it already."""
    for probe in case.failing(StageName.CONNECTION):
        if any(draft.cause in _PLACES and probe.is_of(draft.subject) for draft in case.drafts):
            continue
        at = probe.where.authority
        text = f"no connection to {at} can be made, which may have caused it"
        settles = f"look whether what listens at {at} runs, and since when it accepts no connections"
        draft = case.about(Cause.UNREACHABLE, at, text, settles)
        _support(draft, probe)


def _weigh_emitter(case: _Case) -> None:
    """Support that only the emitter is lost where the service answers, and contradict it where it does not."""
    for draft in (each for each in case.drafts if each.cause is Cause.EMITTER_LOST):
        own = [each for each in case.probes if each.is_of(draft.subject)]
        if failed := next((each for each in own if each.failed), None):
            draft.contradict(failed.id, failed.text)
            continue
        for probe in (each for each in own if each.passed):
            _support(draft, probe, Support.PROBE_PASSED)
