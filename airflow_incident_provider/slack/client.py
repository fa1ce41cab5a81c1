"""A real Slack workspace, over :class:`~airflow_incident_provider.slack.hook.IncidentSlackHook`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow_incident_provider.exceptions import SlackConfigurationError, SlackRequestError, SlackUnavailableError
from airflow_incident_provider.messages.limits import Message
from airflow_incident_provider.models import Mode, SlackWorkspace
from airflow_incident_provider.slack.errors import may_still_happen
from airflow_incident_provider.slack.hook import IncidentSlackHook
from airflow_incident_provider.slack.invitations import Invitations
from airflow_incident_provider.slack.protocol import Channel, ChannelNameTakenError
from airflow_incident_provider.slack.scopes import missing_scopes

EVENT_TYPE = "airflow_incident"
"""The metadata event type of every message of ours."""

HISTORY_PAGE = 15
"""Messages a page: the most that Slack grants to apps it limits in reading history."""

HISTORY_PAGES = 4
CONVERSATIONS_PAGE = 200

CLOCK_SKEW = timedelta(minutes=2)
"""How far Slack's clock may be from ours when we look for what we posted."""


class LiveSlack:
    """The workspace behind one Airflow connection.

    :param hook: the hook that sends the calls.
    :param workspace: what ``auth.test`` said, if it is known already.
    """

    def __init__(self, hook: IncidentSlackHook, workspace: SlackWorkspace | None = None) -> None:
        self.hook = hook
        self._workspace = workspace

    @property
    def workspace(self) -> SlackWorkspace:
        """The workspace and what this app may do in it, asked once (``auth.test``)."""
        if self._workspace is None:
            self._workspace = self._identify()
        return self._workspace

    def _identify(self) -> SlackWorkspace:
        """Ask who we are: the granted scopes are in the header ``x-oauth-scopes``."""
        answer = self.hook.read("auth.test")
        headers = {name.lower(): value for name, value in answer.headers.items()}
        said = headers.get("x-oauth-scopes", "")
        granted = tuple(sorted(scope.strip() for scope in said.split(",") if scope.strip()))
        return SlackWorkspace(
            mode=Mode.LIVE,
            team=answer.get("team"),
            team_id=answer.get("team_id"),
            url=answer.get("url"),
            bot_user_id=answer.get("user_id"),
            scopes_granted=granted,
            scopes_missing=missing_scopes(granted) if granted else (),
        )

    # --- channels -----------------------------------------------------------------------------------

    def create_channel(self, name: str, *, private: bool) -> Channel:
        """Create a channel (``conversations.create``)."""
        try:
            answer = self.hook.write("conversations.create", name=name, is_private=private)
        except SlackRequestError as error:
            if error.code == "name_taken":
                raise ChannelNameTakenError(name) from None
            raise
        return Channel.from_slack(answer["channel"])

    def find_channel(self, name: str) -> Channel | None:
        """Look among the bot's own channels (``users.conversations``): far fewer than the workspace has."""
        pages = self._pages(
            "users.conversations",
            "channels",
            types=self._readable_types(),
            limit=CONVERSATIONS_PAGE,
        )
        return next((Channel.from_slack(found) for found in pages if found.get("name") == name), None)

    def _readable_types(self) -> str:
        """Return the types of channel that we may list: Slack refuses the whole list for one that we may not."""
        scopes = {"public_channel": "channels:read", "private_channel": "groups:read"}
        readable = [kind for kind, scope in scopes.items() if self.workspace.has_scope(scope)]
        return ",".join(readable or scopes)

    def channel(self, channel_id: str) -> Channel:
        """Return a channel by its id (``conversations.info``)."""
        return Channel.from_slack(self.hook.read("conversations.info", channel=channel_id)["channel"])

    def join(self, channel_id: str) -> None:
        """Become a member of a public channel (``conversations.join``)."""
        self.hook.put("conversations.join", channel=channel_id)

    def member_ids(self, channel_id: str) -> frozenset[str]:
        """Return the ids of everybody in the channel (``conversations.members``)."""
        return frozenset(self._pages("conversations.members", "members", channel=channel_id, limit=200))

    def invite(self, channel_id: str, user_ids: Iterable[str]) -> dict[str, str]:
        """Invite people (``conversations.invite``), so that one who cannot come keeps nobody else out."""
        return Invitations(self.hook, self.member_ids).send(channel_id, user_ids)

    def set_topic(self, channel_id: str, topic: str) -> None:
        """Set the topic (``conversations.setTopic``); Slack tells the channel each time, so only on change."""
        self._announced(
            "conversations.setTopic",
            is_done=lambda: self.channel(channel_id).topic == topic,
            channel=channel_id,
            topic=topic,
        )

    def set_purpose(self, channel_id: str, purpose: str) -> None:
        """Set the description (``conversations.setPurpose``)."""
        self._announced(
            "conversations.setPurpose",
            is_done=lambda: self.channel(channel_id).purpose == purpose,
            channel=channel_id,
            purpose=purpose,
        )

    def _announced(self, method: str, *, is_done: Callable[[], bool], **arguments: Any) -> None:
        """Set what Slack announces each time: where the answer was lost, again only if it is not there.

        An announcement too many is a smaller evil than a room that does not say whose it is: who cannot look,
        or would look too early, sets it again.
        """
        try:
            self.hook.write(method, **arguments)
        except SlackUnavailableError as error:
            if not error.effect_possible:
                raise
            try:
                if is_done():
                    return
            except SlackConfigurationError as blind:
                self.hook.log.warning("Cannot look whether %s happened: %s", method, blind)
            self.hook.put(method, **arguments)

    def bookmarks(self, channel_id: str) -> frozenset[str]:
        """Return the addresses that are bookmarked (``bookmarks.list``, which does not page)."""
        answer = self.hook.read("bookmarks.list", channel_id=channel_id)
        return frozenset(bookmark.get("link", "") for bookmark in answer["bookmarks"])

    def add_bookmark(self, channel_id: str, title: str, url: str) -> None:
        """Add a link to the bookmarks bar (``bookmarks.add``), once: where it may be there, look before adding."""
        bookmark = {"channel_id": channel_id, "title": title, "type": "link", "link": url}
        try:
            self.hook.write("bookmarks.add", **bookmark)
        except SlackUnavailableError as error:
            if not error.effect_possible:
                raise
            if not self._is_bookmarked(channel_id, url, lost=error):
                self.hook.write("bookmarks.add", **bookmark)

    def _is_bookmarked(self, channel_id: str, url: str, *, lost: SlackUnavailableError) -> bool:
        """Return whether the link is there, if that can be told by now; else raise what was lost."""
        try:
            there = url in self.bookmarks(channel_id)
        except SlackConfigurationError:
            raise lost from None
        if not there and may_still_happen(lost):
            raise lost
        return there

    def pin(self, channel_id: str, ts: str) -> None:
        """Pin a message (``pins.add``)."""
        try:
            self.hook.put("pins.add", channel=channel_id, timestamp=ts)
        except SlackRequestError as error:
            if error.code != "already_pinned":
                raise

    def archive(self, channel_id: str) -> None:
        """Archive a channel (``conversations.archive``), which puts this app out of it."""
        try:
            self.hook.put("conversations.archive", channel=channel_id)
        except SlackRequestError as error:
            if error.code not in ("already_archived", "is_archived"):
                raise

    # --- messages -----------------------------------------------------------------------------------

    def post(self, channel_id: str, message: Message, *, key: str, thread_ts: str | None = None) -> str:
        """Post a message (``chat.postMessage``), once: where it may have arrived, look before sending again.

        :raises SlackUnavailableError: also where it may arrive only after this: whoever tries again looks first,
            and later (:class:`~airflow_incident_provider.operators.base.IncidentRetryPolicy`).
        """
        began = datetime.now(UTC)
        try:
            return self._post(channel_id, message, key, thread_ts)
        except SlackUnavailableError as error:
            if not error.effect_possible or may_still_happen(error):
                raise
        arrived = self.find_message(channel_id, key, since=began, thread_ts=thread_ts)
        return arrived or self._post(channel_id, message, key, thread_ts)

    def _post(self, channel_id: str, message: Message, key: str, thread_ts: str | None) -> str:
        thread = {"thread_ts": thread_ts} if thread_ts else {}
        answer = self.hook.write(
            "chat.postMessage",
            channel=channel_id,
            metadata=_metadata(key),
            **thread,
            **message.as_arguments(),
        )
        return str(answer["ts"])

    def find_message(
        self,
        channel_id: str,
        key: str,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        thread_ts: str | None = None,
    ) -> str | None:
        """Look through the channel's (or thread's) newest messages for ours with this key.

        Reads at most 60 messages in pages of 15, which is what Slack grants to the most limited apps
        (``conversations.history`` and ``conversations.replies`` with ``include_all_metadata``).
        """
        method = "conversations.replies" if thread_ts else "conversations.history"
        where: dict[str, Any] = {"channel": channel_id, "include_all_metadata": True, "limit": HISTORY_PAGE}
        if thread_ts:
            where["ts"] = thread_ts
        if since is not None:
            where["oldest"] = f"{(since - CLOCK_SKEW).timestamp():.6f}"
        if until is not None:
            where["latest"] = f"{(until + CLOCK_SKEW).timestamp():.6f}"
        try:
            for message in self._pages(method, "messages", most=HISTORY_PAGES, **where):
                if _key_of(message) == key and message.get("user") == self.workspace.bot_user_id:
                    return str(message["ts"])
        except SlackConfigurationError as error:
            # An app that may not read history cannot look. Better a message twice than none at 3 a.m.:
            # the table of scopes tells what this one costs.
            self.hook.log.warning("Cannot look for what was posted before: %s", error)
        return None

    def update(self, channel_id: str, ts: str, message: Message, *, key: str) -> None:
        """Replace a message of ours (``chat.update``): the same text twice is the same message once."""
        self.hook.put(
            "chat.update", channel=channel_id, ts=ts, metadata=_metadata(key), **message.as_update_arguments()
        )

    def permalink(self, channel_id: str, ts: str) -> str | None:
        """Return the web address of a message (``chat.getPermalink``)."""
        answer = self.hook.read("chat.getPermalink", channel=channel_id, message_ts=ts)
        return answer.get("permalink")

    def channel_url(self, channel_id: str) -> str | None:
        """Return the address of a channel in the workspace's web client."""
        return f"{self.workspace.url}archives/{channel_id}" if self.workspace.url else None

    def _pages(self, method: str, field: str, *, most: int | None = None, **arguments: Any) -> Iterator[Any]:
        """Yield the items of a paged method; a short page is no last page, only an empty cursor is."""
        cursor: str | None = None
        seen = 0
        while most is None or seen < most:
            answer = self.hook.read(method, **arguments, **({"cursor": cursor} if cursor else {}))
            yield from answer[field]
            cursor = (answer.get("response_metadata") or {}).get("next_cursor")
            seen += 1
            if not cursor:
                return


def _metadata(key: str) -> dict[str, Any]:
    """Return message metadata: readable by every app of the workspace, so it holds the key and nothing else."""
    return {"event_type": EVENT_TYPE, "event_payload": {"key": key}}


def _key_of(message: Mapping[str, Any]) -> str | None:
    metadata = message.get("metadata") or {}
    if metadata.get("event_type") != EVENT_TYPE:
        return None
    return (metadata.get("event_payload") or {}).get("key")
