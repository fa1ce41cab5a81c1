"""
Test the exact texts of a room.

The expected texts are in ``golden/``. Run with ``UPDATE_GOLDENS=1`` to update them, then review the diff.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from airflow_incident_provider.messages.blocks import Message, dry_run_text, plain_text
from airflow_incident_provider.messages.brief import BriefState, brief, brief_details
from airflow_incident_provider.messages.findings import findings_messages
from airflow_incident_provider.messages.people import unresolved_people
from airflow_incident_provider.messages.progress import StepProgress, StepState
from airflow_incident_provider.messages.summary import summary_message
from airflow_incident_provider.models import (
    IncidentSummary,
    Invitation,
    MatchMethod,
    Mode,
    NotInvited,
    Resolution,
    ResolutionOutcome,
    RunOutcome,
    StepReport,
    UserResolution,
    Verdict,
)

from .rooms import checkout_brief, checkout_findings, checkout_incident, checkout_summary, invitations, user

GOLDEN = Path(__file__).parent / "golden"


def failed_summary() -> IncidentSummary:
    return checkout_summary(RunOutcome.FAILED).model_copy(
        update={
            **{"room_url": None, "channel_name": None, "here": None, "known": (), "time_to_room_ms": None},
            "unknown": ("what the target answers (no probe ran)", "who is here (no room)"),
            "steps": (
                StepReport(task_id="create_war_room", state="failed"),
                StepReport(task_id="post_investigation_updates", state="upstream_failed"),
            ),
        }
    )


ROOMS: dict[str, list[Message]] = {
    "brief": [brief(checkout_brief())],
    "brief_before_the_room": [brief(BriefState(incident=checkout_incident(), pending=invitations()))],
    "brief_details": brief_details(checkout_brief()),
    "findings": findings_messages(checkout_findings()),
    "nothing_checked": findings_messages([]),
    "summary_complete": summary_message(checkout_summary(), checkout_incident()),
    "summary_degraded": summary_message(checkout_summary(RunOutcome.DEGRADED), checkout_incident()),
    "summary_failed": summary_message(failed_summary(), checkout_incident()),
    "summary_not_raised": summary_message(
        IncidentSummary(
            key=None, title="Checkout recovered", severity=None, outcome=RunOutcome.NOT_RAISED, mode=Mode.DRY_RUN
        )
    ),
}


@pytest.mark.parametrize("name", ROOMS)
def test_room_text_matches_golden_file(name: str) -> None:
    path = GOLDEN / f"{name}.txt"
    text = "\n\n".join(f"{plain_text(message)}\n-- fallback: {message.text}" for message in ROOMS[name]) + "\n"
    if os.environ.get("UPDATE_GOLDENS"):
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8")


def test_every_golden_file_is_used() -> None:
    assert {path.stem for path in GOLDEN.glob("*.txt")} == set(ROOMS)


def test_dry_run_text_starts_with_a_notice() -> None:
    text = dry_run_text(brief(checkout_brief()), "inc-1")
    assert text.startswith("DRY-RUN: would post to #inc-1\n🔴 CRITICAL: Checkout 5xx ratio above 2%\n")


def test_brief_uses_mentions_and_slack_dates() -> None:
    text = "\n".join(
        block["text"]["text"] for block in brief(checkout_brief()).blocks if block["type"] == "section"
    )
    assert "<@U00ALICE> <@U00JOSE> @sre-oncall" in text
    assert "09:35 <!date^1795426500^" in text


def test_summary_mentions_user_group_instead_of_its_members() -> None:
    group = [
        Invitation(
            user=user(f"U00G{n}", f"Oncall {n}"),
            query="@sre-oncall",
            method=MatchMethod.USERGROUP,
            group_id="S0SRE",
        )
        for n in range(60)
    ]
    alice = Invitation(user=user("U00ALICE", "Alice Ng"), query="alice@example.com", method=MatchMethod.EMAIL)
    [message] = summary_message(checkout_summary(), checkout_incident(), called=[*group, alice])
    text = "\n".join(block["text"]["text"] for block in message.blocks if block["type"] == "section")
    assert "For <!subteam^S0SRE> <@U00ALICE>\n" in text
    assert "For @sre-oncall @Alice Ng" in plain_text(message)


@pytest.mark.parametrize("group_id", ["", "here", "S1>", "S1|@x", "<!channel>", "s0sre"])
def test_invalid_user_group_id_is_not_mentioned(group_id: str) -> None:
    invitation = Invitation(
        user=user("U1", "A"), query="<!channel>", method=MatchMethod.USERGROUP, group_id=group_id
    )
    [message] = summary_message(checkout_summary(), checkout_incident(), called=[invitation])
    assert not any("<!channel" in str(block) or "<!subteam" in str(block) for block in message.blocks)


def test_image_that_slack_cannot_fetch_is_linked() -> None:
    state = checkout_brief().model_copy(update={"with_picture": False})
    message = brief(state)
    assert all("accessory" not in block for block in message.blocks)
    assert "Graph (https://dd.example.com/snapshot/1.png)" in plain_text(message)


def test_failed_step_is_shown() -> None:
    steps = (
        StepProgress(step="resolve_slack_users", state=StepState.FAILED, duration_ms=400),
        StepProgress(step="page_the_vendor", state=StepState.SKIPPED),
    )
    text = plain_text(brief(checkout_brief().model_copy(update={"steps": steps})))
    assert "⏳ people failed after 0.4 s" in text
    assert "page_the_vendor" not in text


def test_close_match_shows_the_query() -> None:
    invitation = Invitation(user=user("U00JON", "Jon Smith"), query="jon smiht", method=MatchMethod.FUZZY)
    text = plain_text(brief(checkout_brief().model_copy(update={"invited": (invitation,)})))
    assert '@Jon Smith (closest match for "jon smiht")' in text


def test_unresolved_people_are_listed_with_the_reason() -> None:
    john = user("U1", "John Smith")
    resolution = UserResolution(
        resolutions=(
            Resolution(query="a@example.com", outcome=ResolutionOutcome.RESOLVED, users=(user("U3", "Alice Ng"),)),
            Resolution(
                query="john", outcome=ResolutionOutcome.AMBIGUOUS, candidates=(john, user("U2", "John Doe"))
            ),
            Resolution(query="dave", outcome=ResolutionOutcome.NOT_FOUND, reason="Slack knows no such name"),
        )
    )
    assert unresolved_people(resolution) == (
        NotInvited(
            query="john",
            reason="more than one match",
            suggestion="John Smith or John Doe",
            suggested={"U1": "John Smith", "U2": "John Doe"},
        ),
        NotInvited(query="dave", reason="Slack knows no such name", suggestion=None),
    )


def test_query_with_invited_candidate_is_not_listed() -> None:
    alice, namesake = user("U1", "Alice Ng"), user("U2", "alice.ng")
    unresolved = Resolution(query="Alice Ng", outcome=ResolutionOutcome.AMBIGUOUS, candidates=(alice, namesake))
    group = Resolution(query="@payments-oncall", outcome=ResolutionOutcome.RESOLVED, users=(alice,))
    assert unresolved_people(UserResolution(resolutions=(group, unresolved))) == ()
    assert len(unresolved_people(UserResolution(resolutions=(unresolved,)))) == 1


def test_findings_of_one_probe_name_their_targets() -> None:
    passed = [finding for finding in checkout_findings() if finding.verdict is Verdict.OK][:1]
    second = passed[0].model_copy(update={"target": "other.example.com"})
    assert "✅ dns `other.example.com`: 2 addresses" in plain_text(findings_messages([*passed, second])[0])
