"""Missing scopes: only the affected checks are unknown, and they name the scope."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from incident_sandbox import Fault, SandboxServer
from incident_sandbox.datadog.story import load_story

from airflow_incident_provider.evidence.calls import SCOPES
from airflow_incident_provider.evidence.observations import CHECKS
from airflow_incident_provider.models import Verdict

from .story_play import PlayedStory, play

STORY = load_story("bad_deploy")
AFFECTED_CHECKS = {
    "query": ({"metric", "groups"}, "timeseries_query"),
    "timeseries": ({"traffic", "versions", "dependencies", "signals"}, "timeseries_query"),
    "monitors.groups": ({"monitors"}, "monitors_read"),
    "monitors.downtimes": ({"downtime"}, "monitors_downtime"),
    "monitors.read": (set(), ""),
    "errors.search": ({"errors"}, "error_tracking_read"),
    "logs.search": ({"logs"}, "logs_read_data"),
    "catalog.entities": ({"catalog"}, "apm_service_catalog_read"),
    "catalog.relations": ({"dependencies"}, "apm_service_catalog_read"),
}


@pytest.mark.parametrize("endpoint", AFFECTED_CHECKS)
def test_missing_scope_affects_only_its_checks(endpoint: str, datadog: SandboxServer, tmp_path: Path) -> None:
    limits = STORY.limits.model_copy(update={"forbidden": (endpoint,)})
    result = play(datadog, tmp_path, STORY.model_copy(update={"limits": limits}))
    affected, scope = AFFECTED_CHECKS[endpoint]
    unknown = {each.probe for each in result.evidence.findings if each.verdict is Verdict.UNKNOWN}
    assert unknown == affected
    for check in affected:
        assert scope in result.finding(check).summary
    assert {each.probe for each in result.evidence.findings} == set(CHECKS)


@pytest.mark.parametrize("endpoint", ["deployments", "events.search"])
def test_partially_read_changes_are_reported_as_partial(
    endpoint: str, datadog: SandboxServer, tmp_path: Path
) -> None:
    story = STORY if endpoint == "events.search" else load_story("feature_flag")
    limits = story.limits.model_copy(update={"forbidden": (endpoint,)})
    changes = play(datadog, tmp_path, story.model_copy(update={"limits": limits})).finding("changes")
    assert changes.verdict is Verdict.WARN
    assert "not (fully) read" in changes.summary


@pytest.mark.parametrize("endpoint", ["deployments", "events.search"])
def test_no_change_in_partial_data_is_unknown(endpoint: str, datadog: SandboxServer, tmp_path: Path) -> None:
    story = load_story("healthy")
    limits = story.limits.model_copy(update={"forbidden": (endpoint,)})
    changes = play(datadog, tmp_path, story.model_copy(update={"limits": limits})).finding("changes")
    assert changes.verdict is Verdict.UNKNOWN


READ_ONLY = frozenset(SCOPES.values())
"""The documented scopes."""


def with_scopes(scopes: frozenset[str]) -> Callable[[SandboxServer], None]:
    """Return a function that gives the sandbox an application key with these scopes."""

    def prepare(sandbox: SandboxServer) -> None:
        sandbox.workspace.datadog.scoped_app_keys = {"read-only": scopes}

    return prepare


def verdicts(result: PlayedStory) -> list[tuple[str, str]]:
    return [(each.probe, each.verdict.value) for each in result.evidence.findings]


def test_read_only_key_finds_the_same_as_an_unrestricted_key(datadog: SandboxServer, tmp_path: Path) -> None:
    scoped = play(datadog, tmp_path / "a", STORY, keys={"app_key": "read-only"}, prepare=with_scopes(READ_ONLY))
    unrestricted = play(datadog, tmp_path / "b", STORY)
    assert verdicts(scoped) == verdicts(unrestricted)
    assert [each.cause for each in scoped.evidence.hypotheses] == [
        each.cause for each in unrestricted.evidence.hypotheses
    ]
    assert all(scope.endswith(("_read", "_read_data", "_query", "_downtime")) for scope in READ_ONLY)


def test_documented_scopes_are_sufficient(datadog: SandboxServer, tmp_path: Path) -> None:
    result = play(datadog, tmp_path, STORY, keys={"app_key": "read-only"}, prepare=with_scopes(READ_ONLY))
    assert not [call for call in result.evidence.calls if "403" in (call.reason or "")]
    page = Path(__file__).parents[3] / "docs" / "how-to" / "evidence.md"
    assert set(re.findall(r"`([a-z_]+)`", page.read_text(encoding="utf-8"))) >= READ_ONLY


@pytest.mark.parametrize("missing", sorted(READ_ONLY))
def test_missing_scope_is_named(missing: str, datadog: SandboxServer, tmp_path: Path) -> None:
    prepare = with_scopes(READ_ONLY - {missing})
    result = play(datadog, tmp_path, STORY, keys={"app_key": "read-only"}, prepare=prepare)
    refused = {call.endpoint for call in result.evidence.calls if "403" in (call.reason or "")}
    assert refused == {endpoint.value for endpoint, scope in SCOPES.items() if scope == missing}
    unknown = [each for each in result.evidence.findings if each.verdict is Verdict.UNKNOWN]
    assert all(missing in each.summary for each in unknown)


def test_key_without_scopes_yields_only_unknown_findings(datadog: SandboxServer, tmp_path: Path) -> None:
    result = play(datadog, tmp_path, STORY, keys={"app_key": "read-nothing"})
    assert {each.verdict for each in result.evidence.findings} == {Verdict.UNKNOWN}
    assert result.evidence.hypotheses == ()
    assert result.evidence.abstained


@pytest.mark.parametrize(
    "fault",
    [
        Fault(status=500, body={"errors": ["boom"]}, times=None),
        Fault(status=502, body="<html>bad gateway</html>", times=None),
        Fault(status=200, body="<html>a login page</html>", times=None),
        Fault(status=200, body=[], times=None),
        Fault(status=200, body={}, times=None),
        Fault(status=200, body={"data": {"attributes": "x"}, "series": {"a": 1}, "groups": 3}, times=None),
        Fault(status=200, body={"status": "error", "error": "Timeout"}, times=None),
        Fault(status=302, headers={"Location": "http://127.0.0.1:9/"}, body="", times=None),
        Fault(status=400, body={"errors": [{"title": "Bad", "detail": "no such facet"}]}, times=None),
        Fault(status=429, body={"errors": ["slow down"]}, times=None),
        Fault(drop=True, times=None),
    ],
    ids=["500", "html502", "html200", "list", "empty", "shapes", "v1error", "redirect", "jsonapi", "429", "drop"],
)
def test_invalid_responses_yield_no_false_findings(fault: Fault, datadog: SandboxServer, tmp_path: Path) -> None:
    result = play(datadog, tmp_path, STORY, prepare=lambda sandbox: sandbox.workspace.faults.add(fault))
    failing = {Verdict.FAIL, Verdict.WARN}
    assert not [each for each in result.evidence.findings if each.verdict in failing]
    assert result.evidence.hypotheses == ()
    if fault.body != {} and not isinstance(fault.body, dict):
        assert {each.verdict for each in result.evidence.findings} == {Verdict.UNKNOWN}
