"""
How senders state that something fires or ended: in a status, in other fields, or around the title.

Only words that are certain count. A notification that merely sounds like an end opens an incident; one that states
an end never does.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from airflow_incident_provider.intake.times import EARLIEST, read_time
from airflow_incident_provider.intake.values import read_yes_or_no

_ENDED = frozenset(
    {"resolved", "resolve", "closed", "close", "recovered", "recovery", "ok", "okay", "done", "fixed", "cleared"}
    | {"completed", "complete", "inactive", "healthy", "green", "normal", "success", "up", "expired", "solved"}
    | {"autoresolved", "cancelled", "canceled", "behoben", "gelöst", "beendet", "résolu", "rétabli", "terminé"}
    | {"resuelto", "solucionado", "recuperado", "resolvido", "risolto", "opgelost", "решено", "восстановлено"}
    | {"устранено", "解決", "解決済み", "復旧", "復旧済み", "已恢复", "恢复", "已解决", "已解決"}
)
_PHRASE = re.compile(r"\W*(?:(?:is|now)\s+)*(?:back to normal|all clear|false alarm)\b", re.IGNORECASE)
_NOT_ENDED = frozenset(
    {"not", "no", "never", "partially", "almost", "yet", "being", "be", "cannot", "unable", "until", "failed"}
)
_ADVERBS = frozenset({"auto", "automatically", "manually", "force", "forced", "now", "is", "status", "state"})
"""Words that may precede the one that reports an end."""
_CONTINUATIONS = (
    _ADVERBS
    | {
        "by",
        "in",
        "after",
        "at",
        "on",
        "from",
        "since",
        "via",
        "due",
        "because",
        "for",
        "as",
        "without",
        "with",
        "to",
    }
    | {"per", "von", "durch", "par", "por"}
    | {"again", "already", "was", "previously", "successfully", "today", "yesterday", "normal"}
    | {
        "alert",
        "alarm",
        "incident",
        "issue",
        "problem",
        "monitor",
        "event",
        "ticket",
        "check",
        "page",
        "notification",
    }
)
"""Words that may follow it. Before any other word it reports no end: ``Complete outage``, ``up == 0``."""
_AFTER_END = re.compile(r"\s*(?:[(\[{:;,.!|\u2013\u2014]|-+(?=\s)|\s-|$)")
"""What separates the word that reports an end from the rest of the text."""
_TROUBLE = re.compile(
    r"\s*with\s+(?:\w+\s+)?(?:errors?|warnings?|failures?|issues?|problems?|exceptions?)\b"
    r"|\s*to\s+(?!(?:ok|normal|healthy|green|up)\b)",
    re.IGNORECASE,
)
"""Continuations that contradict an end: ``Completed with errors``, ``OK to ALARM``."""
_JOINT = re.compile(r"\s*(?:/|and\b)\s*", re.IGNORECASE)
_COUNTED = frozenset({"up", "complete", "completed", "normal", "success", "healthy"})
"""Words that report no end before a number: ``Up 95%``."""
_CONTRACTED = re.compile(r"n['\u2019]t\b", re.IGNORECASE)
_NO_DATA = re.compile(r"\bno[ _-]?data\b", re.IGNORECASE)
_ARROW = re.compile(r"\s*(?:->|=>|\u2192|\u21d2)\s*")

_STATES = (
    "transition", "event", "eventtype", "eventaction", "action", "alertstate", "alertstatus", "currentstate",
    "newstate", "alerttypefriendlyname", "notificationtype", "messagetype", "condition", "incidentstatus",
    "incidentstate", "problemstate", "problemstatus", "triggerstatus", "servicestate", "eventstatus", "eventstate",
)  # fmt: skip
"""Other names under which machines tell that something ended; anything else that they hold is no status."""
_TYPES = frozenset({"recovery", "recovered", "resolved", "resolve"})
"""The only words under ``type`` that mean an end: it often holds something else, such as Normal or success."""
_EXACT = {"type": _TYPES, "level": _TYPES | {"ok"}}
_ENDED_FLAGS = ("resolved", "isresolved", "closed", "isclosed", "recovered")
_FIRING_FLAGS = ("firing", "isfiring")
_ENDED_TIMES = ("resolvedat", "recoveredat", "closedat", "endedat")
STATE_NAMES = frozenset({*_STATES, *_EXACT, *_ENDED_FLAGS, *_FIRING_FLAGS, *_ENDED_TIMES})
"""The plain names of all fields that may tell that something ended."""

_DECORATION = re.compile(
    r"(?:(?:re|fwd?|aw|wg):\s+|:[a-z0-9_+-]{2,40}:|\*{2}(?=\s)|\s"
    "|[\u2190-\u2bff\u3030\ufe0f\u200d\u20e3\U0001f000-\U0001faff])*+",
    re.IGNORECASE,
)
"""What stands before a title without being part of it: emoji, their short names, and the marks of a reply."""
_ENDS = r"(?:auto-?)?resolved|recovered|recovery|ok|cleared|closed|solved|fixed|up|all clear|back to normal"
_FIRES = r"firing|alerting|triggered|problem|alert|down"
_BRACKET = re.compile(
    rf"[\[(](?:(?P<ends>(?:warn(?:ing)? |no data )?(?:{_ENDS})(?: from [a-z ]{{1,20}})?)|(?P<fires>{_FIRES}))"
    r"(?::\d{1,5})?(?:, RESOLVED:\d{1,5})?[\])]\s*(?=\S)",
    re.IGNORECASE,
)
_WORD = re.compile(
    rf"(?:(?P<ends>(?:(?:monitor|alert|warn(?:ing)?|no data)\s+){{0,2}}(?:{_ENDS})"
    rf"(?: on \S{{1,100}}| (?:in|from) [^:\s][^:]{{0,60}})?)|(?P<fires>{_FIRES}))"
    r"\s*(?::(?=\s)|\s[-|\u2013\u2014](?=\s))\s*(?=\S)",
    re.IGNORECASE,
)
_CHECKED = re.compile(rf"(?P<ends>{_ENDS})(?P<fires>)\s+(?=\S)", re.IGNORECASE)
_CHECK_MARK = re.compile("[\u2705\u2714\U0001f7e2]|:(?:white_check_mark|heavy_check_mark|large_green_circle):")
"""Behind a check mark, a word for the end needs no colon."""
_NAGIOS = re.compile(r"(?:(?P<ends>RECOVERY|RESOLVED|OK)|(?P<fires>PROBLEM))\s+(?=(?:Host|Service) Alert\b)")
_ENDING = re.compile(
    r"\s*[\[(](?:resolved|recovered|closed|cleared|ok)[\])]$"
    r"|\b(?:is|has|have|was)\s+(?:now\s+)?(?:resolved|recovered|ok|healthy|back to normal|back up)\W{0,3}$"
    r"|\b(?:recovered|back to normal)\W{0,3}$",
    re.IGNORECASE,
)
_DOUBTFUL_ENDING = re.compile(
    r"\b(?:but|since|after|before|although|though|while|even|only|just|why|when|if|unless|until|however|yet|because"
    r"|despite|whether|whereas|partly|mostly|some|few|half|zero)\b|\b\d+ ?(?:of|/|out of) ?\d+\b|\d ?%|\?",
    re.IGNORECASE,
)
"""Words in titles that mention an end without reporting one: ``Orders are lost since the primary recovered``."""
_FAILURE = re.compile(r"\b(?:fail\w*|missed|stuck|lag\w*|behind|impossible|error\w*)\b", re.IGNORECASE)


@dataclass(frozen=True)
class TitleState:
    """A title taken apart.

    :param name: the title without the state and what decorates it: the same when it fires and when it ends.
    :param shown: the title as people should see it.
    :param is_end: whether it says that the trouble is over.
    :param is_firing: whether it says that an alert fires.
    """

    name: str
    shown: str
    is_end: bool = False
    is_firing: bool = False


def is_ended(status: str) -> bool:
    """Return whether a status says that it is over: ``Resolved``, ``auto-closed``, ``OK (was critical)``.

    Of a change, as in ``Alert -> OK``, what it leads to counts.
    """
    status = _ARROW.split(status)[-1].replace("_", " ")
    if "?" in status or is_negated(status):
        return False
    if _PHRASE.match(status) is not None:
        return True
    first = next((word for word in _WORDS.finditer(status) if word[0].casefold() not in _ADVERBS), None)
    if first is None or first[0].casefold() not in _ENDED:
        return False
    return _goes_with_end(first[0].casefold(), status[first.end() :])


def _goes_with_end(word: str, rest: str) -> bool:
    """Return whether a word still reports an end in view of the text that follows it."""
    if _AFTER_END.match(rest):
        return True
    if (joint := _JOINT.match(rest)) is not None:
        return is_ended(rest[joint.end() :])
    following = _WORDS.match(rest.lstrip())
    if following is None or not rest[0].isspace() or _TROUBLE.match(rest):
        return False
    if following[0][0].isdigit():
        return word not in _COUNTED
    return following[0].casefold() in _CONTINUATIONS | _ENDED


def stated_end(conf: Mapping[str, object], *, received_at: datetime) -> str | None:
    """Return the status of a conf that reports the end under another name than ``status``.

    :param conf: values by plain name.
    """
    # Where alerts are counted, some can have ended while others fire.
    fires = any(_is_positive(conf.get(name)) for name in _FIRING_FLAGS)
    if not fires and any(_yes_or_no(conf.get(name)) is True for name in _ENDED_FLAGS):
        return "resolved"
    if any(_yes_or_no(conf.get(name)) is False for name in _FIRING_FLAGS):
        return "resolved"
    for name, words in _EXACT.items():
        if (word := str(conf.get(name)).strip()).casefold() in words:
            return word
    stated = (conf.get(name) for name in _STATES)
    ended = next((value for value in stated if isinstance(value, str) and is_ended(value)), None)
    if ended is None and any(_is_past(conf.get(name), received_at) for name in _ENDED_TIMES):
        return "resolved"
    return ended


def read_title_state(title: str) -> TitleState:
    """Return the state that a title begins or ends with, and the title without it."""
    decoration, plain = _split_decoration(title)
    found = _BRACKET.match(plain) or _WORD.match(plain) or _NAGIOS.match(plain)
    if found is None and _CHECK_MARK.search(decoration):
        found = _CHECKED.match(plain)
    if found is None or _is_doubtful(found, plain):
        ending = _ENDING.search(plain[-100:])
        if ending is None or is_negated(plain) or _DOUBTFUL_ENDING.search(plain):
            return TitleState(name=plain or title, shown=title)
        name = plain[: len(plain) - len(ending[0])].strip(" *") or plain
        return TitleState(name=name, shown=plain, is_end=True)
    name = plain[found.end() :].strip(" *")
    is_end = found["ends"] is not None
    # "DOWN: api" says what is wrong with it; "FIRING" says nothing that a reader misses.
    says_more = (found["ends"] or found["fires"]).casefold() in ("down", "up", "alert")
    return TitleState(name=name, shown=plain if says_more else name, is_end=is_end, is_firing=not is_end)


def _is_doubtful(found: re.Match[str], title: str) -> bool:
    """Return whether "Recovery: ..." is about a recovery that does not work, rather than the end of an alert."""
    rest, word = title[found.end() :], found["ends"] or ""
    return word in ("Recovery", "recovery") and bool(is_negated(rest) or _FAILURE.search(rest))


def _split_decoration(title: str) -> tuple[str, str]:
    found = _DECORATION.match(title)
    end = found.end() if found is not None else 0
    return title[:end], title[end:].strip()


def is_negated(text: str) -> bool:
    """Return whether a text denies what it says: ``not resolved``, ``has never recovered``."""
    without = _NO_DATA.sub(" ", text)
    return bool(_CONTRACTED.search(without) or _NOT_ENDED.intersection(_words(without)))


_WORDS = re.compile(r"[^\W_]+")


def _words(text: str) -> list[str]:
    return _WORDS.findall(text.casefold())


def _yes_or_no(value: object) -> bool | None:
    try:
        return read_yes_or_no(value)
    except ValueError:
        return None


def _is_positive(value: object) -> bool:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value > 0
    return _yes_or_no(value) is True


def _is_past(value: object, received_at: datetime) -> bool:
    moment = read_time(value)
    return moment is not None and moment.tzinfo is not None and EARLIEST <= moment <= received_at
