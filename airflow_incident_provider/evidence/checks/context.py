"""Other monitors, planned downtime, the catalog's entry, and the metrics that distinguish causes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from typing import Any

from airflow_incident_provider.evidence.calls import SIGNALS, Answer, Answers
from airflow_incident_provider.evidence.checks.finding import Check, ago, clock, listed, partly
from airflow_incident_provider.evidence.observations import (
    CatalogSeen,
    Checked,
    DowntimeSeen,
    MetricSeen,
    RelatedMonitor,
    SignalSeen,
)
from airflow_incident_provider.evidence.reading import plain, seconds_of, tags_of, text_of, timeseries
from airflow_incident_provider.evidence.request import EvidenceRequest
from airflow_incident_provider.evidence.series import Direction, Series, State, compare, growing_since, lost_since
from airflow_incident_provider.evidence.symptoms import Resource, Signal
from airflow_incident_provider.models import Verdict

_RELATED_S = 1800
_ONE_MINUTE = 60
_AND = re.compile(r"\s+AND\s+|,|\s+", re.IGNORECASE)
_OPERATOR = re.compile(r"(?:^|[\s()])(?:OR|NOT|IN)(?=[\s()])|[!-](?=\w+:)", re.IGNORECASE)


def check_monitors(
    request: EvidenceRequest, answers: Answers, metric: MetricSeen | None, related: frozenset[str]
) -> Checked[tuple[RelatedMonitor, ...]]:
    """List other monitors that alert around the same time, the first to fire first. No Data is not an alert.

    :param related: the services of the graph; monitors of others are not listed.
    """
    check = Check("monitors", request, answers, ["monitor_groups"])
    if (answer := check.answer()) is None:
        return check.unanswered("what else alerts is")
    seen = _first_of_each(_related_monitors(request, answer.rows("groups"), related))
    partial = partly(answer) or _first_page(answer)
    if not seen:
        minutes = _RELATED_S // _ONE_MINUTE
        known = f"no other monitor that alerts by service began to alert within {minutes} min of this one"
        return check.found(f"{known} for the services around it{partial}", ())
    own = int(request.alerted_at.timestamp())
    first = seen[0]
    words = [f"{each.name} since {clock(each.triggered_at, request)}" for each in seen[:4]]
    earlier = own - first.triggered_at > _ONE_MINUTE
    order = f"; {first.name} fired first, {ago(first.triggered_at, own)} this alert" if earlier else ""
    verdict = Verdict.WARN if metric and metric.symptomatic else Verdict.OK
    return check.found(f"also alerting: {listed(words)}{order}{partial}", tuple(seen), verdict)


def _first_page(answer: Answer) -> str:
    """Return the remark that there are more groups than were asked for."""
    total = answer.at("metadata", "total_count")
    read = len(answer.rows("groups"))
    more = isinstance(total, int) and total > read
    return f" (only {read} of {total} alerting groups were read)" if more else ""


def _related_monitors(
    request: EvidenceRequest, rows: Iterable[Mapping[str, Any]], related: frozenset[str]
) -> Iterable[RelatedMonitor]:
    alerted = request.alerted_at.timestamp()
    for row in rows:
        at, monitor_id = seconds_of(row.get("last_triggered_ts")), text_of(row, "monitor_id")
        if row.get("status") != "Alert" or at is None or monitor_id in {None, request.monitor_id}:
            continue
        tags = tags_of(row.get("group_tags"))
        service = tags.get("service")
        if request.env and tags.get("env") not in {None, request.env}:
            continue
        if abs(alerted - at) <= _RELATED_S and service in related:
            name = text_of(row, "monitor_name", limit=120) or f"monitor {monitor_id}"
            yield RelatedMonitor(id=str(monitor_id), name=name, service=service, triggered_at=at)


def _first_of_each(monitors: Iterable[RelatedMonitor]) -> list[RelatedMonitor]:
    """Return each monitor once, with its first group, in the order in which they fired."""
    ordered = sorted(monitors, key=lambda each: (each.triggered_at, each.id))
    return list({each.id: each for each in reversed(ordered)}.values())[::-1]


def check_downtime(request: EvidenceRequest, answers: Answers) -> Checked[tuple[DowntimeSeen, ...]]:
    """See whether a planned downtime covers the alert; one of another group does not."""
    check = Check("downtime", request, answers, ["downtimes"])
    if not request.monitor_id:
        return check.skipped("the alert names no monitor")
    if (answer := check.answer()) is None:
        return check.unanswered("whether a downtime is planned is")
    found = list(_downtimes(request, answer.rows("data")))
    seen = tuple(downtime for downtime, covers in found if covers)
    if not seen:
        if unclear := [downtime.scope for downtime, covers in found if covers is None]:
            return check.unknown(
                f"whether the planned downtime of {listed(unclear, 2)} covers this alert is not known"
            )
        return check.found(f"no planned downtime covers this alert{partly(answer)}", ())
    first = seen[0]
    until = f" until {clock(first.end, request)}" if first.end is not None else ", with no end set"
    since = f" since {clock(first.start, request)}" if first.start is not None else ""
    return check.found(f"a planned downtime covers {first.scope}{since}{until}", seen, Verdict.WARN)


def _downtimes(
    request: EvidenceRequest, rows: Iterable[Mapping[str, Any]]
) -> Iterable[tuple[DowntimeSeen, bool | None]]:
    """Yield the downtimes of now, and whether each covers the alert."""
    own = {*request.scope, *request.tags(request.service)}
    now = request.now.timestamp()
    for row in rows:
        attributes = row.get("attributes")
        if not isinstance(attributes, Mapping):
            continue
        start, end = seconds_of(attributes.get("start")), seconds_of(attributes.get("end"))
        scope = text_of(attributes, "scope", limit=150) or "*"
        groups = attributes.get("groups")
        if (start is None or start <= now) and (end is None or end > now):
            yield DowntimeSeen(scope=scope, start=start, end=end), _covers(scope, groups, own)


def _covers(scope: str, groups: object, own: set[str]) -> bool | None:
    """Return whether every tag of a scope is one of the alert's own, and its groups include the alert's.

    :returns: ``None`` for a scope with operators, which are not evaluated.
    """
    if _OPERATOR.search(scope):
        return None
    terms = [term.strip("() ") for term in _AND.split(scope)]
    if not all(_has(own, term) for term in terms if term not in {"*", ""}):
        return False
    if not isinstance(groups, list) or not groups:
        return True
    return any(set(str(group).split(",")) <= own for group in groups)


def _has(own: set[str], term: str) -> bool:
    """Return whether the alert has a tag, which may end in any way."""
    return any(fnmatchcase(tag, term) for tag in own)


def check_catalog(request: EvidenceRequest, answers: Answers) -> Checked[CatalogSeen]:
    """Read who owns the service and where its runbook is."""
    check = Check("catalog", request, answers, ["entity"])
    if (answer := check.answer()) is None:
        return check.unanswered("the owner is")
    schemas = [row for row in answer.rows("included") if text_of(row, "attributes", "schema", "kind")]
    entity = next(iter(answer.rows("data")), None)
    if entity is None:
        return check.found(f"the catalog has no entry of {request.service}")
    seen = _catalog(entity, schemas)
    words = [
        f"owner {seen.owner}" if seen.owner else "no owner named",
        *(f"runbook {url}" for url in seen.runbooks[:2]),
        *seen.contacts[:2],
    ]
    known = (("owner", seen.owner), ("runbook", next(iter(seen.runbooks), None)))
    return check.found("; ".join(words), seen, facts={name: value for name, value in known if value})


def _catalog(entity: Mapping[str, Any], schemas: list[Mapping[str, Any]]) -> CatalogSeen:
    metadata: Mapping[str, Any] = {}
    for row in schemas:
        found = row["attributes"]["schema"].get("metadata")
        metadata = found if isinstance(found, Mapping) else metadata
    links = [link for link in metadata.get("links") or [] if isinstance(link, Mapping)]
    contacts = [each for each in metadata.get("contacts") or [] if isinstance(each, Mapping)]
    return CatalogSeen(
        owner=text_of(entity, "attributes", "owner", limit=80) or text_of(metadata, "owner", limit=80),
        runbooks=tuple(
            plain(link["url"], 200)
            for link in links
            if link.get("type") == "runbook" and str(link.get("url")).startswith("https://")
        ),
        contacts=tuple(
            f"{plain(each.get('type', 'contact'), 30)} {plain(each['contact'], 100)}"
            for each in contacts
            if each.get("contact")
        ),
    )


def check_signals(
    request: EvidenceRequest, answers: Answers, metric: MetricSeen | None
) -> Checked[tuple[SignalSeen, ...]]:
    """Compare the metrics that distinguish the causes of this kind of alert with their baselines."""
    check = Check("signals", request, answers, [SIGNALS])
    if (answer := check.answer()) is None:
        return check.unanswered("CPU, memory and connections are")
    found = timeseries(answer, now=request.now.timestamp())
    compared = [
        (signal.name, _signal(request, signal, found[index][0].series) if index in found else None)
        for index, signal in enumerate(request.all_signals)
    ]
    seen = tuple(each for _, each in compared if each is not None)
    missing = [name for name, each in compared if each is None]
    if not seen:
        return check.unknown(f"Datadog returned no data for {listed(missing, 6)}")
    abnormal = [each for each in seen if each.state is not State.NORMAL]
    normal = [each.name for each in seen if each.state is State.NORMAL]
    words = [_signal_text(each, request) for each in abnormal]
    words += [f"{', '.join(normal)} within the normal range"] if normal else []
    words += [f"no data for {', '.join(missing)}"] if missing else []
    verdict = Verdict.WARN if abnormal and metric and metric.symptomatic else Verdict.OK
    return check.found(f"{'; '.join(words)}{partly(answer)}", seen, verdict)


def _signal(request: EvidenceRequest, signal: Signal, series: Series) -> SignalSeen | None:
    history, window = request.split(series)
    lost = lost_since(history, window, request.end)
    if lost is not None:
        return SignalSeen(name=signal.name, resource=signal.resource, state=State.LOST, direction=None, onset=lost)
    shift = compare(history, window)
    if shift is None:
        return None
    growing = growing_since(series) if signal.resource is Resource.MEMORY else None
    return SignalSeen(
        name=signal.name,
        resource=signal.resource,
        state=State.ABNORMAL if growing else shift.state,
        direction=Direction.UP if growing else shift.direction,
        onset=growing or shift.onset,
        growing_since=growing,
    )


def _signal_text(signal: SignalSeen, request: EvidenceRequest) -> str:
    assert signal.onset is not None
    if signal.state is State.LOST:
        return f"{signal.name} reports nothing since {clock(signal.onset, request)}"
    if signal.growing_since is not None:
        return f"{signal.name} grows steadily since {clock(signal.growing_since, request)} or earlier"
    verb = "above" if signal.direction is Direction.UP else "below"
    ended = " (back to normal)" if signal.state is State.RECOVERED else ""
    return f"{signal.name} {verb} its normal range since {clock(signal.onset, request)}{ended}"
