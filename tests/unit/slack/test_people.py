"""Test the lookup of people over HTTP: calls, time budget, cache and reported problems."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from incident_sandbox import Fault, SandboxClient

from airflow_incident_provider.models import MatchMethod, ResolutionOutcome, UserResolution
from airflow_incident_provider.slack.access import SCOPES

Resolve = Callable[..., UserResolution]

CASES = (
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
    """Return a function that resolves queries; without a token, the app has all scopes."""

    def run(
        *queries: str,
        token: str | None = None,
        private: bool = False,
        folder: Path = tmp_path / "directory",
        budget_s: float = 3.0,
        **extra: Any,
    ) -> UserResolution:
        from airflow_incident_provider.people.resolver import resolve
        from airflow_incident_provider.slack.client import LiveSlackClient
        from airflow_incident_provider.slack.directory_cache import DirectoryCache
        from airflow_incident_provider.slack.hook import IncidentSlackHook
        from airflow_incident_provider.slack.people import SlackPeople

        connect(token, **extra)
        client = LiveSlackClient(IncidentSlackHook())
        assert client.workspace  # The step before identifies it.
        with SlackPeople(client, DirectoryCache(folder), budget_s=budget_s) as people:
            people.prefetch(queries)
            return resolve(queries, people, private=private)

    return run


def token_without(control: SandboxClient, *scopes: str) -> str:
    return control.add_token("less", scopes=[scope for scope in SCOPES if scope not in scopes])


def test_every_query_has_exactly_one_outcome(resolve: Resolve) -> None:
    found = resolve(*(query for query, _, _ in CASES)).resolutions
    assert [(result.query, result.outcome) for result in found] == [(query, outcome) for query, outcome, _ in CASES]
    methods = {query: method for query, _, method in CASES if method is not None}
    assert {result.query: result.method for result in found if result.query in methods} == methods
    assert all(
        result.reason or result.candidates for result in found if result.outcome is not ResolutionOutcome.RESOLVED
    )


def test_similar_name_is_suggested_and_not_resolved(resolve: Resolve) -> None:
    [result] = resolve("jon smiht").resolutions
    assert not result.users
    assert "Jon Smith" in {candidate.label for candidate in result.candidates}


def test_duplicate_queries_are_looked_up_once(resolve: Resolve, control: SandboxClient) -> None:
    resolve("alice.ng@acme.example", "Alice.Ng@acme.example", "José García", "Priya Iyer")
    assert len(control.calls("users.lookupByEmail")) == 1
    assert len(control.calls("users.list")) == 1


def test_directory_is_not_loaded_for_emails_groups_and_ids(resolve: Resolve, control: SandboxClient) -> None:
    resolve("alice.ng@acme.example", "@sre-oncall", "U0ALICENG01")
    assert control.calls("users.list") == []


def test_directory_is_cached_for_the_next_incident(resolve: Resolve, control: SandboxClient) -> None:
    resolve("José García")
    resolve("Priya Iyer")
    assert len(control.calls("users.list")) == 1


def test_private_room_accepts_only_emails_and_ids(resolve: Resolve) -> None:
    by_email, by_name, by_group = resolve(
        "alice.ng@acme.example", "José García", "@sre-oncall", private=True
    ).resolutions
    assert by_email.outcome is ResolutionOutcome.RESOLVED
    assert {by_name.outcome, by_group.outcome} == {ResolutionOutcome.NOT_ALLOWED}


@pytest.mark.parametrize(
    ("scopes", "query"),
    [
        (("users:read.email",), "alice.ng@acme.example"),
        (("users:read", "users:read.email"), "José García"),
        (("users:read", "users:read.email"), "U0ALICENG01"),
        (("usergroups:read",), "@sre-oncall"),
    ],
)
def test_missing_scope_is_reported_for_affected_queries(
    resolve: Resolve, control: SandboxClient, scopes: tuple[str, ...], query: str
) -> None:
    found = resolve(query, token=token_without(control, *scopes))
    [result] = found.resolutions
    assert result.outcome is ResolutionOutcome.NOT_FOUND
    assert "missing_scope" in (result.reason or "")
    assert "Add the scope" in (found.problems[0].fix or "")


def test_missing_email_scope_does_not_affect_names(resolve: Resolve, control: SandboxClient) -> None:
    found = resolve("alice.ng@acme.example", "José García", token=token_without(control, "users:read.email"))
    assert [result.outcome for result in found.resolutions] == ["not_found", "resolved"]


def test_large_directory_is_not_downloaded_during_an_incident(resolve: Resolve, control: SandboxClient) -> None:
    control.add_members(count=4000)
    found = resolve("José García", "alice.ng@acme.example")
    assert [result.outcome for result in found.resolutions] == ["not_found", "resolved"]
    assert "slack_directory_refresh" in found.problems[0].model_dump_json()


def test_lookups_are_retried_after_transient_failure(resolve: Resolve, control: SandboxClient) -> None:
    control.add_fault(Fault(method="users.lookupByEmail", drop=True))
    control.add_fault(Fault(method="users.list", error="ratelimited", headers={"Retry-After": "0"}))
    found = resolve("alice.ng@acme.example", "José García")
    assert {result.outcome for result in found.resolutions} == {ResolutionOutcome.RESOLVED}


EMAIL, NAME, GROUP, ID = "alice.ng@acme.example", "José García", "@sre-oncall", "U0PRIYAIYER"

FAILED_QUERIES = {
    ("users.lookupByEmail",): {EMAIL},
    ("users.list",): {NAME},
    ("users.info", "users.list"): {NAME, GROUP, ID},
    ("usergroups.list",): {GROUP},
}

FAULTS = {
    "404": {"status": 404, "body": "Not found"},
    "500": {"status": 500},
    "503": {"status": 503},
    "429": {"status": 429, "headers": {"Retry-After": "3600"}},
    "HTML": {"status": 200, "body": "<html>Sign in</html>"},
    "no content": {"status": 200, "body": {"ok": True, "user": {"name": "no id"}}},
    "unknown error": {"error": "some_new_error"},
    "dropped connection": {"drop": True},
    "timeout": {"delay_ms": 60_000},
}


@pytest.mark.parametrize("methods", FAILED_QUERIES, ids=str)
@pytest.mark.parametrize("kind", FAULTS)
def test_failing_methods_affect_only_dependent_queries(
    resolve: Resolve, control: SandboxClient, methods: tuple[str, ...], kind: str
) -> None:
    for method in methods:
        control.add_fault(Fault(method=method, times=None, **FAULTS[kind]))
    started = time.monotonic()
    found = resolve(EMAIL, NAME, GROUP, ID, budget_s=3.0)
    elapsed = time.monotonic() - started
    assert {result.query for result in found.unresolved} == FAILED_QUERIES[methods]
    assert all("could not be looked up" in (result.reason or "") for result in found.unresolved)
    assert {problem.step for problem in found.problems} == {"resolve_slack_users"}
    assert elapsed < 10, "the budget is 3 s; the margin is for a loaded machine"
    if kind != "unknown error":
        assert found.unanswered.keys() == FAILED_QUERIES[methods]


@pytest.mark.parametrize("kind", FAULTS)
def test_ids_are_found_in_the_directory_when_users_info_fails(
    resolve: Resolve, control: SandboxClient, kind: str
) -> None:
    control.add_fault(Fault(method="users.info", times=None, **FAULTS[kind]))
    found = resolve(EMAIL, NAME, GROUP, ID, budget_s=3.0)
    assert [result.outcome for result in found.resolutions] == [ResolutionOutcome.RESOLVED] * 4
    assert found.problems == ()


@pytest.mark.parametrize("age", [timedelta(), timedelta(hours=8)])
def test_old_directory_is_refreshed_before_confirming_members(
    resolve: Resolve, control: SandboxClient, tmp_path: Path, age: timedelta
) -> None:
    resolve(NAME)
    age_directory(tmp_path / "directory", age)
    guest = {"id": "U0JOSEGARC1", "username": "jose.garcia", "real_name": NAME, "multi_channel_guest": True}
    control.add_members(people=[guest])
    control.add_fault(Fault(method="users.info", times=None, status=404))
    [result] = resolve("U0JOSEGARC1").resolutions
    assert result.outcome is (ResolutionOutcome.NOT_ALLOWED if age else ResolutionOutcome.RESOLVED)
    assert len(control.calls("users.list")) == (2 if age else 1)


def test_unknown_id_is_unanswered_when_users_info_fails(resolve: Resolve, control: SandboxClient) -> None:
    control.add_fault(Fault(method="users.info", times=None, status=404))
    found = resolve("U0NOBODYATALL")
    assert "could not be looked up" in (found.resolutions[0].reason or "")
    assert found.unanswered.keys() == {"U0NOBODYATALL"}


@pytest.mark.parametrize(
    ("method", "query", "body"),
    [
        ("users.list", NAME, {}),
        ("users.list", NAME, {"members": None}),
        ("users.list", NAME, {"members": []}),
        ("users.list", NAME, {"members": "x"}),
        ("users.list", NAME, {"members": [{"name": "no id"}, None, 5]}),
        ("usergroups.list", GROUP, {}),
        ("usergroups.list", GROUP, {"usergroups": {"id": "S1"}}),
        ("users.info", ID, {}),
        ("users.info", ID, {"user": {"name": "no id"}}),
        ("users.lookupByEmail", EMAIL, {"user": []}),
    ],
    ids=str,
)
def test_response_without_content_is_not_taken_for_no_match(
    resolve: Resolve, control: SandboxClient, method: str, query: str, body: dict[str, Any]
) -> None:
    control.add_fault(Fault(method=method, status=200, body={"ok": True, **body}, times=None))
    if method == "users.info":
        control.add_fault(Fault(method="users.list", status=500, times=None))
    found = resolve(query)
    assert [result.outcome for result in found.resolutions] == [ResolutionOutcome.NOT_FOUND]
    assert f"The answer to {method} is not Slack's" in (found.resolutions[0].reason or "")
    assert found.unanswered.keys() == {query}, "it is looked up again once the room is open"
    control.clear_faults()
    assert [result.outcome for result in resolve(query).resolutions] == [ResolutionOutcome.RESOLVED]


@pytest.mark.parametrize(
    "invalid_member",
    [{"name": "no id"}, None, 5, {"id": "U9", "profile": "x", "updated": "y", "enterprise_user": [1]}],
)
def test_invalid_member_does_not_affect_others(
    resolve: Resolve, control: SandboxClient, invalid_member: Any
) -> None:
    alice = {"id": "U0ALICENG01", "name": "alice", "profile": {"display_name": "Alice Ng"}}
    body = {"ok": True, "members": [invalid_member, alice]}
    control.add_fault(Fault(method="users.list", status=200, body=body, times=None))
    assert [user.id for result in resolve("Alice Ng").resolutions for user in result.users] == ["U0ALICENG01"]


@pytest.mark.parametrize("folder", ["file", "read-only", "missing parent"])
def test_unwritable_cache_does_not_affect_resolution(
    resolve: Resolve, tmp_path: Path, caplog: pytest.LogCaptureFixture, folder: str
) -> None:
    path = tmp_path / "not-a-folder"
    if folder == "file":
        path.write_text("")
    elif folder == "read-only":
        path = Path("/proc/1/incident-directory")
    else:
        path.write_text("")
        path = path / "below"
    found = resolve(EMAIL, NAME, "jon smiht", folder=path)
    assert [result.outcome for result in found.resolutions] == ["resolved", "resolved", "not_found"]
    assert found.resolutions[2].candidates


def test_corrupt_cache_is_downloaded_again(resolve: Resolve, control: SandboxClient, tmp_path: Path) -> None:
    resolve(NAME)
    [path] = (tmp_path / "directory").glob("*.sqlite3")
    path.write_bytes(b"damaged")
    assert resolve(NAME).resolved
    assert len(control.calls("users.list")) == 2


def test_cached_match_is_confirmed_with_slack(resolve: Resolve, control: SandboxClient, tmp_path: Path) -> None:
    resolve(NAME)
    age_directory(tmp_path / "directory", timedelta(hours=8))
    assert resolve(NAME).resolved
    assert len(control.calls("users.info")) == 1
    guest = {"id": "U0JOSEGARC1", "username": "jose.garcia", "real_name": NAME, "multi_channel_guest": True}
    control.add_members(people=[guest])
    [result] = resolve(NAME).resolutions
    assert (result.outcome, result.users) == ("not_allowed", ())


def test_expired_directory_of_small_workspace_is_downloaded_again(
    resolve: Resolve, control: SandboxClient, tmp_path: Path
) -> None:
    resolve(NAME)
    age_directory(tmp_path / "directory", timedelta(days=400))
    found = resolve(NAME)
    assert (len(found.resolved), found.problems) == (1, ())
    assert len(control.calls("users.list")) == 2


def test_expired_directory_is_used_when_refresh_fails(
    resolve: Resolve, control: SandboxClient, tmp_path: Path
) -> None:
    resolve(NAME)
    age_directory(tmp_path / "directory", timedelta(days=400))
    control.add_fault(Fault(method="users.list", status=503, times=None))
    found = resolve(NAME, "Nora New")
    assert [result.outcome for result in found.resolutions] == ["resolved", "not_found"]
    assert "400 days old" in found.problems[0].what


def age_directory(folder: Path, age: timedelta) -> None:
    [path] = folder.glob("*.sqlite3")
    database = sqlite3.connect(path)
    with database:
        database.execute("UPDATE meta SET fetched_at = ?", ((datetime.now(UTC) - age).isoformat(),))
    database.close()


def test_failed_lookup_of_group_member_affects_only_that_member(resolve: Resolve, control: SandboxClient) -> None:
    [complete] = resolve(GROUP).resolutions
    control.add_fault(Fault(method="users.info", error="ratelimited", headers={"Retry-After": "3600"}))
    control.add_fault(Fault(method="users.list", status=500, times=None))
    [partial] = resolve(GROUP).resolutions
    assert len(partial.users) == len(complete.users) - 1
    assert "people by id could not be looked up: " in (partial.reason or "")


def test_large_group_is_rejected_without_looking_up_members(resolve: Resolve, control: SandboxClient) -> None:
    user_ids = [f"U{number:08}" for number in range(300)]
    control.add_usergroup(id="S0ALLENG001", handle="all-eng", name="Everybody", users=user_ids)
    large, small = resolve("@all-eng", GROUP).resolutions
    assert (large.outcome, small.outcome) == ("not_allowed", "resolved")
    assert "has 300 members" in (large.reason or "")
    assert len(control.calls("users.info")) == len(small.users) + (small.reason or "").count("(")
