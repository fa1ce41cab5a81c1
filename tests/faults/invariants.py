"""What must hold whatever goes wrong: nothing doubled, nothing lost, nothing said that is not so."""

from __future__ import annotations

import re
from collections.abc import Iterator

from airflow_incident_provider.lifecycle.coordination import ReminderKind

from ..dags.conftest import BOT  # noqa: TID252 - tests are no package  # isort: skip
from .running import Outcome, Room  # isort: skip

NOT_SO = {
    "the topic is not set": lambda seen, clean: seen.topic != clean.topic,
    "the room's description is not set": lambda seen, clean: seen.purpose != clean.purpose,
    "the brief is not pinned": lambda seen, clean: seen.pinned != clean.pinned,
    "not all bookmarks are there": lambda seen, clean: seen.bookmarks != clean.bookmarks,
    "nobody could be invited": lambda seen, _: seen.members == {BOT},
}
"""When a statement of the room about itself is true."""

UNSURE = {
    "the topic may not be set": "the topic is not set",
    "the room's description may not be set": "the room's description is not set",
    "the brief may not be pinned": "the brief is not pinned",
    "some bookmarks may be missing": "not all bookmarks are there",
    "some people may not have been invited": "nobody could be invited",
}
"""What is said where it is not known, and what it hedges."""

_MAY_BE_ADDED = re.compile(r"/brief/details/\d+$|/(?:" + "|".join(ReminderKind) + ")$")
"""What a clean run need not post: the rest of a brief that is long because it says what failed, and reminders that
were due because the run took long. Neither may be there twice."""

_DURATION = re.compile(r"\b[\d.,]+ (?:ms|s|min|h)\b(?: \d+ (?:s|min)\b)?")
_CHECKED_AT = re.compile(r"\(checked \d{2}:\d{2} UTC\)")
_BLOCK_ID = re.compile(r'"block_id": "[^"]*"')


def violations(seen: Outcome, clean: Outcome) -> list[str]:
    """Return all that is wrong with an outcome that should be as good as the clean one, or say what it lacks."""
    found = [] if seen.run.state == "success" else [f"the run ended as {seen.run.state}: {seen.run.states}"]
    names, wanted = [room.name for room in seen.rooms], [room.name for room in clean.rooms]
    if names != wanted:
        return [*found, f"the rooms are {names}, not {wanted}"]
    for room, model in zip(seen.rooms, clean.rooms, strict=True):
        found += [*_messages(room, model), *_people(room, model, seen), *_furniture(room, model, seen)]
        found += _statements(room, model, seen, clean)
    return found


def doubled(seen: Outcome) -> list[str]:
    """Return what was done more than once; this must hold in every outage."""
    found = [f"{key} is there {n} times" for room in seen.rooms for key, n in room.messages.items() if n > 1]
    found += [f"bookmark {link} is there {n} times" for r in seen.rooms for link, n in r.bookmarks.items() if n > 1]
    if len(seen.rooms) > 1:
        found.append(f"{len(seen.rooms)} rooms: {[room.name for room in seen.rooms]}")
    return found


def false_claims(room: Room, model: Room, seen: Outcome) -> list[str]:
    """Return what the room or the summary says is missing although it is there."""
    said = reported(seen)
    return [
        f"it is said that {what}, which is not so"
        for what, is_so in NOT_SO.items()
        if what in said and not is_so(room, model)
    ]


def _messages(room: Room, model: Room) -> Iterator[str]:
    for key in sorted(room.messages.keys() | model.messages.keys()):
        if room.messages[key] > max(model.messages[key], bool(_MAY_BE_ADDED.search(key))):
            yield f"{key} was posted {room.messages[key]} times, not {model.messages[key]}"
        if room.messages[key] < model.messages[key]:
            yield f"{key} is lost"


def _people(room: Room, model: Room, seen: Outcome) -> Iterator[str]:
    if wrong := room.members - model.members:
        yield f"wrong people: {sorted(wrong)}"
    if missing := model.members - room.members:
        yield f"missing people: {sorted(missing)}"
    if seen.run.xcom("create_war_room"):
        invited = {invitation.user.id for invitation in seen.run.room.invited}
        if not invited <= room.members:
            yield f"it is said that {sorted(invited - room.members)} were invited, and they are not there"


def _furniture(room: Room, model: Room, seen: Outcome) -> Iterator[str]:
    """Report what is missing and not mentioned, and what is there twice."""
    said = reported(seen)
    for unsure, sure in UNSURE.items():
        if NOT_SO[sure](room, model) and not {unsure, sure} & said:
            yield f"nobody says that {sure}"
    for link, times in room.bookmarks.items():
        if times > 1:
            yield f"bookmark {link} is there {times} times"
    if len(room.pinned) > 1:
        yield f"pinned: {room.pinned}"
    yield from false_claims(room, model, seen)


def _statements(room: Room, model: Room, seen: Outcome, clean: Outcome) -> Iterator[str]:
    """Compare the brief with the clean one, and the summary with what it reports."""
    summary = next((text for key, text in room.texts.items() if "/summary/" in key and _is_last(key, room)), "")
    for what in reported(seen):
        if what not in summary:
            yield f"the summary in the room does not tell: {what}"
    if reported(seen) - reported(clean):
        return
    for key in model.texts:
        if key.endswith("/brief") and _shape(room.texts.get(key, "")) != _shape(model.texts[key]):
            yield f"the brief differs: {_shape(room.texts.get(key, ''))} is not {_shape(model.texts[key])}"


def _is_last(key: str, room: Room) -> bool:
    runs = [match.group() for each in room.messages if (match := re.search(r"RUN-\d+", each))]
    return max(runs, default="") in key


def reported(seen: Outcome) -> set[str]:
    """Return the problems that the last run's summary knows of."""
    if not seen.run.xcom("final_summary"):
        return set()
    return {problem.what for problem in seen.run.summary.problems}


def _shape(text: str) -> str:
    """Return a text without times of day and durations; the last step's own duration is not always known."""
    text = _CHECKED_AT.sub("(checked T)", _DURATION.sub("T", text))
    return _BLOCK_ID.sub("", text).replace("summary T", "summary done")
