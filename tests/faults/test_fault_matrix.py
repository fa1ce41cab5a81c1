"""Each call of a run to Slack fails in every way, one at a time; the outcome is that of a run without faults.

Only what Slack refused or left unknown may differ, and that is reported in the room.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from .cases import CALLS, EXISTING_CHANNEL, FAULTS, FIRST, Case, FaultKind, all_cases, calls_with_faults
from .invariants import reported, violations
from .scenarios import ScenarioRunner

BY_NAME = {fault.name: fault for fault in FAULTS}
TIMEOUT_NEVER_DONE = BY_NAME["timeout, never done"]
TIMEOUT_DONE_LATER = BY_NAME["timeout, done later"]
RETRY_AFTER_HOUR = BY_NAME["429, Retry-After 3600"]

SELECTION = [
    Case(FIRST, "conversations.create", 1, BY_NAME["connection dropped, after the effect"]),
    Case(FIRST, "conversations.create", 1, TIMEOUT_DONE_LATER),
    Case(FIRST, "chat.postMessage", 1, BY_NAME["502 with HTML, after the effect"]),
    Case(FIRST, "chat.postMessage", 2, TIMEOUT_DONE_LATER),
    Case(FIRST, "chat.postMessage", 3, BY_NAME["fatal_error, after the effect"]),
    Case(FIRST, "conversations.invite", 1, BY_NAME["internal_error, after the effect"]),
    Case(FIRST, "conversations.setTopic", 1, BY_NAME["timeout, done and answered late"]),
    Case(FIRST, "pins.add", 1, BY_NAME["500, after the effect"]),
    Case(FIRST, "bookmarks.add", 1, BY_NAME["connection dropped, after the effect"]),
    Case(FIRST, "bookmarks.add", 2, TIMEOUT_NEVER_DONE),
    Case(FIRST, "chat.update", 1, RETRY_AFTER_HOUR),
    Case(EXISTING_CHANNEL, "conversations.join", 1, BY_NAME["ratelimited in a 200"]),
]
"""The cases of `make test`: for each kind of effect, the fault that most likely duplicates or loses it."""

OPTIONAL_METHODS = {
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
"""Methods without which a run continues if Slack requests a wait of an hour; calls of the others are repeated."""


def may_be_reported(case: Case) -> bool:
    """Return whether this fault may leave something undone or unknown, which is reported."""
    if case.fault == RETRY_AFTER_HOUR:
        return case.method in OPTIONAL_METHODS
    return case.method == "bookmarks.add" and case.fault in (TIMEOUT_NEVER_DONE, TIMEOUT_DONE_LATER)


@pytest.mark.parametrize("scenario", CALLS)
def test_calls_of_the_matrix_match_a_run(runner: ScenarioRunner, scenario: str) -> None:
    """A call that is missing in the table is not tested."""
    assert dict(runner.clean(scenario).calls) == CALLS[scenario]


def test_matrix_contains_every_method_and_fault() -> None:
    methods = {method for scenario in CALLS.values() for method in scenario}
    assert {method for _, method, _ in calls_with_faults()} == methods
    assert len(all_cases()) == len(set(map(str, all_cases()))) == len(calls_with_faults()) * len(FAULTS)


def check_case(runner: ScenarioRunner, case: Case) -> None:
    clean = runner.clean(case.scenario)
    actual = runner.run_case(case)
    assert violations(actual, clean) == []
    if not may_be_reported(case):
        assert reported(actual) == reported(clean)


@pytest.mark.parametrize("case", SELECTION, ids=str)
def test_selected_case(runner: ScenarioRunner, record_cell: Callable[[Case], None], case: Case) -> None:
    record_cell(case)
    check_case(runner, case)


@pytest.mark.whole_suite
@pytest.mark.parametrize("case", [case for case in all_cases() if case not in SELECTION], ids=str)
def test_other_case(runner: ScenarioRunner, record_cell: Callable[[Case], None], case: Case) -> None:
    record_cell(case)
    check_case(runner, case)


@pytest.mark.whole_suite
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_search_after_lost_response_fails_too(runner: ScenarioRunner, fault: FaultKind) -> None:
    """The brief is posted, its response is lost, and the search in the history fails."""
    lost_response = Case(
        FIRST, "chat.postMessage", 1, BY_NAME["connection dropped, after the effect"]
    ).sandbox_fault
    search = Case(FIRST, "conversations.history", 1, fault).sandbox_fault
    clean = runner.clean(FIRST)
    assert violations(runner.run(FIRST, lost_response, search, timeout_s=fault.timeout_s), clean) == []
