"""Test opening a room: retries in a room that has changed, and the problems that it reports."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from incident_sandbox import Fault, SandboxClient, SandboxServer

from airflow_incident_provider.exceptions import SlackUnavailableError
from airflow_incident_provider.messages.updates import note_messages
from airflow_incident_provider.models import (
    Incident,
    Link,
    LinkKind,
    MatchMethod,
    Mode,
    ProblemCode,
    Resolution,
    ResolutionOutcome,
    Severity,
    SlackUser,
    Source,
    UserResolution,
    WarRoom,
)
from airflow_incident_provider.room.opener import RoomOpener, RoomRequest
from airflow_incident_provider.room.posting import Ledger, Poster
from airflow_incident_provider.room.snapshot import IncidentSnapshot

ALICE, BOT, NAME = "U0ALICENG01", "U0WARROOM01", "inc-20261123-checkout-4711"
NOW = datetime(2026, 11, 23, 9, 35, tzinfo=UTC)
LINKS = tuple(
    Link(kind=kind, label=kind.value, url=f"https://dd.example.com/{kind.value}")
    for kind in (LinkKind.MONITOR, LinkKind.DASHBOARD, LinkKind.RUNBOOK)
)
INCIDENT = Incident(
    key="manual.4711",
    id="4711",
    source=Source.MANUAL,
    title="Checkout",
    severity=Severity.HIGH,
    occurred_at=NOW,
    received_at=NOW,
    links=LINKS,
)
PEOPLE = UserResolution(
    resolutions=(
        Resolution(
            query="alice.ng@acme.example",
            outcome=ResolutionOutcome.RESOLVED,
            method=MatchMethod.EMAIL,
            users=(SlackUser(id=ALICE, name="alice.ng", display_name="Alice Ng"),),
        ),
    )
)


@pytest.fixture
def open_room(app: Any, context: Callable[..., dict[str, Any]]) -> Callable[..., WarRoom]:
    """Return a function that opens the room like one attempt of a task; attempts share the ledger."""

    def attempt(incident: Incident = INCIDENT, deadline_s: int | None = None, mode: Mode = Mode.LIVE) -> WarRoom:
        workspace = app.workspace.model_copy(update={"mode": mode})
        request = RoomRequest(
            snapshot=IncidentSnapshot(incident=incident, workspace=workspace, people=PEOPLE),
            deadline_s=deadline_s,
            name=lambda nth: NAME if nth == 0 else f"{NAME}-{nth}",
        )
        return RoomOpener(app, request, Ledger(context())).open()

    return attempt


def bot_messages(control: SandboxClient, channel: str = NAME) -> list[dict[str, Any]]:
    messages = control.channel(channel)["messages"]
    return [message for message in messages if message["user"] == BOT and message.get("subtype") is None]


# --- retries ----------------------------------------------------------------------------------------


def test_retry_has_no_duplicate_effects(open_room: Callable[[], WarRoom], control: SandboxClient) -> None:
    first, second = open_room(), open_room()
    assert (first.brief_ts, first.channel_id) == (second.brief_ts, second.channel_id)
    assert len(bot_messages(control)) == 1
    assert len(control.channel(NAME)["bookmarks"]) == len(LINKS)
    assert len(control.channel(NAME)["pins"]) == 1


def test_deleted_brief_is_posted_again(open_room: Callable[[], WarRoom], app: Any, control: SandboxClient) -> None:
    first = open_room()
    app.hook.put("chat.delete", channel=first.channel_id, ts=first.brief_ts)
    second = open_room()
    assert second.brief_ts != first.brief_ts
    assert [message["ts"] for message in bot_messages(control)] == [second.brief_ts]
    assert control.channel(NAME)["pins"] == [second.brief_ts]
    assert second.problems == ()


def test_deleted_brief_is_reposted_once_after_lost_response(
    open_room: Callable[[], WarRoom], app: Any, control: SandboxClient
) -> None:
    """The response to the second brief is lost; the next attempt finds that brief."""
    first = open_room()
    app.hook.put("chat.delete", channel=first.channel_id, ts=first.brief_ts)
    control.add_fault(Fault(method="chat.postMessage", delay_ms=2300, when="after"))
    with pytest.raises(SlackUnavailableError):
        open_room()
    second = open_room()
    assert [message["ts"] for message in bot_messages(control)] == [second.brief_ts]


def test_brief_is_found_behind_many_messages(
    open_room: Callable[[], WarRoom],
    store: dict[str, Any],
    slack: SandboxServer,
    control: SandboxClient,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Another run searches an hour later; Slack limits some apps to 15 messages per page."""
    control.settings(history_limit=15)
    with monkeypatch.context() as patch:
        patch.setattr(slack.workspace, "clock", lambda: time.time() - 3600)
        patch.setattr(slack.workspace, "_last_ts", 0)
        first = open_room()
    post_as_user(slack, control, messages=70)
    store.clear()
    assert open_room().brief_ts == first.brief_ts
    assert len(bot_messages(control)) == 1


def post_as_user(slack: SandboxServer, control: SandboxClient, *, messages: int) -> None:
    from slack_sdk import WebClient

    user_client = WebClient(
        control.add_token("people", scopes=["chat:write"], value="xoxp-sandbox-user", user_id=ALICE),
        base_url=slack.slack_base_url,
    )
    for number in range(messages):
        user_client.chat_postMessage(channel=control.channel(NAME)["id"], text=f"message {number}")


def test_archived_room_is_replaced_by_a_new_room(
    open_room: Callable[[], WarRoom], app: Any, control: SandboxClient
) -> None:
    first = open_room()
    app.archive(first.channel_id)
    second = open_room()
    assert second.channel_id != first.channel_id
    assert [message["ts"] for message in bot_messages(control, second.channel_name)] == [second.brief_ts]


def test_renamed_room_is_reused(open_room: Callable[[], WarRoom], app: Any, control: SandboxClient) -> None:
    first = open_room()
    app.hook.put("conversations.rename", channel=first.channel_id, name="inc-renamed")
    second = open_room()
    assert (second.channel_id, second.channel_name) == (first.channel_id, "inc-renamed")
    assert len(bot_messages(control, "inc-renamed")) == 1


@pytest.mark.parametrize("state_lost", [False, True])
@pytest.mark.parametrize("for_another_run", [False, True])
def test_reply_to_deleted_message_is_posted_to_channel_once(
    app: Any,
    context: Callable[..., dict[str, Any]],
    store: dict[str, Any],
    control: SandboxClient,
    *,
    for_another_run: bool,
    state_lost: bool,
) -> None:
    room = app.create_channel(NAME, private=False)
    brief = app.post(room.id, note_messages("the brief")[0], key="brief")
    app.hook.put("chat.delete", channel=room.id, ts=brief)
    for attempt in (1, 2):
        task_context = context()
        task_context["ti"].try_number = attempt
        poster = Poster(app, room.id, Ledger(task_context), for_another_run=for_another_run)
        poster.post(note_messages("a finding")[0], key="finding", thread_ts=brief)
        if state_lost:
            store.clear()
    [message] = bot_messages(control)
    assert "a finding" in str(message["blocks"])


def test_deleted_message_is_posted_again_once(
    app: Any, context: Callable[..., dict[str, Any]], control: SandboxClient
) -> None:
    room = app.create_channel(NAME, private=False)

    def attempt(text: str) -> str:
        return Poster(app, room.id, Ledger(context())).post(note_messages(text)[0], key="k").ts

    first = attempt("one")
    app.hook.put("chat.delete", channel=room.id, ts=first)
    control.add_fault(Fault(method="chat.postMessage", delay_ms=2300, when="after"))
    with pytest.raises(SlackUnavailableError):
        attempt("two")
    third = attempt("three")
    assert [message["ts"] for message in bot_messages(control)] == [third]
    assert "three" in str(bot_messages(control))


# --- problems ---------------------------------------------------------------------------------------

UNAVAILABLE = {"status": 503, "times": None}
REFUSED = {"error": "restricted_action", "times": None}


@pytest.mark.parametrize(
    ("method", "text"),
    [
        ("conversations.setTopic", "the topic may not be set"),
        ("pins.add", "the brief may not be pinned"),
        ("bookmarks.add", "some bookmarks may be missing"),
        ("conversations.setPurpose", "the room's description may not be set"),
        ("chat.update", "the brief may not be up to date"),
    ],
)
def test_failed_call_with_unknown_effect_is_reported_as_uncertain(
    open_room: Callable[[], WarRoom], control: SandboxClient, method: str, text: str
) -> None:
    """A refusal is certain; a call without a response may have taken effect."""
    control.add_fault(Fault(method=method, **UNAVAILABLE))
    assert {problem.what for problem in open_room().problems} == {text}
    control.reset()


@pytest.mark.parametrize(
    ("method", "text"),
    [("conversations.setTopic", "the topic is not set"), ("pins.add", "the brief is not pinned")],
)
def test_refused_call_is_reported_as_certain(
    open_room: Callable[[], WarRoom], control: SandboxClient, method: str, text: str
) -> None:
    control.add_fault(Fault(method=method, **REFUSED))
    assert {problem.what for problem in open_room().problems} == {text}


def test_failed_bookmark_does_not_block_others(open_room: Callable[[], WarRoom], control: SandboxClient) -> None:
    control.add_fault(Fault(method="bookmarks.add", error="invalid_link"))
    assert {problem.what for problem in open_room().problems} == {"not all bookmarks are there"}
    assert len(control.channel(NAME)["bookmarks"]) == len(LINKS) - 1


def test_member_counts_as_invited_after_lost_response(
    open_room: Callable[[], WarRoom], control: SandboxClient
) -> None:
    """The invitation takes effect, but its response and the first lookup of the members are lost."""
    control.add_fault(Fault(method="conversations.invite", status=502, when="after"))
    control.add_fault(Fault(method="conversations.members", status=503, times=4))
    room = open_room()
    assert [invitation.user.id for invitation in room.invited] == [ALICE]
    assert (room.not_invited, room.problems) == ((), ())


def test_refused_invitation_is_reported(open_room: Callable[[], WarRoom], control: SandboxClient) -> None:
    control.add_fault(Fault(method="conversations.invite", error="restricted_action"))
    room = open_room()
    assert room.invited == ()
    assert [person.query for person in room.not_invited] == ["Alice Ng"]
    assert {problem.what for problem in room.problems} == {"nobody could be invited"}


@pytest.mark.parametrize(("deadline_s", "is_late"), [(60, True), (3600, False), (None, False)])
def test_late_room_is_reported(open_room: Callable[..., WarRoom], deadline_s: int | None, is_late: bool) -> None:
    received = datetime.now(UTC) - timedelta(minutes=10)
    room = open_room(INCIDENT.model_copy(update={"received_at": received}), deadline_s)
    assert [problem.what.startswith("the room is late: it opened 10 min") for problem in room.problems] == [
        True
    ] * is_late
    dry_run = open_room(INCIDENT.model_copy(update={"received_at": received}), deadline_s, Mode.DRY_RUN)
    assert ProblemCode.LATE_ROOM not in [problem.code for problem in dry_run.problems]


def test_an_archived_channel_of_another_tool_is_not_used(
    open_room: Callable[..., WarRoom], app: Any, control: SandboxClient, slack: SandboxServer
) -> None:
    own = app.create_channel("their-channel", private=True)
    slack.workspace.channels[own.id].archived = True
    room = open_room(INCIDENT.model_copy(update={"slack_channel_id": own.id}))
    assert room.channel_id != own.id
    assert [problem.code for problem in room.problems] == [ProblemCode.OWN_CHANNEL]
    assert len(bot_messages(control, room.channel_name)) == 1
