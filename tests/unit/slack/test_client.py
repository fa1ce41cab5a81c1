"""The live client against a Slack that answers over HTTP: channels, invitations and messages."""

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
from airflow_incident_provider.slack.protocol import ChannelNameTakenError

ALICE, PRIYA, JOSE = "U0ALICENG01", "U0PRIYAIYER", "U0JOSEGARC1"
GONE, LOCKED, ELSEWHERE, BOT = "U0DAVEGONE1", "U0GUESTLOCK", "U0GUESTSCG1", "U0WARROOM01"


@pytest.fixture
def live(connect: Callable[..., Any]) -> Callable[..., Any]:
    """Return the workspace as an app with these scopes has it, by default with all of them."""

    def live(token: str | None = None) -> Any:
        from airflow_incident_provider.slack.client import LiveSlackClient
        from airflow_incident_provider.slack.hook import IncidentSlackHook

        connect(token)
        return LiveSlackClient(IncidentSlackHook())

    return live


@pytest.fixture
def workspace(live: Callable[..., Any]) -> Any:
    return live()


@pytest.fixture
def room(workspace: Any) -> Any:
    return workspace.create_channel("inc-room", private=False)


def message(text: str) -> Message:
    return Message(text, ({"type": "section", "text": {"type": "mrkdwn", "text": text}},))


def members(control: SandboxClient, name: str = "inc-room") -> set[str]:
    return set(control.channel(name)["members"])


def said(control: SandboxClient, name: str = "inc-room") -> list[str]:
    """What the app itself posted, in the channel and in its threads."""
    top = control.channel(name)["messages"]
    everything = [*top, *(reply for each in top for reply in each["replies"])]
    return [each["text"] for each in everything if each.get("subtype") is None and each["user"] == BOT]


# --- who we are -------------------------------------------------------------------------------------


def test_identity_of_the_app(workspace: Any, slack: SandboxServer) -> None:
    known = workspace.workspace
    assert (known.mode, known.team, known.bot_user_id) == (Mode.LIVE, "Acme Retail", BOT)
    assert known.scopes_missing == ()
    assert slack.token not in known.model_dump_json()


@pytest.mark.parametrize("absent", sorted(SCOPES))
def test_missing_scope_is_reported_with_its_cost(
    live: Callable[..., Any], control: SandboxClient, absent: str
) -> None:
    token = control.add_token("less", scopes=[scope for scope in SCOPES if scope != absent])
    [missing] = live(token).workspace.scopes_missing
    assert (missing.scope, missing.costs) == (absent, SCOPES[absent])


# --- channels ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("private", [False, True])
def test_created_channel_is_found_again(workspace: Any, private: bool) -> None:
    made = workspace.create_channel("inc-room", private=private)
    found = workspace.find_channel("inc-room")
    assert (found.id, found.private, found.creator) == (made.id, private, BOT)


def test_taken_name_has_an_error_of_its_own(workspace: Any) -> None:
    with pytest.raises(ChannelNameTakenError):
        workspace.create_channel("general", private=False)
    assert workspace.find_channel("general") is None, "the bot is not in it"


def test_channel_is_found_behind_many(workspace: Any, control: SandboxClient) -> None:
    for number in range(230):
        control.add_channel(f"inc-{number}", creator=BOT, members=[BOT])
    control.settings(short_pages=True)
    assert workspace.find_channel("inc-229").name == "inc-229"


@pytest.mark.parametrize(("absent", "private"), [("groups:read", False), ("channels:read", True)])
def test_channel_is_found_with_the_scope_for_its_kind_alone(
    live: Callable[..., Any], control: SandboxClient, absent: str, private: bool
) -> None:
    """An app that may read public channels alone still finds a public room again."""
    slack = live(control.add_token("less", scopes=[scope for scope in SCOPES if scope != absent]))
    slack.create_channel("inc-room", private=private)
    assert slack.find_channel("inc-room") is not None


ODD_VALUES: list[Any] = [None, "x", 7, {"a": 1}, [], [None, 3, {"id": "U1"}]]


@pytest.mark.parametrize("value", ODD_VALUES)
def test_a_response_that_names_no_members_does_not_say_that_the_room_is_empty(
    workspace: Any, room: Any, control: SandboxClient, value: Any
) -> None:
    body = {"ok": True, "members": value}
    control.add_fault(Fault(method="conversations.members", status=200, body=body, times=None))
    with pytest.raises(SlackUnavailableError, match="has no members"):
        workspace.member_ids(room.id)


@pytest.mark.parametrize("value", ODD_VALUES)
def test_a_permalink_and_bookmarks_that_are_none_are_none(
    workspace: Any, room: Any, control: SandboxClient, value: Any
) -> None:
    for method, field in (("chat.getPermalink", "permalink"), ("bookmarks.list", "bookmarks")):
        control.add_fault(Fault(method=method, status=200, body={"ok": True, field: value}, times=None))
    assert workspace.permalink(room.id, "1.2") == (value if isinstance(value, str) else None)
    assert workspace.bookmarks(room.id) <= {""}


@pytest.mark.parametrize("value", [*ODD_VALUES, [{"user": ["U0ALICENG01"], "error": 5}]])
def test_errors_of_an_odd_shape_name_nobody(workspace: Any, room: Any, control: SandboxClient, value: Any) -> None:
    body = {"ok": False, "error": "a_code_nobody_documented", "errors": value}
    control.add_fault(Fault(method="conversations.invite", status=200, body=body, times=None))
    assert workspace.invite(room.id, ["U0ALICENG01"]) == {"U0ALICENG01": "a_code_nobody_documented"}


def test_a_cursor_that_repeats_ends_the_list(workspace: Any, room: Any, control: SandboxClient) -> None:
    body = {"ok": True, "members": ["U1"], "response_metadata": {"next_cursor": "again"}}
    control.add_fault(Fault(method="conversations.members", status=200, body=body, times=None))
    assert workspace.member_ids(room.id) == {"U1"}
    assert len([call for call in control.calls() if call["method"] == "conversations.members"]) == 2


def test_topic_comes_back_as_it_was_set(workspace: Any, room: Any) -> None:
    workspace.set_topic(room.id, "a < b & c > d")
    workspace.set_purpose(room.id, "<!channel> & co")
    found = workspace.channel(room.id)
    assert (found.topic, found.purpose) == ("a < b & c > d", "<!channel> & co")


def test_pinning_twice_is_fine(workspace: Any, room: Any, control: SandboxClient) -> None:
    ts = workspace.post(room.id, message("brief"), key="k")
    workspace.pin(room.id, ts)
    workspace.pin(room.id, ts)
    assert control.channel("inc-room")["pins"] == [ts]


# --- invitations ------------------------------------------------------------------------------------


@pytest.mark.parametrize("forced_ok", [True, False], ids=["answers ok", "answers an error"])
@pytest.mark.parametrize("culprit", [GONE, LOCKED, ELSEWHERE, "U0NOBODY001", "U0STRANGER1", "USLACKBOT"])
def test_one_who_cannot_come_keeps_nobody_out(
    workspace: Any, room: Any, control: SandboxClient, culprit: str, forced_ok: bool
) -> None:
    """Slack's reference does not say what a forced invitation with some bad ids answers: both are understood."""
    control.settings(forced_invite_ok=forced_ok)
    failures = workspace.invite(room.id, [ALICE, culprit, PRIYA])
    assert set(failures) == {culprit}
    assert members(control) == {BOT, ALICE, PRIYA}


def test_refusal_that_names_somebody_and_invites_nobody(workspace: Any, room: Any, control: SandboxClient) -> None:
    """What Slack does without ``force``, and perhaps with it: the others are invited all the same."""
    errors = [{"user": GONE, "ok": False, "error": "user_disabled"}]
    control.add_fault(Fault(method="conversations.invite", error="user_disabled", fields={"errors": errors}))
    assert workspace.invite(room.id, [ALICE, GONE, PRIYA]) == {GONE: "user_disabled"}
    assert members(control) == {BOT, ALICE, PRIYA}


def test_refusal_that_names_nobody(workspace: Any, room: Any, control: SandboxClient) -> None:
    control.add_fault(Fault(method="conversations.invite", error="user_not_found"))
    assert workspace.invite(room.id, [ALICE, "U0NOBODY001", PRIYA]) == {"U0NOBODY001": "user_not_found"}
    assert members(control) == {BOT, ALICE, PRIYA}


@pytest.mark.parametrize("forced_ok", [True, False])
def test_being_there_is_no_failure(workspace: Any, room: Any, control: SandboxClient, forced_ok: bool) -> None:
    control.settings(forced_invite_ok=forced_ok)
    workspace.invite(room.id, [ALICE])
    assert workspace.invite(room.id, [BOT, ALICE, PRIYA]) == {}
    assert members(control) == {BOT, ALICE, PRIYA}


@pytest.mark.parametrize("limit", [100, 30, 1])
def test_many_are_invited_whatever_the_limit(workspace: Any, room: Any, control: SandboxClient, limit: int) -> None:
    """Slack's reference has said 30, 100 and 1000."""
    control.settings(invite_limit=limit)
    crowd = [f"U2{number:09d}" for number in range(130 if limit > 1 else 7)]
    control.add_members(people=[{"id": user_id, "username": user_id.lower()} for user_id in crowd])
    assert workspace.invite(room.id, crowd) == {}
    assert members(control) == {BOT, *crowd}


@pytest.mark.parametrize("when", ["before", "after"])
def test_invitation_whose_answer_was_lost(workspace: Any, room: Any, control: SandboxClient, when: str) -> None:
    """The members of the room show whether it happened; only the others are invited again."""
    control.add_fault(Fault(method="conversations.invite", drop=True, when=when))
    assert workspace.invite(room.id, [ALICE, PRIYA]) == {}
    assert members(control) == {BOT, ALICE, PRIYA}
    assert len(control.calls("conversations.invite")) == (2 if when == "before" else 1)


# --- messages ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("trouble", [{"drop": True}, {"status": 502, "body": "<html>"}, {"error": "fatal_error"}])
@pytest.mark.parametrize("threaded", [False, True])
def test_message_is_posted_once_when_its_answer_is_lost(
    *, workspace: Any, room: Any, control: SandboxClient, trouble: dict[str, Any], when: str, threaded: bool
) -> None:
    parent = workspace.post(room.id, message("parent"), key="parent") if threaded else None
    control.add_fault(Fault(method="chat.postMessage", when=when, **trouble))
    ts = workspace.post(room.id, message("news"), key="news", thread_ts=parent)
    assert said(control).count("news") == 1
    assert workspace.find_message(room.id, "news", thread_ts=parent) == ts


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("threaded", [False, True])
def test_message_is_found_in_a_talkative_room(
    *,
    workspace: Any,
    slack: SandboxServer,
    room: Any,
    control: SandboxClient,
    monkeypatch: pytest.MonkeyPatch,
    threaded: bool,
    when: str,
) -> None:
    """With 15 messages a page, which is what Slack grants to the most limited apps, and a long thread before it."""
    control.settings(history_limit=15)
    monkeypatch.setattr("airflow_incident_provider.slack.client.CLOCK_SKEW", timedelta())
    parent = workspace.post(room.id, message("parent"), key="parent")
    chatter = control.add_token("people", scopes=["chat:write"], value="xoxp-sandbox-talk", user_id=ALICE)
    workspace.invite(room.id, [ALICE])
    from slack_sdk import WebClient

    person = WebClient(chatter, base_url=slack.slack_base_url)
    thread = {"thread_ts": parent} if threaded else {}
    for number in range(70):
        person.chat_postMessage(channel=room.id, text=f"talk {number}", **thread)
    control.add_fault(Fault(method="chat.postMessage", drop=True, when=when))
    workspace.post(room.id, message("news"), key="news", **thread)
    assert said(control).count("news") == 1


def test_somebody_elses_message_with_our_key_is_not_ours(
    workspace: Any, slack: SandboxServer, room: Any, control: SandboxClient
) -> None:
    from slack_sdk import WebClient

    token = control.add_token("other", scopes=["chat:write", "channels:join"], user_id="U0DEPLOYBOT")
    other_app = WebClient(token, base_url=slack.slack_base_url)
    other_app.conversations_join(channel=room.id)
    metadata = {"event_type": "airflow_incident", "event_payload": {"key": "brief"}}
    other_app.chat_postMessage(channel=room.id, text="mine", metadata=metadata)
    assert workspace.find_message(room.id, "brief") is None


def test_only_what_is_new_enough_is_looked_at(workspace: Any, room: Any) -> None:
    began = datetime.now(UTC)
    ts = workspace.post(room.id, message("brief"), key="brief")
    assert workspace.find_message(room.id, "brief", since=began) == ts
    assert workspace.find_message(room.id, "brief", since=datetime(2999, 1, 1, tzinfo=UTC)) is None


def test_app_that_may_not_look_posts_rather_than_keeps_silent(
    live: Callable[..., Any], control: SandboxClient
) -> None:
    scopes = [scope for scope in SCOPES if "history" not in scope]
    slack = live(control.add_token("blind", scopes=scopes))
    room = slack.create_channel("inc-room", private=False)
    control.add_fault(Fault(method="chat.postMessage", drop=True))
    slack.post(room.id, message("brief"), key="brief")
    assert said(control) == ["brief"]


def test_post_gives_up_when_every_answer_is_lost(workspace: Any, room: Any, control: SandboxClient) -> None:
    control.add_fault(Fault(method="chat.postMessage", drop=True, times=None))
    with pytest.raises(SlackUnavailableError) as caught:
        workspace.post(room.id, message("brief"), key="brief")
    assert caught.value.effect_possible
    assert said(control) == []


def test_update_replaces_the_text(workspace: Any, room: Any, control: SandboxClient) -> None:
    ts = workspace.post(room.id, message("one"), key="k")
    workspace.update(room.id, ts, message("two"), key="k")
    assert said(control) == ["two"]
    assert workspace.find_message(room.id, "k") == ts, "the key outlives an update"


def test_what_the_app_may_not_do_is_fatal(live: Callable[..., Any], control: SandboxClient) -> None:
    slack = live(control.add_token("mute", scopes=["channels:manage"]))
    room = slack.create_channel("inc-room", private=False)
    with pytest.raises(SlackConfigurationError, match="chat:write"):
        slack.post(room.id, message("brief"), key="brief")
