"""Test that messages with hostile texts fit Slack's limits and contain no injected markup."""

from __future__ import annotations

from collections.abc import Iterable

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airflow_incident_provider.messages.blocks import Message, dry_run_text
from airflow_incident_provider.messages.brief import BriefState, brief, brief_details
from airflow_incident_provider.messages.findings import findings_messages
from airflow_incident_provider.messages.summary import summary_message
from airflow_incident_provider.models import Finding, Incident, IncidentSummary, Verdict

from .hostile import brief_states, findings, incidents, keys, summaries
from .rooms import OCCURRED, checkout_brief
from .slack_rules import assert_no_injected_markup, assert_slack_accepts

hostile_settings = settings(
    max_examples=120,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example],
)


def assert_slack_accepts_all(messages: Iterable[Message]) -> None:
    for message in messages:
        assert_slack_accepts(message)
        assert_no_injected_markup(message)
        shown = dry_run_text(message, "inc-1")
        assert "\x1b" not in shown
        assert "\x00" not in shown


@hostile_settings
@given(brief_states)
def test_brief_and_details_are_accepted(state: BriefState) -> None:
    assert_slack_accepts_all([brief(state), *brief_details(state)])


@hostile_settings
@given(st.lists(findings, max_size=12), st.none() | keys)
def test_findings_are_accepted(findings_list: list[Finding], key: str | None) -> None:
    assert_slack_accepts_all(findings_messages(findings_list, key=key))


@hostile_settings
@given(summaries, st.none() | incidents)
def test_summary_is_accepted(summary: IncidentSummary, incident: Incident | None) -> None:
    assert_slack_accepts_all(summary_message(summary, incident))


def test_longest_brief_fits_one_message() -> None:
    """Every field exceeds its limit with characters that grow most when escaped."""
    state = checkout_brief()
    text = "&" * 5000
    incident = state.incident
    full = state.model_copy(
        update={
            "incident": incident.model_copy(
                update={
                    "title": text,
                    "description": "&\n" * 5000,
                    "env": text,
                    **dict.fromkeys(("services", "hosts", "teams"), (text,) * 9),
                    "metrics": (incident.metrics[0].model_copy(update={"metric": text, "threshold": text}),) * 9,
                    "links": tuple(link.model_copy(update={"label": text}) for link in incident.links) * 9,
                    "flags": tuple(f.model_copy(update={"field": text, "note": text}) for f in incident.flags) * 9,
                    "commander": text,
                    "snapshot_url": "https://dd.example.com/" + "a" * 900,
                }
            ),
            "invited": tuple(
                i.model_copy(update={"query": f"{text}{n}", "user": i.user.model_copy(update={"id": text})})
                for n in range(40)
                for i in state.invited
            ),
            "pending": state.invited * 40,
            "not_invited": tuple(p.model_copy(update={"query": text}) for p in state.not_invited) * 40,
            "problems": tuple(p.model_copy(update={"what": text, "error": text}) for p in state.problems) * 40,
            "steps": tuple(s.model_copy(update={"step": text}) for s in state.steps) * 9,
            "status": text,
            "interactive": True,
        }
    )
    assert_slack_accepts_all([brief(full), *brief_details(full)])


def test_every_finding_with_long_evidence_is_posted() -> None:
    """Split 400 findings, each with output, into many messages."""
    findings_list = [
        Finding(
            probe="http",
            target=f"host-{n}",
            verdict=Verdict.FAIL,
            summary=f"summary {n};",
            evidence=f"output {n};" + "x" * 500,
            started_at=OCCURRED,
        )
        for n in range(400)
    ]
    messages = findings_messages(findings_list, key="dd.1.c1")
    assert_slack_accepts_all(messages)
    assert all(message.blocks[0]["type"] != "actions" for message in messages), "buttons without their finding"
    whole = "\n".join(dry_run_text(message, "inc-1") for message in messages)
    assert len(messages) > 1
    assert all(f"summary {n};" in whole and f"output {n};" in whole for n in range(400))


def test_details_contain_what_the_brief_shortens() -> None:
    state = checkout_brief()
    not_invited = tuple(
        p.model_copy(update={"query": f"person {n};"}) for n in range(40) for p in state.not_invited[:1]
    )
    state = state.model_copy(update={"not_invited": not_invited})
    details = "\n".join(dry_run_text(message, "inc-1") for message in brief_details(state))
    assert "and 36 more, in the thread" in dry_run_text(brief(state), "inc-1")
    assert all(f"person {n};" in details for n in range(40))
