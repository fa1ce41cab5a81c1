"""The live Slack client: one method for each thing a war room needs, over the hook's retry policy."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow_incident_provider.exceptions import (
    SlackConfigurationError,
    SlackError,
    SlackRequestError,
    SlackUnavailableError,
)
from airflow_incident_provider.messages.blocks import Message
from airflow_incident_provider.models import Mode, SlackWorkspace
from airflow_incident_provider.slack.access import missing_scopes
from airflow_incident_provider.slack.errors import effect_may_be_delayed
from airflow_incident_provider.slack.hook import IncidentSlackHook
from airflow_incident_provider.slack.invitations import Inviter
from airflow_incident_provider.slack.protocol import Channel, ChannelNameTakenError
from airflow_incident_provider.slack.responses import (
    mapping,
    next_cursor,
    not_slack,
    objects,
    required_list,
    required_object,
    required_text,
)

EVENT_TYPE = "airflow_incident"
"""The metadata event type of the app's messages."""

HISTORY_PAGE = 200
"""Messages a page; an app whose history calls Slack limits gets 15, and one call a minute."""

MAX_HISTORY_PAGES = 10
CONVERSATIONS_PAGE = 200
MEMBERS_PAGE = 200

_IDENTITY = ("team", "team_id", "url", "user_id")

CLOCK_SKEW = timedelta(minutes=2)
"""How far Slack's clock may be from the worker's when the app looks for its own messages."""


class LiveSlackClient:
    """The workspace behind an Airflow connection.

    :param hook: sends the calls.
    :param workspace: the workspace, if it is known already.
    """

    def __init__(self, hook: IncidentSlackHook, workspace: SlackWorkspace | None = None) -> None:
        self.hook = hook
        self._workspace = workspace

    def within(self, seconds: float) -> LiveSlackClient:
        """Return a client of the same workspace whose calls end within ``seconds`` from now, retries included."""
        return LiveSlackClient(self.hook.within(seconds), self._workspace)

    @property
    def would_post(self) -> tuple[str, ...]:
        """Nothing: the texts are posted."""
        return ()

    @property
    def workspace(self) -> SlackWorkspace:
        """The workspace and the app's scopes, asked for once (``auth.test``).

        :raises SlackConfigurationError: the app is installed for a whole organisation, and the connection does not
            say for which of its workspaces it is used.
        """
        if self._workspace is None:
            self._workspace = self._identify()
        return self._workspace

    def _identify(self) -> SlackWorkspace:
        response = self.hook.read("auth.test")
        headers = {name.lower(): value for name, value in response.headers.items()}
        scopes = headers.get("x-oauth-scopes", "")
        granted = tuple(sorted(scope.strip() for scope in scopes.split(",") if scope.strip()))
        # A gateway may leave out any of these: the room opens without them.
        texts = {name: value for name in _IDENTITY if isinstance(value := response.get(name), str)}
        return SlackWorkspace(
            mode=Mode.LIVE,
            team=texts.get("team"),
            team_id=self._team_id(texts.get("team_id"), organisation_wide=response.get("is_enterprise_install")),
            url=texts.get("url"),
            bot_user_id=texts.get("user_id"),
            interactive=self.hook.interactive,
            scopes_granted=granted,
            scopes_missing=missing_scopes(granted) if granted else (),
        )

    def _team_id(self, team_id: str | None, *, organisation_wide: object) -> str | None:
        """Return the workspace's id: the connection's for an organisation's token, else the token's own."""
        organisation_wide = organisation_wide is True or (team_id or "").startswith("E")
        if self.hook.team_id or not organisation_wide:
            return self.hook.team_id or team_id
        raise SlackConfigurationError(
            "The Slack app is installed for a whole Enterprise Grid organisation, and the Airflow connection "
            f"{self.hook.slack_conn_id!r} does not name the workspace." + self._workspaces_of_organisation(),
            code="missing_team_id",
            fix="Put the workspace's id (T...) as team_id into the extra of the connection.",
        )

    def _workspaces_of_organisation(self) -> str:
        """Return the workspaces that the app may use, as text (``auth.teams.list``), if Slack lists them."""
        try:
            teams = objects(self.hook.read("auth.teams.list", limit=20), "teams")
        except SlackError:
            return ""
        names = ", ".join(f"{team.get('id')} ({team.get('name')})" for team in teams)
        return f" The app may use {names}." if names else ""

    @property
    def team_argument(self) -> dict[str, Any]:
        """``team_id`` for the methods that need it with an organisation's token."""
        return {"team_id": self.hook.team_id} if self.hook.team_id else {}

    # --- channels -----------------------------------------------------------------------------------

    def create_channel(self, name: str, *, private: bool) -> Channel:
        """Create a channel (``conversations.create``).

        :raises ChannelNameTakenError: the name is taken.
        """
        try:
            response = self.hook.write("conversations.create", name=name, is_private=private, **self.team_argument)
        except SlackRequestError as error:
            if error.code == "name_taken":
                raise ChannelNameTakenError(name) from None
            raise
        return Channel.from_slack({"name": name, **required_object(response, "conversations.create", "channel")})

    def find_channel(self, name: str) -> Channel | None:
        """Return the channel of this name among the app's own (``users.conversations``).

        The app is in far fewer channels than the workspace has.
        """
        channels = self._pages(
            "users.conversations",
            "channels",
            types=self._readable_types(),
            limit=CONVERSATIONS_PAGE,
            **self.team_argument,
        )
        found = (mapping(channel) for channel in channels)
        return next((Channel.from_slack(each) for each in found if each.get("name") == name and "id" in each), None)

    def _readable_types(self) -> str:
        """Return the channel types that the app may list: Slack refuses the whole list for one it may not."""
        scopes = {"public_channel": "channels:read", "private_channel": "groups:read"}
        readable = [kind for kind, scope in scopes.items() if self.workspace.has_scope(scope)]
        return ",".join(readable or scopes)

    def channel(self, channel_id: str) -> Channel:
        """Return a channel by id (``conversations.info``)."""
        response = self.hook.read("conversations.info", channel=channel_id)
        return Channel.from_slack(required_object(response, "conversations.info", "channel"))

    def join(self, channel_id: str) -> None:
        """Join a public channel (``conversations.join``)."""
        self.hook.put("conversations.join", channel=channel_id)

    def member_ids(self, channel_id: str) -> frozenset[str]:
        """Return the ids of all members of a channel (``conversations.members``).

        :raises SlackUnavailableError: the response contains no member, although the app itself is a member.
        """
        method = "conversations.members"
        members = self._pages(method, "members", channel=channel_id, limit=MEMBERS_PAGE)
        ids = frozenset(member for member in members if isinstance(member, str))
        if not ids:
            raise not_slack(method, "it has no members")
        return ids

    def invite(self, channel_id: str, user_ids: Iterable[str]) -> dict[str, str]:
        """Invite people (``conversations.invite``), so that one rejected person does not exclude the others.

        :returns: the error code of each who could not be invited.
        """
        return Inviter(self, channel_id).invite(list(dict.fromkeys(user_ids)))

    def set_topic(self, channel_id: str, topic: str) -> None:
        """Set the topic (``conversations.setTopic``), which Slack announces in the channel."""
        self._set_announced(
            "conversations.setTopic",
            is_done=lambda: self.channel(channel_id).topic == topic,
            channel=channel_id,
            topic=topic,
        )

    def set_purpose(self, channel_id: str, purpose: str) -> None:
        """Set the description (``conversations.setPurpose``), which Slack announces in the channel."""
        self._set_announced(
            "conversations.setPurpose",
            is_done=lambda: self.channel(channel_id).purpose == purpose,
            channel=channel_id,
            purpose=purpose,
        )

    def _set_announced(self, method: str, *, is_done: Callable[[], bool], **arguments: Any) -> None:
        """Set something that Slack announces each time: after a lost response, only if it is not set.

        A second announcement is better than a room without its key: if the app cannot look, it sets it again.
        """
        try:
            self.hook.write(method, **arguments)
        except SlackUnavailableError as error:
            if not error.effect_possible:
                raise
            try:
                if is_done():
                    return
            except SlackConfigurationError as refusal:
                self.hook.log.warning("Cannot check whether %s took effect: %s", method, refusal)
            self.hook.put(method, **arguments)

    def bookmarks(self, channel_id: str) -> frozenset[str]:
        """Return the URLs that are bookmarked (``bookmarks.list``, which has no pages)."""
        response = self.hook.read("bookmarks.list", channel_id=channel_id)
        return frozenset(str(bookmark.get("link") or "") for bookmark in objects(response, "bookmarks"))

    def add_bookmark(self, channel_id: str, title: str, url: str) -> None:
        """Bookmark a link (``bookmarks.add``); after a lost response, only if it is not there."""
        bookmark = {"channel_id": channel_id, "title": title, "type": "link", "link": url}
        try:
            self.hook.write("bookmarks.add", **bookmark)
        except SlackUnavailableError as error:
            if not error.effect_possible:
                raise
            if not self._is_bookmarked(channel_id, url, after=error):
                self.hook.write("bookmarks.add", **bookmark)

    def _is_bookmarked(self, channel_id: str, url: str, *, after: SlackUnavailableError) -> bool:
        """Return whether the link is bookmarked; raise ``after`` if that cannot be known yet."""
        try:
            found = url in self.bookmarks(channel_id)
        except SlackConfigurationError:
            raise after from None
        if not found and effect_may_be_delayed(after):
            raise after
        return found

    def pin(self, channel_id: str, ts: str) -> None:
        """Pin a message (``pins.add``)."""
        try:
            self.hook.put("pins.add", channel=channel_id, timestamp=ts)
        except SlackRequestError as error:
            if error.code != "already_pinned":
                raise

    def archive(self, channel_id: str) -> None:
        """Archive a channel (``conversations.archive``), which removes the app from it."""
        try:
            self.hook.put("conversations.archive", channel=channel_id)
        except SlackRequestError as error:
            if error.code not in ("already_archived", "is_archived"):
                raise

    # --- messages -----------------------------------------------------------------------------------

    def post(self, channel_id: str, message: Message, *, key: str, thread_ts: str | None = None) -> str:
        """Post a message (``chat.postMessage``); after a lost response, only if it is not there.

        :raises SlackUnavailableError: also if the message may appear only later: the caller looks before it tries
            again (:class:`~airflow_incident_provider.operators.base.IncidentRetryPolicy`).
        """
        started = datetime.now(UTC)
        try:
            return self._post(channel_id, message, key, thread_ts)
        except SlackUnavailableError as error:
            if not error.effect_possible or effect_may_be_delayed(error):
                raise
        posted = self.find_message(channel_id, key, since=started, thread_ts=thread_ts)
        return posted or self._post(channel_id, message, key, thread_ts)

    def _post(self, channel_id: str, message: Message, key: str, thread_ts: str | None) -> str:
        thread = {"thread_ts": thread_ts} if thread_ts else {}
        response = self.hook.write(
            "chat.postMessage",
            channel=channel_id,
            metadata=_metadata(key),
            **thread,
            **message.as_arguments(),
        )
        return required_text(response, "chat.postMessage", "ts")

    def find_message(
        self,
        channel_id: str,
        key: str,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        thread_ts: str | None = None,
    ) -> str | None:
        """Return the app's message with this key, from the channel's newest messages or from the whole thread.

        ``conversations.history`` returns the newest messages first, ``conversations.replies`` the oldest first:
        so a thread is read to its end (``include_all_metadata``). An app that Slack limits to one such call a
        minute reads one page of 15.
        """
        method = "conversations.replies" if thread_ts else "conversations.history"
        arguments: dict[str, Any] = {
            "channel": channel_id,
            "include_all_metadata": True,
            "limit": HISTORY_PAGE,
        }
        if thread_ts:
            arguments["ts"] = thread_ts
        if since is not None:
            arguments["oldest"] = f"{(since - CLOCK_SKEW).timestamp():.6f}"
        if until is not None:
            arguments["latest"] = f"{(until + CLOCK_SKEW).timestamp():.6f}"
        read = 0
        try:
            for message in self._pages(method, "messages", max_pages=MAX_HISTORY_PAGES, **arguments):
                read += 1
                if _key_of(mapping(message)) == key and self._is_own(message):
                    return str(message["ts"])
        except SlackConfigurationError as error:
            # Better a message twice than none at 3 a.m.: the table of scopes says what this scope is for.
            self.hook.log.warning("Cannot look for earlier messages: %s", error)
        except SlackUnavailableError as error:
            if error.retry_after is None or not read:
                raise
            self.hook.log.warning("Looked for an earlier message among %d only: %s", read, error)
        return None

    def _is_own(self, message: Mapping[str, Any]) -> bool:
        """Return whether the app posted a message; a gateway may not say who the app is."""
        return self.workspace.bot_user_id in (None, message.get("user"))

    def update(self, channel_id: str, ts: str, message: Message, *, key: str) -> None:
        """Replace a message of the app (``chat.update``)."""
        self.hook.put(
            "chat.update", channel=channel_id, ts=ts, metadata=_metadata(key), **message.as_update_arguments()
        )

    def upload_picture(self, name: str, content: bytes, *, alt_text: str) -> str:
        """Upload a picture that nobody sees until it is shared (``files.getUploadURLExternal``); return its id."""
        return self.hook.upload(name, content, alt_text=alt_text)

    def share_picture(self, file_id: str, channel_id: str, *, title: str, thread_ts: str | None = None) -> None:
        """Share an uploaded picture in a channel or thread (``files.completeUploadExternal``)."""
        self.hook.share(file_id, channel_id, title=title, thread_ts=thread_ts)

    def permalink(self, channel_id: str, ts: str) -> str | None:
        """Return the URL of a message (``chat.getPermalink``)."""
        response = self.hook.read("chat.getPermalink", channel=channel_id, message_ts=ts)
        url = response.get("permalink")
        return url if isinstance(url, str) else None

    def channel_url(self, channel_id: str) -> str | None:
        """Return the URL of a channel in the workspace's web client."""
        return f"{self.workspace.url}archives/{channel_id}" if self.workspace.url else None

    def _pages(self, method: str, field: str, *, max_pages: int | None = None, **arguments: Any) -> Iterator[Any]:
        """Yield the items of a paged method. Only an empty cursor ends it, or one that was given before.

        A page may be short, or empty.
        """
        cursor, used = "", {""}
        while max_pages is None or len(used) <= max_pages:
            page = self.hook.read(method, **arguments, **({"cursor": cursor} if cursor else {}))
            yield from required_list(page, method, field)
            cursor = next_cursor(page)
            if cursor in used:
                return
            used.add(cursor)


def _metadata(key: str) -> dict[str, Any]:
    """Return message metadata: every app of the workspace can read it, so it holds the key and nothing else."""
    return {"event_type": EVENT_TYPE, "event_payload": {"key": key}}


def _key_of(message: Mapping[str, Any]) -> str | None:
    metadata = mapping(message.get("metadata"))
    if metadata.get("event_type") != EVENT_TYPE:
        return None
    return mapping(metadata.get("event_payload")).get("key")
