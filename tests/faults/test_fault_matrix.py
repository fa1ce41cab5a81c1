"""Every call that a run makes to Slack goes wrong in every way, one at a time; the outcome is as if none had.

What may differ is what Slack refused or left open for good, and that is said in the room.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from .cases import CALLS, FAULTS, FIRST, THEIRS, Case, FaultKind, all_cases, tried_calls  # isort: skip
from .invariants import reported, violations  # isort: skip
from .running import Bench  # isort: skip

BY_NAME = {fault.name: fault for fault in FAULTS}
NEVER_DONE = BY_NAME["time-out, never done"]
DONE_LATER = BY_NAME["time-out, done later"]
AN_HOUR = BY_NAME["429, an hour"]

SELECTION = [
    Case(FIRST, "conversations.create", 1, BY_NAME["connection dropped, after the effect"]),
    Case(FIRST, "conversations.create", 1, DONE_LATER),
    Case(FIRST, "chat.postMessage", 1, BY_NAME["502 with HTML, after the effect"]),
    Case(FIRST, "chat.postMessage", 2, DONE_LATER),
    Case(FIRST, "chat.postMessage", 3, BY_NAME["fatal_error, after the effect"]),
    Case(FIRST, "conversations.invite", 1, BY_NAME["internal_error, after the effect"]),
    Case(FIRST, "conversations.setTopic", 1, BY_NAME["time-out, done, answered late"]),
    Case(FIRST, "pins.add", 1, BY_NAME["500, after the effect"]),
    Case(FIRST, "bookmarks.add", 1, BY_NAME["connection dropped, after the effect"]),
    Case(FIRST, "bookmarks.add", 2, NEVER_DONE),
    Case(FIRST, "chat.update", 1, AN_HOUR),
    Case(THEIRS, "conversations.join", 1, BY_NAME["ratelimited in a 200"]),
]
"""What `make test` tries: for each kind of effect, the fault that it is most easily doubled or lost by."""

REFUSED_FOR_GOOD = {
    "users.lookupByEmail",
    "users.list",
    "users.info",
    "usergroups.list",
    "conversations.setPurpose",
    "conversations.invite",
    "conversations.members",
    "conversations.setTopic",
    "chat.update",
    "chat.getPermalink",
    "pins.add",
    "bookmarks.add",
    "bookmarks.list",
    "conversations.join",
    "conversations.info",
}
"""What a run goes on without where Slack asks for an hour's patience; the rest is waited for."""


def may_be_posted(case: Case) -> bool:
    """Return whether this fault may leave something undone or unknown for good."""
    if case.fault == AN_HOUR:
        return case.method in REFUSED_FOR_GOOD
    return case.method == "bookmarks.add" and case.fault in (NEVER_DONE, DONE_LATER)


@pytest.mark.parametrize("scenario", CALLS)
def test_calls_of_the_matrix_are_those_of_a_run(bench: Bench, scenario: str) -> None:
    """A call that is new, or gone, belongs into the table: what is not there is not tried."""
    assert dict(bench.clean(scenario).calls) == CALLS[scenario]


def test_every_method_is_tried_with_every_fault() -> None:
    methods = {method for scenario in CALLS.values() for method in scenario}
    assert {method for _, method, _ in tried_calls()} == methods
    assert len(all_cases()) == len(set(map(str, all_cases()))) == len(tried_calls()) * len(FAULTS)


def check(bench: Bench, case: Case) -> None:
    clean = bench.clean(case.scenario)
    seen = bench.run_case(case)
    assert violations(seen, clean) == []
    if not may_be_posted(case):
        assert reported(seen) == reported(clean)


@pytest.mark.parametrize("case", SELECTION, ids=str)
def test_selection(bench: Bench, in_matrix: Callable[[Case], None], case: Case) -> None:
    in_matrix(case)
    check(bench, case)


@pytest.mark.whole_suite
@pytest.mark.parametrize("case", [case for case in all_cases() if case not in SELECTION], ids=str)
def test_whole(bench: Bench, in_matrix: Callable[[Case], None], case: Case) -> None:
    in_matrix(case)
    check(bench, case)


@pytest.mark.whole_suite
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_the_look_after_a_lost_message_goes_wrong_too(bench: Bench, fault: FaultKind) -> None:
    """The brief arrives, its answer does not, and then the look into the history has a fault of its own."""
    lost = Case(FIRST, "chat.postMessage", 1, BY_NAME["connection dropped, after the effect"]).scripted
    look = Case(FIRST, "conversations.history", 1, fault).scripted
    clean = bench.clean(FIRST)
    assert violations(bench.run(FIRST, lost, look, patience_s=fault.patience_s), clean) == []
