"""The summary is posted once, and neither it nor its value claims what is not so, whatever Slack does meanwhile."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from incident_sandbox import Fault, SandboxClient

from airflow_incident_provider.exceptions import SlackUnavailableError
from airflow_incident_provider.messages.updates import note_messages
from airflow_incident_provider.models import (
    Incident,
    IncidentSummary,
    MatchMethod,
    Mode,
    NotInvited,
    Problem,
    ProblemCode,
    Resolution,
    ResolutionOutcome,
    Severity,
    SlackUser,
    Source,
    UserResolution,
    WarRoom,
)
from airflow_incident_provider.operators.final_summary import FinalSummaryOperator
from airflow_incident_provider.room.opener import PROBLEMS
from airflow_incident_provider.slack.errors import PER_USER

NAME, BOT = "inc-20261123-checkout-4711", "U0WARROOM01"
NOW = datetime(2026, 11, 23, 9, 35, tzinfo=UTC)
INCIDENT = Incident(
    key="manual.4711",
    id="4711",
    source=Source.MANUAL,
    title="Checkout",
    severity=Severity.HIGH,
    occurred_at=NOW,
    received_at=NOW,
)
NOBODY = UserResolution()
DOWN: dict[str, Any] = {"status": 503, "times": None}


@pytest.fixture
def room(app: Any) -> WarRoom:
    """A room with a brief in it."""
    channel = app.create_channel(NAME, private=False)
    return WarRoom(
        mode=Mode.LIVE,
        channel_name=NAME,
        channel_id=channel.id,
        opened_at=NOW,
        brief_ts=app.post(channel.id, note_messages("the brief")[0], key="manual.4711/brief"),
    )


@pytest.fixture
def summarise(app: Any, room: WarRoom, context: Callable[..., dict[str, Any]]) -> Callable[..., IncidentSummary]:
    """Make the summary in the room, as the first or the last attempt of the task does."""

    def summarise(
        *, last: bool, opened: WarRoom = room, people: UserResolution = NOBODY, incident: Incident = INCIDENT
    ) -> IncidentSummary:
        given = context(
            parse_incident_event=incident.to_xcom(),
            setup_slack_integration=app.workspace.to_xcom(),
            resolve_slack_users=people.to_xcom(),
            create_war_room=opened.to_xcom(),
        )
        given["ti"].max_tries = 0 if last else 3
        value = FinalSummaryOperator(task_id="final_summary").execute(given)
        return IncidentSummary.model_validate(value)

    return summarise


# --- who could not be invited at first --------------------------------------------------------------

ALICE = "U0ALICENG01"
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


@pytest.mark.parametrize("what", PROBLEMS[ProblemCode.INVITATIONS])
def test_who_could_not_be_invited_is_invited_at_the_end(
    summarise: Callable[..., IncidentSummary], room: WarRoom, control: SandboxClient, what: str
) -> None:
    summary = summarise(last=True, opened=without_people(room, what), people=PEOPLE)
    assert ALICE in control.channel(NAME)["members"]
    assert ([each.user.id for each in summary.invited_later], summary.invited, summary.here) == ([ALICE], 1, 1)
    assert (reported(summary), summary.not_invited) == (set(), ())
    brief = json.dumps(control.channel(NAME)["messages"], ensure_ascii=False)
    assert f"*People* <@{ALICE}>" in brief or f" <@{ALICE}>" in brief
    assert what not in brief


def test_a_person_who_still_cannot_be_invited_stays_reported(
    summarise: Callable[..., IncidentSummary], room: WarRoom, control: SandboxClient
) -> None:
    control.add_fault(Fault(method="conversations.invite", error="ratelimited", headers={"Retry-After": "3600"}))
    summary = summarise(last=False, opened=without_people(room, "nobody could be invited"), people=PEOPLE)
    assert ALICE not in control.channel(NAME)["members"]
    assert (summary.invited, summary.invited_later, summary.here) == (0, (), 0)
    assert reported(summary) == {"nobody could be invited"}
    assert [each.query for each in summary.not_invited] == ["Alice Ng"]


def test_who_has_left_is_not_invited_again(
    summarise: Callable[..., IncidentSummary], room: WarRoom, control: SandboxClient
) -> None:
    summary = summarise(last=True, opened=room, people=PEOPLE)
    assert ALICE not in control.channel(NAME)["members"]
    assert summary.invited_later == ()


EMAIL = "alice.ng@acme.example"
RATE_LIMITED = Problem(step="resolve_slack_users", what="people could not be looked up", error="rate limited")


def unanswered(room: WarRoom, *queries: str) -> tuple[WarRoom, UserResolution]:
    """Return the room as it is opened when Slack did not say who these are, and what was known of them."""
    people = UserResolution(
        resolutions=tuple(
            Resolution(query=query, outcome=ResolutionOutcome.NOT_FOUND, reason="rate limited") for query in queries
        ),
        problems=(RATE_LIMITED,),
        unanswered=dict.fromkeys(queries, RATE_LIMITED),
    )
    missing = tuple(NotInvited(query=query, reason="rate limited") for query in queries)
    return room.model_copy(update={"not_invited": missing, "problems": (RATE_LIMITED,)}), people


def test_a_person_slack_did_not_return_at_first_is_invited_at_the_end(
    summarise: Callable[..., IncidentSummary], room: WarRoom, control: SandboxClient
) -> None:
    opened, people = unanswered(room, EMAIL, "dave@acme.example")
    for last in (False, True):
        summary = summarise(last=last, opened=opened, people=people)
        assert ALICE in control.channel(NAME)["members"]
        assert [(each.user.id, each.query) for each in summary.invited_later] == [(ALICE, EMAIL)]
        assert (reported(summary), summary.here) == (set(), 1)
        [dave] = summary.not_invited
        assert (dave.query, "no active member" in dave.reason) == ("dave@acme.example", True)
    assert len(control.calls("conversations.invite")) == 1


def test_a_person_slack_still_does_not_return_stays_reported(
    summarise: Callable[..., IncidentSummary], room: WarRoom, control: SandboxClient
) -> None:
    control.add_fault(
        Fault(method="users.lookupByEmail", error="ratelimited", headers={"Retry-After": "3600"}, times=None)
    )
    opened, people = unanswered(room, EMAIL)
    summary = summarise(last=False, opened=opened, people=people)
    assert (summary.invited, summary.invited_later, summary.here) == (0, (), 0)
    assert [each.query for each in summary.not_invited] == [EMAIL]
    assert reported(summary) == {"people by e-mail address could not be looked up"}


def test_a_person_found_at_the_end_who_cannot_be_invited_is_reported(
    summarise: Callable[..., IncidentSummary], room: WarRoom, control: SandboxClient
) -> None:
    control.add_fault(Fault(method="conversations.invite", error="cant_invite", times=None))
    opened, people = unanswered(room, EMAIL)
    summary = summarise(last=False, opened=opened, people=people)
    assert (summary.invited_later, reported(summary)) == ((), set())
    [alice] = summary.not_invited
    assert (alice.query, alice.reason) == ("Alice Ng", PER_USER["cant_invite"])


@pytest.mark.parametrize("answer", [{}, {"errors": []}, {"errors": None, "channel": {"id": "C1"}}], ids=str)
@pytest.mark.parametrize("found", ["at once", "at the end"])
def test_a_person_whom_slack_silently_does_not_add_is_not_called_invited(
    summarise: Callable[..., IncidentSummary],
    room: WarRoom,
    control: SandboxClient,
    found: str,
    answer: dict[str, Any],
) -> None:
    """Slack reports nothing of people in the state "removed"."""
    body = {"ok": True, **answer}
    control.add_fault(Fault(method="conversations.invite", status=200, body=body, times=None))
    opened, people = unanswered(room, EMAIL)
    if found == "at once":
        opened, people = without_people(room, "nobody could be invited"), PEOPLE
    summary = summarise(last=False, opened=opened, people=people)
    assert (summary.invited_later, summary.here) == ((), 0)
    assert [each.query for each in summary.not_invited] == ["Alice Ng"]


def without_people(room: WarRoom, what: str) -> WarRoom:
    """Return the room as it is left when Slack could not take the invitations."""
    return room.model_copy(
        update={
            "problems": (Problem(step="create_war_room", what=what, code=ProblemCode.INVITATIONS),),
            "not_invited": (NotInvited(query="Alice Ng", reason="Slack did not answer", user_id=ALICE),),
        }
    )


# --- what is posted and reported ------------------------------------------------------------------------


def posted(control: SandboxClient) -> list[str]:
    """Return the keys of what we posted after the brief."""
    messages = control.channel(NAME)["messages"]
    ours = [each for each in messages if each["user"] == BOT and each.get("subtype") is None]
    return [each["metadata"]["event_payload"]["key"].partition("/r/")[2] for each in ours[1:]]


def key_of(message: dict[str, Any]) -> str | None:
    return message.get("metadata", {}).get("event_payload", {}).get("key")


def reported(summary: IncidentSummary) -> set[str]:
    return {problem.what for problem in summary.problems}


def test_retry_repeats_nothing(summarise: Callable[..., IncidentSummary], control: SandboxClient) -> None:
    first, second = summarise(last=False), summarise(last=True)
    assert first.posted_ts == second.posted_ts
    assert posted(control) == ["summary/0"]
    assert reported(second) == set()


def test_a_brief_that_cannot_be_finished_is_reported_in_the_room(
    summarise: Callable[..., IncidentSummary], control: SandboxClient
) -> None:
    """It is tried again first; then it is said in a message of its own, and the summary is not said to be lost."""
    control.add_fault(Fault(method="chat.update", **DOWN))
    with pytest.raises(SlackUnavailableError):
        summarise(last=False)
    assert posted(control) == ["summary/0"]
    summary = summarise(last=True)
    assert posted(control) == ["summary/0", "summary/brief/0"]
    assert reported(summary) == {
        "the brief may not be up to date",
        "the summary in the room may not be up to date",
    }
    assert summary.posted_ts is not None


@pytest.mark.parametrize("code", ["message_not_found", "edit_window_closed", "cant_update_message"])
def test_brief_that_cannot_be_edited_is_replaced(
    summarise: Callable[..., IncidentSummary], control: SandboxClient, code: str
) -> None:
    control.add_fault(Fault(method="chat.update", error=code))
    summary = summarise(last=False)
    assert reported(summary) == set()
    briefs = [each for each in control.channel(NAME)["messages"] if key_of(each) == "manual.4711/brief"]
    assert len(briefs) == 2
    assert control.channel(NAME)["pins"] == [briefs[-1]["ts"]]
    summarise(last=True)
    briefs = [each for each in control.channel(NAME)["messages"] if key_of(each) == "manual.4711/brief"]
    assert len(briefs) == 2, "a later attempt updates one of them"


def test_brief_whose_image_slack_cannot_fetch_is_updated_without_it(
    summarise: Callable[..., IncidentSummary], control: SandboxClient
) -> None:
    """The brief must not say "inviting" for good because Slack's download of a picture fails now."""
    picture = INCIDENT.model_copy(update={"snapshot_url": "https://p.datadoghq.com/snapshot/1.png"})
    control.add_fault(Fault(method="chat.update", error="invalid_blocks"))
    summary = summarise(last=False, incident=picture)
    assert reported(summary) == set()
    [brief] = [each for each in control.channel(NAME)["messages"] if key_of(each) == "manual.4711/brief"]
    assert "image" not in {block["type"] for block in brief["blocks"]}
    assert "Graph" in json.dumps(brief["blocks"])


@pytest.mark.parametrize("when", ["before", "after"])
def test_summary_of_which_nothing_is_known(
    summarise: Callable[..., IncidentSummary], control: SandboxClient, when: str
) -> None:
    """Slack takes it, perhaps, and then answers nothing more: no statement would be safe."""
    control.add_fault(Fault(method="chat.postMessage", when=when, **DOWN))
    control.add_fault(Fault(method="conversations.history", **DOWN))
    summary = summarise(last=True)
    assert reported(summary) == {"it is not known whether the summary was posted in the room"}
    assert summary.posted_ts is None


def test_summary_that_was_refused(summarise: Callable[..., IncidentSummary], control: SandboxClient) -> None:
    control.add_fault(Fault(method="chat.postMessage", error="is_archived", times=None))
    summary = summarise(last=False)
    assert reported(summary) == {"the summary could not be posted in the room"}
    assert posted(control) == []
