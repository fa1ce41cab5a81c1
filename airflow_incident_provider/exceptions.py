"""What can go wrong, as classes that say what to do about it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class IncidentError(Exception):
    """The base of every error that this package raises on purpose.

    :param message: what went wrong, in words that name the field or call and its value (never a secret).
    :param fix: how to fix it, in one sentence.
    """

    def __init__(self, message: str, *, fix: str | None = None) -> None:
        super().__init__(message if fix is None else f"{message} {fix}")
        self.message = message
        self.fix = fix


class InvalidPayloadError(IncidentError):
    """A payload or conf that cannot be read as an incident: trying again changes nothing."""


class NotAnIncidentError(IncidentError):
    """A well-formed payload that opens no incident, such as a recovery."""


class RoutingTableError(IncidentError):
    """A routing table that cannot be read or does not say what it should."""


class SlackError(IncidentError):
    """Slack did not do what it was asked.

    :param code: Slack's own error code, e.g. ``missing_scope``, or what the transport said.
    """

    def __init__(self, message: str, *, code: str | None = None, fix: str | None = None) -> None:
        super().__init__(message, fix=fix)
        self.code = code


class SlackConfigurationError(SlackError):
    """Slack refuses this app or token: a retry fails until a person fixes it."""


class SlackRequestError(SlackError):
    """Slack refuses what was sent as wrong: trying the same again changes nothing.

    :param details: the rest of Slack's answer, such as the per-user ``errors`` of ``conversations.invite``.
    """

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        fix: str | None = None,
        details: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(message, code=code, fix=fix)
        self.details = details or {}


class SlackUnavailableError(SlackError):
    """Slack did not answer or asked to come back later: trying again may work.

    :param retry_after: seconds that Slack asked to wait, if it did.
    :param effect_possible: whether the call may have had its effect all the same (a dropped connection, a
        time-out, an answer of the 5xx class): then look before calling again.
    """

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        fix: str | None = None,
        retry_after: float | None = None,
        effect_possible: bool = False,
    ) -> None:
        super().__init__(message, code=code, fix=fix)
        self.retry_after = retry_after
        self.effect_possible = effect_possible


class RequiredStepsFailedError(IncidentError):
    """The summary was made, but a step that the room depends on had failed."""
