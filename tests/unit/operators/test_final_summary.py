"""The summary is posted once and reports only confirmed results when Slack fails."""

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
NO_PEOPLE = UserResolution()
OUTAGE: dict[str, Any] = {"status": 503, "times": None}


@pytest.fixture
def room(app: Any) -> WarRoom:
    """Create a room with a brief."""
    channel = app.create_channel(NAME, private=False)
    return WarRoom(
        mode=Mode.LIVE,
        channel_name=NAME,
        channel_id=channel.id,
        opened_at=NOW,
        brief_ts=app.post(channel.id, note_messages("the brief")[0], key="manual.4711/brief"),
    )


@pytest.fixture
def summarize(app: Any, room: WarRoom, context: Callable[..., dict[str, Any]]) -> Callable[..., IncidentSummary]:
    """Return a function that runs the task's first or last attempt."""

    def summarize(
        *,
        is_last: bool,
        opened_room: WarRoom = room,
        people: UserResolution = NO_PEOPLE,
        incident: Incident = INCIDENT,
    ) -> IncidentSummary:
        task_context = context(
            parse_incident_event=incident.to_xcom(),
            setup_slack_integration=app.workspace.to_xcom(),
            resolve_slack_users=people.to_xcom(),
            create_war_room=opened_room.to_xcom(),
        )
        task_context["ti"].max_tries = 0 if is_last else 3
        value = FinalSummaryOperator(task_id="final_summary").execute(task_context)
        return IncidentSummary.model_validate(value)

    return summarize


# --- late invitations --------------------------------------------------------------

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


@pytest.mark.parametrize("problem_text", PROBLEMS[ProblemCode.INVITATIONS])
def test_failed_invitations_are_retried(
    summarize: Callable[..., IncidentSummary], room: WarRoom, control: SandboxClient, problem_text: str
) -> None:
    summary = summarize(is_last=True, opened_room=with_failed_invitations(room, problem_text), people=PEOPLE)
    assert ALICE in control.channel(NAME)["members"]
    assert ([each.user.id for each in summary.invited_later], summary.invited, summary.here) == ([ALICE], 1, 1)
    assert (reported_problems(summary), summary.not_invited) == (set(), ())
    brief = json.dumps(control.channel(NAME)["messages"], ensure_ascii=False)
    assert f"*People* <@{ALICE}>" in brief or f" <@{ALICE}>" in brief
    assert problem_text not in brief


def test_repeated_invitation_failure_is_reported(
    summarize: Callable[..., IncidentSummary], room: WarRoom, control: SandboxClient
) -> None:
    control.add_fault(Fault(method="conversations.invite", error="ratelimited", headers={"Retry-After": "3600"}))
    summary = summarize(
        is_last=False, opened_room=with_failed_invitations(room, "nobody could be invited"), people=PEOPLE
    )
    assert ALICE not in control.channel(NAME)["members"]
    assert (summary.invited, summary.invited_later, summary.here) == (0, (), 0)
    assert reported_problems(summary) == {"nobody could be invited"}
    assert [each.query for each in summary.not_invited] == ["Alice Ng"]


def test_person_who_left_is_not_invited_again(
    summarize: Callable[..., IncidentSummary], room: WarRoom, control: SandboxClient
) -> None:
    summary = summarize(is_last=True, opened_room=room, people=PEOPLE)
    assert ALICE not in control.channel(NAME)["members"]
    assert summary.invited_later == ()


EMAIL = "alice.ng@acme.example"
RATE_LIMITED = Problem(step="resolve_slack_users", what="people could not be looked up", error="rate limited")


def with_failed_lookup(room: WarRoom, *queries: str) -> tuple[WarRoom, UserResolution]:
    """Return a room and a resolution in which the lookup of people was rate limited."""
    people = UserResolution(
        resolutions=tuple(
            Resolution(query=query, outcome=ResolutionOutcome.NOT_FOUND, reason="rate limited") for query in queries
        ),
        problems=(RATE_LIMITED,),
        unanswered=dict.fromkeys(queries, RATE_LIMITED),
    )
    missing = tuple(NotInvited(query=query, reason="rate limited") for query in queries)
    return room.model_copy(update={"not_invited": missing, "problems": (RATE_LIMITED,)}), people


def test_failed_lookups_are_retried_and_invited(
    summarize: Callable[..., IncidentSummary], room: WarRoom, control: SandboxClient
) -> None:
    opened_room, people = with_failed_lookup(room, EMAIL, "dave@acme.example")
    for is_last in (False, True):
        summary = summarize(is_last=is_last, opened_room=opened_room, people=people)
        assert ALICE in control.channel(NAME)["members"]
        assert [(each.user.id, each.query) for each in summary.invited_later] == [(ALICE, EMAIL)]
        assert (reported_problems(summary), summary.here) == (set(), 1)
        [dave] = summary.not_invited
        assert (dave.query, "no active member" in dave.reason) == ("dave@acme.example", True)
    assert len(control.calls("conversations.invite")) == 1


def test_repeated_lookup_failure_is_reported(
    summarize: Callable[..., IncidentSummary], room: WarRoom, control: SandboxClient
) -> None:
    control.add_fault(
        Fault(method="users.lookupByEmail", error="ratelimited", headers={"Retry-After": "3600"}, times=None)
    )
    opened_room, people = with_failed_lookup(room, EMAIL)
    summary = summarize(is_last=False, opened_room=opened_room, people=people)
    assert (summary.invited, summary.invited_later, summary.here) == (0, (), 0)
    assert [each.query for each in summary.not_invited] == [EMAIL]
    assert reported_problems(summary) == {"people by e-mail address could not be looked up"}


def test_failed_late_invitation_is_reported(
    summarize: Callable[..., IncidentSummary], room: WarRoom, control: SandboxClient
) -> None:
    control.add_fault(Fault(method="conversations.invite", error="cant_invite", times=None))
    opened_room, people = with_failed_lookup(room, EMAIL)
    summary = summarize(is_last=False, opened_room=opened_room, people=people)
    assert (summary.invited_later, reported_problems(summary)) == ((), set())
    [alice] = summary.not_invited
    assert (alice.query, alice.reason) == ("Alice Ng", PER_USER["cant_invite"])


@pytest.mark.parametrize("answer", [{}, {"errors": []}, {"errors": None, "channel": {"id": "C1"}}], ids=str)
@pytest.mark.parametrize("found", ["initially", "at the end"])
def test_silently_ignored_invitation_is_reported(
    summarize: Callable[..., IncidentSummary],
    room: WarRoom,
    control: SandboxClient,
    found: str,
    answer: dict[str, Any],
) -> None:
    """Cover people in the state "removed", for which Slack reports no error."""
    body = {"ok": True, **answer}
    control.add_fault(Fault(method="conversations.invite", status=200, body=body, times=None))
    opened_room, people = with_failed_lookup(room, EMAIL)
    if found == "initially":
        opened_room, people = with_failed_invitations(room, "nobody could be invited"), PEOPLE
    summary = summarize(is_last=False, opened_room=opened_room, people=people)
    assert (summary.invited_later, summary.here) == ((), 0)
    assert [each.query for each in summary.not_invited] == ["Alice Ng"]


def with_failed_invitations(room: WarRoom, problem_text: str) -> WarRoom:
    """Return the room after its invitations failed."""
    return room.model_copy(
        update={
            "problems": (Problem(step="create_war_room", what=problem_text, code=ProblemCode.INVITATIONS),),
            "not_invited": (NotInvited(query="Alice Ng", reason="Slack did not answer", user_id=ALICE),),
        }
    )


# --- messages and problems ------------------------------------------------------------------------


def posted_keys(control: SandboxClient) -> list[str]:
    """Return the keys of the app's messages after the brief."""
    messages = control.channel(NAME)["messages"]
    ours = [each for each in messages if each["user"] == BOT and each.get("subtype") is None]
    return [each["metadata"]["event_payload"]["key"].partition("/r/")[2] for each in ours[1:]]


def key_of(message: dict[str, Any]) -> str | None:
    return message.get("metadata", {}).get("event_payload", {}).get("key")


def reported_problems(summary: IncidentSummary) -> set[str]:
    return {problem.what for problem in summary.problems}


def test_retry_posts_nothing_again(summarize: Callable[..., IncidentSummary], control: SandboxClient) -> None:
    first, second = summarize(is_last=False), summarize(is_last=True)
    assert first.posted_ts == second.posted_ts
    assert posted_keys(control) == ["summary/0"]
    assert reported_problems(second) == set()


def test_brief_update_failure_is_reported_in_room(
    summarize: Callable[..., IncidentSummary], control: SandboxClient
) -> None:
    """Retry first; then post a separate message without reporting the summary as lost."""
    control.add_fault(Fault(method="chat.update", **OUTAGE))
    with pytest.raises(SlackUnavailableError):
        summarize(is_last=False)
    assert posted_keys(control) == ["summary/0"]
    summary = summarize(is_last=True)
    assert posted_keys(control) == ["summary/0", "summary/brief/0"]
    assert reported_problems(summary) == {
        "the brief may not be up to date",
        "the summary in the room may not be up to date",
    }
    assert summary.posted_ts is not None


@pytest.mark.parametrize("code", ["message_not_found", "edit_window_closed", "cant_update_message"])
def test_uneditable_brief_is_replaced(
    summarize: Callable[..., IncidentSummary], control: SandboxClient, code: str
) -> None:
    control.add_fault(Fault(method="chat.update", error=code))
    summary = summarize(is_last=False)
    assert reported_problems(summary) == set()
    briefs = [each for each in control.channel(NAME)["messages"] if key_of(each) == "manual.4711/brief"]
    assert len(briefs) == 2
    assert control.channel(NAME)["pins"] == [briefs[-1]["ts"]]
    summarize(is_last=True)
    briefs = [each for each in control.channel(NAME)["messages"] if key_of(each) == "manual.4711/brief"]
    assert len(briefs) == 2, "a retry must update an existing brief"


def test_brief_is_updated_without_unavailable_image(
    summarize: Callable[..., IncidentSummary], control: SandboxClient
) -> None:
    """Cover a failed image download, which must not leave the brief at "inviting"."""
    picture = INCIDENT.model_copy(update={"snapshot_url": "https://p.datadoghq.com/snapshot/1.png"})
    control.add_fault(Fault(method="chat.update", error="invalid_blocks"))
    summary = summarize(is_last=False, incident=picture)
    assert reported_problems(summary) == set()
    [brief] = [each for each in control.channel(NAME)["messages"] if key_of(each) == "manual.4711/brief"]
    assert "image" not in {block["type"] for block in brief["blocks"]}
    assert "Graph" in json.dumps(brief["blocks"])


@pytest.mark.parametrize("when", ["before", "after"])
def test_summary_with_unknown_post_result(
    summarize: Callable[..., IncidentSummary], control: SandboxClient, when: str
) -> None:
    """Cover a post with unknown result, after which Slack does not respond."""
    control.add_fault(Fault(method="chat.postMessage", when=when, **OUTAGE))
    control.add_fault(Fault(method="conversations.history", **OUTAGE))
    summary = summarize(is_last=True)
    assert reported_problems(summary) == {"it is not known whether the summary was posted in the room"}
    assert summary.posted_ts is None


def test_refused_summary_is_reported(summarize: Callable[..., IncidentSummary], control: SandboxClient) -> None:
    control.add_fault(Fault(method="chat.postMessage", error="is_archived", times=None))
    summary = summarize(is_last=False)
    assert reported_problems(summary) == {"the summary could not be posted in the room"}
    assert posted_keys(control) == []
