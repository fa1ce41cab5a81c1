"""Invariants of every fault: nothing is duplicated, lost or falsely reported."""

from __future__ import annotations

import re
from collections.abc import Iterator

from airflow_incident_provider.lifecycle.coordination import ReminderKind

from ..dags.conftest import BOT
from .scenarios import Outcome, Room

STATEMENTS = {
    "the topic is not set": lambda actual, clean: actual.topic != clean.topic,
    "the room's description is not set": lambda actual, clean: actual.purpose != clean.purpose,
    "the brief is not pinned": lambda actual, clean: actual.pinned != clean.pinned,
    "not all bookmarks are there": lambda actual, clean: actual.bookmarks != clean.bookmarks,
    "nobody could be invited": lambda actual, _: actual.members == {BOT},
}
"""The problems that a room can report about itself, and when each is true."""

HEDGED_STATEMENTS = {
    "the topic may not be set": "the topic is not set",
    "the room's description may not be set": "the room's description is not set",
    "the brief may not be pinned": "the brief is not pinned",
    "some bookmarks may be missing": "not all bookmarks are there",
    "some people may not have been invited": "nobody could be invited",
}
"""The statements of a room that does not know whether a call had an effect, and the certain statement of each."""

_OPTIONAL_MESSAGES = re.compile(r"/brief/details/\d+$|/(?:" + "|".join(ReminderKind) + ")$")
"""Messages that a clean run does not post: the rest of a brief that is long because of reported problems, and
reminders of a slow run. They may not be posted twice."""

_DURATION = re.compile(r"\b[\d.,]+ (?:ms|s|min|h)\b(?: \d+ (?:s|min)\b)?")
_CHECKED_AT = re.compile(r"\(checked \d{2}:\d{2} UTC\)")
_BLOCK_ID = re.compile(r'"block_id": "[^"]*"')


def violations(actual: Outcome, clean: Outcome) -> list[str]:
    """Return the differences from the clean outcome that are not reported in the room, and false reports."""
    found = [] if actual.run.state == "success" else [f"the run ended as {actual.run.state}: {actual.run.states}"]
    names, expected_names = [room.name for room in actual.rooms], [room.name for room in clean.rooms]
    if names != expected_names:
        return [*found, f"the rooms are {names}, not {expected_names}"]
    for room, expected in zip(actual.rooms, clean.rooms, strict=True):
        found += [
            *_messages(room, expected),
            *_members(room, expected, actual),
            *_room_setup(room, expected, actual),
        ]
        found += _statements(room, expected, actual, clean)
    return found


def duplicates(actual: Outcome) -> list[str]:
    """Return what was done more than once."""
    found = [f"{key} was posted {n} times" for room in actual.rooms for key, n in room.messages.items() if n > 1]
    found += [f"bookmark {link} exists {n} times" for r in actual.rooms for link, n in r.bookmarks.items() if n > 1]
    if len(actual.rooms) > 1:
        found.append(f"{len(actual.rooms)} rooms: {[room.name for room in actual.rooms]}")
    return found


def false_reports(room: Room, expected: Room, actual: Outcome) -> list[str]:
    """Return the problems that are reported although they do not exist."""
    problems = reported(actual)
    return [
        f"falsely reported: {what}"
        for what, is_true in STATEMENTS.items()
        if what in problems and not is_true(room, expected)
    ]


def _messages(room: Room, expected: Room) -> Iterator[str]:
    for key in sorted(room.messages.keys() | expected.messages.keys()):
        if room.messages[key] > max(expected.messages[key], bool(_OPTIONAL_MESSAGES.search(key))):
            yield f"{key} was posted {room.messages[key]} times, not {expected.messages[key]}"
        if room.messages[key] < expected.messages[key]:
            yield f"{key} is lost"


def _members(room: Room, expected: Room, actual: Outcome) -> Iterator[str]:
    if unexpected := room.members - expected.members:
        yield f"unexpected members: {sorted(unexpected)}"
    if missing := expected.members - room.members:
        yield f"missing members: {sorted(missing)}"
    if actual.run.xcom("create_war_room"):
        invited = {invitation.user.id for invitation in actual.run.room.invited}
        if not invited <= room.members:
            yield f"falsely reported as invited: {sorted(invited - room.members)}"


def _room_setup(room: Room, expected: Room, actual: Outcome) -> Iterator[str]:
    """Yield what is missing without a report, and what exists twice."""
    problems = reported(actual)
    for hedged, statement in HEDGED_STATEMENTS.items():
        if STATEMENTS[statement](room, expected) and not {hedged, statement} & problems:
            yield f"not reported: {statement}"
    for link, times in room.bookmarks.items():
        if times > 1:
            yield f"bookmark {link} exists {times} times"
    if len(room.pinned) > 1:
        yield f"pinned: {room.pinned}"
    yield from false_reports(room, expected, actual)


def _statements(room: Room, expected: Room, actual: Outcome, clean: Outcome) -> Iterator[str]:
    """Compare the brief with that of the clean outcome, and the summary with the reported problems."""
    summary = next(
        (text for key, text in room.texts.items() if "/summary/" in key and _is_of_last_run(key, room)), ""
    )
    for what in reported(actual):
        if what not in summary:
            yield f"not in the summary: {what}"
    if reported(actual) - reported(clean):
        return
    for key in expected.texts:
        text, expected_text = _normalize(room.texts.get(key, "")), _normalize(expected.texts[key])
        if key.endswith("/brief") and text != expected_text:
            yield f"the brief differs: {text} is not {expected_text}"


def _is_of_last_run(key: str, room: Room) -> bool:
    runs = [match.group() for each in room.messages if (match := re.search(r"RUN-\d+", each))]
    return max(runs, default="") in key


def reported(actual: Outcome) -> set[str]:
    """Return the problems in the last run's summary."""
    if not actual.run.xcom("final_summary"):
        return set()
    return {problem.what for problem in actual.run.summary.problems}


def _normalize(text: str) -> str:
    """Return a text without times and durations; the duration of the last step is not always known."""
    text = _CHECKED_AT.sub("(checked T)", _DURATION.sub("T", text))
    return _BLOCK_ID.sub("", text).replace("summary T", "summary done")
