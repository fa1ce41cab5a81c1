"""One method of Slack's that does not work for a whole run: less is done, nothing twice, and that is said."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from incident_sandbox import Fault

from airflow_incident_provider.models import RunOutcome

from .cases import CALLS, FIRST  # isort: skip
from .invariants import doubled, false_claims, reported  # isort: skip
from .running import Bench, Outcome  # isort: skip

pytestmark = pytest.mark.whole_suite

METHODS = sorted({method for calls in CALLS.values() for method in calls} & CALLS[FIRST].keys())
OUTAGES: dict[str, dict[str, Any]] = {
    "503": {"status": 503, "body": "<html>down</html>"},
    "fatal_error, and yet done": {"error": "fatal_error", "when": "after"},
    "dropped, and yet done": {"drop": True, "when": "after"},
    "rate limited": {"error": "ratelimited", "headers": {"Retry-After": "3600"}},
}
NECESSARY = frozenset({"auth.test", "conversations.create", "chat.postMessage"})
"""Without these there is no room."""

UNSEEN = frozenset({"chat.getPermalink"})
"""What a person in the room hardly misses; it is said all the same."""


def lacks(seen: Outcome, clean: Outcome) -> bool:
    """Return whether the room is not as it should be."""
    [room], [model] = seen.rooms, clean.rooms
    return (room.topic, room.purpose, room.members, room.pinned, room.bookmarks, room.messages) != (
        model.topic,
        model.purpose,
        model.members,
        model.pinned,
        model.bookmarks,
        model.messages,
    )


@pytest.mark.parametrize("outage", OUTAGES)
@pytest.mark.parametrize("method", METHODS)
def test_outage(bench: Bench, counted: Callable[[str], None], method: str, outage: str) -> None:
    clean = bench.clean(FIRST)
    seen = bench.run(FIRST, Fault(method=method, times=None, **OUTAGES[outage]), retries=1)
    assert doubled(seen) == []
    for room in seen.rooms:
        assert false_claims(room, clean.rooms[0], seen) == []
    summary = seen.run.summary
    assert seen.run.state == ("failed" if summary.outcome is RunOutcome.FAILED else "success")
    if method not in NECESSARY:
        assert seen.run.state == "success"
        assert len(seen.rooms) == 1
        if lacks(seen, clean):
            assert reported(seen) - reported(clean), "nobody says what is missing"
    else:
        assert summary.outcome is not RunOutcome.COMPLETE
