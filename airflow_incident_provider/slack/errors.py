"""
Which Slack error means what.

Slack answers most failures with HTTP 200 and ``{"ok": false, "error": "..."}``. What to do next depends on the
code alone, so the codes are sorted here once, after each method's page in Slack's reference. A code in none of
the tables is treated as a refusal of the request: it is reported, never retried blindly.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow_incident_provider.exceptions import (
    IncidentError,
    SlackConfigurationError,
    SlackRequestError,
    SlackUnavailableError,
)

INVITE = "conversations.invite"
"""The one method whose refusals may be about the people it names, not about the app."""

_REINSTALL = "Reinstall the Slack app and put its bot token (xoxb-...) into the Airflow connection."
_ADMIN = "Ask an administrator of the workspace to allow this app to do it."

CONFIGURATION_FIXES: Mapping[str, str] = {
    "not_authed": "Put the app's bot token (xoxb-...) into the password field of the Airflow connection.",
    "invalid_auth": _REINSTALL,
    "account_inactive": _REINSTALL,
    "token_revoked": _REINSTALL,
    "token_expired": _REINSTALL,
    "not_allowed_token_type": "Use the app's bot token (xoxb-...), not another kind of token.",
    "missing_scope": "Add the scope under 'OAuth & Permissions' of the Slack app, then reinstall it.",
    "no_permission": _ADMIN,
    "ekm_access_denied": _ADMIN,
    "org_login_required": _ADMIN,
    "team_access_not_granted": _ADMIN,
    "access_denied": _ADMIN,
    "restricted_action": _ADMIN,
    "cannot_create_channel": _ADMIN,
    "user_is_restricted": _ADMIN,
    "two_factor_setup_required": _ADMIN,
    "enterprise_is_restricted": _ADMIN,
}
"""Errors that no retry mends, each with what does."""

RATE_LIMITED = frozenset({"ratelimited", "rate_limited", "too_many_requests"})
"""All spellings of "too fast" that Slack's reference has. The call had no effect."""

TRANSIENT = frozenset({"internal_error", "fatal_error", "service_unavailable", "request_timeout"})
"""Slack's own trouble. Of ``fatal_error`` Slack says that part of the operation may have succeeded."""

MESSAGE_GONE = "message_not_found"
"""What Slack says of a message that was deleted."""

TIMED_OUT = "TimeoutError"
"""The code of a call that was given up while Slack may still have been at it."""

_STILL_AT_IT = frozenset({TIMED_OUT, "HTTP 504"})

PER_USER: Mapping[str, str] = {
    "user_not_found": "Slack does not know this user here",
    "users_not_found": "Slack does not know this user here",
    "user_disabled": "deactivated in Slack",
    "cant_invite": "Slack does not let this app invite them",
    "ura_max_channels": "a single-channel guest who is already in a channel",
    "user_is_restricted": "a guest who may not join this channel",
    "invitee_cant_see_channel": "their workspace does not share this channel",
    "org_user_not_in_team": "in the organisation, but not in this workspace",
    "no_external_invite_permission": "from outside, and this app may not invite outsiders",
    "user_not_visible": "not visible to this app",
}
"""Errors about one person: reported in the brief, never a reason to fail."""


def why_not_invited(code: str) -> str:
    """Return in words what kept somebody from being invited."""
    return PER_USER.get(code, f"Slack said {code}")


def may_still_happen(error: SlackUnavailableError) -> bool:
    """Return whether the call may take effect only after this: then a look now would come too early."""
    return error.effect_possible and error.code in _STILL_AT_IT


def slack_error(method: str, answer: Mapping[str, Any]) -> IncidentError:
    """Return the exception for an answer of Slack that is not ``ok``.

    :param method: the API method that was called, e.g. ``conversations.create``.
    :param answer: Slack's answer: its ``error``, the ``needed`` that comes with ``missing_scope``, and the rest.
    """
    code, needed = str(answer["error"]), answer.get("needed")
    said = f"Slack refused {method}: {code}" + (f" (needs {needed})" if needed else "") + "."
    if code in CONFIGURATION_FIXES and not (method == INVITE and code in PER_USER):
        return SlackConfigurationError(said, code=code, fix=CONFIGURATION_FIXES[code])
    if code in RATE_LIMITED or code in TRANSIENT:
        return SlackUnavailableError(f"Slack could not do {method} now: {code}.", code=code)
    return SlackRequestError(said, code=code, details=answer)
