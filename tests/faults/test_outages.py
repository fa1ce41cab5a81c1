"""One Slack method fails for a whole run: nothing is duplicated, and what is missing is reported."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from incident_sandbox import Fault

from airflow_incident_provider.models import RunOutcome

from .cases import CALLS, FIRST
from .invariants import duplicates, false_reports, reported
from .scenarios import Outcome, ScenarioRunner

pytestmark = pytest.mark.whole_suite

METHODS = sorted({method for calls in CALLS.values() for method in calls} & CALLS[FIRST].keys())
OUTAGES: dict[str, dict[str, Any]] = {
    "503": {"status": 503, "body": "<html>down</html>"},
    "fatal_error after the effect": {"error": "fatal_error", "when": "after"},
    "connection dropped after the effect": {"drop": True, "when": "after"},
    "rate limited": {"error": "ratelimited", "headers": {"Retry-After": "3600"}},
}
ESSENTIAL = frozenset({"auth.test", "conversations.create", "chat.postMessage"})
"""Methods without which there is no room."""


def is_incomplete(actual: Outcome, clean: Outcome) -> bool:
    """Return whether the room differs from the clean one."""
    [room], [expected] = actual.rooms, clean.rooms
    return (room.topic, room.purpose, room.members, room.pinned, room.bookmarks, room.messages) != (
        expected.topic,
        expected.purpose,
        expected.members,
        expected.pinned,
        expected.bookmarks,
        expected.messages,
    )


@pytest.mark.parametrize("outage", OUTAGES)
@pytest.mark.parametrize("method", METHODS)
def test_method_outage(runner: ScenarioRunner, report: Callable[[str], None], method: str, outage: str) -> None:
    clean = runner.clean(FIRST)
    actual = runner.run(FIRST, Fault(method=method, times=None, **OUTAGES[outage]), retries=1)
    assert duplicates(actual) == []
    for room in actual.rooms:
        assert false_reports(room, clean.rooms[0], actual) == []
    summary = actual.run.summary
    assert actual.run.state == ("failed" if summary.outcome is RunOutcome.FAILED else "success")
    if method not in ESSENTIAL:
        assert actual.run.state == "success"
        assert len(actual.rooms) == 1
        if is_incomplete(actual, clean):
            assert reported(actual) - reported(clean), "what is missing is not reported"
    else:
        assert summary.outcome is not RunOutcome.COMPLETE
