"""Slack's error codes: what each means for the caller, and how a person fixes it.

Slack answers most failures with HTTP 200 and ``{"ok": false, "error": "..."}``, so the code alone decides what
happens next. The codes are sorted here once, after each method's page in Slack's reference
(``https://docs.slack.dev/reference/methods/METHOD#errors``). A code in none of the tables is treated as a refusal
of the request: it is reported, never retried.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow_incident_provider.exceptions import (
    SlackConfigurationError,
    SlackError,
    SlackRequestError,
    SlackUnavailableError,
)

INVITE = "conversations.invite"
"""The one method whose refusals may be about the people it names and not about the app."""

_REINSTALL = "Reinstall the Slack app and put its bot token (xoxb-...) into the Airflow connection."
_ADMIN = "Ask an administrator of the workspace to allow this app to do it."
_TEAM_ID = "Put the workspace's id (T...) as team_id into the extra of the Airflow connection."
_PLAN = "The workspace's plan does not include this: use e-mail addresses instead of user groups, or upgrade it."

CONFIGURATION_FIXES: Mapping[str, str] = {
    "not_authed": "Put the app's bot token (xoxb-...) into the password field of the Airflow connection.",
    "invalid_auth": _REINSTALL,
    "account_inactive": _REINSTALL,
    "token_revoked": _REINSTALL,
    "token_expired": _REINSTALL,
    "not_allowed_token_type": "Use the app's bot token (xoxb-...), not another kind of token.",
    "missing_scope": "Add the scope under 'OAuth & Permissions' of the Slack app, then reinstall it.",
    "missing_argument": "If Slack's details name team_id: " + _TEAM_ID[0].lower() + _TEAM_ID[1:],
    "team_not_found": _TEAM_ID,
    "invalid_team": _TEAM_ID,
    "team_added_to_org": "Wait until Slack has moved the workspace into the organisation, then reinstall the app.",
    "plan_upgrade_required": _PLAN,
    "no_permission": _ADMIN,
    "ekm_access_denied": _ADMIN,
    "org_login_required": "Wait until Slack has moved the workspace into the organisation.",
    "team_access_not_granted": "Ask an organisation administrator to approve the app for this workspace.",
    "access_denied": _ADMIN,
    "not_authorized": _ADMIN,
    "permission_denied": _ADMIN,
    "restricted_action": _ADMIN,
    "cannot_create_channel": _ADMIN,
    "user_is_restricted": _ADMIN,
    "posting_to_channel_denied": _ADMIN,
    "file_uploads_disabled": _ADMIN,
    "file_uploads_except_images_disabled": _ADMIN,
    "two_factor_setup_required": _ADMIN,
    "enterprise_is_restricted": _ADMIN,
    "metadata_must_be_sent_from_app": "Use the app's bot token (xoxb-...), not another kind of token.",
    "as_user_not_supported": "Use the app's bot token (xoxb-...), not another kind of token.",
    "message_limit_exceeded": "The workspace has reached its message limit: upgrade its plan.",
    "storage_limit_reached": "The workspace has reached its file limit: delete files or upgrade its plan.",
}
"""Errors that no retry resolves, each with its fix."""

RATE_LIMITED = frozenset({"ratelimited", "rate_limited", "too_many_requests"})
"""All spellings of "too many requests" in Slack's reference. The call had no effect."""

TRANSIENT = frozenset(
    {
        "internal_error",
        "fatal_error",
        "service_unavailable",
        "request_timeout",
        "fetch_members_failed",
        "update_failed",
        "file_update_failed",
        "external_channel_migrating",
    }
)
"""Failures on Slack's side. Part of the operation may have succeeded (Slack says so of ``fatal_error``)."""

PER_USER: Mapping[str, str] = {
    "user_not_found": "Slack does not know this user here",
    "users_not_found": "Slack does not know this user here",
    "no_user": "Slack does not know this user here",
    "user_disabled": "deactivated in Slack",
    "user_removed": "removed from this workspace",
    "user_is_bot": "a bot",
    "cant_invite": "Slack does not let this app invite them",
    "ura_max_channels": "a single-channel guest who is already in a channel",
    "user_is_ultra_restricted": "a single-channel guest",
    "user_is_restricted": "a guest who may not join this channel",
    "invitee_cant_see_channel": "their workspace does not share this channel",
    "org_user_not_in_team": "in the organisation, but not in this workspace",
    "no_external_invite_permission": "from outside, and this app may not invite outsiders",
    "user_not_visible": "not visible to this app",
}
"""Errors about one person: reported in the brief, never a reason to fail."""

ALREADY_MEMBER = frozenset({"already_in_channel", "cant_invite_self"})
"""Answers to an invitation of somebody who is in the channel."""

MESSAGE_NOT_FOUND = "message_not_found"
"""The code for a message that was deleted."""

THREAD_GONE = frozenset({"thread_not_found", "cannot_reply_to_message"})
"""The codes for a reply to a message that was deleted."""

EDIT_REFUSED = frozenset(
    {
        "edit_window_closed",
        "cant_update_message",
        "block_mismatch",
        "streaming_state_conflict",
        "cant_broadcast_message",
        "no_dual_broadcast_content_update",
    }
)
"""Refusals of ``chat.update`` for a message that exists and will not be editable again."""

UNREACHABLE_IMAGE = frozenset({"invalid_blocks", "invalid_blocks_format"})
"""Refusals of a message whose image Slack could not fetch, when it is posted or updated."""

_GONE = "It was deleted or archived in Slack, or the app was removed from it: unarchive it, or invite the app."
_INVITE_APP = "Invite the app into the channel (/invite @app)."
_SHORTEN = "Shorten the text: Slack limits its length."
_FULL = "Remove some of those in the channel: Slack limits their number."

REQUEST_FIXES: Mapping[str, str] = {
    "channel_not_found": _GONE,
    "invalid_channel": _GONE,
    "is_archived": _GONE,
    "is_inactive": _GONE,
    "already_archived": "Nothing to do: the channel is archived.",
    "already_pinned": "Nothing to do: the message is pinned.",
    "already_in_channel": "Nothing to do: they are in the channel.",
    "cant_invite_self": "Nothing to do: the app is in the channel.",
    "file_already_added": "Nothing to do: the file is there.",
    MESSAGE_NOT_FOUND: "The message was deleted in Slack: run the step again to post a new one.",
    "thread_not_found": "The message was deleted in Slack: run the step again to post a new one.",
    "cannot_reply_to_message": "The message was deleted in Slack: run the step again to post a new one.",
    "bad_timestamp": "The message was deleted in Slack: run the step again to post a new one.",
    "not_in_channel": _INVITE_APP,
    "channel_is_limited_access": _INVITE_APP,
    "too_many_members": "Use another channel: this one has as many members as Slack allows.",
    "method_not_supported_for_channel_type": "Use a public or private channel, not a direct message.",
    "cant_archive_general": "Use another channel: this one cannot be archived.",
    "cant_archive_required": "Use another channel: this one cannot be archived.",
    "edit_window_closed": "Allow editing of messages in the workspace's settings, or leave the message as it is.",
    "cant_update_message": "Only the app that posted a message can edit it: use the same app's token.",
    "block_mismatch": "Slack cannot replace this kind of message: run the step again to post a new one.",
    "streaming_state_conflict": "Slack cannot replace this kind of message: run the step again to post a new one.",
    "cant_broadcast_message": "Slack cannot replace this kind of message: run the step again to post a new one.",
    "no_dual_broadcast_content_update": "Slack cannot replace this kind of message: post a new one.",
    "restricted_action_non_threadable_channel": "Allow threads in the channel's settings.",
    "restricted_action_read_only_channel": "Allow the app to post, in the channel's settings.",
    "restricted_action_thread_locked": "Unlock the thread.",
    "restricted_action_thread_only_channel": "Allow messages outside threads, in the channel's settings.",
    "messages_tab_disabled": "Enable the Messages tab under 'App Home' of the Slack app.",
    "user_not_in_channel": "Invite the person into the channel first.",
    "name_taken": "Choose another channel prefix: the name belongs to another channel.",
    "invalid_name": "Choose a channel prefix of a-z, 0-9, - and _ only.",
    "invalid_name_maxlength": "Choose a shorter channel prefix: Slack allows 80 characters for a channel's name.",
    "invalid_name_punctuation": "Choose a channel prefix with at least one letter or digit.",
    "invalid_name_required": "Choose a channel prefix of a-z, 0-9, - and _ only.",
    "invalid_name_specials": "Choose a channel prefix of a-z, 0-9, - and _ only.",
    "no_channel": "Choose a channel prefix of a-z, 0-9, - and _ only.",
    "invalid_blocks": "If the message has an image, make sure that Slack can fetch its URL.",
    "invalid_blocks_format": "If the message has an image, make sure that Slack can fetch its URL.",
    "invalid_link": "Use an address that begins with http:// or https://.",
    "msg_too_long": _SHORTEN,
    "msg_blocks_too_long": _SHORTEN,
    "too_long": _SHORTEN,
    "snippet_too_large": _SHORTEN,
    "metadata_too_large": _SHORTEN,
    "attachment_payload_limit_exceeded": _SHORTEN,
    "alt_txt_too_large": _SHORTEN,
    "view_too_large": _SHORTEN,
    "file_upload_size_restricted": _SHORTEN,
    "too_many_bookmarks": _FULL,
    "too_many_pins": _FULL,
    "too_many_tabs": _FULL,
    "too_many_attachments": _FULL,
    "too_many_users": "Invite fewer people at once.",
    "no_such_subteam": "Correct the user group's handle, or enable the group in Slack.",
    "invalid_cursor": "Run the step again: Slack's list changed while it was read.",
    "expired_trigger_id": "Press the button again: Slack allows three seconds for an answer.",
    "exchanged_trigger_id": "Press the button again.",
    "invalid_trigger_id": "Press the button again.",
    "not_pinnable": "Pin the message by hand.",
    "not_implemented": "Bookmarks are not available to this app: add them by hand.",
    "parent_bookmark_disabled": "Bookmarks are not available to this app: add them by hand.",
    "invalid_types": "Grant channels:read and groups:read, under 'OAuth & Permissions' of the Slack app.",
    "canvas_disabled_user_team": _ADMIN,
    "method_deprecated": "Upgrade airflow-incident-provider: Slack has retired this method.",
    "deprecated_endpoint": "Upgrade airflow-incident-provider: Slack has retired this method.",
    "unknown_method": "Check base_url in the extra of the Airflow connection: this API lacks the method.",
}
"""Refusals of one request, each with its fix."""

TIMED_OUT = "TimeoutError"
"""The code of a call that was abandoned while Slack may have been processing it."""

_STILL_PROCESSING = frozenset({TIMED_OUT, "HTTP 504"})
_MAX_DETAIL = 300


def invite_failure_reason(code: str) -> str:
    """Return why a person could not be invited."""
    return PER_USER.get(code, f"Slack returned {code}")


def fix_for(code: str, method: str) -> str:
    """Return what a person can do about an error code of a method."""
    documented = f"Look the code up at https://docs.slack.dev/reference/methods/{method}#errors"
    return CONFIGURATION_FIXES.get(code) or REQUEST_FIXES.get(code) or documented


def effect_may_be_delayed(error: SlackUnavailableError) -> bool:
    """Return whether the call may take effect only later, so that looking for its effect now is too early."""
    return error.effect_possible and error.code in _STILL_PROCESSING


def slack_error(method: str, response: Mapping[str, Any]) -> SlackError:
    """Return the exception for a response that is not ``ok``.

    :param method: the API method that was called, e.g. ``conversations.create``.
    :param response: Slack's response: ``error``, the ``needed`` scope of ``missing_scope``, and
        ``response_metadata.messages``, which name the argument that is wrong.
    """
    code, needed = str(response["error"]), response.get("needed")
    message = f"Slack refused {method}: {code}{_details(response)}"
    if needed:
        # Of several scopes any one is enough. Without the method, so that the room reports in one line what a
        # missing scope costs.
        message = f"Slack returned {code}: the app lacks {str(needed).split(',')[0]}."
    if code in CONFIGURATION_FIXES and not (method == INVITE and code in PER_USER):
        return SlackConfigurationError(message, code=code, fix=CONFIGURATION_FIXES[code])
    if code in RATE_LIMITED:
        return rate_limited(method)
    if code in TRANSIENT:
        return unavailable(method, code, _details(response))
    return SlackRequestError(message, code=code, details=response, fix=fix_for(code, method))


def rate_limited(method: str, *, retry_after: float | None = None) -> SlackUnavailableError:
    """Return the error for a call that Slack refused because there were too many."""
    return SlackUnavailableError(
        f"Slack limits the rate of {method}.",
        code="ratelimited",
        fix="If it lasts, see what else calls Slack with this app's token.",
        retry_after=retry_after,
    )


def unavailable(method: str, cause: str, details: str = ".") -> SlackUnavailableError:
    """Return the error for a call that failed on Slack's side, and may have taken effect."""
    return SlackUnavailableError(
        f"Slack could not process {method}: {cause}{details}",
        code=cause,
        fix="If it lasts, see https://slack-status.com.",
        effect_possible=True,
    )


def _details(response: Mapping[str, Any]) -> str:
    """Return Slack's own explanation, which it puts into ``response_metadata.messages``; else a full stop."""
    metadata = response.get("response_metadata")
    messages = metadata.get("messages") if isinstance(metadata, Mapping) else None
    texts = [text for text in messages if isinstance(text, str)] if isinstance(messages, list) else []
    text = " ".join("; ".join(texts).split())
    return f": {text[:_MAX_DETAIL]}." if text else "."
