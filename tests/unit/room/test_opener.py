"""A step that is tried again in a room that changed meanwhile; and what a room says of what it does not know."""

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
def opening(app: Any, context: Callable[..., dict[str, Any]]) -> Callable[..., WarRoom]:
    """Open the room as one attempt of one task does: its ledger is that of the attempt before."""

    def attempt(incident: Incident = INCIDENT, promised_s: int | None = None, mode: Mode = Mode.LIVE) -> WarRoom:
        workspace = app.workspace.model_copy(update={"mode": mode})
        request = RoomRequest(
            snapshot=IncidentSnapshot(incident=incident, workspace=workspace, people=PEOPLE),
            deadline_s=promised_s,
            name=lambda nth: NAME if nth == 0 else f"{NAME}-{nth}",
        )
        return RoomOpener(app, request, Ledger(context())).open()

    return attempt


def our_messages(control: SandboxClient, channel: str = NAME) -> list[dict[str, Any]]:
    messages = control.channel(channel)["messages"]
    return [each for each in messages if each["user"] == BOT and each.get("subtype") is None]


# --- the room changed meanwhile ---------------------------------------------------------------------


def test_retry_repeats_nothing(opening: Callable[[], WarRoom], control: SandboxClient) -> None:
    first, second = opening(), opening()
    assert (first.brief_ts, first.channel_id) == (second.brief_ts, second.channel_id)
    assert len(our_messages(control)) == 1
    assert len(control.channel(NAME)["bookmarks"]) == len(LINKS)
    assert len(control.channel(NAME)["pins"]) == 1


def test_a_brief_that_was_deleted_is_posted_again(
    opening: Callable[[], WarRoom], app: Any, control: SandboxClient
) -> None:
    first = opening()
    app.hook.put("chat.delete", channel=first.channel_id, ts=first.brief_ts)
    second = opening()
    assert second.brief_ts != first.brief_ts
    assert [each["ts"] for each in our_messages(control)] == [second.brief_ts]
    assert control.channel(NAME)["pins"] == [second.brief_ts]
    assert second.problems == ()


def test_a_brief_that_was_deleted_is_posted_again_once(
    opening: Callable[[], WarRoom], app: Any, control: SandboxClient
) -> None:
    """The answer to the second brief is lost, and the attempt after that still finds it."""
    first = opening()
    app.hook.put("chat.delete", channel=first.channel_id, ts=first.brief_ts)
    control.add_fault(Fault(method="chat.postMessage", delay_ms=2300, when="after"))
    with pytest.raises(SlackUnavailableError):
        opening()
    second = opening()
    assert [each["ts"] for each in our_messages(control)] == [second.brief_ts]


def test_brief_is_found_behind_much_talk(
    opening: Callable[[], WarRoom],
    store: dict[str, Any],
    slack: SandboxServer,
    control: SandboxClient,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """By another run, an hour later, with as few messages a page as Slack grants to the most limited apps."""
    control.settings(history_limit=15)
    with monkeypatch.context() as earlier:
        earlier.setattr(slack.workspace, "clock", lambda: time.time() - 3600)
        earlier.setattr(slack.workspace, "_last_ts", 0)
        first = opening()
    talk(slack, control, messages=70)
    store.clear()
    assert opening().brief_ts == first.brief_ts
    assert len(our_messages(control)) == 1


def talk(slack: SandboxServer, control: SandboxClient, *, messages: int) -> None:
    from slack_sdk import WebClient

    person = WebClient(
        control.add_token("people", scopes=["chat:write"], value="xoxp-sandbox-talk", user_id=ALICE),
        base_url=slack.slack_base_url,
    )
    for number in range(messages):
        person.chat_postMessage(channel=control.channel(NAME)["id"], text=f"talk {number}")


def test_room_that_was_archived_gets_a_successor_with_a_brief(
    opening: Callable[[], WarRoom], app: Any, control: SandboxClient
) -> None:
    first = opening()
    app.archive(first.channel_id)
    second = opening()
    assert second.channel_id != first.channel_id
    assert [each["ts"] for each in our_messages(control, second.channel_name)] == [second.brief_ts]


def test_room_that_was_renamed_is_the_same_room(
    opening: Callable[[], WarRoom], app: Any, control: SandboxClient
) -> None:
    first = opening()
    app.hook.put("conversations.rename", channel=first.channel_id, name="inc-renamed")
    second = opening()
    assert (second.channel_id, second.channel_name) == (first.channel_id, "inc-renamed")
    assert len(our_messages(control, "inc-renamed")) == 1


@pytest.mark.parametrize("forgotten", [False, True])
@pytest.mark.parametrize("for_another_run", [False, True])
def test_a_reply_to_a_message_that_was_deleted_is_posted_into_the_channel_once(
    app: Any,
    context: Callable[..., dict[str, Any]],
    store: dict[str, Any],
    control: SandboxClient,
    *,
    for_another_run: bool,
    forgotten: bool,
) -> None:
    room = app.create_channel(NAME, private=False)
    brief = app.post(room.id, note_messages("the brief")[0], key="brief")
    app.hook.put("chat.delete", channel=room.id, ts=brief)
    for attempt in (1, 2):
        given = context()
        given["ti"].try_number = attempt
        poster = Poster(app, room.id, Ledger(given), for_another_run=for_another_run)
        poster.post(note_messages("a finding")[0], key="finding", thread_ts=brief)
        if forgotten:
            store.clear()
    [message] = our_messages(control)
    assert "a finding" in str(message["blocks"])


def test_a_message_that_was_deleted_is_posted_again_once(
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
    assert [each["ts"] for each in our_messages(control)] == [third]
    assert "three" in str(our_messages(control))


# --- what is said -----------------------------------------------------------------------------------

DOWN = {"status": 503, "times": None}
REFUSED = {"error": "restricted_action", "times": None}


@pytest.mark.parametrize(
    ("method", "sure", "unsure"),
    [
        ("conversations.setTopic", "the topic is not set", "the topic may not be set"),
        ("pins.add", "the brief is not pinned", "the brief may not be pinned"),
        ("bookmarks.add", "not all bookmarks are there", "some bookmarks may be missing"),
        (
            "conversations.setPurpose",
            "the room's description is not set",
            "the room's description may not be set",
        ),
        ("chat.update", "the brief is not up to date", "the brief may not be up to date"),
    ],
)
def test_what_is_not_known_is_not_said(
    *, opening: Callable[[], WarRoom], control: SandboxClient, method: str, sure: str, unsure: str
) -> None:
    """A refusal is certain; a Slack that does not answer may have done it."""
    control.add_fault(Fault(method=method, **DOWN))
    assert {problem.what for problem in opening().problems} == {unsure}
    control.reset()


@pytest.mark.parametrize(
    ("method", "sure"),
    [("conversations.setTopic", "the topic is not set"), ("pins.add", "the brief is not pinned")],
)
def test_what_was_refused_is_said(
    opening: Callable[[], WarRoom], control: SandboxClient, method: str, sure: str
) -> None:
    control.add_fault(Fault(method=method, **REFUSED))
    assert {problem.what for problem in opening().problems} == {sure}


def test_one_bookmark_that_fails_keeps_out_no_other(opening: Callable[[], WarRoom], control: SandboxClient) -> None:
    control.add_fault(Fault(method="bookmarks.add", error="invalid_link"))
    assert {problem.what for problem in opening().problems} == {"not all bookmarks are there"}
    assert len(control.channel(NAME)["bookmarks"]) == len(LINKS) - 1


def test_who_is_there_was_invited_whatever_the_answer(
    opening: Callable[[], WarRoom], control: SandboxClient
) -> None:
    """The invitation worked, and its answer and the first look were lost: who is in the room tells."""
    control.add_fault(Fault(method="conversations.invite", status=502, when="after"))
    control.add_fault(Fault(method="conversations.members", status=503, times=4))
    room = opening()
    assert [invitation.user.id for invitation in room.invited] == [ALICE]
    assert (room.not_invited, room.problems) == ((), ())


def test_nobody_is_said_to_be_invited_who_is_not(opening: Callable[[], WarRoom], control: SandboxClient) -> None:
    control.add_fault(Fault(method="conversations.invite", error="restricted_action"))
    room = opening()
    assert room.invited == ()
    assert [left_out.query for left_out in room.not_invited] == ["Alice Ng"]
    assert {problem.what for problem in room.problems} == {"nobody could be invited"}


@pytest.mark.parametrize(("promised_s", "late"), [(60, True), (3600, False), (None, False)])
def test_room_that_is_late_says_so(opening: Callable[..., WarRoom], promised_s: int | None, late: bool) -> None:
    received = datetime.now(UTC) - timedelta(minutes=10)
    room = opening(INCIDENT.model_copy(update={"received_at": received}), promised_s)
    assert [problem.what.startswith("the room is late: it opened 10 min") for problem in room.problems] == [
        True
    ] * late
    dry_run = opening(INCIDENT.model_copy(update={"received_at": received}), promised_s, Mode.DRY_RUN)
    assert ProblemCode.LATE_ROOM not in [problem.code for problem in dry_run.problems]
