"""Trouble on order: which call goes wrong, how, and whether before or after it took effect."""

from __future__ import annotations

from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

ANY_METHOD = "*"


class When(StrEnum):
    """On which side of the call's effect the fault strikes."""

    BEFORE = "before"
    AFTER = "after"


class Fault(BaseModel):
    """One scripted fault.

    It matches calls of ``method`` (``*`` is any, ``datadog.*`` any of Datadog's), lets the first ``nth - 1`` of
    them pass and strikes the next ``times`` (``None``: all the rest). It answers exactly one of ``error`` (a Slack
    error in a 200 body, with ``fields`` beside it), ``status`` (an HTTP status with ``body`` and ``headers``) or
    ``drop`` (the connection is closed without an answer), or nothing but a delay.
    """

    model_config = ConfigDict(extra="forbid")

    method: str = ANY_METHOD
    nth: Annotated[int, Field(ge=1)] = 1
    times: Annotated[int, Field(ge=1)] | None = 1
    when: When = When.BEFORE
    delay_ms: Annotated[int, Field(ge=0)] = 0
    error: str | None = None
    fields: dict[str, Any] = {}
    status: Annotated[int, Field(ge=100, le=599)] | None = None
    headers: dict[str, str] = {}
    body: dict[str, Any] | list[Any] | str | None = None
    drop: bool = False

    @model_validator(mode="after")
    def _one_answer(self) -> Self:
        answers = sum((self.error is not None, self.status is not None, self.drop))
        if answers > 1:
            raise ValueError("a fault answers only one of: error, status, drop")
        if answers == 0 and self.delay_ms == 0:
            raise ValueError("a fault needs one of: error, status, drop, delay_ms")
        return self

    @property
    def answers(self) -> bool:
        """Whether the fault replaces the answer, rather than only delaying it."""
        return self.error is not None or self.status is not None or self.drop


class ScriptedFault(BaseModel):
    """A fault in the script, with how many calls it has seen and struck."""

    id: int
    fault: Fault
    seen: int = 0
    consumed: int = 0

    @property
    def spent(self) -> bool:
        """Whether it will never strike again."""
        return self.fault.times is not None and self.consumed >= self.fault.times

    def strikes(self, method: str) -> bool:
        """Count this call and return whether the fault strikes it."""
        if self.spent or not fnmatchcase(method, self.fault.method):
            return False
        self.seen += 1
        if self.seen < self.fault.nth:
            return False
        self.consumed += 1
        return True


class FaultScript:
    """The faults in the order they were added; a call takes the first that strikes it."""

    def __init__(self) -> None:
        self._entries: list[ScriptedFault] = []
        self._last_id = 0

    def add(self, fault: Fault) -> ScriptedFault:
        """Append a fault and return its entry."""
        self._last_id += 1
        entry = ScriptedFault(id=self._last_id, fault=fault)
        self._entries.append(entry)
        return entry

    def take(self, method: str) -> Fault | None:
        """Return the fault that strikes this call of ``method``, if one does."""
        return next((entry.fault for entry in self._entries if entry.strikes(method)), None)

    def entries(self) -> list[ScriptedFault]:
        """Return all faults with their counts, spent ones included."""
        return list(self._entries)

    def clear(self) -> None:
        """Forget every fault."""
        self._entries.clear()
