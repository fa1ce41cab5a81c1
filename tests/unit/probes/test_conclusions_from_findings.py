"""What is said follows from what was seen, and from nothing else."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import product
from typing import Any

from airflow_incident_provider.models import Finding, Incident, Route, Severity, Source, Target, Verdict
from airflow_incident_provider.probes import conclude

AT = datetime(2026, 11, 23, 9, 35, tzinfo=UTC)
HOST, PORT_TARGET, URL = "checkout.example.com", "checkout.example.com:443", "https://checkout.example.com/healthz"
INCIDENT = Incident(
    key="k",
    id="1",
    source=Source.MANUAL,
    title="t",
    severity=Severity.HIGH,
    occurred_at=AT,
    received_at=AT,
    route=Route(targets=(Target(url=URL),)),
)


def found(probe: str, verdict: Verdict, summary: str = "so", **facts: Any) -> Finding:
    target = {"dns": HOST, "http": URL, "host_facts": "our own side"}.get(probe, PORT_TARGET)
    return Finding(probe=probe, target=target, verdict=verdict, summary=summary, facts=facts, started_at=AT)


CONTROL = found("host_facts", Verdict.OK)
NAME = found("dns", Verdict.OK, "2 addresses, 2 ms")
PORT = found("tcp", Verdict.OK, "443 open, median 3 ms of 5", tries=5, open=5)
AGEING = found("tls", Verdict.WARN, "certificate expires in 6 days", not_after="2026-11-29T12:00:00+00:00")
GOOD = found("tls", Verdict.OK, "certificate expires in 90 days", not_after="2027-02-21T12:00:00+00:00")
FAILING = found("http", Verdict.FAIL, "HTTP 503 after 212 ms", status=503)


def said(*findings: Finding) -> list[tuple[str, tuple[str, ...]]]:
    return [(statement.text, statement.probes) for statement in conclude(INCIDENT, findings).known]


def test_fault_behind_the_front_end() -> None:
    assert said(CONTROL, NAME, PORT, GOOD, FAILING) == [
        (
            f"{HOST} answers 503 while name, network and TLS work: "
            "the fault is behind the front end, not in front of it",
            ("http", "dns", "tcp", "tls"),
        )
    ]


def test_certificate_that_ages_is_said_beside_it() -> None:
    texts = [text for text, _ in said(CONTROL, NAME, PORT, AGEING, FAILING)]
    assert len(texts) == 2
    assert texts[1] == f"{PORT_TARGET}: certificate expires in 6 days"


def test_where_the_fault_is_needs_the_port() -> None:
    assert said(CONTROL, NAME, FAILING) == [(f"{HOST} answers 503", ("http",))]


def test_broken_control_silences_all_the_rest() -> None:
    control = found("host_facts", Verdict.FAIL, "our own network: no route")
    known = said(control, NAME, PORT, FAILING)
    assert len(known) == 1
    assert known[0][0].startswith("our own network: no route")
    assert known[0][1] == ("host_facts",)


def test_refusal_is_said_only_if_one_was_seen() -> None:
    refused = found("tcp", Verdict.FAIL, "connection refused", tries=5, open=0, refused=5)
    silent = found("tcp", Verdict.FAIL, "no connection within 2 s", tries=2, open=0, timeout=2)
    assert "refuses connections" in said(CONTROL, NAME, refused)[0][0]
    assert "refuse" not in str(said(CONTROL, NAME, silent))
    assert "no connection within 2 s" in str(said(CONTROL, NAME, silent))


def test_name_that_does_not_exist_is_said_once() -> None:
    failures = [
        found(probe, Verdict.FAIL, "no such name (NXDOMAIN)", resolution="NXDOMAIN")
        for probe in ("dns", "tcp", "tls", "http")
    ]
    assert said(CONTROL, *failures) == [(f"the name {HOST} does not exist for our name server", ("dns",))]


def test_port_that_is_open_but_does_not_answer() -> None:
    mute = found("http", Verdict.FAIL, "no answer within 10 s")
    assert said(CONTROL, NAME, PORT, mute) == [
        (f"{PORT_TARGET} accepts connections, but: no answer within 10 s", ("http", "tcp"))
    ]


def test_all_fine_says_only_what_was_checked() -> None:
    known = said(CONTROL, NAME, PORT)
    assert known == [
        (
            f"{PORT_TARGET} was fine when it was checked (dns: 2 addresses, 2 ms; tcp: 443 open, median 3 ms of 5)",
            ("dns", "tcp"),
        )
    ]
    assert (
        "why the alert was raised: all that was checked was fine when it was checked"
        in conclude(INCIDENT, [CONTROL, NAME, PORT]).unknown
    )


def test_fault_that_no_rule_knows_is_still_said() -> None:
    assert said(CONTROL, found("queue_depth", Verdict.FAIL, "9000 waiting")) == [
        (f"{PORT_TARGET}: 9000 waiting", ("queue_depth",))
    ]


def test_no_sentence_without_a_finding_of_its_probes() -> None:
    """Over every mixture of verdicts: each probe that a sentence names was run, and had something to say."""
    choices = (None, Verdict.OK, Verdict.WARN, Verdict.FAIL, Verdict.UNKNOWN, Verdict.SKIPPED)
    for verdicts in product(choices, repeat=4):
        probes = zip(("dns", "tcp", "tls", "http"), verdicts, strict=True)
        findings = [found(probe, verdict) for probe, verdict in probes if verdict is not None]
        spoke = {f.probe for f in findings if f.verdict not in {Verdict.UNKNOWN, Verdict.SKIPPED}}
        known = conclude(INCIDENT, [CONTROL, *findings]).known
        assert all(set(statement.probes) <= spoke for statement in known), verdicts
        faults = {f.probe for f in findings if f.verdict in {Verdict.FAIL, Verdict.WARN}}
        assert not faults or known, verdicts
        assert not faults or not any("was fine" in statement.text for statement in known), verdicts


def test_what_was_not_seen_is_listed() -> None:
    skipped = found("http", Verdict.SKIPPED, "refused: private")
    lost = found("tcp", Verdict.UNKNOWN, "the probe could not run: no Docker Engine answers")
    unknown = conclude(INCIDENT, [CONTROL, skipped, lost]).unknown
    assert f"http of {URL}: refused: private" in unknown
    assert f"tcp of {PORT_TARGET}: the probe could not run: no Docker Engine answers" in unknown


def test_control_that_did_not_run_is_listed() -> None:
    for findings in ([NAME], [found("host_facts", Verdict.UNKNOWN), NAME]):
        assert any("our own network" in line for line in conclude(INCIDENT, findings).unknown)


def test_target_that_was_left_out_is_listed() -> None:
    more = INCIDENT.model_copy(update={"hosts": ("web-07.example.com",)})
    assert any("web-07.example.com: not probed" in line for line in conclude(more, [CONTROL, NAME]).unknown)


def test_incident_without_targets_says_so() -> None:
    bare = INCIDENT.model_copy(update={"route": Route()})
    conclusions = conclude(bare, [CONTROL])
    assert conclusions.known == ()
    assert any("names a target" in line for line in conclusions.unknown)
