"""Evaluate every story: expected findings, no false statements, no hypotheses for healthy services."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from incident_sandbox import SandboxServer
from incident_sandbox.datadog.story import Effect, load_story, read_story, story_names

from airflow_incident_provider.evidence.hypotheses import propose
from airflow_incident_provider.evidence.model import CallOutcome, Cause
from airflow_incident_provider.models import Verdict

from .story_play import PlayedStory, play

NAMES = story_names()
PlayOnce = Callable[[str], PlayedStory]


def test_story_set_is_large_and_balanced() -> None:
    stories = [load_story(name) for name in NAMES]
    assert len(stories) >= 30
    assert sum(story.cause is None for story in stories) >= 8
    assert 0.35 <= sum(story.tuned for story in stories) / len(stories) <= 0.65


@pytest.mark.parametrize("name", NAMES)
def test_expected_findings_are_present(name: str, play_once: PlayOnce) -> None:
    result = play_once(name)
    expect = result.story.expect
    assert {check: result.finding(check).verdict.value for check in expect.verdicts} == expect.verdicts
    for check, words in expect.says.items():
        for word in words:
            assert word in result.finding(check).summary


@pytest.mark.parametrize("name", NAMES)
def test_forbidden_statements_are_absent(name: str, play_once: PlayOnce) -> None:
    result = play_once(name)
    texts = [each.summary for each in result.evidence.findings] + [each.text for each in result.evidence.hypotheses]
    assert not [text for text in texts for word in result.story.expect.never_says if word in text]


@pytest.mark.parametrize("name", NAMES)
def test_first_hypothesis_is_the_cause(name: str, play_once: PlayOnce) -> None:
    result = play_once(name)
    cause, hypotheses = result.story.cause, result.evidence.hypotheses
    if cause is None:
        assert hypotheses == ()
        assert result.evidence.abstained
        return
    first = hypotheses[0]
    assert (first.cause.value, cause.subject in first.subject.split(", ")) == (cause.cause, True)
    assert not cause.path or first.path == cause.path


@pytest.mark.parametrize("name", [name for name in NAMES if load_story(name).healthy])
def test_healthy_stories_have_no_failing_findings(name: str, play_once: PlayOnce) -> None:
    findings = play_once(name).evidence.findings
    assert [each.probe for each in findings if each.verdict in {Verdict.FAIL, Verdict.WARN}] == []


@pytest.mark.parametrize("name", NAMES)
def test_every_finding_cites_a_recorded_call(name: str, play_once: PlayOnce) -> None:
    evidence = play_once(name).evidence
    calls = {call.id: call for call in evidence.calls}
    findings = {finding.probe: finding for finding in evidence.findings}
    assert len(calls) == len(evidence.calls)
    for finding in findings.values():
        assert set(finding.calls) <= calls.keys()
        assert finding.calls or finding.verdict is Verdict.SKIPPED
        if finding.verdict in {Verdict.OK, Verdict.WARN, Verdict.FAIL}:
            outcomes = {calls[call].outcome for call in finding.calls}
            assert outcomes & {CallOutcome.ANSWERED, CallOutcome.PARTIAL}
    for hypothesis in evidence.hypotheses:
        cited = (*hypothesis.supporting, *hypothesis.contradicting)
        assert hypothesis.supporting
        assert {citation.finding for citation in cited} <= findings.keys()
        assert all(findings[citation.finding].verdict is not Verdict.UNKNOWN for citation in cited)


@pytest.mark.parametrize("name", [name for name in NAMES if load_story(name).cause])
def test_removing_a_cited_finding_weakens_the_hypothesis(name: str, play_once: PlayOnce) -> None:
    result = play_once(name)
    observations = result.observations
    for hypothesis in result.evidence.hypotheses:
        for finding in {citation.finding for citation in hypothesis.supporting}:
            remaining = propose(observations.without(finding), result.request.service).hypotheses
            same = [
                h
                for h in remaining
                if (h.cause, h.subject, h.text) == (hypothesis.cause, hypothesis.subject, hypothesis.text)
            ]
            assert all(each.confidence < hypothesis.confidence for each in same)


def test_service_without_requests_is_handled(datadog: SandboxServer, tmp_path: Path) -> None:
    silent = Effect(service="checkout", metric="hits", to=0, at=-400)
    result = play(datadog, tmp_path, load_story("healthy").model_copy(update={"effects": (silent,)}))
    assert result.finding("versions").verdict is Verdict.UNKNOWN
    assert result.evidence.hypotheses == ()


@pytest.mark.parametrize("times", [0.15, 1.0, 8.0])
def test_single_host_is_found_at_any_request_rate(times: float, datadog: SandboxServer, tmp_path: Path) -> None:
    story = load_story("disk_full_on_one_host")
    checkout = story.services["checkout"]
    services = {"checkout": checkout.model_copy(update={"hits": checkout.hits * times})}
    result = play(datadog, tmp_path, story.model_copy(update={"services": services}))
    assert (result.evidence.hypotheses[0].cause, result.evidence.hypotheses[0].subject) == (
        Cause.HOST,
        "checkout-03",
    )


@pytest.mark.parametrize("name", NAMES)
def test_evidence_fits_into_xcom(name: str, play_once: PlayOnce) -> None:
    assert len(play_once(name).evidence.model_dump_json()) < 48_000


def test_misspelled_story_is_rejected() -> None:
    with pytest.raises(ValueError, match="onse"):
        read_story("description: x\nonse: 3\nalert: {kind: latency, threshold: 1}\n")
    with pytest.raises(ValueError, match="no story 'bad_deplo'"):
        load_story("bad_deplo")
