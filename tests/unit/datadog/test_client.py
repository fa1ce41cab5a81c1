"""Datadog client: concurrency, deadlines, caching and budgets."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest
from incident_sandbox import Fault, SandboxServer
from incident_sandbox.datadog.story import load_story

from airflow_incident_provider.datadog.access import DatadogAccess
from airflow_incident_provider.datadog.client import MAX_ANSWER_BYTES, DatadogClient
from airflow_incident_provider.evidence.calls import entity
from airflow_incident_provider.evidence.collection import collect
from airflow_incident_provider.evidence.model import CallOutcome, Evidence
from airflow_incident_provider.evidence.request import EvidenceRequest
from airflow_incident_provider.models import Verdict


@pytest.fixture(scope="module")
def server() -> Iterator[SandboxServer]:
    with SandboxServer() as sandbox:
        yield sandbox


@pytest.fixture
def sandbox(server: SandboxServer) -> SandboxServer:
    server.workspace.reset()
    server.workspace.datadog.play(load_story("bad_deploy"), math.floor(time.time()) - 41)
    return server


def access(sandbox: SandboxServer) -> DatadogAccess:
    datadog = sandbox.workspace.datadog
    extra = {"api_key": datadog.api_key, "app_key": datadog.app_key, "api_host": sandbox.datadog_url}
    return DatadogAccess.from_extra(extra)


def request(service: str = "checkout") -> EvidenceRequest:
    now = datetime.now(UTC)
    query = f"avg:trace.http.request{{service:{service},env:prod}}"
    return EvidenceRequest(
        service=service, env="prod", monitor_id="148275309", query=query, alerted_at=now, now=now
    )


def call_count(sandbox: SandboxServer, method: str) -> int:
    return len(sandbox.workspace.calls.entries(method=f"datadog.{method}"))


def test_hanging_call_affects_only_its_own_answer(sandbox: SandboxServer, tmp_path: Path) -> None:
    sandbox.workspace.faults.add(Fault(method="datadog.logs.search", delay_ms=30_000, times=None))
    started = time.monotonic()
    evidence = collect(request(), DatadogClient(access(sandbox), tmp_path, deadline_s=8.0).fetch)
    assert time.monotonic() - started < 25
    unknown = {finding.probe for finding in evidence.findings if finding.verdict is Verdict.UNKNOWN}
    assert unknown == {"logs"}


def test_identical_call_is_sent_once_a_minute(sandbox: SandboxServer, tmp_path: Path) -> None:
    clock = lambda: 1_795_400_030.0  # noqa: E731 - the same minute for all

    def fetch_outcome(_: int) -> CallOutcome:
        client = DatadogClient(access(sandbox), tmp_path, clock=clock)
        return client.fetch([entity("checkout")])[0].call.outcome

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(fetch_outcome, range(8))) == {CallOutcome.ANSWERED}
    assert call_count(sandbox, "catalog.entities") == 1
    later = DatadogClient(access(sandbox), tmp_path, clock=lambda: clock() + 60)
    assert not later.fetch([entity("checkout")])[0].call.cached
    assert call_count(sandbox, "catalog.entities") == 2


def test_failure_is_not_cached(sandbox: SandboxServer, tmp_path: Path) -> None:
    sandbox.workspace.faults.add(Fault(method="datadog.catalog.entities", status=503, times=1))
    client = DatadogClient(access(sandbox), tmp_path)
    outcomes = [client.fetch([entity("checkout")])[0].call.outcome for _ in range(2)]
    assert outcomes == [CallOutcome.UNAVAILABLE, CallOutcome.ANSWERED]


def test_old_answers_are_deleted(sandbox: SandboxServer, tmp_path: Path) -> None:
    now = [1_795_400_030.0]
    client = DatadogClient(access(sandbox), tmp_path, clock=lambda: now[0])
    client.fetch([entity("checkout")])
    assert len(list(tmp_path.glob("answer-*"))) == 1
    now[0] += 180
    client.fetch([])
    client.fetch([entity("payments")])
    assert len(list(tmp_path.glob("answer-*"))) == 1


def test_redirect_is_not_followed_with_the_keys(sandbox: SandboxServer, tmp_path: Path) -> None:
    location = f"{sandbox.datadog_url}/api/v1/validate"
    fault = Fault(method="datadog.catalog.entities", status=302, headers={"Location": location}, body="")
    sandbox.workspace.faults.add(fault)
    answer = DatadogClient(access(sandbox), tmp_path).fetch([entity("checkout")])[0]
    assert not answer.usable
    assert call_count(sandbox, "validate") == 0


def test_oversized_response_is_unavailable(sandbox: SandboxServer, tmp_path: Path) -> None:
    body = '{"data": "' + "x" * MAX_ANSWER_BYTES + '"}'
    sandbox.workspace.faults.add(Fault(method="datadog.catalog.entities", status=200, body=body))
    answer = DatadogClient(access(sandbox), tmp_path).fetch([entity("checkout")])[0]
    assert answer.call.outcome is CallOutcome.UNAVAILABLE


def test_unreachable_host_yields_unknown_findings(tmp_path: Path) -> None:
    unreachable = DatadogAccess.from_extra({"api_key": "a", "app_key": "b", "api_host": "http://127.0.0.1:9"})
    evidence = collect(request(), DatadogClient(unreachable, tmp_path).fetch)
    assert {finding.verdict for finding in evidence.findings} == {Verdict.UNKNOWN}
    assert all("127.0.0.1" not in finding.summary for finding in evidence.findings)


@pytest.mark.parametrize(
    ("remaining", "skips"), [(300, False), (120, True)], ids=["full-budget", "partly-used-budget"]
)
def test_fifty_incidents_stay_within_the_limits_and_report_skips(
    sandbox: SandboxServer, tmp_path: Path, remaining: int, skips: bool
) -> None:
    sandbox.workspace.datadog.limits.left["logs.search"] = remaining

    def evidence_of(number: int) -> Evidence:
        client = DatadogClient(access(sandbox), tmp_path, deadline_s=120, call_timeout_s=60)
        return collect(request(f"service-{number}"), client.fetch)

    evidence_of(99)  # The first response reports the usage by other clients.
    with ThreadPoolExecutor(50) as incidents:
        results = list(incidents.map(evidence_of, range(50)))
    calls = [call for evidence in results for call in evidence.calls]
    sent_calls = [call for call in calls if call.outcome is not CallOutcome.OVER_BUDGET]
    assert 0 < call_count(sandbox, "logs.search") <= remaining - 60
    assert not [call for call in sent_calls if call.outcome is CallOutcome.RATE_LIMITED]
    # Metrics are queried by name: listing metrics is limited to 100 calls an hour.
    assert not [call for call in calls if call.path.startswith("/api/v1/metrics")]
    over = [evidence for evidence in results if any(c.outcome is CallOutcome.OVER_BUDGET for c in evidence.calls)]
    assert bool(over) is skips
    for evidence in over:
        logs = next(finding for finding in evidence.findings if finding.probe == "logs")
        assert logs.verdict is Verdict.UNKNOWN
        assert "is for people" in logs.summary
