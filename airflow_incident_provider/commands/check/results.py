"""What a check comes to."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum


class Outcome(StrEnum):
    """How a check ended; ``SKIP`` means that it could not be made, because of what another line says."""

    PASS = "pass"  # noqa: S105 - an outcome
    WARN = "warn"
    FAIL = "fail"
    SKIP = "skip"


@dataclass(frozen=True)
class Result:
    """A line: what was looked at, how it is, what was found, and what mends it."""

    subject: str
    outcome: Outcome
    found: str
    fix: str | None = None


class NotCheckableError(Exception):
    """This cannot be checked, because of something that has a line of its own."""


def good(subject: str, found: str) -> Result:
    """Return that something is right."""
    return Result(subject, Outcome.PASS, found)


def doubtful(subject: str, found: str, fix: str) -> Result:
    """Return that something works, but not as it should in production."""
    return Result(subject, Outcome.WARN, found, fix)


def wrong(subject: str, found: str, fix: str) -> Result:
    """Return that something does not work."""
    return Result(subject, Outcome.FAIL, found, fix)


def required(subject: str, holds: bool, found: str, fix: str) -> Result:
    """Return that something is right or wrong."""
    return good(subject, found) if holds else wrong(subject, found, fix)


def advised(subject: str, holds: bool, found: str, fix: str) -> Result:
    """Return that something is right or doubtful."""
    return good(subject, found) if holds else doubtful(subject, found, fix)


Results = Iterable[Result]
MakeCheck = Callable[[], Results]
