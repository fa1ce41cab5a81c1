"""Slack's methods: rate-limit tier, scopes, required arguments and error codes.

``scopes``: any one of them opens the method; for a method on a channel, ``groups:*`` scopes count for
private channels and ``channels:*`` for public ones. ``required`` maps an argument to the error that its
absence answers. ``errors`` are the documented codes that the sandbox can answer, and ``observed`` codes
that Slack was seen to answer though its reference does not list them. ``per_team`` methods need ``team_id``
with the token of an organisation-wide installation; ``app_level`` methods need an app-level token, and no other
method takes one. A handler that raises any other code is a mistake of the sandbox, and fails loudly. Source: https://docs.slack.dev/reference/methods
"""

from __future__ import annotations

from dataclasses import dataclass, field

from incident_sandbox.rate_limits import Tier

COMMON = (
    "not_authed invalid_auth account_inactive token_revoked token_expired missing_scope not_allowed_token_type "
    "ratelimited invalid_arguments invalid_json json_not_object invalid_post_type unknown_method internal_error "
    "missing_argument team_access_not_granted"
)
COMMON_ERRORS = frozenset(COMMON.split())


@dataclass(frozen=True)
class Method:
    """A row of the table."""

    name: str
    tier: Tier
    scopes: tuple[str, ...] = ()
    required: dict[str, str] = field(default_factory=dict)
    errors: frozenset[str] = frozenset()
    observed: frozenset[str] = frozenset()
    authenticated: bool = True
    per_team: bool = False
    app_level: bool = False

    def may_answer(self, error: str) -> bool:
        """Return whether this method may answer the error code."""
        return error in self.errors or error in self.observed or error in COMMON_ERRORS


MANAGE = "channels:manage channels:write groups:write"
INVITE = "channels:manage channels:write.invites groups:write groups:write.invites"
TOPIC = "channels:manage channels:write.topic groups:write groups:write.topic"
READ = "channels:read groups:read"
HISTORY = "channels:history groups:history"

MISSING = "invalid_arguments"
CHANNEL = {"channel": "channel_not_found"}
LIST_ERRORS = "invalid_cursor invalid_limit invalid_types"
NAME_ERRORS = (
    "invalid_name_maxlength invalid_name_punctuation invalid_name_required invalid_name_specials name_taken"
)
CONTENT_ERRORS = "invalid_blocks invalid_blocks_format markdown_text_conflict no_text too_many_attachments"
METADATA_ERRORS = (
    "invalid_metadata_format invalid_metadata_schema metadata_too_large metadata_must_be_sent_from_app"
)
THREAD_ERRORS = "cannot_reply_to_message"
PAGED_ERRORS = "invalid_cursor invalid_ts_latest invalid_ts_oldest"
MESSAGE_ERRORS = "bad_timestamp channel_not_found message_not_found no_item_specified"


def _method(
    name: str,
    tier: Tier,
    scopes: str = "",
    *,
    required: dict[str, str] | None = None,
    errors: str = "",
    observed: str = "",
    authenticated: bool = True,
    per_team: bool = False,
    app_level: bool = False,
) -> Method:
    return Method(
        name=name,
        tier=tier,
        scopes=tuple(scopes.split()),
        required=required or {},
        errors=frozenset(errors.split()),
        observed=frozenset(observed.split()),
        authenticated=authenticated,
        per_team=per_team,
        app_level=app_level,
    )


METHODS: dict[str, Method] = {
    method.name: method
    for method in (
        # --- the app and its team -------------------------------------------------------------------
        _method("api.test", Tier.TIER_4, authenticated=False),
        _method("auth.test", Tier.SPECIAL),
        _method("auth.teams.list", Tier.TIER_2),
        _method("apps.connections.open", Tier.TIER_1, "connections:write", app_level=True),
        # --- people ---------------------------------------------------------------------------------
        _method(
            "users.lookupByEmail",
            Tier.TIER_3,
            "users:read.email",
            required={"email": MISSING},
            errors="users_not_found",
        ),
        _method(
            "users.list",
            Tier.TIER_2,
            "users:read",
            errors="invalid_cursor limit_required",
            observed="invalid_limit",
            per_team=True,
        ),
        _method(
            "users.info",
            Tier.TIER_4,
            "users:read",
            required={"user": "user_not_found"},
            errors="user_not_found",
        ),
        _method("usergroups.list", Tier.TIER_2, "usergroups:read", errors="plan_upgrade_required", per_team=True),
        _method(
            "usergroups.users.list",
            Tier.TIER_2,
            "usergroups:read",
            required={"usergroup": "no_such_subteam"},
            errors="no_such_subteam plan_upgrade_required",
            per_team=True,
        ),
        # --- channels -------------------------------------------------------------------------------
        _method(
            "conversations.create",
            Tier.TIER_2,
            MANAGE,
            required={"name": "invalid_name_required"},
            errors=f"restricted_action {NAME_ERRORS}",
            per_team=True,
        ),
        _method(
            "conversations.join",
            Tier.TIER_3,
            "channels:join",
            required=CHANNEL,
            errors="channel_not_found is_archived method_not_supported_for_channel_type",
        ),
        _method(
            "conversations.invite",
            Tier.TIER_3,
            INVITE,
            required={**CHANNEL, "users": "no_user"},
            errors="already_in_channel cant_invite cant_invite_self channel_not_found is_archived no_user "
            "no_external_invite_permission not_in_channel ura_max_channels user_is_restricted user_not_found "
            "org_user_not_in_team invitee_cant_see_channel",
            observed="too_many_users user_disabled user_removed user_is_bot user_is_ultra_restricted "
            "some_undocumented_code",
        ),
        _method(
            "conversations.setTopic",
            Tier.TIER_2,
            TOPIC,
            required=CHANNEL,
            errors="channel_not_found is_archived not_in_channel too_long",
        ),
        _method(
            "conversations.setPurpose",
            Tier.TIER_2,
            TOPIC,
            required=CHANNEL,
            errors="channel_not_found is_archived not_in_channel too_long",
        ),
        _method("conversations.info", Tier.TIER_3, READ, required=CHANNEL, errors="channel_not_found"),
        _method("conversations.list", Tier.TIER_2, READ, errors=LIST_ERRORS),
        _method(
            "users.conversations", Tier.TIER_3, READ, errors=LIST_ERRORS, observed="user_not_found", per_team=True
        ),
        _method(
            "conversations.members",
            Tier.TIER_4,
            READ,
            required=CHANNEL,
            errors="channel_not_found invalid_cursor invalid_limit",
        ),
        _method(
            "conversations.history",
            Tier.TIER_3,
            HISTORY,
            required=CHANNEL,
            errors=f"channel_not_found not_in_channel {PAGED_ERRORS}",
            observed="invalid_limit",
        ),
        _method(
            "conversations.replies",
            Tier.TIER_3,
            HISTORY,
            required={**CHANNEL, "ts": "thread_not_found"},
            errors=f"channel_not_found thread_not_found {PAGED_ERRORS}",
            observed="invalid_limit not_in_channel",
        ),
        _method(
            "conversations.rename",
            Tier.TIER_2,
            MANAGE,
            required={**CHANNEL, "name": "invalid_name_required"},
            errors=f"channel_not_found is_archived not_authorized not_in_channel {NAME_ERRORS}",
        ),
        _method(
            "conversations.archive",
            Tier.TIER_2,
            MANAGE,
            required=CHANNEL,
            errors="already_archived cant_archive_general channel_not_found not_in_channel",
        ),
        _method(
            "conversations.unarchive",
            Tier.TIER_2,
            MANAGE,
            required=CHANNEL,
            errors="channel_not_found not_archived",
            observed="not_in_channel",
        ),
        # --- messages -------------------------------------------------------------------------------
        _method(
            "chat.postMessage",
            Tier.SPECIAL,
            "chat:write",
            required=CHANNEL,
            errors=f"channel_not_found not_in_channel is_archived msg_blocks_too_long "
            f"{THREAD_ERRORS} {CONTENT_ERRORS} {METADATA_ERRORS}",
            observed="thread_not_found",
        ),
        _method(
            "chat.postEphemeral",
            Tier.TIER_4,
            "chat:write",
            required={**CHANNEL, "user": MISSING},
            errors=f"channel_not_found not_in_channel is_archived user_not_in_channel "
            f"{THREAD_ERRORS} {CONTENT_ERRORS}",
            observed="msg_blocks_too_long thread_not_found",
        ),
        _method(
            "chat.update",
            Tier.TIER_3,
            "chat:write",
            required={**CHANNEL, "ts": "message_not_found"},
            errors=f"channel_not_found message_not_found cant_update_message edit_window_closed is_inactive "
            f"msg_too_long "
            f"{CONTENT_ERRORS} {METADATA_ERRORS}",
            observed="msg_blocks_too_long",
        ),
        _method(
            "chat.delete",
            Tier.TIER_3,
            "chat:write",
            required={**CHANNEL, "ts": "message_not_found"},
            errors="channel_not_found message_not_found cant_delete_message",
        ),
        _method(
            "chat.getPermalink",
            Tier.SPECIAL,
            required={**CHANNEL, "message_ts": "message_not_found"},
            errors="channel_not_found message_not_found",
        ),
        # --- what hangs on a channel or a message ---------------------------------------------------
        _method(
            "pins.add",
            Tier.TIER_2,
            "pins:write",
            required={**CHANNEL, "timestamp": "no_item_specified"},
            errors=f"already_pinned not_in_channel not_pinnable too_many_pins {MESSAGE_ERRORS}",
            observed="is_archived",
        ),
        _method(
            "bookmarks.add",
            Tier.TIER_2,
            "bookmarks:write",
            required={"channel_id": "channel_not_found", "title": MISSING, "type": MISSING},
            errors="channel_not_found invalid_bookmark_type invalid_emoji invalid_link permission_denied "
            "too_many_bookmarks",
            observed="is_archived",
        ),
        _method(
            "bookmarks.list",
            Tier.TIER_3,
            "bookmarks:read",
            required={"channel_id": "channel_not_found"},
            errors="channel_not_found",
        ),
        _method(
            "reactions.add",
            Tier.TIER_3,
            "reactions:write",
            required={"name": "invalid_name", "timestamp": "no_item_specified", "channel": "no_item_specified"},
            errors=f"already_reacted invalid_name is_archived {MESSAGE_ERRORS}",
            observed="not_in_channel",
        ),
        # --- modals ---------------------------------------------------------------------------------
        _method(
            "views.open",
            Tier.TIER_4,
            required={"trigger_id": "invalid_trigger_id", "view": MISSING},
            errors="exchanged_trigger_id expired_trigger_id invalid_trigger_id view_too_large",
        ),
        _method(
            "views.update",
            Tier.TIER_4,
            required={"view_id": MISSING, "view": MISSING},
            errors="hash_conflict not_found view_too_large",
        ),
        # --- canvases -------------------------------------------------------------------------------
        _method(
            "conversations.canvases.create",
            Tier.TIER_2,
            "canvases:write",
            required={"channel_id": MISSING},
            errors="canvas_creation_failed canvas_disabled_user_team canvas_tab_creation_failed "
            "channel_canvas_already_exists channel_canvas_creation_failed free_team_canvas_tab_already_exists "
            "restricted_action team_tier_cannot_create_channel_canvases",
            observed="channel_not_found not_in_channel",
        ),
        # --- files ----------------------------------------------------------------------------------
        _method(
            "files.getUploadURLExternal",
            Tier.TIER_4,
            "files:write",
            required={"filename": MISSING, "length": MISSING},
            errors="alt_txt_too_large snippet_too_large",
        ),
        _method(
            "files.completeUploadExternal",
            Tier.TIER_4,
            "files:write",
            required={"files": MISSING},
            errors="channel_not_found channels_limit_exceeded file_not_found invalid_blocks not_in_channel",
            observed="thread_not_found cannot_reply_to_message is_archived",
        ),
    )
}
