"""Test the live Slack client over HTTP: channels, invitations and messages."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from incident_sandbox import Fault, SandboxClient, SandboxServer

from airflow_incident_provider.exceptions import SlackConfigurationError, SlackUnavailableError
from airflow_incident_provider.messages.blocks import Message
from airflow_incident_provider.models import Mode
from airflow_incident_provider.slack.access import SCOPES
from airflow_incident_provider.slack.protocol import Channel, ChannelNameTakenError

ALICE, PRIYA, JOSE = "U0ALICENG01", "U0PRIYAIYER", "U0JOSEGARC1"
DEACTIVATED, GUEST, OTHER_CHANNEL_GUEST, BOT = "U0DAVEGONE1", "U0GUESTLOCK", "U0GUESTSCG1", "U0WARROOM01"


@pytest.fixture
def make_client(connect: Callable[..., Any]) -> Callable[..., Any]:
    """Return a factory of clients; without a token, the client has all scopes."""

    def make_client(token: str | None = None) -> Any:
        from airflow_incident_provider.slack.client import LiveSlackClient
        from airflow_incident_provider.slack.hook import IncidentSlackHook

        connect(token)
        return LiveSlackClient(IncidentSlackHook())

    return make_client


@pytest.fixture
def client(make_client: Callable[..., Any]) -> Any:
    return make_client()


@pytest.fixture
def room(client: Any) -> Any:
    return client.create_channel("inc-room", private=False)


def message(text: str) -> Message:
    return Message(text, ({"type": "section", "text": {"type": "mrkdwn", "text": text}},))


def channel_members(control: SandboxClient, name: str = "inc-room") -> set[str]:
    return set(control.channel(name)["members"])


def bot_messages(control: SandboxClient, name: str = "inc-room") -> list[str]:
    """Return the texts that the app posted in the channel and its threads."""
    top = control.channel(name)["messages"]
    messages = [*top, *(reply for message in top for reply in message["replies"])]
    return [message["text"] for message in messages if message.get("subtype") is None and message["user"] == BOT]


# --- identity ---------------------------------------------------------------------------------------


def test_workspace_describes_the_app(client: Any, slack: SandboxServer) -> None:
    workspace = client.workspace
    assert (workspace.mode, workspace.team, workspace.bot_user_id) == (Mode.LIVE, "Acme Retail", BOT)
    assert workspace.scopes_missing == ()
    assert slack.token not in workspace.model_dump_json()


@pytest.mark.parametrize("missing_scope", sorted(SCOPES))
def test_missing_scope_is_reported_with_its_consequence(
    make_client: Callable[..., Any], control: SandboxClient, missing_scope: str
) -> None:
    token = control.add_token("less", scopes=[scope for scope in SCOPES if scope != missing_scope])
    [missing] = make_client(token).workspace.scopes_missing
    assert (missing.scope, missing.costs) == (missing_scope, SCOPES[missing_scope])


# --- channels ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("private", [False, True])
def test_created_channel_is_found_again(client: Any, private: bool) -> None:
    created = client.create_channel("inc-room", private=private)
    found = client.find_channel("inc-room")
    assert (found.id, found.private, found.creator) == (created.id, private, BOT)


def test_taken_channel_name_raises_channel_name_taken_error(client: Any) -> None:
    with pytest.raises(ChannelNameTakenError):
        client.create_channel("general", private=False)
    assert client.find_channel("general") is None, "the bot is not a member"


def test_find_channel_follows_pagination(client: Any, control: SandboxClient) -> None:
    for number in range(230):
        control.add_channel(f"inc-{number}", creator=BOT, members=[BOT])
    control.settings(short_pages=True)
    assert client.find_channel("inc-229").name == "inc-229"


@pytest.mark.parametrize(("missing_scope", "private"), [("groups:read", False), ("channels:read", True)])
def test_find_channel_needs_only_the_scope_of_its_visibility(
    make_client: Callable[..., Any], control: SandboxClient, missing_scope: str, private: bool
) -> None:
    slack = make_client(control.add_token("less", scopes=[scope for scope in SCOPES if scope != missing_scope]))
    slack.create_channel("inc-room", private=private)
    assert slack.find_channel("inc-room") is not None


INVALID_VALUES: list[Any] = [None, "x", 7, {"a": 1}, [], [None, 3, {"id": "U1"}]]


@pytest.mark.parametrize("value", INVALID_VALUES)
def test_response_without_members_raises(client: Any, room: Any, control: SandboxClient, value: Any) -> None:
    body = {"ok": True, "members": value}
    control.add_fault(Fault(method="conversations.members", status=200, body=body, times=None))
    with pytest.raises(SlackUnavailableError, match="has no members"):
        client.member_ids(room.id)


@pytest.mark.parametrize("value", INVALID_VALUES)
def test_invalid_permalink_and_bookmarks_are_ignored(
    client: Any, room: Any, control: SandboxClient, value: Any
) -> None:
    for method, field in (("chat.getPermalink", "permalink"), ("bookmarks.list", "bookmarks")):
        control.add_fault(Fault(method=method, status=200, body={"ok": True, field: value}, times=None))
    assert client.permalink(room.id, "1.2") == (value if isinstance(value, str) else None)
    assert client.bookmarks(room.id) <= {""}


@pytest.mark.parametrize("value", [*INVALID_VALUES, [{"user": ["U0ALICENG01"], "error": 5}]])
def test_invalid_error_details_of_invitation_are_ignored(
    client: Any, room: Any, control: SandboxClient, value: Any
) -> None:
    body = {"ok": False, "error": "undocumented_code", "errors": value}
    control.add_fault(Fault(method="conversations.invite", status=200, body=body, times=None))
    assert client.invite(room.id, ["U0ALICENG01"]) == {"U0ALICENG01": "undocumented_code"}


def test_repeated_cursor_ends_pagination(client: Any, room: Any, control: SandboxClient) -> None:
    body = {"ok": True, "members": ["U1"], "response_metadata": {"next_cursor": "again"}}
    control.add_fault(Fault(method="conversations.members", status=200, body=body, times=None))
    assert client.member_ids(room.id) == {"U1"}
    assert len([call for call in control.calls() if call["method"] == "conversations.members"]) == 2


def test_topic_and_purpose_round_trip(client: Any, room: Any) -> None:
    client.set_topic(room.id, "a < b & c > d")
    client.set_purpose(room.id, "<!channel> & co")
    found = client.channel(room.id)
    assert (found.topic, found.purpose) == ("a < b & c > d", "<!channel> & co")


def test_pin_is_idempotent(client: Any, room: Any, control: SandboxClient) -> None:
    ts = client.post(room.id, message("brief"), key="k")
    client.pin(room.id, ts)
    client.pin(room.id, ts)
    assert control.channel("inc-room")["pins"] == [ts]


# --- invitations ------------------------------------------------------------------------------------


@pytest.mark.parametrize("forced_ok", [True, False], ids=["ok", "error"])
@pytest.mark.parametrize(
    "uninvitable", [DEACTIVATED, GUEST, OTHER_CHANNEL_GUEST, "U0NOBODY001", "U0STRANGER1", "USLACKBOT"]
)
def test_uninvitable_user_does_not_block_other_invitations(
    client: Any, room: Any, control: SandboxClient, uninvitable: str, forced_ok: bool
) -> None:
    """Slack does not document its response to a forced invitation with invalid IDs: both forms are handled."""
    control.settings(forced_invite_ok=forced_ok)
    failures = client.invite(room.id, [ALICE, uninvitable, PRIYA])
    assert set(failures) == {uninvitable}
    assert channel_members(control) == {BOT, ALICE, PRIYA}


def test_invitation_is_retried_without_refused_user(client: Any, room: Any, control: SandboxClient) -> None:
    """Slack invites nobody without ``force``, and possibly also with it."""
    errors = [{"user": DEACTIVATED, "ok": False, "error": "user_disabled"}]
    control.add_fault(Fault(method="conversations.invite", error="user_disabled", fields={"errors": errors}))
    assert client.invite(room.id, [ALICE, DEACTIVATED, PRIYA]) == {DEACTIVATED: "user_disabled"}
    assert channel_members(control) == {BOT, ALICE, PRIYA}


def test_refusal_without_details_is_attributed_to_the_user(client: Any, room: Any, control: SandboxClient) -> None:
    control.add_fault(Fault(method="conversations.invite", error="user_not_found"))
    assert client.invite(room.id, [ALICE, "U0NOBODY001", PRIYA]) == {"U0NOBODY001": "user_not_found"}
    assert channel_members(control) == {BOT, ALICE, PRIYA}


@pytest.mark.parametrize("forced_ok", [True, False])
def test_inviting_existing_member_is_not_a_failure(
    client: Any, room: Any, control: SandboxClient, forced_ok: bool
) -> None:
    control.settings(forced_invite_ok=forced_ok)
    client.invite(room.id, [ALICE])
    assert client.invite(room.id, [BOT, ALICE, PRIYA]) == {}
    assert channel_members(control) == {BOT, ALICE, PRIYA}


@pytest.mark.parametrize("limit", [100, 30, 1])
def test_invitations_are_split_to_fit_the_limit(client: Any, room: Any, control: SandboxClient, limit: int) -> None:
    """Slack has documented limits of 30, 100 and 1000."""
    control.settings(invite_limit=limit)
    user_ids = [f"U2{number:09d}" for number in range(130 if limit > 1 else 7)]
    control.add_members(people=[{"id": user_id, "username": user_id.lower()} for user_id in user_ids])
    assert client.invite(room.id, user_ids) == {}
    assert channel_members(control) == {BOT, *user_ids}


@pytest.mark.parametrize("when", ["before", "after"])
def test_invitation_with_lost_response_is_checked_before_retry(
    client: Any, room: Any, control: SandboxClient, when: str
) -> None:
    """Only users that are not yet members are invited again."""
    control.add_fault(Fault(method="conversations.invite", drop=True, when=when))
    assert client.invite(room.id, [ALICE, PRIYA]) == {}
    assert channel_members(control) == {BOT, ALICE, PRIYA}
    assert len(control.calls("conversations.invite")) == (2 if when == "before" else 1)


# --- messages ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("fault", [{"drop": True}, {"status": 502, "body": "<html>"}, {"error": "fatal_error"}])
@pytest.mark.parametrize("threaded", [False, True])
def test_message_with_lost_response_is_posted_once(
    *, client: Any, room: Any, control: SandboxClient, fault: dict[str, Any], when: str, threaded: bool
) -> None:
    parent = client.post(room.id, message("parent"), key="parent") if threaded else None
    control.add_fault(Fault(method="chat.postMessage", when=when, **fault))
    ts = client.post(room.id, message("news"), key="news", thread_ts=parent)
    assert bot_messages(control).count("news") == 1
    assert client.find_message(room.id, "news", thread_ts=parent) == ts


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("threaded", [False, True])
def test_message_with_lost_response_is_found_in_busy_channel(
    *,
    client: Any,
    slack: SandboxServer,
    room: Any,
    control: SandboxClient,
    monkeypatch: pytest.MonkeyPatch,
    threaded: bool,
    when: str,
) -> None:
    """Slack limits some apps to 15 messages per page."""
    control.settings(history_limit=15)
    monkeypatch.setattr("airflow_incident_provider.slack.client.CLOCK_SKEW", timedelta())
    parent = client.post(room.id, message("parent"), key="parent")
    user_token = control.add_token("people", scopes=["chat:write"], value="xoxp-sandbox-user", user_id=ALICE)
    client.invite(room.id, [ALICE])
    from slack_sdk import WebClient

    user_client = WebClient(user_token, base_url=slack.slack_base_url)
    thread = {"thread_ts": parent} if threaded else {}
    for number in range(70):
        user_client.chat_postMessage(channel=room.id, text=f"message {number}", **thread)
    control.add_fault(Fault(method="chat.postMessage", drop=True, when=when))
    client.post(room.id, message("news"), key="news", **thread)
    assert bot_messages(control).count("news") == 1


def test_find_message_ignores_messages_of_other_apps(
    client: Any, slack: SandboxServer, room: Any, control: SandboxClient
) -> None:
    from slack_sdk import WebClient

    token = control.add_token("other", scopes=["chat:write", "channels:join"], user_id="U0DEPLOYBOT")
    other_app = WebClient(token, base_url=slack.slack_base_url)
    other_app.conversations_join(channel=room.id)
    metadata = {"event_type": "airflow_incident", "event_payload": {"key": "brief"}}
    other_app.chat_postMessage(channel=room.id, text="mine", metadata=metadata)
    assert client.find_message(room.id, "brief") is None


def test_find_message_ignores_messages_before_since(client: Any, room: Any) -> None:
    started = datetime.now(UTC)
    ts = client.post(room.id, message("brief"), key="brief")
    assert client.find_message(room.id, "brief", since=started) == ts
    assert client.find_message(room.id, "brief", since=datetime(2999, 1, 1, tzinfo=UTC)) is None


def test_post_is_retried_without_history_scopes(make_client: Callable[..., Any], control: SandboxClient) -> None:
    scopes = [scope for scope in SCOPES if "history" not in scope]
    slack = make_client(control.add_token("blind", scopes=scopes))
    room = slack.create_channel("inc-room", private=False)
    control.add_fault(Fault(method="chat.postMessage", drop=True))
    slack.post(room.id, message("brief"), key="brief")
    assert bot_messages(control) == ["brief"]


def test_post_raises_when_every_response_is_lost(client: Any, room: Any, control: SandboxClient) -> None:
    control.add_fault(Fault(method="chat.postMessage", drop=True, times=None))
    with pytest.raises(SlackUnavailableError) as exc_info:
        client.post(room.id, message("brief"), key="brief")
    assert exc_info.value.effect_possible
    assert bot_messages(control) == []


def test_update_replaces_text_and_keeps_key(client: Any, room: Any, control: SandboxClient) -> None:
    ts = client.post(room.id, message("one"), key="k")
    client.update(room.id, ts, message("two"), key="k")
    assert bot_messages(control) == ["two"]
    assert client.find_message(room.id, "k") == ts, "the key is kept"


def test_post_without_scope_raises_configuration_error(
    make_client: Callable[..., Any], control: SandboxClient
) -> None:
    slack = make_client(control.add_token("mute", scopes=["channels:manage"]))
    room = slack.create_channel("inc-room", private=False)
    with pytest.raises(SlackConfigurationError, match="chat:write"):
        slack.post(room.id, message("brief"), key="brief")


@pytest.mark.parametrize("created", [1_763_900_000_000_000, float("inf"), float("nan"), "today", None])
def test_channel_without_a_usable_time_is_read(created: object) -> None:
    assert Channel.from_slack({"id": "C1", "created": created}).created_at is None
