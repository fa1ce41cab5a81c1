"""The workspace's objects as JSON, with the fields of Slack's responses."""

from __future__ import annotations

import unicodedata
from typing import Any

from incident_sandbox.entities import (
    ENTERPRISE,
    Bookmark,
    Channel,
    Message,
    Note,
    Person,
    StoredFile,
    UserGroup,
)
from incident_sandbox.slack.mrkdwn import escape
from incident_sandbox.workspace import Workspace

Json = dict[str, Any]


def normalized(name: str) -> str:
    """Return a name as in Slack's ``*_normalized`` members: without accents."""
    decomposed = unicodedata.normalize("NFKD", name)
    return "".join(char for char in decomposed if not unicodedata.combining(char))


def user(person: Person, *, with_email: bool) -> Json:
    """Return a member as ``users.info`` does; with the e-mail address only if the token may read it."""
    first, _, last = person.real_name.partition(" ")
    profile: Json = {
        "title": person.title,
        "phone": "",
        "skype": "",
        "real_name": person.real_name,
        "real_name_normalized": normalized(person.real_name),
        "display_name": person.display_name,
        "display_name_normalized": normalized(person.display_name),
        "first_name": first,
        "last_name": last,
        "status_text": "",
        "status_emoji": "",
        "status_expiration": 0,
        "avatar_hash": f"g{person.id.lower()}",
        "team": person.team_id,
    }
    if with_email and person.email and not person.is_stranger:
        profile["email"] = person.email
    if person.is_bot:
        profile |= {"bot_id": person.bot_id, "api_app_id": "A0WARROOM1"}
    answer: Json = {
        "id": person.id,
        "team_id": person.team_id,
        "name": person.username,
        "deleted": person.deleted,
        "profile": profile,
        "is_bot": person.is_bot,
        "is_app_user": False,
        "updated": person.updated,
        **_organisation(person),
    }
    return answer if person.deleted else answer | _active_fields(person)


def _organisation(person: Person) -> Json:
    """Return the person's place in an Enterprise Grid organisation, if there is one."""
    if not person.teams:
        return {}
    entry = {"id": f"W{person.id[1:]}", "enterprise_id": ENTERPRISE, "teams": person.teams}
    return {"enterprise_user": entry, "team_id": person.teams[0]}


def _active_fields(person: Person) -> Json:
    return {
        "color": "4bbe2e",
        "real_name": person.real_name,
        "tz": person.tz,
        "tz_label": "Central European Time",
        "tz_offset": 3600,
        "is_admin": person.is_admin,
        "is_owner": False,
        "is_primary_owner": False,
        "is_restricted": person.is_guest,
        "is_ultra_restricted": person.single_channel_guest,
        "is_email_confirmed": person.email is not None,
        "who_can_share_contact_card": "EVERYONE",
        **({"is_stranger": True} if person.is_stranger else {}),
    }


def usergroup(group: UserGroup, *, users: bool, count: bool) -> Json:
    """Return a user group as ``usergroups.list`` does."""
    answer: Json = {
        "id": group.id,
        "team_id": Workspace.team_id,
        "is_usergroup": True,
        "is_subteam": True,
        "name": group.name,
        "description": group.description,
        "handle": group.handle,
        "is_external": False,
        "date_create": group.created,
        "date_update": group.created,
        "date_delete": group.created if group.disabled else 0,
        "auto_type": None,
        "created_by": "U0DANAREYES",
        "updated_by": "U0DANAREYES",
        "deleted_by": "U0DANAREYES" if group.disabled else None,
        "prefs": {"channels": [], "groups": []},
    }
    if users:
        answer["users"] = group.users
    if count:
        answer["user_count"] = len(group.users)
    return answer


def channel(room: Channel, viewer: str, *, members: bool = False) -> Json:
    """Return a channel as ``conversations.info`` does for one viewer."""
    answer: Json = {
        "id": room.id,
        "name": room.name,
        "name_normalized": room.name,
        "is_channel": True,
        "is_group": False,
        "is_im": False,
        "is_mpim": False,
        "is_private": room.private,
        "is_archived": room.archived,
        "is_general": room.general,
        "is_shared": False,
        "is_ext_shared": False,
        "is_org_shared": False,
        "is_pending_ext_shared": False,
        "is_member": viewer in room.members,
        "creator": room.creator,
        "created": room.created,
        "updated": room.created * 1000,
        "unlinked": 0,
        "shared_team_ids": [Workspace.team_id],
        "pending_shared": [],
        "pending_connected_team_ids": [],
        "parent_conversation": None,
        "context_team_id": Workspace.team_id,
        "topic": _note(room.topic),
        "purpose": _note(room.purpose),
        "previous_names": room.previous_names,
    }
    if members:
        answer["num_members"] = len(room.members)
    return answer


def _note(note: Note) -> Json:
    return {"value": escape(note.value), "creator": note.creator, "last_set": note.last_set}


def message(workspace: Workspace, room: Channel, item: Message, *, payload: bool = False) -> Json:
    """Return a message as ``conversations.history`` does.

    :param payload: whether the metadata comes with its payload, or only with its type.
    """
    answer: Json = {"type": "message", "user": item.user, "text": item.text, "ts": item.ts, **item.extra}
    optional = {
        "subtype": item.subtype,
        "bot_id": item.bot_id,
        "app_id": item.app_id,
        "blocks": item.blocks,
        "attachments": item.attachments,
    }
    answer |= {name: value for name, value in optional.items() if value is not None}
    if item.bot_id:
        answer |= {"team": workspace.team_id, "bot_profile": _bot_profile(workspace, item)}
    if item.metadata is not None:
        answer["metadata"] = item.metadata if payload else {"event_type": item.metadata["event_type"]}
    if item.edited_ts:
        answer["edited"] = {"user": item.bot_id or item.user, "ts": item.edited_ts}
    if item.reactions:
        answer["reactions"] = [
            {"name": name, "users": users, "count": len(users)} for name, users in item.reactions.items()
        ]
    if item.files:
        answer["files"] = [file(workspace, workspace.files[file_id]) for file_id in item.files]
    if any(pin.ts == item.ts for pin in room.pins):
        answer["pinned_to"] = [room.id]
    return answer | _thread_fields(room, item)


def _bot_profile(workspace: Workspace, item: Message) -> Json:
    bot = workspace.people[item.user]
    return {
        "id": item.bot_id,
        "app_id": item.app_id,
        "name": bot.label,
        "deleted": bot.deleted,
        "updated": bot.updated,
        "team_id": workspace.team_id,
        "icons": {},
    }


def _thread_fields(room: Channel, item: Message) -> Json:
    if item.is_reply:
        parent = room.messages.get(str(item.thread_ts))
        parent_fields = {"parent_user_id": parent.user} if parent else {}
        return {"thread_ts": item.thread_ts, **parent_fields}
    replies = room.replies(item.ts)
    if not replies:
        return {}
    repliers = list(dict.fromkeys(reply.user for reply in replies))
    return {
        "thread_ts": item.ts,
        "reply_count": len(replies),
        "reply_users_count": len(repliers),
        "reply_users": repliers[:5],
        "latest_reply": replies[-1].ts,
        "is_locked": False,
        "subscribed": False,
    }


def bookmark(item: Bookmark) -> Json:
    """Return a bookmark as ``bookmarks.list`` does."""
    return {
        "id": item.id,
        "channel_id": item.channel_id,
        "title": item.title,
        "link": item.link,
        "emoji": item.emoji,
        "icon_url": None,
        "entity_id": None,
        "type": "link",
        "date_created": item.created,
        "date_updated": item.updated,
        "rank": item.rank,
        "last_updated_by_user_id": item.last_updated_by,
        "last_updated_by_team_id": Workspace.team_id,
        "shortcut_id": None,
        "app_id": None,
    }


def file(workspace: Workspace, item: StoredFile) -> Json:
    """Return a file as ``files.completeUploadExternal`` does; its shares follow later, so they are empty."""
    address = f"{workspace.url}files/{item.user}/{item.id}/{item.name}"
    return {
        "id": item.id,
        "created": item.created,
        "timestamp": item.created,
        "name": item.name,
        "title": item.title or item.name,
        "mimetype": "",
        "filetype": "",
        "pretty_type": "",
        "user": item.user,
        "user_team": workspace.team_id,
        "size": item.length,
        "mode": "hosted",
        "is_external": False,
        "is_public": bool(item.channels),
        "alt_txt": item.alt_text,
        "url_private": address,
        "permalink": address,
        "channels": [],
        "groups": [],
        "ims": [],
        "shares": {},
    }
