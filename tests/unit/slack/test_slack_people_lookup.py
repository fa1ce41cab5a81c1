"""People looked up in a workspace that answers over HTTP: what is asked, how often, and what is said of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from incident_sandbox import Fault, SandboxClient

from airflow_incident_provider.exceptions import SlackUnavailableError
from airflow_incident_provider.models import MatchMethod, ResolutionOutcome, UserResolution
from airflow_incident_provider.slack.access import SCOPES

Resolve = Callable[..., UserResolution]

EVERYBODY = (
    ("alice.ng@acme.example", ResolutionOutcome.RESOLVED, MatchMethod.EMAIL),
    ("ALICE.NG@acme.example", ResolutionOutcome.RESOLVED, MatchMethod.EMAIL),
    ("U0ALICENG01", ResolutionOutcome.RESOLVED, MatchMethod.ID),
    ("W0TOMASZ001", ResolutionOutcome.RESOLVED, MatchMethod.ID),
    ("José García", ResolutionOutcome.RESOLVED, MatchMethod.DISPLAY_NAME),
    ("@sre-oncall", ResolutionOutcome.RESOLVED, MatchMethod.USERGROUP),
    ("priya", ResolutionOutcome.RESOLVED, MatchMethod.USERNAME),
    ("Chris", ResolutionOutcome.AMBIGUOUS, None),
    ("jon smiht", ResolutionOutcome.NOT_FOUND, None),
    ("dave@acme.example", ResolutionOutcome.DEACTIVATED, None),
    ("@mainframe-oncall", ResolutionOutcome.NOT_FOUND, None),
    ("nobody@acme.example", ResolutionOutcome.NOT_FOUND, None),
    ("", ResolutionOutcome.NOT_FOUND, None),
    ("<!channel>", ResolutionOutcome.NOT_FOUND, None),
)


@pytest.fixture
def resolve(connect: Callable[..., Any], tmp_path: Path) -> Resolve:
    """Resolve queries with an app that has these scopes, by default all."""

    def run(*queries: str, token: str | None = None, private: bool = False, wait: bool = True) -> UserResolution:
        from airflow_incident_provider.people.resolver import resolve
        from airflow_incident_provider.slack.client import LiveSlackClient
        from airflow_incident_provider.slack.directory_cache import DirectoryCache
        from airflow_incident_provider.slack.hook import IncidentSlackHook
        from airflow_incident_provider.slack.people import SlackPeople

        connect(token)
        with SlackPeople(LiveSlackClient(IncidentSlackHook()), DirectoryCache(tmp_path)) as people:
            people.prefetch(queries)
            return resolve(queries, people, private=private, should_wait=lambda _: wait)

    return run


def without(control: SandboxClient, *absent: str) -> str:
    return control.add_token("less", scopes=[scope for scope in SCOPES if scope not in absent])


def test_every_query_ends_in_exactly_one_outcome(resolve: Resolve) -> None:
    found = resolve(*(query for query, _, _ in EVERYBODY)).resolutions
    assert [(each.query, each.outcome) for each in found] == [(query, outcome) for query, outcome, _ in EVERYBODY]
    methods = {query: method for query, _, method in EVERYBODY if method is not None}
    assert {each.query: each.method for each in found if each.query in methods} == methods
    assert all(each.reason or each.candidates for each in found if each.outcome is not ResolutionOutcome.RESOLVED)


def test_near_namesake_is_suggested_and_not_resolved(resolve: Resolve) -> None:
    [mistyped] = resolve("jon smiht").resolutions
    assert not mistyped.users
    assert "Jon Smith" in {candidate.label for candidate in mistyped.candidates}


def test_one_person_is_asked_for_once(resolve: Resolve, control: SandboxClient) -> None:
    resolve("alice.ng@acme.example", "Alice.Ng@acme.example", "José García", "Priya Iyer")
    assert len(control.calls("users.lookupByEmail")) == 1
    assert len(control.calls("users.list")) == 1


def test_email_costs_no_directory(resolve: Resolve, control: SandboxClient) -> None:
    resolve("alice.ng@acme.example", "@sre-oncall", "U0ALICENG01")
    assert control.calls("users.list") == []


def test_second_incident_finds_the_directory_kept(resolve: Resolve, control: SandboxClient) -> None:
    resolve("José García")
    resolve("Priya Iyer")
    assert len(control.calls("users.list")) == 1


def test_private_room_takes_only_addresses_and_ids(resolve: Resolve) -> None:
    by_mail, by_name, by_group = resolve(
        "alice.ng@acme.example", "José García", "@sre-oncall", private=True
    ).resolutions
    assert by_mail.outcome is ResolutionOutcome.RESOLVED
    assert {by_name.outcome, by_group.outcome} == {ResolutionOutcome.NOT_ALLOWED}


@pytest.mark.parametrize(
    ("absent", "query"),
    [
        (("users:read.email",), "alice.ng@acme.example"),
        (("users:read", "users:read.email"), "José García"),
        (("users:read", "users:read.email"), "U0ALICENG01"),
        (("usergroups:read",), "@sre-oncall"),
    ],
)
def test_missing_scope_is_told_for_whom_it_hits(
    resolve: Resolve, control: SandboxClient, absent: tuple[str, ...], query: str
) -> None:
    found = resolve(query, token=without(control, *absent))
    [result] = found.resolutions
    assert result.outcome is ResolutionOutcome.NOT_FOUND
    assert "missing_scope" in (result.reason or "")
    assert "Add the scope" in (found.problems[0].fix or "")


def test_missing_scope_for_addresses_leaves_the_others(resolve: Resolve, control: SandboxClient) -> None:
    found = resolve("alice.ng@acme.example", "José García", token=without(control, "users:read.email"))
    assert [result.outcome for result in found.resolutions] == ["not_found", "resolved"]


def test_large_workspace_without_a_kept_directory_is_not_downloaded(
    resolve: Resolve, control: SandboxClient
) -> None:
    control.add_members(count=4000)
    found = resolve("José García", "alice.ng@acme.example")
    assert [result.outcome for result in found.resolutions] == ["not_found", "resolved"]
    assert "slack_directory_refresh" in found.problems[0].model_dump_json()


def test_slack_that_stumbles_is_asked_again(resolve: Resolve, control: SandboxClient) -> None:
    control.add_fault(Fault(method="users.lookupByEmail", drop=True))
    control.add_fault(Fault(method="users.list", error="ratelimited", headers={"Retry-After": "0"}))
    found = resolve("alice.ng@acme.example", "José García")
    assert {result.outcome for result in found.resolutions} == {ResolutionOutcome.RESOLVED}


def test_slack_that_is_down_is_left_to_the_task(resolve: Resolve, control: SandboxClient) -> None:
    control.add_fault(Fault(method="users.lookupByEmail", status=503, times=None))
    with pytest.raises(SlackUnavailableError):
        resolve("alice.ng@acme.example")


@pytest.mark.parametrize(
    ("method", "lost"),
    [
        ("users.lookupByEmail", "alice.ng@acme.example"),
        ("users.list", "José García"),
        ("users.info", "@sre-oncall"),
        ("usergroups.list", "@sre-oncall"),
    ],
)
def test_on_the_last_try_the_others_are_found(
    resolve: Resolve, control: SandboxClient, method: str, lost: str
) -> None:
    control.add_fault(Fault(method=method, status=503, times=None))
    found = resolve("alice.ng@acme.example", "José García", "@sre-oncall", wait=False)
    reasons = {one.query: one.reason for one in found.unresolved}
    assert reasons.keys() == {lost}
    assert "could not be looked up: " in (reasons[lost] or "")
    assert [problem.step for problem in found.problems] == ["resolve_slack_users"]


def test_one_of_a_group_who_cannot_be_looked_up_does_not_keep_the_others(
    resolve: Resolve, control: SandboxClient
) -> None:
    [all_of_them] = resolve("@sre-oncall").resolutions
    control.add_fault(Fault(method="users.info", error="ratelimited", headers={"Retry-After": "3600"}))
    [most] = resolve("@sre-oncall", wait=False).resolutions
    assert len(most.users) == len(all_of_them.users) - 1
    assert "people by id could not be looked up: " in (most.reason or "")
