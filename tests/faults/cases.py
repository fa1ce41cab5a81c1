"""What is tried: every call of every scenario, with every fault."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from airflow_incident_provider.sandbox import Fault

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

CALLS: dict[str, dict[str, int]] = {}
"""How often each method is called in a scenario that goes well; a test holds it against the sandbox's log."""


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
    return [
        Case(scenario, method, nth, fault)
        for scenario, methods in CALLS.items()
        for method, calls in methods.items()
        for nth in range(1, calls + 1)
        for fault in FAULTS
    ]
