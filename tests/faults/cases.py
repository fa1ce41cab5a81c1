"""The cases of the fault matrix: every call of every scenario, with every fault."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from incident_sandbox import Fault

CLIENT_TIMEOUT_S = 2
"""The client's timeout in seconds for the faults that exceed it."""

HTML = "<html><head><title>502 Bad Gateway</title></head><body>nginx &lt;!channel&gt;</body></html>"


@dataclass(frozen=True)
class FaultKind:
    """A way for a call to fail.

    :param fault: the fields of a :class:`Fault` of the sandbox, except for the method.
    :param timeout_s: the client's timeout, if the fault exceeds it.
    :param late: whether the effect happens after the client's timeout.
    """

    name: str
    fault: dict[str, Any]
    timeout_s: int | None = None
    late: bool = False


def _before_and_after(name: str, **fault: Any) -> Iterator[FaultKind]:
    for when in ("before", "after"):
        yield FaultKind(f"{name}, {when} the effect", {**fault, "when": when})


_AFTER_TIMEOUT_MS = CLIENT_TIMEOUT_S * 1000 + 400

FAULTS = (
    *_before_and_after("internal_error", error="internal_error"),
    *_before_and_after("fatal_error", error="fatal_error"),
    *_before_and_after("connection dropped", drop=True),
    *_before_and_after("500", status=500, body="oops"),
    *_before_and_after("502 with HTML", status=502, body=HTML),
    FaultKind("timeout, never done", {"delay_ms": _AFTER_TIMEOUT_MS, "drop": True}, CLIENT_TIMEOUT_S),
    FaultKind("timeout, done later", {"delay_ms": _AFTER_TIMEOUT_MS}, CLIENT_TIMEOUT_S, late=True),
    FaultKind(
        "timeout, done and answered late", {"delay_ms": _AFTER_TIMEOUT_MS, "when": "after"}, CLIENT_TIMEOUT_S
    ),
    FaultKind("429, Retry-After 0", {"status": 429, "headers": {"Retry-After": "0"}}),
    FaultKind("429, Retry-After 3600", {"status": 429, "headers": {"Retry-After": "3600"}}),
    FaultKind("429, no Retry-After", {"status": 429, "body": "slow down"}),
    FaultKind("ratelimited in a 200", {"error": "ratelimited", "headers": {"Retry-After": "0.1"}}),
    FaultKind("rate_limited in a 200", {"error": "rate_limited"}),
)

FIRST = "first run"
EXISTING_CHANNEL = "existing channel"
REPEATED = "repeated incident"

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
    EXISTING_CHANNEL: {
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
    REPEATED: {
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
"""The number of calls of each method in a scenario without faults; a test compares it with the sandbox's log."""

_WRITE_METHODS = frozenset(
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


def calls_with_faults() -> list[tuple[str, str, int]]:
    """Return the calls in which faults are injected: every write, and the first call of each read method.

    Of the other scenarios these are the methods that the first run does not call, and the creation of a channel
    whose name is taken.
    """
    first = [
        (FIRST, method, nth)
        for method, calls in CALLS[FIRST].items()
        for nth in range(1, (calls if method in _WRITE_METHODS else 1) + 1)
    ]
    others = [
        (scenario, method, 1)
        for scenario in (EXISTING_CHANNEL, REPEATED)
        for method in CALLS[scenario]
        if method not in CALLS[FIRST] or (scenario == REPEATED and method == "conversations.create")
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
        """The row of the matrix."""
        return f"{self.scenario}: {self.method} {self.nth}"

    @property
    def sandbox_fault(self) -> Fault:
        """The fault for the sandbox."""
        return Fault(method=self.method, nth=self.nth, **self.fault.fault)

    def __str__(self) -> str:
        return f"{self.row}: {self.fault.name}"


def all_cases() -> list[Case]:
    """Return all cases of the matrix."""
    return [Case(*call, fault) for call in calls_with_faults() for fault in FAULTS]
