"""Possible causes, from what was observed: each with what supports it, what contradicts it, and what is unchecked.

The rules below propose; :data:`SUPPORT` and :data:`CONTRADICTED` weigh. Confidence is the noisy-or of the weights
of the supporting evidence, so that losing any of it weakens the hypothesis, times a factor for each contradiction.
Below :data:`THRESHOLD` nothing is named: the engine abstains and says what would settle it. A change after the
onset is never a cause, more traffic is not a new error, and a missing emitter is not zero.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from airflow_incident_provider.evidence.model import Cause, Citation, Hypothesis
from airflow_incident_provider.evidence.observations import (
    Change,
    ErrorKind,
    LogPattern,
    NewError,
    Observations,
    VersionSeen,
)
from airflow_incident_provider.evidence.series import Direction, Shift, State
from airflow_incident_provider.evidence.symptoms import Resource
from airflow_incident_provider.models import Verdict

THRESHOLD = 0.5
LIKELY = 0.75


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

_JUST_BEFORE_S = 15 * 60
_BEFORE_S = 60 * 60
_CLOCK_SKEW_S = 60
_PROVEN_S = 10 * 60
_MORE_TRAFFIC = 1.5
_FAILS_MORE = 3.0
_LEAST_ERROR_SHARE = 0.01
_MANY_HOSTS = 3
_FEW_OF_HOSTS = 0.34
_EXTERNAL = frozenset({"external", "third-party", "third_party", "thirdparty", "saas"})
_MOST = 3


@dataclass
class _Draft:
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


@dataclass(frozen=True)
class Proposal:
    """The hypotheses that reach the threshold, the best first; else why there is none."""

    hypotheses: tuple[Hypothesis, ...] = ()
    abstained: str | None = None


def propose(seen: Observations, service: str | None) -> Proposal:
    """Return the possible causes of what was observed.

    :param service: the alerting service.
    """
    metric = seen.metric.seen if seen.metric else None
    if metric is None:
        return Proposal(abstained="No cause is named: whether and since when the metric is abnormal is not known.")
    if not metric.symptomatic:
        return Proposal(abstained="No cause is named: the metric is within its normal range.")
    drafts = [draft for rule in RULES for draft in rule(seen, service or "")]
    for draft in drafts:
        if all(citation.finding != "metric" for _, citation in draft.supporting):
            draft.support(Support.SYMPTOM, "metric", seen.metric.finding.summary if seen.metric else "")
        draft.unchecked += _unchecked(seen)
    known = sorted(drafts, key=lambda draft: (-draft.confidence, draft.cause, draft.subject))
    named = tuple(draft.done() for draft in known if draft.confidence >= THRESHOLD)
    if named:
        return Proposal(_without_explained(named)[:_MOST])
    return Proposal(abstained=_abstention(known, seen))


def _abstention(drafts: list[_Draft], seen: Observations) -> str:
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


# --- rules: each yields drafts from what was observed -------------------------------------------------


def _onset(seen: Observations) -> int:
    metric = seen.metric.seen if seen.metric else None
    assert metric is not None
    return metric.onset or 0


def _changes(seen: Observations, service: str) -> Iterator[_Draft]:
    """Propose changes before the onset, of the service itself or of the one that explains its excess."""
    changes = seen.changes.seen if seen.changes else None
    suspect = _first_suspect(seen)
    onset = _onset(seen)
    for change in changes.before if changes else ():
        if change.at > onset or onset - change.at > _BEFORE_S or change.service not in {service, suspect}:
            continue
        draft = _Draft(
            change.kind,
            change.service,
            f"{change.title} may have caused it",
            f"undo it ({change.title}) and see whether the metric recovers",
            path=_path(seen, change.service) if change.service != service else (),
        )
        close = onset - change.at <= _JUST_BEFORE_S
        draft.support(
            Support.CHANGE_JUST_BEFORE if close else Support.CHANGE_BEFORE,
            "changes",
            f"{change.title}, {round((onset - change.at) / 60)} min before the onset",
        )
        _weigh_versions(draft, seen, change, service)
        _weigh_errors(draft, seen, change, service)
        if change.service != service:
            _weigh_dependency(draft, seen, change.service)
        elif suspect is not None:
            draft.contradict("dependencies", f"{suspect} explains most of the excess")
        _weigh_other_explanations(draft, seen)
        yield draft


def _weigh_versions(draft: _Draft, seen: Observations, change: Change, service: str) -> None:
    versions = seen.versions.seen if seen.versions else None
    if versions is None or change.kind is not Cause.DEPLOYMENT or change.service != service:
        return
    new = next((each for each in versions if each.version == change.version), None)
    if change.version is None:
        arrived = [each for each in versions if each.first_seen is not None and each.first_seen <= _onset(seen)]
        new = arrived[-1] if arrived else None
    if new is None:
        return
    old = [each for each in versions if each is not new and each.error_share is not None]
    if new.error_share is None:
        return
    if _ran_well_before(new, _onset(seen)):
        draft.contradict("versions", f"{new.version} served before the onset without failing")
        return
    others = max((each.error_share or 0.0 for each in old), default=None)
    if others is None:
        before = max((each.errors_before or 0.0 for each in versions if each is not new), default=0.0)
        if new.error_share >= max(_LEAST_ERROR_SHARE, _FAILS_MORE * before):
            draft.support(Support.VERSION_FAILS_MORE, "versions", f"{new.version} fails more than before")
    elif new.error_share >= max(_LEAST_ERROR_SHARE, _FAILS_MORE * others):
        draft.support(Support.VERSION_FAILS_MORE, "versions", f"{new.version} fails more than the other versions")
    elif others >= _LEAST_ERROR_SHARE and others >= new.error_share / 2:
        draft.contradict("versions", "the other versions fail as much")


def _ran_well_before(version: VersionSeen, onset: int) -> bool:
    """Return whether a version served for a while, and failed much less, before the onset."""
    if version.first_seen is None or version.errors_before is None or onset - version.first_seen < _PROVEN_S:
        return False
    return (version.error_share or 0.0) >= max(_LEAST_ERROR_SHARE, _FAILS_MORE * version.errors_before)


def _weigh_errors(draft: _Draft, seen: Observations, change: Change, service: str) -> None:
    if change.service != service:
        return
    for error in (seen.errors.seen or ()) if seen.errors else ():
        if error.first_seen < change.at - _CLOCK_SKEW_S:
            continue
        if change.version is not None and error.version == change.version:
            draft.support(Support.ERROR_IN_VERSION, "errors", f"{error.type} came with {error.version}")
        elif error.kind is ErrorKind.OTHER:
            draft.support(Support.NEW_ERROR, "errors", f"{error.type} is new")


def _weigh_other_explanations(draft: _Draft, seen: Observations) -> None:
    """Contradict a change by what does not come from changes: an expired certificate, one lost host."""
    kinds = {each.kind for each in _texts(seen)}
    if ErrorKind.CERTIFICATE in kinds:
        draft.contradict(
            "errors" if _has_error(seen, ErrorKind.CERTIFICATE) else "logs", "a certificate is at fault"
        )
    hosts = _one_host(seen)
    rollout = _new_version(seen)
    if hosts and (rollout is None or rollout.traffic_share >= 1 - _FEW_OF_HOSTS):
        draft.contradict("groups", f"only {', '.join(hosts)} is abnormal")


def _unreported_version(seen: Observations, service: str) -> Iterator[_Draft]:
    """Propose a version that nobody reported, but that serves requests since just before the onset."""
    onset = _onset(seen)
    versions = seen.versions.seen if seen.versions else None
    reported = seen.changes.seen if seen.changes else None
    known = {change.version for change in reported.before} if reported else set()
    close = [
        c for c in (reported.before if reported else ()) if c.service == service and c.kind is Cause.DEPLOYMENT
    ]
    for version in versions or ():
        first = version.first_seen
        if first is None or first > onset or onset - first > _BEFORE_S or version.version in known:
            continue
        if any(abs(change.at - first) <= _JUST_BEFORE_S for change in close):
            continue
        change = Change(
            kind=Cause.DEPLOYMENT,
            at=first,
            service=service,
            title=f"version {version.version} of {service}",
            version=version.version,
        )
        draft = _Draft(
            Cause.DEPLOYMENT,
            service,
            f"version {version.version} of {service}, which nobody reported, may have caused it",
            f"return to the version before {version.version} and see whether the metric recovers",
        )
        if onset - first <= _JUST_BEFORE_S:
            draft.support(
                Support.VERSION_ARRIVED, "versions", f"first seen {round((onset - first) / 60)} min before"
            )
        _weigh_versions(draft, seen, change, service)
        _weigh_errors(draft, seen, change, service)
        if (suspect := _first_suspect(seen)) is not None:
            draft.contradict("dependencies", f"{suspect} explains most of the excess")
        _weigh_other_explanations(draft, seen)
        yield draft


def _host(seen: Observations, service: str) -> Iterator[_Draft]:
    """Propose a host: a few of many are abnormal, and no new version runs there."""
    hosts = _one_host(seen)
    if not hosts:
        return
    draft = _Draft(
        Cause.HOST,
        ", ".join(hosts),
        f"{', '.join(hosts)} behaves differently from the other hosts of {service}",
        f"take {hosts[0]} out of service and see whether the metric recovers",
    )
    draft.support(Support.ONE_HOST, "groups", seen.groups.finding.summary if seen.groups else "")
    version = _new_version(seen)
    if version is not None and version.traffic_share < 1 - _FEW_OF_HOSTS:
        draft.contradict("versions", f"{version.version} is new and serves only a part of the requests")
    yield draft


def _one_host(seen: Observations) -> tuple[str, ...]:
    groups = seen.groups.seen if seen.groups else None
    if groups is None or groups.total < _MANY_HOSTS or not groups.abnormal:
        return ()
    return groups.abnormal if len(groups.abnormal) <= max(1, int(groups.total * _FEW_OF_HOSTS)) else ()


def _new_version(seen: Observations) -> VersionSeen | None:
    versions = seen.versions.seen if seen.versions else None
    onset = _onset(seen)
    arrived = [v for v in versions or () if v.first_seen is not None and 0 <= onset - v.first_seen <= _BEFORE_S]
    return arrived[-1] if arrived else None


def _dependency(seen: Observations, service: str) -> Iterator[_Draft]:
    """Propose a service that the alerting one calls, directly or not, and that explains the excess."""
    suspect = _first_suspect(seen)
    if suspect is None or seen.dependencies is None or seen.dependencies.seen is None:
        return
    path = _path(seen, suspect)
    external = seen.dependencies.seen.kinds.get(suspect) in _EXTERNAL
    draft = _Draft(
        Cause.THIRD_PARTY if external else Cause.DEPENDENCY,
        suspect,
        f"{suspect}, which {service} depends on ({' calls '.join(path)}), may be at fault",
        f"look at {suspect}: its own alerts, changes and status" + (" page" if external else ""),
        path=path,
    )
    _weigh_dependency(draft, seen, suspect)
    traffic = seen.traffic.seen if seen.traffic else None
    if traffic is not None and _rose_first(traffic.requests, _onset(seen)):
        draft.contradict("traffic", "the requests rose as well")
    yield draft


def _weigh_dependency(draft: _Draft, seen: Observations, suspect: str) -> None:
    if seen.dependencies is not None and suspect == _first_suspect(seen):
        draft.support(Support.EXPLAINS_EXCESS, "dependencies", seen.dependencies.finding.summary)
    monitors = (seen.monitors.seen or ()) if seen.monitors else ()
    first = next(iter(monitors), None)
    if first is not None and first.service == suspect:
        draft.support(Support.ALERTED_FIRST, "monitors", f"{first.name} alerts for {suspect}")


def _first_suspect(seen: Observations) -> str | None:
    dependencies = seen.dependencies.seen if seen.dependencies else None
    if dependencies is None or not dependencies.localization.suspects:
        return None
    return dependencies.localization.suspects[0].service


def _path(seen: Observations, service: str) -> tuple[str, ...]:
    dependencies = seen.dependencies.seen if seen.dependencies else None
    suspects = dependencies.localization.suspects if dependencies else ()
    return next((each.path for each in suspects if each.service == service), ())


def _traffic(seen: Observations, service: str) -> Iterator[_Draft]:
    """Propose more requests than normal since before the onset."""
    traffic = seen.traffic.seen if seen.traffic else None
    if traffic is None or not _rose_first(traffic.requests, _onset(seen)):
        return
    draft = _Draft(
        Cause.TRAFFIC,
        service,
        f"{service} gets more requests than normal",
        "find where the additional requests come from",
    )
    draft.support(Support.TRAFFIC_ROSE, "traffic", seen.traffic.finding.summary if seen.traffic else "")
    for signal in _abnormal_signals(seen, Resource.CPU, Resource.THROTTLING):
        draft.support(Support.RESOURCE_ABNORMAL, "signals", f"{signal} is above normal")
    changes = seen.changes.seen if seen.changes else None
    if any(0 <= _onset(seen) - change.at <= _JUST_BEFORE_S for change in (changes.before if changes else ())):
        draft.contradict("changes", "something was changed just before")
    yield draft


def _rose_first(requests: Shift | None, onset: int) -> bool:
    if requests is None or requests.direction is not Direction.UP or requests.onset is None:
        return False
    return (requests.factor or 0.0) >= _MORE_TRAFFIC and requests.onset <= onset + _CLOCK_SKEW_S


def _abnormal_signals(seen: Observations, *resources: Resource) -> list[str]:
    signals = (seen.signals.seen or ()) if seen.signals else ()
    return [
        each.name
        for each in signals
        if each.resource in resources and each.state is State.ABNORMAL and each.direction is Direction.UP
    ]


def _memory(seen: Observations, service: str) -> Iterator[_Draft]:
    """Propose memory that only grows."""
    metric = seen.metric.seen if seen.metric else None
    draft = _Draft(
        Cause.MEMORY_LEAK,
        service,
        f"{service} uses more and more memory",
        "restart one instance and see whether its memory grows again; take a heap profile",
    )
    signals = (seen.signals.seen or ()) if seen.signals else ()
    if metric is not None and metric.growing_since is not None:
        draft.support(Support.RESOURCE_GROWS, "metric", "the metric only grows")
    for signal in signals:
        if signal.resource is Resource.MEMORY and signal.growing_since is not None:
            draft.support(Support.RESOURCE_GROWS, "signals", f"{signal.name} only grows")
    if not draft.supporting:
        return
    if _abnormal_signals(seen, Resource.RESTARTS):
        draft.support(Support.RESOURCE_ABNORMAL, "signals", "containers restart")
    _support_by_text(draft, seen, ErrorKind.MEMORY)
    yield draft


def _cpu(seen: Observations, service: str) -> Iterator[_Draft]:
    """Propose CPU beyond normal without more requests."""
    names = _abnormal_signals(seen, Resource.CPU, Resource.THROTTLING)
    traffic = seen.traffic.seen if seen.traffic else None
    if not names:
        return
    draft = _Draft(
        Cause.CPU_SATURATION,
        service,
        f"{service} is short of CPU",
        "profile one instance; compare its CPU limit with its use",
    )
    for name in names:
        draft.support(Support.RESOURCE_ABNORMAL, "signals", f"{name} is above normal")
    if (
        Resource.THROTTLING in {s.resource for s in (seen.signals.seen or ()) if s.name in names}
        if seen.signals
        else False
    ):
        draft.support(Support.RESOURCE_GROWS, "signals", "its containers are throttled")
    if traffic is not None and _rose_first(traffic.requests, _onset(seen)):
        draft.contradict("traffic", "the requests rose as well")
    if (suspect := _first_suspect(seen)) is not None:
        draft.contradict("dependencies", f"{suspect} explains most of the excess")
    changes = seen.changes.seen if seen.changes else None
    if any(0 <= _onset(seen) - change.at <= _JUST_BEFORE_S for change in (changes.before if changes else ())):
        draft.contradict("changes", "something was changed just before")
    yield draft


def _pool(seen: Observations, service: str) -> Iterator[_Draft]:
    """Propose a pool: requests wait for a connection."""
    draft = _Draft(
        Cause.POOL_EXHAUSTED,
        service,
        f"{service} waits for connections of a pool that is exhausted",
        "compare the pool's size with the connections in use; look for slow or leaked queries",
    )
    for name in _abnormal_signals(seen, Resource.POOL):
        draft.support(Support.RESOURCE_ABNORMAL, "signals", f"{name} is above normal")
    _support_by_text(draft, seen, ErrorKind.POOL)
    if draft.supporting:
        yield draft


_TEXTS = {
    ErrorKind.CERTIFICATE: (
        Cause.CERTIFICATE,
        "a certificate on the way from {service} is not valid",
        "read the certificate's end date on the host that the error names",
        ("tls",),
    ),
    ErrorKind.DNS: (
        Cause.DNS,
        "a name that {service} looks up does not resolve",
        "resolve the name that the error gives from a host of the service",
        ("dns",),
    ),
    ErrorKind.RATE_LIMITED: (
        Cause.THIRD_PARTY,
        "something that {service} calls refuses it for too many requests",
        "look at the quota and the status page of what the error names",
        (),
    ),
}


def _error_texts(seen: Observations, service: str) -> Iterator[_Draft]:
    """Propose what new errors and log messages say by themselves: certificates, names, quotas."""
    for kind, (cause, text, settles, probes) in _TEXTS.items():
        draft = _Draft(cause, service, text.format(service=service), settles)
        _support_by_text(draft, seen, kind)
        for each in seen.probes:
            if each.probe in probes and each.verdict is Verdict.FAIL:
                draft.support(Support.PROBE_FAILED, each.probe, each.summary)
        if draft.supporting:
            yield draft


def _support_by_text(draft: _Draft, seen: Observations, kind: ErrorKind) -> None:
    for error in (seen.errors.seen or ()) if seen.errors else ():
        if error.kind is kind:
            draft.support(Support.ERROR_TEXT, "errors", f"{error.type}: {error.message}"[:200])
    for log in (seen.logs.seen or ()) if seen.logs else ():
        if log.kind is kind:
            draft.support(Support.LOG_TEXT, "logs", f"“{log.pattern}” {log.count} times, {log.before} before")


def _texts(seen: Observations) -> Iterable[NewError | LogPattern]:
    return (
        *((seen.errors.seen or ()) if seen.errors else ()),
        *((seen.logs.seen or ()) if seen.logs else ()),
    )


def _has_error(seen: Observations, kind: ErrorKind) -> bool:
    return any(each.kind is kind for each in (seen.errors.seen or ())) if seen.errors else False


def _emitter(seen: Observations, service: str) -> Iterator[_Draft]:
    """Propose that the emitter is lost: the metric stopped while requests go on."""
    metric = seen.metric.seen if seen.metric else None
    if metric is None or metric.state is not State.LOST:
        return
    draft = _Draft(
        Cause.EMITTER_LOST,
        service,
        f"what reports the metric of {service} has stopped; whether {service} works is not known from it",
        "look at the agent or exporter that reports the metric",
    )
    draft.support(Support.STOPPED_REPORTING, "metric", seen.metric.finding.summary if seen.metric else "")
    traffic = seen.traffic.seen if seen.traffic else None
    if traffic is not None and traffic.lost_at is None and traffic.requests is not None:
        draft.support(Support.REQUESTS_CONTINUE, "traffic", "requests are still reported")
    yield draft


def _planned(seen: Observations, service: str) -> Iterator[_Draft]:
    """Propose planned work: a downtime covers the alert."""
    for downtime in (seen.downtime.seen or ()) if seen.downtime else ():
        draft = _Draft(
            Cause.PLANNED_WORK,
            service,
            f"planned work: a downtime covers {downtime.scope}",
            "ask who set the downtime",
        )
        draft.support(Support.DOWNTIME, "downtime", seen.downtime.finding.summary if seen.downtime else "")
        yield draft
        return


Rule = Callable[[Observations, str], Iterator[_Draft]]

RULES: tuple[Rule, ...] = (
    _changes,
    _unreported_version,
    _host,
    _dependency,
    _traffic,
    _memory,
    _cpu,
    _pool,
    _error_texts,
    _emitter,
    _planned,
)
