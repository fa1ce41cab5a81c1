"""Values that several steps use, and the base classes of all of them."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any, Self

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field

SCHEMA_VERSION = 1


UtcDatetime = Annotated[AwareDatetime, AfterValidator(lambda at: at.astimezone(UTC))]
"""An aware datetime, converted to UTC. A naive one is rejected, because it is ambiguous."""


class Verdict(StrEnum):
    """Result of a probe. ``UNKNOWN`` means that the probe could not run; it never counts as ``OK``."""

    FAIL = "fail"
    WARN = "warn"
    UNKNOWN = "unknown"
    SKIPPED = "skipped"
    OK = "ok"


class Mode(StrEnum):
    """Whether messages are posted to Slack, or only shown."""

    LIVE = "live"
    DRY_RUN = "dry_run"


class Model(BaseModel):
    """Base class of values: immutable; unknown fields are ignored, so that newer values can be read."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Timing(Model):
    """Start time and duration."""

    started_at: UtcDatetime
    duration_ms: Annotated[int, Field(ge=0)]

    @property
    def finished_at(self) -> datetime:
        """End time."""
        return datetime.fromtimestamp(self.started_at.timestamp() + self.duration_ms / 1000, tz=UTC)


class XComValue(Model):
    """Base class of step results: a model with a schema version and the step's timing."""

    schema_version: int = SCHEMA_VERSION
    timing: Timing | None = None

    def to_xcom(self) -> dict[str, Any]:
        """Return the JSON form that is pushed to XCom."""
        return self.model_dump(mode="json")

    def timed(self, timing: Timing) -> Self:
        """Return a copy with a timing."""
        return self.model_copy(update={"timing": timing})


class ProblemCode(StrEnum):
    """What did not work, for code that acts on it: the wording of a :class:`Problem` may change."""

    LOOKUP = "lookup"
    INVITATIONS = "invitations"
    DESCRIPTION = "description"
    TOPIC = "topic"
    PIN = "pin"
    BOOKMARKS = "bookmarks"
    MEMBERS = "members"
    PERMALINK = "permalink"
    BRIEF = "brief"
    SUMMARY = "summary"
    ANNOUNCEMENT = "announcement"
    OWN_CHANNEL = "own_channel"
    LATE_ROOM = "late_room"
    NO_ROOM = "no_room"


class Problem(Model):
    """Something that did not work, as text for the room: what, the error, and the fix.

    ``code`` is what code compares; it is absent where nothing acts on the problem.
    """

    step: str
    what: str
    error: str | None = None
    fix: str | None = None
    code: ProblemCode | None = None

    def log_line(self) -> str:
        """Return the problem on one line for a log, with its fix or else its error where it has one."""
        detail = self.fix or self.error
        return f"{self.what} ({detail})" if detail else self.what
