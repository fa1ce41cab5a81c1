"""Weigh hypotheses by probes that support or contradict them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from airflow_incident_provider.evidence.model import (
    Cause,
    Contradiction,
    Evidence,
    Hypothesis,
    Support,
    finding_id,
)
from airflow_incident_provider.evidence.probe_rules import weigh_probes
from airflow_incident_provider.evidence.weighing import THRESHOLD, Draft
from airflow_incident_provider.messages.evidence import evidence_messages, hypothesis_statements
from airflow_incident_provider.models import Finding, Stage, StageName, Verdict

ONSET = datetime(2026, 11, 23, 9, 30, tzinfo=UTC)
NOW = ONSET + timedelta(minutes=5)
OK, FAIL, SKIPPED = Verdict.OK, Verdict.FAIL, Verdict.SKIPPED
METRIC = Finding(
    probe="metric",
    target="checkout",
    verdict=Verdict.WARN,
    summary="rose to 40 %, abnormal since 09:30 UTC",
    facts={"state": "abnormal"},
    calls=("c1",),
    started_at=NOW,
)


def probe(target: str, *stages: Verdict, name: str = "http", **facts: Any) -> Finding:
    """Return a finding whose stages have these verdicts, in order from the name lookup."""
    order = (StageName.NAME, StageName.CONNECTION, StageName.TLS, StageName.REQUEST)
    stage_models = tuple(
        Stage(name=each, verdict=v, summary=f"{each} {v}") for each, v in zip(order, stages, strict=False)
    )
    verdict = FAIL if FAIL in stages else OK
    return Finding(
        probe=name,
        target=target,
        verdict=verdict,
        summary=f"saw {verdict}",
        stages=stage_models,
        facts=facts,
        started_at=NOW,
    )


@pytest.mark.parametrize(
    "stages",
    [(OK, OK, FAIL, SKIPPED), (FAIL, SKIPPED, SKIPPED, SKIPPED), (OK, FAIL, SKIPPED, SKIPPED)],
)
@pytest.mark.parametrize("location", ["https://login.internal/", "https://checkout.internal:8443/"])
def test_failure_after_redirect_is_not_attributed_to_the_target(stages: tuple[Verdict, ...], location: str) -> None:
    expired = {"certificate_days_left": -1, "certificate_not_after": (ONSET - timedelta(minutes=9)).isoformat()}
    followed = probe("https://checkout.internal/", *stages, redirected_to=location, **expired)
    direct = probe("https://checkout.internal/", *stages, **expired)
    metric_only = Evidence(findings=(METRIC,), onset=ONSET, symptomatic=True)
    assert weigh_probes(metric_only, (control(OK), followed)).hypotheses == ()
    assert [each for each in weigh_probes(metric_only, (control(OK), direct)).hypotheses if "checkout" in each.text]


def control(verdict: Verdict) -> Finding:
    return Finding(probe="control", target="our own side", verdict=verdict, summary="s", started_at=NOW)


def draft(cause: Cause, subject: str, *support: tuple[Support, str, str]) -> Hypothesis:
    hypothesis = Draft(cause, subject, f"{subject} may be at fault", "look at it")
    for each in support:
        hypothesis.support(*each)
    hypothesis.support_by_symptom(METRIC.summary)
    return hypothesis.done()


def evidence(*hypotheses: Hypothesis, state: str = "abnormal", **fields: Any) -> Evidence:
    metric = METRIC.model_copy(update={"facts": {"state": state}})
    known: dict[str, Any] = {
        "service": "checkout",
        "onset": ONSET,
        "symptomatic": True,
        "findings": (metric,),
        "hypotheses": tuple(each for each in hypotheses if each.confidence >= THRESHOLD),
        "candidates": tuple(each for each in hypotheses if each.confidence < THRESHOLD),
    }
    return Evidence(**(known | fields))


def expired(target: str, ago: timedelta, **fields: Any) -> Finding:
    end = ONSET - ago
    return probe(
        target,
        OK,
        OK,
        FAIL,
        SKIPPED,
        certificate_days_left=(end - NOW).days,
        certificate_not_after=end.isoformat(),
        **fields,
    )


DEPLOYMENT = draft(Cause.DEPLOYMENT, "checkout", (Support.CHANGE_JUST_BEFORE, "changes", "v2 was deployed"))
PAYMENTS = draft(Cause.DEPENDENCY, "payments", (Support.EXPLAINS_EXCESS, "dependencies", "payments explains it"))
HOST = draft(Cause.HOST, "web-03", (Support.ONE_HOST, "groups", "1 of 9 hosts is abnormal"))
EMITTER = draft(Cause.EMITTER_LOST, "checkout", (Support.STOPPED_REPORTING, "metric", "reports nothing"))
DNS_LOGS = draft(Cause.DNS, "checkout", (Support.LOG_TEXT, "logs", "“no such host db.internal” 90 times, 0 before"))


def top_hypothesis(result: Evidence) -> tuple[Cause, str]:
    return result.hypotheses[0].cause, result.hypotheses[0].subject


def hypothesis_of(result: Evidence, cause: Cause) -> Hypothesis:
    return next(each for each in (*result.hypotheses, *result.candidates) if each.cause is cause)


def test_certificate_expired_just_before_onset_ranks_before_deployment() -> None:
    finding = expired("https://checkout.example/", timedelta(minutes=10))
    result = weigh_probes(evidence(DEPLOYMENT), [finding])
    assert top_hypothesis(result) == (Cause.CERTIFICATE, "checkout.example")
    assert {each.finding for each in result.hypotheses[0].supporting} == {"metric", finding_id(finding)}
    against = hypothesis_of(result, Cause.DEPLOYMENT).contradicting
    assert [(each.finding, "10 min before the onset" in each.text) for each in against] == [
        ("http https://checkout.example/", True)
    ]


@pytest.mark.parametrize("ago", [timedelta(minutes=-3), timedelta(days=40)])
def test_certificate_expired_after_or_long_before_onset_is_ignored(ago: timedelta) -> None:
    result = weigh_probes(evidence(DEPLOYMENT), [expired("https://checkout.example/", ago)])
    assert [each.cause for each in result.hypotheses] == [Cause.DEPLOYMENT]
    assert result.hypotheses[0].contradicting == ()


def test_expiry_is_not_dated_relative_to_an_unknown_onset() -> None:
    result = weigh_probes(evidence(onset_open=True), [expired("https://checkout.example/", timedelta(days=2))])
    assert top_hypothesis(result) == (Cause.CERTIFICATE, "checkout.example")
    assert result.hypotheses[0].contradicting == ()


def test_certificate_rejected_for_another_reason_is_ignored() -> None:
    finding = probe("https://checkout.example/", OK, OK, FAIL, certificate_days_left=90, certificate_verification=1)
    assert weigh_probes(evidence(), [finding]).hypotheses == ()


def test_unresolvable_name_yields_a_dns_hypothesis() -> None:
    result = weigh_probes(evidence(), [probe("db.internal", FAIL, name="dns"), probe("db.internal:5432", FAIL)])
    assert top_hypothesis(result) == (Cause.DNS, "db.internal")
    kinds = [each.kind for each in result.hypotheses[0].supporting]
    assert kinds == [Support.SYMPTOM, Support.PROBE_FAILED, Support.PROBE_FAILED_TOO]


def test_log_messages_and_probe_together_reach_the_threshold() -> None:
    assert evidence(DNS_LOGS).hypotheses == ()
    result = weigh_probes(evidence(DNS_LOGS), [probe("db.internal", FAIL, name="dns")])
    assert top_hypothesis(result) == (Cause.DNS, "checkout")
    assert {each.finding for each in result.hypotheses[0].supporting} == {"metric", "logs", "dns db.internal"}


def test_resolvable_name_contradicts_the_dns_hypothesis() -> None:
    result = weigh_probes(evidence(DNS_LOGS), [probe("db.internal:5432", OK, OK, name="tcp")])
    assert result.hypotheses == ()
    assert [each.finding for each in hypothesis_of(result, Cause.DNS).contradicting] == ["tcp db.internal:5432"]


def test_refused_connection_raises_confidence_in_the_dependency() -> None:
    result = weigh_probes(evidence(PAYMENTS), [probe("payments.internal:8080", OK, FAIL, name="tcp")])
    assert top_hypothesis(result) == (Cause.DEPENDENCY, "payments")
    assert result.hypotheses[0].confidence > PAYMENTS.confidence
    assert len(result.hypotheses) == 1


def test_unreachable_target_without_known_service_is_a_hypothesis() -> None:
    result = weigh_probes(evidence(), [probe("db.internal:5432", OK, FAIL, name="tcp")])
    assert top_hypothesis(result) == (Cause.UNREACHABLE, "db.internal:5432")
    statement = hypothesis_statements(result)[0]
    assert statement.text.startswith("possible (0.5")
    assert statement.probes == ("metric", "tcp db.internal:5432")


@pytest.mark.parametrize(("known", "target"), [(HOST, "web-03:80"), (PAYMENTS, "http://payments.internal/health")])
def test_passing_probe_contradicts_but_keeps_host_or_dependency(known: Hypothesis, target: str) -> None:
    result = weigh_probes(evidence(known), [probe(target, OK, OK, SKIPPED, OK)])
    assert top_hypothesis(result) == (known.cause, known.subject)
    assert result.hypotheses[0].confidence < known.confidence
    assert [each.kind for each in result.hypotheses[0].contradicting] == [Contradiction.PROBE_PASSED]


def test_resolvable_name_does_not_contradict_the_host_hypothesis() -> None:
    assert weigh_probes(evidence(HOST), [probe("web-03", OK, name="dns")]).hypotheses == (HOST,)


def test_passing_probe_after_recovery_contradicts_nothing() -> None:
    result = weigh_probes(evidence(HOST, state="recovered"), [probe("web-03:80", OK, OK)])
    assert result.hypotheses[0].contradicting == ()


def test_reachability_of_the_service_weighs_the_emitter_hypothesis() -> None:
    reachable = weigh_probes(evidence(EMITTER), [probe("http://checkout.prod/", OK, OK, SKIPPED, OK)])
    unreachable = weigh_probes(evidence(EMITTER), [probe("http://checkout.prod/", OK, FAIL)])
    assert hypothesis_of(reachable, Cause.EMITTER_LOST).confidence > EMITTER.confidence
    assert hypothesis_of(unreachable, Cause.EMITTER_LOST).confidence < EMITTER.confidence
    assert top_hypothesis(unreachable) == (Cause.UNREACHABLE, "checkout.prod:80")


@pytest.mark.parametrize(
    ("known", "findings"),
    [
        (evidence(DEPLOYMENT), [control(FAIL), probe("db:1", OK, FAIL)]),
        (evidence(symptomatic=False, abstained="normal"), [probe("db:1", OK, FAIL)]),
        (evidence(DEPLOYMENT), [control(OK)]),
        (evidence(DEPLOYMENT), []),
    ],
)
def test_probes_are_ignored_without_own_network_or_symptom(known: Evidence, findings: list[Finding]) -> None:
    assert weigh_probes(known, findings) == known


def test_probe_that_could_not_run_is_unchecked() -> None:
    unknown = Finding(probe="tls", target="a:443", verdict=Verdict.UNKNOWN, summary="no Docker", started_at=NOW)
    result = weigh_probes(evidence(DEPLOYMENT), [unknown])
    assert result.hypotheses[0].unchecked == ("tls a:443",)


def test_message_cites_the_probe() -> None:
    call = {"id": "c1", "endpoint": "metric", "method": "GET", "path": "/", "outcome": "answered"}
    known = Evidence.model_validate({**evidence(PAYMENTS).model_dump(), "calls": [call]})
    result = weigh_probes(known, [probe("payments.internal:8080", OK, FAIL, name="tcp")])
    shown = str([message.blocks for message in evidence_messages(result)])
    assert "for it: payments explains it (`dependencies`)" in shown
    assert "payments.internal:8080: saw fail (`tcp payments.internal:8080`)" in shown


TARGETS = ("web-03:80", "https://payments.internal/", "http://checkout/", "db.internal:5432", "db.internal")
VERDICTS = st.sampled_from([OK, FAIL, SKIPPED, Verdict.UNKNOWN, Verdict.WARN])
PROBES = st.builds(
    lambda target, name, verdicts: probe(target, *verdicts, name=name),
    st.sampled_from(TARGETS),
    st.sampled_from(["http", "tcp", "tls", "dns"]),
    st.lists(VERDICTS, min_size=1, max_size=4),
)
EXPIRED = st.builds(
    expired, st.sampled_from(TARGETS), st.integers(-200, 200).map(lambda minutes: timedelta(minutes=minutes))
)
KNOWN = st.lists(
    st.sampled_from([DEPLOYMENT, PAYMENTS, HOST, EMITTER, DNS_LOGS]), unique_by=lambda each: each.cause, max_size=4
)
FOUND = st.lists(PROBES | EXPIRED, max_size=6, unique_by=finding_id)


@given(
    known=KNOWN, findings=FOUND, state=st.sampled_from(["abnormal", "lost", "recovered"]), onset_open=st.booleans()
)
@example(
    known=[EMITTER],
    findings=[probe("http://checkout/", OK, OK), probe("http://checkout/", OK, OK, name="tcp")],
    state="lost",
    onset_open=False,
)
def test_removing_a_cited_probe_weakens_the_hypothesis(
    known: list[Hypothesis], findings: list[Finding], state: str, onset_open: bool
) -> None:
    before = evidence(*known, state=state, onset_open=onset_open)
    result = weigh_probes(before, findings)
    ids = {finding_id(each) for each in (*before.findings, *findings)} | {
        "dependencies",
        "groups",
        "changes",
        "logs",
    }
    assert bool(result.hypotheses) is (result.abstained is None) or not findings
    for hypothesis in result.hypotheses:
        cited = (*hypothesis.supporting, *hypothesis.contradicting)
        assert {each.finding for each in cited} <= ids
        for removed in {each.finding for each in hypothesis.supporting}:
            remaining = weigh_probes(before, [each for each in findings if finding_id(each) != removed])
            same = [
                each
                for each in remaining.hypotheses
                if (each.cause, each.text) == (hypothesis.cause, hypothesis.text)
            ]
            if any(removed == finding_id(each) for each in findings):
                assert all(each.confidence < hypothesis.confidence for each in same)
