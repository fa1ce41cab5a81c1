"""The matrix can fail: without one of the checks before an effect, the effect is duplicated."""

from __future__ import annotations

import re

import pytest

from .cases import FAULTS, FIRST, Case
from .invariants import violations
from .scenarios import ScenarioRunner

PACKAGE = "airflow_incident_provider"
BY_NAME = {fault.name: fault for fault in FAULTS}
DROPPED = BY_NAME["connection dropped, after the effect"]
DONE_LATER = BY_NAME["timeout, done later"]

REMOVED_CHECKS = {
    "no search for the brief": (
        {"slack.client.LiveSlackClient.find_message": lambda *_, **__: None},
        Case(FIRST, "chat.postMessage", 1, DROPPED),
        "/brief was posted 2 times",
    ),
    "no search for the findings": (
        {"slack.client.LiveSlackClient.find_message": lambda *_, **__: None},
        Case(FIRST, "chat.postMessage", 2, DROPPED),
        "/post_investigation_updates/0 was posted 2 times",
    ),
    "no search for the summary": (
        {"slack.client.LiveSlackClient.find_message": lambda *_, **__: None},
        Case(FIRST, "chat.postMessage", 3, DROPPED),
        "/summary/0 was posted 2 times",
    ),
    "no record of the intention": (
        {"room.posting.Ledger.intended_at": lambda *_: None},
        Case(FIRST, "chat.postMessage", 2, DONE_LATER),
        "/post_investigation_updates/0 was posted 2 times",
    ),
    "no search for the room": (
        {"room.channel.ChannelOpener._ours": lambda *_, **__: None},
        Case(FIRST, "conversations.create", 1, DROPPED),
        "the rooms are",
    ),
    "no check of the bookmarks": (
        {"slack.client.LiveSlackClient.bookmarks": lambda *_: frozenset()},
        Case(FIRST, "bookmarks.add", 1, DROPPED),
        "exists 2 times",
    ),
    "no wait after a timeout": (
        {"slack.client.effect_may_be_delayed": lambda _: False},
        Case(FIRST, "chat.postMessage", 3, DONE_LATER),
        "/summary/0 was posted 2 times",
    ),
}


@pytest.mark.parametrize("name", REMOVED_CHECKS)
def test_removed_check_fails_the_matrix(runner: ScenarioRunner, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    replaced, case, expected = REMOVED_CHECKS[name]
    clean = runner.clean(case.scenario)
    for target, replacement in replaced.items():
        monkeypatch.setattr(f"{PACKAGE}.{target}", replacement)
    found = violations(runner.run_case(case), clean)
    assert any(re.search(re.escape(expected), line) for line in found), found
