"""Exceptions, one class for each way of handling an error."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class IncidentError(Exception):
    """The base of every error that this package raises on purpose.

    :param message: what went wrong, with the field or call and its value (never a secret).
    :param fix: how to fix it, in one sentence.
    """

    def __init__(self, message: str, *, fix: str | None = None) -> None:
        super().__init__(message if fix is None else f"{message} {fix}")
        self.message = message
        self.fix = fix


class InvalidPayloadError(IncidentError):
    """A payload or conf cannot be parsed as an incident; a retry does not help."""


class NotAnIncidentError(IncidentError):
    """A valid payload opens no incident, such as a recovery."""


class RoutingTableError(IncidentError):
    """A routing table cannot be read or is invalid."""


class SlackError(IncidentError):
    """A call to Slack failed.

    :param code: Slack's error code, such as ``missing_scope``, or a code of the transport.
    """

    def __init__(self, message: str, *, code: str | None = None, fix: str | None = None) -> None:
        super().__init__(message, fix=fix)
        self.code = code


class SlackConfigurationError(SlackError):
    """Slack refuses this app or token: a retry fails until a person fixes it."""


class SlackRequestError(SlackError):
    """Slack rejects the request; a retry of the same request does not help.

    :param details: the other fields of the response, such as the per-user ``errors`` of ``conversations.invite``.
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
    """Slack did not respond, or limits the rate; a retry may succeed.

    :param retry_after: seconds to wait, if Slack gives them.
    :param effect_possible: whether the call may have taken effect (a dropped connection, a timeout, a 5xx status):
        look before calling again.
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


class RunNotRequestedError(IncidentError):
    """Airflow refused to create a DAG run that a task requested."""


class RegistryUnavailableError(IncidentError):
    """The registry of incidents cannot be used now; nothing was changed."""
