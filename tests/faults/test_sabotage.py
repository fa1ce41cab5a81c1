"""The matrix can turn red: without any one of the looks before an act, something is there twice."""

from __future__ import annotations

import re

import pytest

from .cases import FAULTS, FIRST, Case  # isort: skip
from .invariants import violations  # isort: skip
from .running import Bench  # isort: skip

PACKAGE = "airflow_incident_provider"
BY_NAME = {fault.name: fault for fault in FAULTS}
DROPPED = BY_NAME["connection dropped, after the effect"]
LATE = BY_NAME["time-out, done later"]

SABOTAGES = {
    "no look for the brief": (
        {"slack.client.LiveSlackClient.find_message": lambda *_, **__: None},
        Case(FIRST, "chat.postMessage", 1, DROPPED),
        "/brief was posted 2 times",
    ),
    "no look for the findings": (
        {"slack.client.LiveSlackClient.find_message": lambda *_, **__: None},
        Case(FIRST, "chat.postMessage", 2, DROPPED),
        "/post_investigation_updates/0 was posted 2 times",
    ),
    "no look for the summary": (
        {"slack.client.LiveSlackClient.find_message": lambda *_, **__: None},
        Case(FIRST, "chat.postMessage", 3, DROPPED),
        "/summary/0 was posted 2 times",
    ),
    "no memory of what was begun": (
        {"room.posting.Ledger.intended_at": lambda *_: None},
        Case(FIRST, "chat.postMessage", 2, LATE),
        "/post_investigation_updates/0 was posted 2 times",
    ),
    "no look for the room": (
        {"room.channel.ChannelOpener._ours": lambda *_, **__: None},
        Case(FIRST, "conversations.create", 1, DROPPED),
        "the rooms are",
    ),
    "no look at the bookmarks": (
        {"slack.client.LiveSlackClient.bookmarks": lambda *_: frozenset()},
        Case(FIRST, "bookmarks.add", 1, DROPPED),
        "is there 2 times",
    ),
    "no patience after a time-out": (
        {"slack.client.effect_may_be_delayed": lambda _: False},
        Case(FIRST, "chat.postMessage", 3, LATE),
        "/summary/0 was posted 2 times",
    ),
}


@pytest.mark.parametrize("name", SABOTAGES)
def test_matrix_turns_red(bench: Bench, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    replaced, case, expected = SABOTAGES[name]
    clean = bench.clean(case.scenario)
    for where, instead in replaced.items():
        monkeypatch.setattr(f"{PACKAGE}.{where}", instead)
    found = violations(bench.run_case(case), clean)
    assert any(re.search(re.escape(expected), line) for line in found), found
