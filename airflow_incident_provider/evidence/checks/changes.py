"""What changed: deployments, feature flags and configuration, ranked by how closely they precede the onset."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from airflow_incident_provider.evidence.calls import Answer, Answers
from airflow_incident_provider.evidence.checks.finding import ago, clock, finding, unchecked
from airflow_incident_provider.evidence.model import Cause
from airflow_incident_provider.evidence.observations import Change, ChangesSeen, Checked, MetricSeen
from airflow_incident_provider.evidence.reading import plain, seconds_of, tags_of, text_of
from airflow_incident_provider.evidence.request import EvidenceRequest
from airflow_incident_provider.models import Verdict

_RESOURCES = {"feature_flag": Cause.FEATURE_FLAG, "configuration": Cause.CONFIGURATION}
_DEPLOYS = re.compile(r"\b(?:deploy(?:ed|ment|ing|s)?|roll(?:ed)?[ -]?(?:out|back)|released?)\b", re.IGNORECASE)
_FLAGS = re.compile(r"\bfeature[ -_]?flags?\b", re.IGNORECASE)
_FAILED = re.compile(
    r"\b(?:fail(?:ed|ure)?|abort(?:ed)?|cancel(?:l?ed)?|blocked|scheduled|planned)\b", re.IGNORECASE
)
_MONITOR_SOURCES = frozenset({"alert", "monitor", "monitor alert"})
_RELATED_S = 3600
"""How long before the onset a change still counts as a possible cause."""

_SAME_CHANGE_S = 600
_SHOWN = 4


def check_changes(request: EvidenceRequest, answers: Answers, metric: MetricSeen | None) -> Checked[ChangesSeen]:
    """List the changes of the service, and of the services that were found abnormal, around the onset."""
    calls = [name for name in answers if name.split(":")[0] in {"deployments", "events"}]
    usable = [name for name in calls if answers[name].usable]
    if not usable:
        return Checked(unchecked("changes", request, answers, calls, "what changed is"))
    onset = metric.onset if metric and metric.symptomatic else None
    moment = onset if onset is not None else int(request.alerted_at.timestamp())
    changes = _distinct(change for name in usable for change in _read(name, answers[name], request))
    before = tuple(sorted((c for c in changes if c.at <= moment), key=lambda c: moment - c.at))
    after = tuple(sorted((c for c in changes if c.at > moment), key=lambda c: c.at))
    gaps = [answers[name] for name in calls if not answers[name].complete]
    seen = ChangesSeen(before=before, after=after)
    close = onset is not None and any(moment - change.at <= _RELATED_S for change in before)
    if not changes and gaps:
        text = f"no change was found, but not all were read: {gaps[0].call.reason}"
        return Checked(finding("changes", request, Verdict.UNKNOWN, text, answers, calls))
    text = _text(request, seen, moment, onset is not None)
    text += f"; {gaps[0].call.endpoint} not (fully) read: {gaps[0].call.reason}" if gaps else ""
    verdict = Verdict.WARN if close else Verdict.OK
    return Checked(finding("changes", request, verdict, text, answers, calls), seen)


def _text(request: EvidenceRequest, seen: ChangesSeen, moment: int, onset_known: bool) -> str:
    what = "the onset" if onset_known else "the alert"
    before = [f"{_name(change, request)}, {ago(change.at, moment)} {what}" for change in seen.before[:_SHOWN]]
    after = [
        f"{_name(change, request)}, {ago(change.at, moment)} {what}: no cause of it" for change in seen.after[:2]
    ]
    return "; ".join((*before, *after)) or "no deployment, feature flag or configuration change in the last 3 hours"


def _name(change: Change, request: EvidenceRequest) -> str:
    author = f" by {change.author}" if change.author else ""
    running = ", still rolling out" if not change.finished else ""
    return f"{change.title} at {clock(change.at, request)}{author}{running}"


def _read(name: str, answer: Answer, request: EvidenceRequest) -> Iterable[Change]:
    read = _deployment if name.startswith("deployments") else _event
    for row in answer.rows("data"):
        change = read(row, answer, request)
        if change is not None and request.start <= change.at:
            yield change


def _deployment(row: Mapping[str, Any], answer: Answer, request: EvidenceRequest) -> Change | None:
    attributes = row.get("attributes")
    if not isinstance(attributes, Mapping):
        return None
    at = seconds_of(attributes.get("started_at"))
    service, env = text_of(attributes, "service"), text_of(attributes, "env")
    if at is None or service is None or (env and request.env and env != request.env):
        return None
    version = text_of(attributes, "version", limit=60)
    title = f"deployment of {service}{f' {version}' if version else ''}"
    return Change(
        kind=Cause.DEPLOYMENT,
        at=at,
        service=service,
        title=title,
        version=version,
        finished=attributes.get("finished_at") is not None,
        call=answer.call.id,
    )


def _event(row: Mapping[str, Any], answer: Answer, request: EvidenceRequest) -> Change | None:
    outer = row.get("attributes")
    inner = outer.get("attributes") if isinstance(outer, Mapping) else None
    if not isinstance(outer, Mapping) or not isinstance(inner, Mapping):
        return None
    at = seconds_of(outer.get("timestamp")) or seconds_of(inner.get("timestamp"))
    title = text_of(inner, "title", limit=150) or text_of(outer, "message", limit=150) or ""
    kind = _kind(inner, title)
    if at is None or kind is None:
        return None
    tags = tags_of(outer.get("tags"))
    if request.env and tags.get("env") not in {None, request.env}:
        return None
    service = text_of(inner, "service") or tags.get("service") or _impacted(inner) or request.service or ""
    changed = text_of(inner, "changed_resource", "name", limit=80)
    subject = f"{kind.value.replace('_', ' ')} {changed}" if changed else title
    return Change(
        kind=kind,
        at=at,
        service=plain(service, 100),
        title=f"{subject} ({title})" if changed and title and changed not in title else title or subject,
        version=tags.get("version"),
        author=text_of(inner, "author", "name", limit=60),
        call=answer.call.id,
    )


def _kind(inner: Mapping[str, Any], title: str) -> Cause | None:
    """Return the kind of change that an event reports; ``None`` for anything else, such as a monitor's alert."""
    resource = text_of(inner, "changed_resource", "type")
    if resource in _RESOURCES:
        return _RESOURCES[resource]
    source = (text_of(inner, "source_type_name") or "").lower()
    if inner.get("monitor_id") or inner.get("monitor") or source in _MONITOR_SOURCES or _FAILED.search(title):
        return None
    if _FLAGS.search(title):
        return Cause.FEATURE_FLAG
    return Cause.DEPLOYMENT if _DEPLOYS.search(title) else None


def _impacted(inner: Mapping[str, Any]) -> str | None:
    resources = inner.get("impacted_resources")
    for resource in resources if isinstance(resources, list) else []:
        if isinstance(resource, Mapping) and resource.get("type") == "service":
            return text_of(resource, "name")
    return None


def _distinct(changes: Iterable[Change]) -> list[Change]:
    """Return the changes without those that another source reports too."""
    kept: list[Change] = []
    for change in changes:
        if not any(_same(change, other) for other in kept):
            kept.append(change)
    return kept


def _same(one: Change, other: Change) -> bool:
    """Return whether two entries are one change: a deployment is often reported as a deployment and as an event."""
    if one.kind is not other.kind or one.service != other.service:
        return False
    if one.kind is not Cause.DEPLOYMENT or one.call == other.call:
        return one.title == other.title and one.at == other.at
    close = abs(one.at - other.at) <= _SAME_CHANGE_S
    return close and (one.version == other.version or None in (one.version, other.version))
