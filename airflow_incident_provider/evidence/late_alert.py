"""Look further back where a monitor alerts late: one with a long evaluation window, or a budget that burns slowly.

What is older than the window is the normal range. A metric that has been abnormal since before the window would be
compared with itself and be found normal.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from datetime import timedelta

from airflow_incident_provider.evidence.calls import Answers
from airflow_incident_provider.evidence.checks.metric import own_series
from airflow_incident_provider.evidence.checks.services import own_traces
from airflow_incident_provider.evidence.request import EvidenceRequest
from airflow_incident_provider.evidence.series import ABNORMAL_DEVIATION, Direction, Series, Shift, State, compare

_LONGER_WINDOWS = tuple(timedelta(minutes=minutes) for minutes in (60, 90, 120))
_SETTLED_S = 300
"""An onset this soon after the start of the window may be older."""

_ABNORMAL_SHARE = 0.8
_FAR_OUT = 2 * ABNORMAL_DEVIATION
_PARTS = 3


def covering_onset(request: EvidenceRequest, answers: Answers) -> EvidenceRequest:
    """Return the request with a window that holds the onset, if the metric is abnormal since before its own.

    Only a step that lasts counts: what grows all morning, or comes and goes, is an ordinary day.
    """
    compared = list(_compared(request, answers))
    for window in _LONGER_WINDOWS:
        longer = request.model_copy(update={"window": window})
        for series in compared:
            shift = compare(*longer.split(series))
            if shift is None or shift.onset is None or shift.onset >= request.window_start:
                continue
            if _is_lasting_step(longer, series, shift, shift.onset):
                return longer
    return request


def _compared(request: EvidenceRequest, answers: Answers) -> Iterator[Series]:
    """Yield the alert's own metric; where it has none, what may be looked at in its place."""
    answer = answers.get("metric")
    if request.metric_query is not None:
        found = own_series(request, answer) if answer is not None and answer.usable else []
        if len(found) == 1:
            yield found[0]
    elif (own := own_traces(request, answers)) is not None:
        yield from (own.failed_share, own.durations)


def _is_lasting_step(request: EvidenceRequest, series: Series, shift: Shift, onset: int) -> bool:
    if shift.state is not State.ABNORMAL or onset < request.window_start + _SETTLED_S:
        return False
    low = request.monitored.low if request.monitored else False
    if low is not None and shift.direction is not (Direction.DOWN if low else Direction.UP):
        return False
    side = 1 if shift.direction is Direction.UP else -1
    deviations = [side * shift.baseline.deviation(value) for _, value in series.between(onset, request.end).known()]
    beyond = sum(each >= ABNORMAL_DEVIATION for each in deviations)
    first = statistics.median(deviations[: max(len(deviations) // _PARTS, 1)])
    level = statistics.median(deviations)
    return beyond >= _ABNORMAL_SHARE * len(deviations) and level >= _FAR_OUT and first >= level / 2
