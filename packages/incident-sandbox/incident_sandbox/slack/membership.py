"""Members of a channel: listing, joining, inviting."""

from __future__ import annotations

from incident_sandbox.entities import Channel, Person
from incident_sandbox.slack import shapes
from incident_sandbox.slack.call import Answer, Call, handles
from incident_sandbox.slack.errors import SlackError
from incident_sandbox.slack.paging import page_of

MEMBERS_DEFAULT = 100


@handles("conversations.members")
def members(call: Call) -> Answer:
    """List the ids of a channel's members."""
    page, cursor = page_of(call, call.channel().members, MEMBERS_DEFAULT)
    return {"members": page, "response_metadata": {"next_cursor": cursor}}


@handles("conversations.join")
def join(call: Call) -> Answer:
    """Join a public channel; being in it already is a warning, not an error."""
    channel = call.channel()
    if channel.private:
        raise SlackError("method_not_supported_for_channel_type")
    if channel.archived:
        raise SlackError("is_archived")
    answer: Answer = {}
    if call.user_id in channel.members:
        answer = {"warning": "already_in_channel", "response_metadata": {"warnings": ["already_in_channel"]}}
    call.workspace.add_member(channel, call.user_id)
    return {"channel": shapes.channel(channel, call.user_id), **answer}


@handles("conversations.invite")
def invite(call: Call) -> Answer:
    """Invite people: all, or nobody if one cannot be invited, unless ``force`` is set."""
    user_ids = list(dict.fromkeys(call.args.items("users")))
    if not user_ids:
        raise SlackError("no_user")
    if len(user_ids) > call.workspace.settings.invite_limit:
        raise SlackError("too_many_users")
    channel = call.channel()
    if channel.archived:
        raise SlackError("is_archived")
    call.require_member(channel)
    refusals = {user_id: code for user_id in user_ids if (code := _refusal(call, channel, user_id))}
    if not refusals or call.args.flag("force"):
        for user_id in user_ids:
            if user_id not in refusals and not call.workspace.people[user_id].ignored_when_invited:
                call.workspace.add_member(channel, user_id, inviter=call.user_id)
    return _invitation_answer(call, channel, refusals)


def _invitation_answer(call: Call, channel: Channel, refusals: dict[str, str]) -> Answer:
    errors = [{"user": user_id, "ok": False, "error": code} for user_id, code in refusals.items()]
    if not call.workspace.settings.invite_errors_listed:
        errors = []
    forced_ok = call.args.flag("force") and call.workspace.settings.forced_invite_ok
    if refusals and not forced_ok:
        raise SlackError(next(iter(refusals.values())), **({"errors": errors} if errors else {}))
    return {"channel": shapes.channel(channel, call.user_id), **({"errors": errors} if errors else {})}


def _refusal(call: Call, channel: Channel, user_id: str) -> str | None:
    """Return the error code for this user, or ``None`` if they can be invited."""
    person = call.workspace.people.get(user_id)
    if person is None:
        return "user_not_found"
    rules = (
        ("cant_invite_self", user_id == call.user_id),
        ("already_in_channel", user_id in channel.members),
        ("user_disabled", person.deleted),
        ("org_user_not_in_team", person.is_in_another_workspace),
        (person.invite_error, person.invite_error is not None),
        ("ura_max_channels", person.single_channel_guest and _is_elsewhere(call, channel, person)),
    )
    return next((code for code, applies in rules if applies), None)


def _is_elsewhere(call: Call, channel: Channel, guest: Person) -> bool:
    others = (c for c in call.workspace.channels.values() if c is not channel and not c.archived)
    return any(guest.id in other.members for other in others)
