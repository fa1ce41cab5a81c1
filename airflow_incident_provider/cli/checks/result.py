"""The result of a check."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class Outcome(StrEnum):
    """The outcome of a check; ``SKIP`` means that another line says why it could not be made."""

    PASS = "pass"  # noqa: S105 - an outcome
    WARN = "warn"
    FAIL = "fail"
    SKIP = "skip"


@dataclass(frozen=True)
class Result:
    """One line of the report.

    :param subject: what was checked.
    :param found: what was found.
    :param fix: what to do about it.
    :param command: a command that applies the fix; it can be pasted as it is.
    """

    subject: str
    outcome: Outcome
    found: str
    fix: str | None = None
    command: str | None = None


Results = Iterable[Result]


class NotCheckableError(Exception):
    """A check that cannot be made, for a reason that has a line of its own."""


def passed(subject: str, found: str) -> Result:
    """Return that something is right."""
    return Result(subject, Outcome.PASS, found)


def skipped(subject: str, found: str) -> Result:
    """Return that something optional is not there, and so was not checked."""
    return Result(subject, Outcome.SKIP, found)


def warning(subject: str, found: str, fix: str, command: str | None = None) -> Result:
    """Return that something works, but not as it should in production."""
    return Result(subject, Outcome.WARN, found, fix, command)


def failure(subject: str, found: str, fix: str, command: str | None = None) -> Result:
    """Return that something does not work."""
    return Result(subject, Outcome.FAIL, found, fix, command)


def required(subject: str, holds: bool, found: str, fix: str, command: str | None = None) -> Result:
    """Return ``passed`` if it holds, else ``failure``."""
    return passed(subject, found) if holds else failure(subject, found, fix, command)


def advised(subject: str, holds: bool, found: str, fix: str, command: str | None = None) -> Result:
    """Return ``passed`` if it holds, else ``warning``."""
    return passed(subject, found) if holds else warning(subject, found, fix, command)
