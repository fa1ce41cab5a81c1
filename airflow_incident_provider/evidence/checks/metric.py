"""The alert's metric against its baseline: value, onset, whether it is still abnormal, and on which hosts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from airflow_incident_provider.evidence.calls import HOSTS, SERVICES, Answer, Answers
from airflow_incident_provider.evidence.checks.finding import Check, clock, listed, number, partly
from airflow_incident_provider.evidence.checks.services import (
    FEW_FAILED,
    Traces,
    own_traces,
    silent_since,
    substitute,
    traced,
)
from airflow_incident_provider.evidence.localization import Measure
from airflow_incident_provider.evidence.metric_query import averages
from airflow_incident_provider.evidence.observations import Checked, GroupsSeen, MetricSeen, fails_more
from airflow_incident_provider.evidence.reading import query_series
from airflow_incident_provider.evidence.request import EvidenceRequest
from airflow_incident_provider.evidence.series import (
    MINUTE_S,
    Direction,
    Series,
    Shift,
    State,
    compare,
    growing_since,
    lost_since,
    unreported_before,
)
from airflow_incident_provider.evidence.symptoms import Symptom, measures_share, operation_of
from airflow_incident_provider.models import Verdict

_ATTENTION = {
    State.ABNORMAL: Verdict.FAIL,
    State.LOST: Verdict.FAIL,
    State.RECOVERED: Verdict.WARN,
    State.NORMAL: Verdict.OK,
}
_NO_QUERY = "no metric query is known for this alert"
_UNSUITABLE = "this kind of monitor has no plain metric query"

_ALIKE = 1.1
_GROWING = frozenset({Symptom.MEMORY, Symptom.OTHER})
"""Symptoms that creep up: their history may hold the beginning of the incident."""


def check_metric(request: EvidenceRequest, answers: Answers) -> Checked[MetricSeen]:
    """Compare the alert's metric in the window with the hours before it; else what the service's traces show."""
    checked = _check_own_metric(request, answers)
    answer = answers.get("metric")
    refused = answer is not None and not answer.usable
    found = substitute(request, answers) if checked.seen is None and not refused else None
    if found is None:
        return checked
    seen = replace(
        _see(request, found.series, found.shift, name=f"{found.name} of {request.service}"), measure=found.measure
    )
    text = f"{checked.finding.summary}; in its place, {seen.name} {_compared(request, seen, found.unit)}"
    check = Check("metric", request, answers, ["metric", SERVICES])
    return check.found(text, seen, _ATTENTION[seen.state], facts=_facts(seen))


def _check_own_metric(request: EvidenceRequest, answers: Answers) -> Checked[MetricSeen]:
    check = Check("metric", request, answers, ["metric"])
    if request.metric_query is None:
        return check.skipped(_NO_QUERY if request.query is None else _UNSUITABLE)
    if (answer := check.answer()) is None:
        return check.unanswered("the metric is")
    found = own_series(request, answer)
    if not any(each.known() for each in found):
        return check.unknown(f"Datadog returned no data for {request.metric_query}")
    if len(found) > 1:
        return check.unknown(
            f"the metric is not known: Datadog returned {len(found)} groups of it, not only the one of the alert"
        )
    seen = _see_own(request, found[0], silent_since(request, own_traces(request, answers)))
    if seen is None:
        return check.unknown("the metric cannot be compared: it has too few points in the last hours")
    text = _lost(request, seen) if seen.state is State.LOST else _compared(request, seen, unit_of(answer))
    return check.found(f"{text}{partly(answer)}", seen, _ATTENTION[seen.state], facts=_facts(seen))


def own_series(request: EvidenceRequest, answer: Answer) -> list[Series]:
    """Return the alert's own metric: of several groups those of the alert's scope, if any are."""
    whole = request.metric_query is None or not averages(request.metric_query)
    found = query_series(answer, now=request.now.timestamp(), whole=whole)
    scope = {*request.scope, *request.tags(request.service)}
    own = [each for each in found if each.tags and {f"{key}:{value}" for key, value in each.tags.items()} <= scope]
    return [each.series for each in (own or found)]


def _see_own(request: EvidenceRequest, series: Series, silent: int | None) -> MetricSeen | None:
    """Return how the alert's own metric compares; ``silent`` is since when the service reports no requests."""
    history, window = request.split(series)
    shift = compare(history, window)
    lost = lost_since(history, window, request.end)
    if lost is None and silent is not None and not series.between(silent, request.end).known():
        # What is reported too rarely to be missed is missed with the service's requests.
        lost = silent
    if lost is not None:
        return MetricSeen(series=series, shift=shift, state=State.LOST, onset=lost, symptomatic=True)
    return None if shift is None else _see(request, series, shift)


def _see(request: EvidenceRequest, series: Series, shift: Shift, *, name: str = "") -> MetricSeen:
    """Return how a metric compares; ``name`` is of one that is looked at in place of the alert's own."""
    monitored = None if name else request.monitored
    low = monitored.low if monitored else False
    growing = growing_since(series) if request.symptom in _GROWING and not name else None
    known = request.split(series)[1].known()
    side = low is None or shift.direction is (Direction.DOWN if low else Direction.UP)
    rising = growing is not None and not low
    state = State.ABNORMAL if rising else shift.state
    since = unreported_before(series, shift.onset) if shift.onset is not None and not rising else None
    return MetricSeen(
        series=series,
        shift=shift,
        state=state,
        onset=growing if rising else shift.onset,
        onset_open=rising or since is not None or (shift.onset is not None and shift.onset == known[0][0]),
        onset_from=since,
        growing_since=growing if rising else None,
        symptomatic=state is not State.NORMAL and (side or rising),
        symptom=request.symptom,
        name=name,
    )


def _lost(request: EvidenceRequest, seen: MetricSeen) -> str:
    assert seen.onset is not None
    return f"the metric reports nothing since {clock(seen.onset, request)}: that is no value, not zero"


def _compared(request: EvidenceRequest, seen: MetricSeen, unit: str | None) -> str:
    shift = seen.shift
    assert shift is not None
    normal = number(shift.baseline.median, unit)
    if seen.growing_since is not None:
        first = next(value for at, value in seen.series.known() if at >= seen.growing_since)
        rise = f"from {number(first, unit)} to {number(shift.latest, unit)}"
        return f"has grown steadily since {clock(seen.growing_since, request)} or earlier: {rise}"
    if seen.state is State.NORMAL:
        last = seen.series.known()[-1][0] + seen.series.interval
        until = f", until {clock(last, request)}" if seen.series.interval > MINUTE_S else ""
        return f"within its normal range{until}: {number(shift.latest, unit)} (normally {normal})"
    assert seen.onset is not None
    verb = "rose" if shift.direction is Direction.UP else "fell"
    since = f"{clock(seen.onset, request)}{' or earlier' if seen.onset_open else ''}"
    if seen.onset_from is not None:
        since += f" (nothing was reported from {clock(seen.onset_from, request)} on)"
    elif seen.series.interval > MINUTE_S:
        since += f" (a point covers {seen.series.interval // MINUTE_S} min)"
    if shift.earlier_ended is not None:
        since += f" (and earlier, until {clock(shift.earlier_ended, request)})"
    text = f"{verb} to {number(shift.extreme, unit)} (normally {normal}), abnormal since {since}"
    if seen.state is State.RECOVERED:
        assert shift.ended is not None
        return f"{text}; back in its normal range since {clock(shift.ended, request)}"
    return f"{text}, still abnormal: {number(shift.latest, unit)}"


def _facts(seen: MetricSeen) -> dict[str, str | int | float | bool]:
    facts: dict[str, str | int | float | bool] = {"state": seen.state.value}
    if seen.onset is not None:
        facts["onset"] = seen.onset
    if seen.shift is not None:
        shift = seen.shift
        facts |= {"latest": shift.latest, "extreme": shift.extreme, "baseline": shift.baseline.median}
    return facts


def unit_of(answer: Answer) -> str | None:
    """Return the name of a metric's unit, if the answer has one."""
    for row in answer.rows("series"):
        units = row.get("unit") or []
        first, second = (*units, None, None)[:2] if isinstance(units, list) else (None, None)
        if isinstance(first, dict) and not second:
            return str(first.get("name") or "") or None
    return None


def check_groups(request: EvidenceRequest, answers: Answers, metric: MetricSeen | None) -> Checked[GroupsSeen]:
    """Compare the alert's metric host by host: a host that vanished is not a host at zero."""
    check = Check("groups", request, answers, ["groups"])
    answer = answers.get("groups")
    if answer is not None and not answer.usable:
        return check.unanswered("the affected hosts are")
    instead = metric.measure if metric else None
    # Traces count failed requests themselves.
    of_failures = operation_of(request.query) is not None and measures_share(request.symptom)
    if (instead or of_failures) and (traces := traced(request, answers, HOSTS, "host")):
        if instead is Measure.LEVEL:
            seen = _judge_hosts(request, {host: each.durations for host, each in traces.items()}, metric)
        else:
            seen = _judge_shares(request, traces, metric)
        return _groups(replace(check, calls=[HOSTS]), metric, seen)
    if answer is None:
        return check.skipped(_NO_QUERY if request.metric_query is None else "it was not asked")
    hosts = {
        each.tags["host"]: each.series
        for each in query_series(
            answer, now=request.now.timestamp(), whole=not averages(request.metric_query or "")
        )
        if each.tags.get("host") not in {None, "N/A", ""}
    }
    if not hosts:
        return check.skipped("the metric has no host tag")
    return _groups(check, metric, _judge_hosts(request, hosts, metric))


def _groups(check: Check, metric: MetricSeen | None, seen: GroupsSeen) -> Checked[GroupsSeen]:
    # A host without data may have been removed: while the metric is in its range, that is no warning.
    unusual = seen.abnormal or seen.lost
    verdict = Verdict.WARN if unusual and metric and metric.symptomatic else Verdict.OK
    text = f"{_hosts(check.request, seen)}{partly(check.answer())}"
    return check.found(text, seen, verdict, facts={"abnormal": len(seen.abnormal), "hosts": seen.total})


def _judge_shares(request: EvidenceRequest, hosts: Mapping[str, Traces], metric: MetricSeen | None) -> GroupsSeen:
    """Compare the share of failed requests of each host, which may be too few to compare minute by minute."""
    onset = (metric.onset if metric else None) or request.window_start
    end = (metric.shift.ended if metric and metric.shift else None) or request.end
    abnormal: list[str] = []
    normal: list[str] = []
    lost = {}
    for host, traces in hosts.items():
        now, before = traces.between(onset, end), traces.between(request.start, onset)
        worse = None
        if now.error_share is not None and before.error_share is not None:
            worse = fails_more(now.error_share, before.error_share) and now.failed.total >= FEW_FAILED
        if (gone := silent_since(request, traces)) is not None:
            lost[host] = gone
        # A host that failed until it reported nothing any more is among those that fail.
        if worse:
            abnormal.append(host)
        elif worse is not None and gone is None:
            normal.append(host)
    return GroupsSeen(abnormal=tuple(abnormal), normal=tuple(normal), lost=lost)


def _judge_hosts(request: EvidenceRequest, hosts: dict[str, Series], metric: MetricSeen | None) -> GroupsSeen:
    direction = metric.shift.direction if metric and metric.shift else None
    silent = metric.onset if metric and metric.state is State.LOST else None
    abnormal, normal, grown, lost = [], [], set(), {}
    for host, series in sorted(hosts.items()):
        history, window = request.split(series)
        gone = lost_since(history, window, request.end)
        if gone is None and silent is not None and not series.between(silent, request.end).known():
            # What is reported too rarely on one host to miss it there is missed on all of them together.
            gone = silent
        shift = compare(history, window)
        growing = growing_since(series) if request.symptom in _GROWING else None
        if gone is not None:
            lost[host] = gone
        if growing is not None:
            grown.add(host)
        if growing is not None or (
            shift and shift.state is not State.NORMAL and direction in {None, shift.direction}
        ):
            abnormal.append(host)
        elif shift is not None and gone is None:
            normal.append(host)
    since = (metric.onset if metric else None) or request.window_start
    levels = {host: series.between(since, request.end).mean for host, series in hosts.items()}
    beside = [level for host in normal if (level := levels[host]) is not None]
    alike = [host for host in abnormal if host not in grown and _is_alike(levels[host], beside)]
    return GroupsSeen(
        abnormal=tuple(host for host in abnormal if host not in alike),
        normal=tuple(sorted((*normal, *(host for host in alike if host not in lost)))),
        lost=lost,
    )


def _is_alike(level: float | None, others: Sequence[float]) -> bool:
    """Return whether a host is at the level of others that are normal: by chance it is outside its own range."""
    if level is None or not others:
        return False
    return min(others) / _ALIKE <= level <= max(others) * _ALIKE


def _hosts(request: EvidenceRequest, seen: GroupsSeen) -> str:
    parts = []
    if seen.abnormal:
        verb = "is" if len(seen.abnormal) == 1 else "are"
        every = len(seen.abnormal) == seen.total > 1
        whole = f"all {seen.total} hosts are abnormal"
        part = f"{len(seen.abnormal)} of {seen.total} hosts {verb} abnormal: {listed(seen.abnormal)}"
        parts.append(whole if every else part)
    parts += [f"{host} reports nothing since {clock(at, request)}" for host, at in list(seen.lost.items())[:5]]
    if not parts:
        return f"none of {seen.total} hosts is abnormal" if seen.total else "no host could be compared"
    return "; ".join(parts)
