"""What is tried: every call of every scenario, with every fault."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from incident_sandbox import Fault

PATIENCE_S = 2
"""Seconds that the client waits for an answer where a fault is about waiting."""

HTML = "<html><head><title>502 Bad Gateway</title></head><body>nginx &lt;!channel&gt;</body></html>"


@dataclass(frozen=True)
class FaultKind:
    """A way for a call to go wrong.

    :param fault: the members of a sandbox's :class:`Fault`, but for the method.
    :param patience_s: the client's time limit, where the fault is about that.
    :param late: whether the effect comes after the client has given up.
    """

    name: str
    fault: dict[str, Any]
    patience_s: int | None = None
    late: bool = False


def _both(name: str, **fault: Any) -> Iterator[FaultKind]:
    for when in ("before", "after"):
        yield FaultKind(f"{name}, {when} the effect", {**fault, "when": when})


_TOO_LATE_MS = PATIENCE_S * 1000 + 400

FAULTS = (
    *_both("internal_error", error="internal_error"),
    *_both("fatal_error", error="fatal_error"),
    *_both("connection dropped", drop=True),
    *_both("500", status=500, body="oops"),
    *_both("502 with HTML", status=502, body=HTML),
    FaultKind("time-out, never done", {"delay_ms": _TOO_LATE_MS, "drop": True}, PATIENCE_S),
    FaultKind("time-out, done later", {"delay_ms": _TOO_LATE_MS}, PATIENCE_S, late=True),
    FaultKind("time-out, done, answered late", {"delay_ms": _TOO_LATE_MS, "when": "after"}, PATIENCE_S),
    FaultKind("429", {"status": 429, "headers": {"Retry-After": "0"}}),
    FaultKind("429, an hour", {"status": 429, "headers": {"Retry-After": "3600"}}),
    FaultKind("429, no Retry-After", {"status": 429, "body": "slow down"}),
    FaultKind("ratelimited in a 200", {"error": "ratelimited", "headers": {"Retry-After": "0.1"}}),
    FaultKind("rate_limited in a 200", {"error": "rate_limited"}),
)

FIRST = "first run"
THEIRS = "their channel"
AGAIN = "same incident again"

CALLS = {
    FIRST: {
        "auth.test": 1,
        "users.lookupByEmail": 2,
        "users.list": 1,
        "usergroups.list": 1,
        "users.info": 3,
        "conversations.create": 1,
        "conversations.setPurpose": 1,
        "conversations.invite": 1,
        "conversations.members": 2,
        "conversations.setTopic": 1,
        "chat.postMessage": 3,
        "chat.update": 3,
        "chat.getPermalink": 1,
        "pins.add": 1,
        "bookmarks.add": 2,
    },
    THEIRS: {
        "auth.test": 1,
        "users.lookupByEmail": 3,
        "users.list": 1,
        "usergroups.list": 1,
        "users.info": 3,
        "conversations.info": 1,
        "conversations.join": 1,
        "conversations.history": 1,
        "conversations.setPurpose": 1,
        "conversations.invite": 1,
        "conversations.members": 3,
        "conversations.setTopic": 1,
        "chat.postMessage": 3,
        "chat.update": 3,
        "chat.getPermalink": 1,
        "pins.add": 1,
        "bookmarks.list": 1,
        "bookmarks.add": 2,
    },
    AGAIN: {
        "auth.test": 1,
        "users.lookupByEmail": 2,
        "usergroups.list": 1,
        "users.info": 3,
        "users.conversations": 1,
        "conversations.create": 1,
        "conversations.history": 1,
        "conversations.members": 3,
        "chat.postMessage": 2,
        "chat.update": 3,
        "chat.getPermalink": 1,
        "pins.add": 1,
        "bookmarks.list": 1,
    },
}
"""How often each method is called in a scenario that goes well; a test holds it against the sandbox's log."""

_CHANGES = frozenset(
    {
        "conversations.create",
        "conversations.join",
        "conversations.setPurpose",
        "conversations.invite",
        "conversations.setTopic",
        "chat.postMessage",
        "chat.update",
        "pins.add",
        "bookmarks.add",
    }
)


def tried_calls() -> list[tuple[str, str, int]]:
    """Return the calls that faults strike: every one that changes something, and the first of each that looks.

    Of the other scenarios it is those that the first run has not got, and the name that turns out to be taken.
    """
    first = [
        (FIRST, method, nth)
        for method, calls in CALLS[FIRST].items()
        for nth in range(1, (calls if method in _CHANGES else 1) + 1)
    ]
    others = [
        (scenario, method, 1)
        for scenario in (THEIRS, AGAIN)
        for method in CALLS[scenario]
        if method not in CALLS[FIRST] or (scenario == AGAIN and method == "conversations.create")
    ]
    return [*first, *others]


@dataclass(frozen=True)
class Case:
    """One fault at the ``nth`` call of a method in a scenario."""

    scenario: str
    method: str
    nth: int
    fault: FaultKind = field(repr=False)

    @property
    def row(self) -> str:
        """The call, for the matrix."""
        return f"{self.scenario}: {self.method} {self.nth}"

    @property
    def scripted(self) -> Fault:
        """The fault as the sandbox takes it."""
        return Fault(method=self.method, nth=self.nth, **self.fault.fault)

    def __str__(self) -> str:
        return f"{self.row}: {self.fault.name}"


def all_cases() -> list[Case]:
    """Return the whole matrix."""
    return [Case(*call, fault) for call in tried_calls() for fault in FAULTS]
