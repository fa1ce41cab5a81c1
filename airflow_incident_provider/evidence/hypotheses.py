"""Possible causes, from what was observed: the rules that propose them, each of which yields drafts to be weighed.

A change after the onset is never a cause, more traffic is not a new error, and a missing emitter is not zero.
"""

from __future__ import annotations

from collections.abc import Iterator

from airflow_incident_provider.evidence.checks.finding import to_onset
from airflow_incident_provider.evidence.localization import Suspect
from airflow_incident_provider.evidence.model import Cause, Support
from airflow_incident_provider.evidence.observations import (
    Change,
    ErrorKind,
    LogPattern,
    Observations,
    VersionSeen,
    summary_of,
    value_of,
    values_of,
)
from airflow_incident_provider.evidence.series import Direction, State
from airflow_incident_provider.evidence.symptoms import Resource, Symptom
from airflow_incident_provider.evidence.version_comparison import identified, weigh_versions
from airflow_incident_provider.evidence.weighing import Draft, Proposal, select, unchecked_ids

_JUST_BEFORE_S = 15 * 60
_BEFORE_S = 60 * 60
_CLOCK_SKEW_S = 60
_WITH_CHANGE_S = 180
"""So close to a change, a metric recovered with it."""

_MORE_TRAFFIC = 1.5
_MANY_HOSTS = 3
_MANY_MESSAGES = 20
_FEW_OF_HOSTS = 0.34
_EXTERNAL = frozenset({"external", "third-party", "third_party", "thirdparty", "saas"})


def _onset(seen: Observations) -> int:
    metric = value_of(seen.metric)
    assert metric is not None
    return metric.onset or 0


def _onset_from(seen: Observations) -> int | None:
    metric = value_of(seen.metric)
    return metric.earliest_onset if metric else None


def _changes(seen: Observations, service: str) -> Iterator[Draft]:
    """Propose changes before the onset, of the service itself or of the one that explains its excess."""
    suspect = _first_suspect(seen)
    paths = {each.service: each.path for each in _suspects(seen)}
    onset = _onset(seen)
    for reported in _earlier_changes(seen):
        change = identified(reported, values_of(seen.versions))
        # The check knows which changes precede the onset, to the minute that the metric has.
        if onset - change.at > _BEFORE_S or change.service not in {service, suspect}:
            continue
        text = f"{change.title} may have caused it"
        settles = f"undo it ({change.title}) and see whether the metric recovers"
        draft = Draft(change.kind, change.service, text, settles, paths.get(change.service, ()))
        close = 0 <= onset - change.at <= _JUST_BEFORE_S
        kind = Support.CHANGE_JUST_BEFORE if close else Support.CHANGE_BEFORE
        draft.support(kind, "changes", f"{change.title}, {to_onset(change.at, onset, _onset_from(seen))}")
        _weigh_change(draft, seen, change, service)
        yield draft


def _weigh_change(draft: Draft, seen: Observations, change: Change, service: str) -> None:
    """Weigh a change by what the service shows; one of another service by what is known of that."""
    if change.service == service:
        weigh_versions(draft, seen, change, _onset(seen))
        _weigh_errors(draft, seen, change)
        _contradict_by_suspect(draft, seen)
    else:
        _weigh_dependency(draft, seen, change.service)
    _weigh_other_explanations(draft, seen)
    metric = value_of(seen.metric)
    recovered = metric.shift.earlier_ended if metric and metric.shift else None
    if recovered is not None and abs(change.at - recovered) <= _WITH_CHANGE_S:
        draft.contradict("metric", "with it the metric came back to its normal range from an earlier excursion")


def _weigh_errors(draft: Draft, seen: Observations, change: Change) -> None:
    for error in values_of(seen.errors):
        if error.first_seen < change.at - _CLOCK_SKEW_S:
            continue
        if change.version is not None and error.version == change.version:
            draft.support(Support.ERROR_IN_VERSION, "errors", f"{error.type} came with {error.version}")
        elif error.kind is ErrorKind.OTHER:
            draft.support(Support.NEW_ERROR, "errors", f"{error.type} is new")


def _weigh_other_explanations(draft: Draft, seen: Observations) -> None:
    """Contradict a change by what does not come from changes: an expired certificate, one lost host."""
    for finding, texts in (("errors", values_of(seen.errors)), ("logs", values_of(seen.logs))):
        if any(each.kind is ErrorKind.CERTIFICATE for each in texts):
            draft.contradict(finding, "a certificate is at fault")
    rollout = _new_version(seen)
    if rollout is None or rollout.traffic_share >= 1 - _FEW_OF_HOSTS:
        _contradict_by_host(draft, seen)


def _contradict_by_host(draft: Draft, seen: Observations) -> None:
    if hosts := _one_host(seen):
        draft.contradict("groups", f"only {', '.join(hosts)} {'is' if len(hosts) == 1 else 'are'} abnormal")


def _unreported_version(seen: Observations, service: str) -> Iterator[Draft]:
    """Propose a version that nobody reported, but that serves requests since just before the onset."""
    onset = _onset(seen)
    reported = _earlier_changes(seen)
    known = {change.version for change in reported}
    unclear_from = _onset_from(seen)
    close = [change for change in reported if change.service == service and change.kind is Cause.DEPLOYMENT]
    versions = values_of(seen.versions)
    for version in versions:
        first = version.first_seen
        if first is None or first > onset or onset - first > _BEFORE_S or version.version in known:
            continue
        if unclear_from is not None and first >= unclear_from:
            # It began to serve while the metric was not reported: which was first is not known.
            continue
        if any(abs(change.at - first) <= _JUST_BEFORE_S for change in close):
            continue
        if not any(other.served_before(first) for other in versions):
            # Requests began, or versions were reported, with it: that it is new does not follow.
            continue
        title = f"version {version.version} of {service}"
        change = Change(kind=Cause.DEPLOYMENT, at=first, service=service, title=title, version=version.version)
        text = f"{title}, which nobody reported, may have caused it"
        settles = f"return to the version before {version.version} and see whether the metric recovers"
        draft = Draft(Cause.DEPLOYMENT, service, text, settles)
        if onset - first <= _JUST_BEFORE_S:
            arrival = f"first seen {round((onset - first) / 60)} min before"
            draft.support(Support.VERSION_ARRIVED, "versions", arrival)
        _weigh_change(draft, seen, change, service)
        yield draft


def _host(seen: Observations, service: str) -> Iterator[Draft]:
    """Propose a host: a few of many are abnormal, and no new version runs there."""
    hosts = _one_host(seen)
    if not hosts:
        return
    text = f"{', '.join(hosts)} behaves differently from the other hosts of {service}"
    settles = f"take {hosts[0]} out of service and see whether the metric recovers"
    draft = Draft(Cause.HOST, ", ".join(hosts), text, settles)
    draft.support(Support.ONE_HOST, "groups", summary_of(seen.groups))
    version = _new_version(seen)
    if version is not None and version.traffic_share < 1 - _FEW_OF_HOSTS:
        draft.contradict("versions", f"{version.version} is new and serves only a part of the requests")
    yield draft


def _one_host(seen: Observations) -> tuple[str, ...]:
    groups = value_of(seen.groups)
    if groups is None or groups.total < _MANY_HOSTS or not groups.abnormal:
        return ()
    return groups.abnormal if len(groups.abnormal) <= max(1, int(groups.total * _FEW_OF_HOSTS)) else ()


def _new_version(seen: Observations) -> VersionSeen | None:
    versions = values_of(seen.versions)
    onset = _onset(seen)
    arrived = [v for v in versions if v.first_seen is not None and 0 <= onset - v.first_seen <= _BEFORE_S]
    return arrived[-1] if arrived else None


def _dependency(seen: Observations, service: str) -> Iterator[Draft]:
    """Propose a service that the alerting one calls, directly or not, and that explains the excess."""
    dependencies = value_of(seen.dependencies)
    if dependencies is None or not dependencies.localization.suspects:
        return
    first = dependencies.localization.suspects[0]
    suspect, path = first.service, first.path
    external = dependencies.kinds.get(suspect) in _EXTERNAL
    text = f"{suspect}, which {service} depends on ({' calls '.join(path)}), may be at fault"
    settles = f"look at {suspect}: its own alerts, changes and status" + (" page" if external else "")
    draft = Draft(Cause.THIRD_PARTY if external else Cause.DEPENDENCY, suspect, text, settles, path)
    _weigh_dependency(draft, seen, suspect)
    _contradict_by_traffic(draft, seen)
    yield draft


def _weigh_dependency(draft: Draft, seen: Observations, suspect: str) -> None:
    if suspect == _first_suspect(seen):
        draft.support(Support.EXPLAINS_EXCESS, "dependencies", summary_of(seen.dependencies))
    first = next(iter(values_of(seen.monitors)), None)
    if first is not None and first.service == suspect:
        draft.support(Support.ALERTED_FIRST, "monitors", f"{first.name} alerts for {suspect}")


def _suspects(seen: Observations) -> tuple[Suspect, ...]:
    dependencies = value_of(seen.dependencies)
    return dependencies.localization.suspects if dependencies else ()


def _first_suspect(seen: Observations) -> str | None:
    return next((each.service for each in _suspects(seen)), None)


def _traffic(seen: Observations, service: str) -> Iterator[Draft]:
    """Propose more requests than normal since before the onset."""
    if not _traffic_rose_first(seen):
        return
    settles = "find where the additional requests come from"
    draft = Draft(Cause.TRAFFIC, service, f"{service} gets more requests than normal", settles)
    draft.support(Support.TRAFFIC_ROSE, "traffic", summary_of(seen.traffic))
    for signal in _abnormal_signals(seen, Resource.CPU, Resource.THROTTLING):
        draft.support(Support.RESOURCE_ABNORMAL, "signals", f"{signal} is above normal")
    _contradict_by_change(draft, seen)
    yield draft


def _earlier_changes(seen: Observations) -> tuple[Change, ...]:
    changes = value_of(seen.changes)
    return changes.before if changes else ()


def _contradict_by_change(draft: Draft, seen: Observations) -> None:
    if any(0 <= _onset(seen) - change.at <= _JUST_BEFORE_S for change in _earlier_changes(seen)):
        draft.contradict("changes", "something was changed just before")


def _contradict_by_traffic(draft: Draft, seen: Observations) -> None:
    if _traffic_rose_first(seen):
        draft.contradict("traffic", "the requests rose as well")


def _contradict_by_suspect(draft: Draft, seen: Observations) -> None:
    if (suspect := _first_suspect(seen)) is not None:
        draft.contradict("dependencies", f"{suspect} explains most of the excess")


def _traffic_rose_first(seen: Observations) -> bool:
    traffic = value_of(seen.traffic)
    requests = traffic.requests if traffic else None
    if requests is None or requests.direction is not Direction.UP or requests.onset is None:
        return False
    return (requests.factor or 0.0) >= _MORE_TRAFFIC and requests.onset <= _onset(seen) + _CLOCK_SKEW_S


def _abnormal_signals(seen: Observations, *resources: Resource) -> list[str]:
    return [
        each.name
        for each in values_of(seen.signals)
        if each.resource in resources and each.state is State.ABNORMAL and each.direction is Direction.UP
    ]


def _memory(seen: Observations, service: str) -> Iterator[Draft]:
    """Propose memory that only grows."""
    metric = value_of(seen.metric)
    settles = "restart one instance and see whether its memory grows again; take a heap profile"
    draft = Draft(Cause.MEMORY_LEAK, service, f"{service} uses more and more memory", settles)
    hosts = _one_host(seen)
    grows = metric is not None and metric.growing_since is not None and metric.symptom is Symptom.MEMORY
    if hosts and grows:
        draft.text = f"{', '.join(hosts)} of {service} {'uses' if len(hosts) == 1 else 'use'} more and more memory"
    elif hosts:
        _contradict_by_host(draft, seen)
    if grows:
        draft.support(Support.RESOURCE_GROWS, "metric", "the metric only grows")
    for signal in values_of(seen.signals):
        if signal.resource is Resource.MEMORY and signal.growing_since is not None:
            draft.support(Support.RESOURCE_GROWS, "signals", f"{signal.name} only grows")
    if not draft.supporting:
        return
    if _abnormal_signals(seen, Resource.RESTARTS):
        draft.support(Support.RESOURCE_ABNORMAL, "signals", "containers restart")
    _support_by_text(draft, seen, ErrorKind.MEMORY)
    yield draft


def _cpu(seen: Observations, service: str) -> Iterator[Draft]:
    """Propose CPU beyond normal without more requests."""
    names = _abnormal_signals(seen, Resource.CPU, Resource.THROTTLING)
    if not names:
        return
    settles = "profile one instance; compare its CPU limit with its use"
    draft = Draft(Cause.CPU_SATURATION, service, f"{service} is short of CPU", settles)
    for name in names:
        draft.support(Support.RESOURCE_ABNORMAL, "signals", f"{name} is above normal")
    if Resource.THROTTLING in {s.resource for s in values_of(seen.signals) if s.name in names}:
        draft.support(Support.RESOURCE_GROWS, "signals", "its containers are throttled")
    _contradict_by_host(draft, seen)
    _contradict_by_traffic(draft, seen)
    _contradict_by_suspect(draft, seen)
    _contradict_by_change(draft, seen)
    yield draft


def _pool(seen: Observations, service: str) -> Iterator[Draft]:
    """Propose a pool: requests wait for a connection."""
    text = f"{service} waits for connections: its pool, or what the database allows, is used up"
    settles = "compare the pool's size and the database's limit with the connections in use; look for slow queries"
    draft = Draft(Cause.POOL_EXHAUSTED, service, text, settles)
    for name in _abnormal_signals(seen, Resource.POOL):
        draft.support(Support.RESOURCE_ABNORMAL, "signals", f"{name} is above normal")
    _support_by_text(draft, seen, ErrorKind.POOL)
    _contradict_by_host(draft, seen)
    if draft.supporting:
        yield draft


_TEXTS = {
    ErrorKind.CERTIFICATE: (
        Cause.CERTIFICATE,
        "a certificate that {service} meets is not valid",
        "read the certificate's end date on the host that the error names",
    ),
    ErrorKind.DNS: (
        Cause.DNS,
        "a name that {service} looks up does not resolve",
        "resolve the name that the error gives from a host of the service",
    ),
    ErrorKind.RATE_LIMITED: (
        Cause.THIRD_PARTY,
        "requests are refused for being too many: those of {service}, by something that it calls, or those to it",
        "look at the quota and the status page of what the error names",
    ),
}


def _error_texts(seen: Observations, service: str) -> Iterator[Draft]:
    """Propose what new errors and log messages say by themselves: certificates, names, quotas."""
    for kind, (cause, text, settles) in _TEXTS.items():
        draft = Draft(cause, service, text.format(service=service), settles)
        _support_by_text(draft, seen, kind)
        if draft.supporting:
            yield draft


def _support_by_text(draft: Draft, seen: Observations, kind: ErrorKind) -> None:
    for error in values_of(seen.errors):
        if error.kind is kind:
            draft.support(Support.ERROR_TEXT, "errors", f"{error.type}: {error.message}"[:200])
    for log in sorted((each for each in values_of(seen.logs) if each.kind is kind), key=_is_new, reverse=True)[:1]:
        weight = Support.LOG_TEXT_NEW if _is_new(log) else Support.LOG_TEXT
        draft.support(weight, "logs", f"“{log.pattern}” {log.count} times, {log.before} before")


def _is_new(log: LogPattern) -> bool:
    return log.before == 0 and log.count >= _MANY_MESSAGES


def _emitter(seen: Observations, service: str) -> Iterator[Draft]:
    """Propose that the emitter is lost: the metric stopped while requests go on."""
    metric = value_of(seen.metric)
    if metric is None or metric.state is not State.LOST:
        return
    text = f"what reports the metric of {service} has stopped; whether {service} works is not known from it"
    settles = "look at the agent or exporter that reports the metric"
    draft = Draft(Cause.EMITTER_LOST, service, text, settles)
    draft.support(Support.STOPPED_REPORTING, "metric", summary_of(seen.metric))
    traffic = value_of(seen.traffic)
    if traffic is not None and traffic.lost_at is None and traffic.requests is not None:
        draft.support(Support.REQUESTS_CONTINUE, "traffic", "requests are still reported")
    yield draft


def _planned(seen: Observations, service: str) -> Iterator[Draft]:
    """Propose planned work: a downtime covers the alert. One that was set after the onset is an answer to it."""
    latest = _onset(seen) + _CLOCK_SKEW_S
    earlier = (each for each in values_of(seen.downtime) if each.start is None or each.start <= latest)
    if (downtime := next(earlier, None)) is not None:
        text = f"planned work: a downtime covers {downtime.scope}"
        draft = Draft(Cause.PLANNED_WORK, service, text, "ask who set the downtime")
        draft.support(Support.DOWNTIME, "downtime", summary_of(seen.downtime))
        yield draft


_RULES = (
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


def propose(seen: Observations, service: str | None) -> Proposal:
    """Return the possible causes of what was observed.

    :param service: the alerting service.
    """
    metric = value_of(seen.metric)
    if metric is None:
        return Proposal(abstained="No cause is named: whether and since when the metric is abnormal is not known.")
    if not metric.symptomatic:
        harmless = "abnormal only on the side on which its monitor does not alert"
        where = "within its normal range" if metric.state is State.NORMAL else harmless
        return Proposal(abstained=f"No cause is named: the metric is {where}.")
    drafts = [draft for rule in _RULES for draft in rule(seen, service or "")]
    unchecked = unchecked_ids(seen.findings)
    for draft in drafts:
        draft.support_by_symptom(summary_of(seen.metric))
        draft.unchecked += unchecked
    return select(drafts, unchecked)
