"""
The grammar of ``/incident``: one line of text becomes an action.

The words are those of :class:`~airflow_incident_provider.lifecycle.coordination.ActionKind`; buttons and the
command line use the same.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from airflow_incident_provider.exceptions import InvalidPayloadError
from airflow_incident_provider.intake.lists import split_people
from airflow_incident_provider.intake.values import read_severity
from airflow_incident_provider.lifecycle.coordination import ActionKind, Person, Role
from airflow_incident_provider.text import for_error, one_line

MAX_MINUTES = 24 * 60
MAX_NAMES = 20

_ONESELF = frozenset({"me", "myself"})
_DURATION = re.compile(r"([0-9]{1,4})\s*(m|min|minutes?|h|hours?)?", re.IGNORECASE)
_NEXT_UPDATE = re.compile(
    r"(?:^|(?<!\bthe)\s)next(?:\s+in)?\s+([0-9]{1,4}\s*(?:m|min|minutes?|h|hours?)?)\s*$", re.IGNORECASE
)
_TOKEN = re.compile(r"<((?:[@#!]|https?://|mailto:)[^<>|]+)(?:\|([^<>]*))?>")
_ENTITIES = {"&amp;": "&", "&lt;": "<", "&gt;": ">"}
_ENTITY = re.compile("|".join(_ENTITIES))
_MENTION = re.compile(r"(<[@!][^<>]*>)")
_USER = re.compile(r"<@([UW][A-Z0-9]{2,30})(?:\|([^>]{0,80}))?>")
_GROUP = re.compile(r"<!subteam\^([A-Z0-9]{2,30})(?:\|@?([^>]{0,80}))?>")


@dataclass(frozen=True)
class Usage:
    """A command's line of help."""

    kind: ActionKind
    arguments: str
    description: str

    def line(self, command: str) -> str:
        """Return the line as it is shown."""
        return f"{command} {self.kind} {self.arguments}".strip() + f" - {self.description}"


USAGES = (
    Usage(ActionKind.LEAD, "[@person]", "take command, or hand it over"),
    Usage(ActionKind.ROLE, "communications|scribe [@person]", "take or give another role"),
    Usage(ActionKind.SEVERITY, "critical|high|medium|low", "change the severity; routes again"),
    Usage(ActionKind.UPDATE, "[text] [next 15m]", "post an update; without text, opens a form"),
    Usage(ActionKind.CHECK, "", "run the checks again"),
    Usage(ActionKind.INVITE, "@person @group", "invite people or a team"),
    Usage(ActionKind.ITEM, "text", "add an action item for afterwards"),
    Usage(ActionKind.SNOOZE, "[30m]", "pause reminders"),
    Usage(ActionKind.RESOLVE, "", "resolve the incident"),
    Usage(ActionKind.REOPEN, "", "reopen the incident"),
)


@dataclass(frozen=True)
class ParsedCommand:
    """A command, with its arguments as fields of ``IncidentAction``."""

    kind: ActionKind
    arguments: dict[str, Any]


def help_text(command: str = "/incident") -> str:
    """Return the list of commands."""
    return "\n".join(usage.line(command) for usage in USAGES)


def parse_command(text: str) -> ParsedCommand | None:
    """Parse the text after ``/incident``.

    :returns: the command; ``None`` for an empty text or ``help``.
    :raises InvalidPayloadError: no such command, or wrong arguments; the message says what is right.
    """
    word, _, rest = one_line(text).partition(" ")
    word, rest = word.casefold(), rest.strip()
    if word in ("", "help"):
        return None
    kind = _KINDS.get(word)
    if kind is None:
        raise InvalidPayloadError(f"{for_error(word)} is no command.", fix=f"Use one of: {', '.join(_KINDS)}.")
    return ParsedCommand(kind, _ARGUMENTS[kind](rest))


def parse_minutes(text: str) -> int:
    """Parse a duration such as ``15``, ``30m`` or ``2h``.

    :returns: minutes.
    :raises InvalidPayloadError: it is none, or longer than a day.
    """
    match = _DURATION.fullmatch(text.strip())
    if match is None:
        raise InvalidPayloadError(f"{for_error(text)} is no duration.", fix="Write 15m or 2h.")
    minutes = int(match[1]) * (60 if (match[2] or "m").casefold().startswith("h") else 1)
    if not 1 <= minutes <= MAX_MINUTES:
        raise InvalidPayloadError(f"{for_error(text)} is out of range.", fix="Use 1 minute to 24 hours.")
    return minutes


def readable(text: str) -> str:
    """Return the text of a command as it was typed: Slack sends it with entities, and mentions and links as tokens.

    People are named where Slack sends the name; nothing in the result notifies anybody.
    """
    return _ENTITY.sub(lambda found: _ENTITIES[found[0]], _TOKEN.sub(_typed_token, text))


def _typed_token(found: re.Match[str]) -> str:
    target, label = found[1], found[2] or ""
    if target.startswith(("@", "#", "!")):
        name = (label or target.removeprefix("!").partition("^")[2] or target[1:]).lstrip("@#")
        return f"{'#' if target.startswith('#') else '@'}{name}"
    return target.removeprefix("mailto:") if not label or label in target else f"{label} ({target})"


def parse_people(text: str) -> tuple[Person, ...]:
    """Parse people and groups: Slack's mentions, and lists as :func:`split_people` reads them.

    A name of several words is one person: two strangers may be called Dana and Reyes.

    :raises InvalidPayloadError: they are too many for one command: nobody is left out silently.
    """
    people: list[Person] = []
    for part in _MENTION.split(text):
        if match := _USER.fullmatch(part):
            people.append(Person(name=match[2] or match[1], slack_id=match[1]))
        elif match := _GROUP.fullmatch(part):
            people.append(Person(name=f"@{match[2]}" if match[2] else match[1], slack_id=match[1]))
        else:
            people += (Person(name=query) for query in split_people(part))
    if len(people) > MAX_NAMES:
        raise InvalidPayloadError(
            f"{len(people)} are named, and one command takes {MAX_NAMES}.",
            fix="Use a user group, or several commands.",
        )
    return tuple(people)


# --- arguments ----------------------------------------------------------------------------------------


def _lead(rest: str) -> dict[str, Any]:
    if rest.casefold() in _ONESELF:
        return {}
    people = parse_people(rest)
    if len(people) > 1:
        raise InvalidPayloadError("Only one person can have a role.", fix="Name one: @person.")
    if people and (people[0].slack_id or "").startswith("S"):
        raise InvalidPayloadError("A user group cannot have a role.", fix="Name one person: @person.")
    return {"person": people[0]} if people else {}


def _role(rest: str) -> dict[str, Any]:
    word, _, people = rest.partition(" ")
    try:
        role = Role(word.casefold())
    except ValueError:
        raise InvalidPayloadError(f"{for_error(word)} is no role.", fix=f"Use one of: {', '.join(Role)}.") from None
    return {"role": role, **_lead(people)}


def _severity(rest: str) -> dict[str, Any]:
    severity = read_severity(rest)
    if severity is None:
        raise InvalidPayloadError(
            f"{for_error(rest)} is no severity.", fix="Use critical, high, medium, low, P1 to P5 or SEV-1 to SEV-5."
        )
    return {"severity": severity}


def _update(rest: str) -> dict[str, Any]:
    rest = readable(rest)
    match = _NEXT_UPDATE.search(rest)
    if match is None:
        return {"text": rest}
    return {"text": rest[: match.start()].strip(), "minutes": parse_minutes(match[1])}


def _invite(rest: str) -> dict[str, Any]:
    names = tuple(person.slack_id or person.name for person in parse_people(rest))
    if not names:
        raise InvalidPayloadError("Nobody is named.", fix="Write /incident invite @person @group.")
    return {"names": names}


def _text(rest: str) -> dict[str, Any]:
    return {"text": readable(rest)}


def _snooze(rest: str) -> dict[str, Any]:
    return {"minutes": parse_minutes(rest)} if rest else {}


def _nothing(rest: str) -> dict[str, Any]:
    if rest:
        raise InvalidPayloadError(f"{for_error(rest)} is not expected here.", fix="Leave it out.")
    return {}


_ARGUMENTS: dict[ActionKind, Callable[[str], dict[str, Any]]] = {
    ActionKind.LEAD: _lead,
    ActionKind.ROLE: _role,
    ActionKind.SEVERITY: _severity,
    ActionKind.UPDATE: _update,
    ActionKind.CHECK: _nothing,
    ActionKind.INVITE: _invite,
    ActionKind.ITEM: _text,
    ActionKind.SNOOZE: _snooze,
    ActionKind.RESOLVE: _nothing,
    ActionKind.REOPEN: _nothing,
}
_KINDS = {kind.value: kind for kind in _ARGUMENTS}
