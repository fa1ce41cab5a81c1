"""What changed: deployments, feature flags and configuration, ranked by how closely they precede the onset."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from airflow_incident_provider.evidence.calls import Answer, Answers, member
from airflow_incident_provider.evidence.checks.finding import Check, ago, clock, listed, to_onset
from airflow_incident_provider.evidence.model import Cause
from airflow_incident_provider.evidence.observations import Change, ChangesSeen, Checked, MetricSeen
from airflow_incident_provider.evidence.reading import plain, seconds_of, tag_value, tags_of, text_of
from airflow_incident_provider.evidence.request import EvidenceRequest
from airflow_incident_provider.evidence.series import MINUTE_S
from airflow_incident_provider.models import Verdict

_RESOURCES = {"feature_flag": Cause.FEATURE_FLAG, "configuration": Cause.CONFIGURATION}


def _any_word(*words: str) -> re.Pattern[str]:
    return re.compile(rf"\b(?:{'|'.join(words)})\b", re.IGNORECASE)


_DEPLOYS = _any_word(
    r"deploy(?:ed|ment|ing|s)?",
    r"roll(?:ed|ing)?[ -]?(?:out|back)",
    # Much else is released: locks, connections, notes.
    r"releas(?:e|es|ed|ing)(?=\b.*(?:\d[.]\d|\bto (?:prod|production|live)\b))",
)
_FLAGS = _any_word(r"feature[ _-]?flags?")
_FLAG_CHANGES = re.compile(
    _any_word(
        "enabled|disabled|activated|deactivated|on|off|toggled|switched|changed|updated",
        r"set|ramped|increased|decreased|roll(?:ed|ing)?[ -]?(?:out|back)",
    ).pattern
    + r"|\d ?%",
    re.IGNORECASE,
)
_CONFIG = r"\bconfig(?:uration|map|s)?\b"
_CHANGES = "push|appli|chang|updat|modifi|edit|reload|replac|deploy|roll"
_CONFIGURATION = re.compile(
    rf"{_CONFIG}.*\b(?:{_CHANGES}|set to)"
    rf"|\b(?:{_CHANGES})\w* (?:\S+ ){{0,4}}{_CONFIG}"
    r"|\b(?:secrets?|credentials?|passwords?|(?:api[ _-]?)?keys?|tokens?)\b.*\brotat(?:ed|ion)\b"
    r"|\brotated\b.*\b(?:secrets?|credentials?|passwords?|(?:api[ _-]?)?keys?|tokens?)\b"
    r"|\bterraform appl(?:y|ied)\b",
    re.IGNORECASE,
)
_OTHER_CONFIGURATION = re.compile(
    # Of what watches the service, or of nothing.
    r"\b(?:monitors?|dashboards?|alerts?|notebooks?|downtimes?|slos?|synthetics?|no changes?|unchanged)\b"
    r"|\b0 added, 0 changed, 0 destroyed",
    re.IGNORECASE,
)
_VERSION = re.compile(r"\d+\.\d+\.\d+")
_NO_CHANGE = _any_word(
    # It did not happen, or has not yet.
    r"fail(?:ed|ure|s)?|abort(?:ed)?|cancel(?:l?ed)?|block(?:ed|s)?|schedul(?:ed|ing)|plann(?:ed|ing)",
    r"reject(?:ed|s)?|denied|skipped|queued|pending|await(?:s|ing)|approv(?:al|ed)|request(?:ed)?",
    r"will|dry[ -]?run|freeze|windows?|reminder|archived|stale",
    r"frozen|waiting|waits|postponed|delayed|prevented|declined|refused|unsuccessful(?:ly)?|on hold",
    r"(?:deploy\w*|releases?|roll[ -]?outs?)\b(?:[^.;,]|[.](?=\S)){0,40}"
    r"\b(?:(?:did|does|do|could|can|was|is)(?: not|n't)|cannot|would)",
    # A state of what runs, as Kubernetes reports it: rather what the alert is about.
    r"(?:un)?availab(?:le|ility)|replica ?sets?",
    # The software stayed as it was: more or fewer instances of it run, or elsewhere.
    r"scal(?:ed|es|ing|er)|auto-?scal\w*|\w*rescaled?|replicas?|instances?|to node",
)
_ALERT = re.compile(
    r"^\s*\[(?:re-?)?(?:triggered|firing|alert(?:ing)?|warn(?:ing)?|critical|recovered|resolved|no data|ok|p[1-5])"
    r"\b",
    re.IGNORECASE,
)
"""How titles of alerts begin, also those of other tools."""

_ENVIRONMENTS = (
    frozenset({"production", "prod", "prd", "live"}),
    frozenset({"preproduction", "pre-production", "preprod", "pre-prod"}),
    frozenset({"staging", "stage", "stg"}),
    frozenset({"development", "dev"}),
    frozenset({"testing", "test", "qa", "uat"}),
    frozenset({"preview", "sandbox"}),
)
_IN_ENVIRONMENT = re.compile(
    rf"\b(?:to|in|into|on)\s+(?:the\s+)?({'|'.join(sorted(set().union(*_ENVIRONMENTS)))})\b(?![\w.-])",
    re.IGNORECASE,
)
_MONITOR_SOURCES = frozenset({"alert", "monitor", "monitor alert"})
_RELATED_S = 3600
"""How long before the onset a change still counts as a possible cause."""

_SAME_CHANGE_S = 600
_SHOWN = 4


def check_changes(request: EvidenceRequest, answers: Answers, metric: MetricSeen | None) -> Checked[ChangesSeen]:
    """List the changes of the service, and of the services that were found abnormal, around the onset."""
    calls = [name for name in answers if name.split(":")[0] in {"deployments", "events"}]
    check = Check("changes", request, answers, calls)
    usable = list(filter(check.answer, calls))
    if not usable:
        return check.unanswered("what changed is")
    onset = metric.onset if metric and metric.symptomatic else None
    moment = onset if onset is not None else int(request.alerted_at.timestamp())
    # The onset is a point of a series, which covers a minute or more.
    end = metric.latest_onset if metric and onset is not None else moment + 1
    changes = _distinct(change for name in usable for change in _read(name, answers[name], request))
    open_from = metric.earliest_onset if metric and onset is not None else None
    # Up to a minute is taken for the order of what happened: clocks differ.
    open_until = end if end - moment > MINUTE_S else moment
    unclear = tuple(c for c in changes if open_from is not None and open_from <= c.at < open_until)
    before = tuple(
        sorted((c for c in changes if c.at < end and c not in unclear), key=lambda c: abs(moment - c.at))
    )
    after = tuple(sorted((c for c in changes if c.at >= end), key=lambda c: c.at))
    gaps = [answers[name] for name in calls if not answers[name].complete]
    seen = ChangesSeen(before=before, after=after, unclear=unclear)
    close = onset is not None and any(moment - change.at <= _RELATED_S for change in before)
    if not changes and gaps:
        return check.unknown(f"no change was found, but not all were read: {gaps[0].call.reason}")
    if not changes and (undated := _undated(answers[name] for name in usable if name.startswith("deployments"))):
        count = f"{undated} deployment{'s have' if undated > 1 else ' has'}"
        return check.unknown(f"no change was found, but {count} no time that can be read")
    services = filter(None, (request.service, *(name.partition(":")[2] for name in usable)))
    asked = listed(list(dict.fromkeys(services))) or "the environment"
    text = _text(request, seen, metric if onset is not None else None, asked)
    text += f"; {gaps[0].call.endpoint} not (fully) read: {gaps[0].call.reason}" if gaps else ""
    return check.found(text, seen, Verdict.WARN if close or unclear else Verdict.OK)


def _text(request: EvidenceRequest, seen: ChangesSeen, metric: MetricSeen | None, services: str) -> str:
    """Return the changes in words; ``metric`` is that of which the onset is known."""

    def when(change: Change) -> str:
        if metric is None or metric.onset is None:
            return f"{_name(change, request)}, {ago(change.at, request.alerted_at.timestamp())} the alert"
        return f"{_name(change, request)}, {to_onset(change.at, metric.onset, metric.earliest_onset)}"

    before = [when(change) for change in seen.before[:_SHOWN]]
    after = [f"{when(change)}: no cause of it" for change in seen.after[:2]]
    unclear = [
        f"{_name(change, request)}, {_meanwhile(change, metric)}: whether it came first is not known"
        for change in seen.unclear[:_SHOWN]
    ]
    nothing = f"no deployment, feature flag or configuration change of {services} was found in the last 3 hours"
    return "; ".join((*before, *unclear, *after)) or nothing


def _meanwhile(change: Change, metric: MetricSeen | None) -> str:
    if metric is None or metric.onset is None or change.at < metric.onset:
        return "while the metric was not reported"
    return f"in the {metric.series.interval // MINUTE_S} min that the metric's first abnormal point covers"


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


def _undated(found: Iterable[Answer]) -> int:
    """Return how many deployments do not say when they were, so that they may be causes."""
    rows = (row for answer in found for row in answer.rows("data"))
    return sum(seconds_of(member(row, "attributes", "started_at")) is None for row in rows)


def _deployment(row: Mapping[str, Any], answer: Answer, request: EvidenceRequest) -> Change | None:
    at = seconds_of(member(row, "attributes", "started_at"))
    service, env = text_of(row, "attributes", "service"), text_of(row, "attributes", "env")
    if at is None or service is None or (env and request.env and env != request.env):
        return None
    version = tag_value(text_of(row, "attributes", "version", limit=60) or "") or None
    title = f"deployment of {service}{f' {version}' if version else ''}"
    return Change(
        kind=Cause.DEPLOYMENT,
        at=at,
        service=service,
        title=title,
        version=version,
        finished=member(row, "attributes", "finished_at") is not None,
        call=answer.call.id,
    )


def _event(row: Mapping[str, Any], answer: Answer, request: EvidenceRequest) -> Change | None:
    inner = member(row, "attributes", "attributes")
    if not isinstance(inner, Mapping):
        return None
    outer = row["attributes"]
    at = seconds_of(outer.get("timestamp")) or seconds_of(inner.get("timestamp"))
    title = text_of(inner, "title", limit=150) or text_of(outer, "message", limit=150) or ""
    kind = _kind(inner, title)
    if at is None or kind is None:
        return None
    tags = tags_of(outer.get("tags"))
    if request.env and (tags["env"] != request.env if "env" in tags else _is_elsewhere(title, request.env)):
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
    if inner.get("monitor_id") or inner.get("monitor") or source in _MONITOR_SOURCES or _ALERT.search(title):
        return None
    if _NO_CHANGE.search(title):
        return None
    if _FLAGS.search(title):
        return Cause.FEATURE_FLAG if _FLAG_CHANGES.search(title) else None
    # A version that is rolled out with its configuration is a deployment.
    if _CONFIGURATION.search(title) and not (_DEPLOYS.search(title) and _VERSION.search(title)):
        return None if _OTHER_CONFIGURATION.search(title) else Cause.CONFIGURATION
    return Cause.DEPLOYMENT if _DEPLOYS.search(title) else None


def _is_elsewhere(title: str, env: str) -> bool:
    """Return whether a title names other environments only, such as "to staging" for ``prod``."""
    known = next((words for words in _ENVIRONMENTS if env.lower() in words), None)
    named = {found[1].lower() for found in _IN_ENVIRONMENT.finditer(title)}
    return known is not None and bool(named) and not named & known


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
