"""Derive statements from findings: one for each finding, entailed by it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import trustme
from hypothesis import given
from hypothesis import strategies as st

from airflow_incident_provider.models import (
    Expectation,
    Finding,
    Incident,
    ProbeRun,
    Route,
    Severity,
    Source,
    Stage,
    StageName,
    Target,
    Verdict,
)
from airflow_incident_provider.probes import MAX_RUNS, conclude, interpret
from airflow_incident_provider.probes.conclusions import restate
from benchmarks.probes.entailment import untrue_clauses

from .measurements import ADDRESS, output, web_measurements

AT = datetime(2026, 11, 23, 9, 35, tzinfo=UTC)
URL = "https://checkout.example.com/healthz"
INCIDENT = Incident(
    key="k",
    id="1",
    source=Source.MANUAL,
    title="t",
    severity=Severity.HIGH,
    occurred_at=AT,
    received_at=AT,
    services=("checkout",),
    route=Route(matched=("payments",), targets=(Target(url=URL),)),
)
REPORTED = {Verdict.FAIL, Verdict.WARN, Verdict.OK}


def stages(**verdicts: Verdict) -> tuple[Stage, ...]:
    names = {"name": StageName.NAME, "connection": StageName.CONNECTION, "tls": StageName.TLS}
    return tuple(
        Stage(name=names[name], verdict=verdict, summary=f"{name} so") for name, verdict in verdicts.items()
    )


def make_finding(
    verdict: Verdict, summary: str = "so", *, probe: str = "http", target: str = URL, **fields: Any
) -> Finding:
    return Finding(probe=probe, target=target, verdict=verdict, summary=summary, **({"started_at": AT} | fields))


CONTROL = make_finding(Verdict.OK, probe="control", target="our own side")
BROKEN_CONTROL = make_finding(
    Verdict.FAIL, "no resolver answers (10.0.0.2)", probe="control", target="our own side"
)


def statements(*findings: Finding) -> list[str]:
    return [statement.text for statement in conclude(INCIDENT, findings).known]


def test_statement_contains_target_summary_and_passed_stages() -> None:
    in_order = stages(name=Verdict.OK, connection=Verdict.OK, tls=Verdict.OK)
    assert statements(CONTROL, make_finding(Verdict.FAIL, "HTTP 503 in 212 ms", stages=in_order)) == [
        f"{URL}: HTTP 503 in 212 ms; in order: name, connection, TLS"
    ]


@pytest.mark.parametrize("verdict", [Verdict.FAIL, Verdict.WARN, Verdict.SKIPPED, Verdict.UNKNOWN])
def test_stage_with_a_fault_is_not_in_order(verdict: Verdict) -> None:
    (text,) = statements(make_finding(Verdict.FAIL, "HTTP 503", stages=stages(name=Verdict.OK, tls=verdict)))
    assert text == f"{URL}: HTTP 503; in order: name"


def test_no_cause_is_stated() -> None:
    for code in (500, 503, 504, 511):
        (text,) = statements(
            make_finding(Verdict.FAIL, f"HTTP {code}", stages=stages(name=Verdict.OK, connection=Verdict.OK))
        )
        assert not any(word in text for word in ("front end", "behind", "because", "fault", "fine"))


def test_statements_are_ordered_by_severity() -> None:
    findings = [
        make_finding(Verdict.OK, "HTTP 200", target="https://a.example/"),
        make_finding(Verdict.WARN, "HTTP 404", target="https://a.example/x"),
        make_finding(Verdict.FAIL, "HTTP 500", target="https://a.example/reports"),
        make_finding(Verdict.FAIL, "HTTP 503", target="https://a.example:8443/"),
    ]
    assert statements(CONTROL, *findings) == [
        "https://a.example/reports: HTTP 500",
        "https://a.example:8443/: HTTP 503",
        "https://a.example/x: HTTP 404",
        "https://a.example/: HTTP 200",
    ]


def test_failed_control_suppresses_no_statement() -> None:
    assert statements(BROKEN_CONTROL, make_finding(Verdict.FAIL, "HTTP 503")) == [
        f"{URL}: HTTP 503",
        "our own side: no resolver answers (10.0.0.2)",
    ]


def test_passed_control_yields_no_statement() -> None:
    assert statements(CONTROL) == []


def test_contradiction_is_reported_with_both_times() -> None:
    closed = make_finding(
        Verdict.FAIL,
        probe="tcp",
        target="checkout.example.com:443",
        stages=(Stage(name=StageName.CONNECTION, verdict=Verdict.FAIL, summary="port 443: connection refused"),),
    )
    opened = make_finding(
        Verdict.OK,
        stages=(Stage(name=StageName.CONNECTION, verdict=Verdict.OK, summary="port 443 open"),),
        started_at=AT + timedelta(seconds=2),
    )
    contradiction = (
        "checkout.example.com:443: the findings contradict each other: "
        "tcp at 09:35:00 found port 443: connection refused; http at 09:35:02 found port 443 open"
    )
    assert contradiction in statements(CONTROL, closed, opened)
    assert contradiction not in statements(CONTROL, closed)
    assert contradiction not in statements(CONTROL, opened)


@pytest.mark.parametrize("later", [2, 600, 90_000])
def test_repeated_check_does_not_contradict_itself(later: float) -> None:
    stage = Stage(name=StageName.CONNECTION, verdict=Verdict.FAIL, summary="port 443: connection refused")
    first = make_finding(Verdict.FAIL, probe="tcp", target="checkout.example.com:443", stages=(stage,))
    stage = Stage(name=StageName.CONNECTION, verdict=Verdict.OK, summary="port 443 open")
    repeated = make_finding(
        Verdict.OK,
        probe="tcp",
        target="checkout.example.com:443",
        stages=(stage,),
        started_at=AT + timedelta(seconds=later),
    )
    texts = statements(CONTROL, first, repeated)
    assert not [text for text in texts if "contradict" in text]
    day = f"{AT:%Y-%m-%d} " if later > 86_400 else ""
    assert any(f"a repeated check differs: tcp at {day}09:35:00 found port 443: conn" in text for text in texts)


@pytest.mark.parametrize(
    ("location", "contradicted"),
    [
        ("https://login.example.com/", None),
        ("https://checkout.example.com:8443/", None),
        ("https://checkout.example.com/login", "checkout.example.com:443"),
    ],
)
def test_redirected_finding_does_not_contradict_the_target(location: str, contradicted: str | None) -> None:
    refused = Stage(name=StageName.CONNECTION, verdict=Verdict.FAIL, summary="connection refused")
    opened = Stage(name=StageName.CONNECTION, verdict=Verdict.OK, summary="port 443 open")
    followed = make_finding(Verdict.FAIL, stages=(refused,), facts={"redirected_to": location})
    direct = make_finding(Verdict.OK, probe="tcp", target="checkout.example.com:443", stages=(opened,))
    texts = [text for text in statements(CONTROL, followed, direct) if "contradict" in text]
    assert [text.partition(": ")[0] for text in texts] == ([contradicted] if contradicted else [])


def test_custom_finding_may_have_any_name_and_facts() -> None:
    custom = make_finding(Verdict.FAIL, "9000 waiting", facts={"status": "many"}, target="")
    assert statements(custom) == ["http: 9000 waiting"]


# --- unknowns -----------------------------------------------------------------------------------------


def unknown(*findings: Finding, **fields: Any) -> tuple[str, ...]:
    return conclude(INCIDENT.model_copy(update=fields), findings).unknown


def test_skipped_and_unknown_findings_are_listed_with_a_reason() -> None:
    lines = unknown(
        CONTROL,
        make_finding(Verdict.SKIPPED, "refused: private"),
        make_finding(Verdict.UNKNOWN, "no resolver", probe="tcp"),
    )
    assert f"http of {URL}: refused: private" in lines
    assert f"tcp of {URL}: no resolver" in lines


def test_unfollowed_redirect_is_unknown() -> None:
    redirect = make_finding(
        Verdict.UNKNOWN, "HTTP 302; redirects to https://login.example/, which was not followed"
    )
    assert statements(redirect) == []
    assert any("was not followed" in line for line in unknown(CONTROL, redirect))


def test_missing_checks_are_reported_with_a_fix() -> None:
    bare = Route(matched=("payments",))
    assert (
        "how checkout answers: nothing was checked, for no target is known; "
        "add one under targets in rule payments of the routing table"
    ) in unknown(CONTROL, route=bare)
    assert any("a rule of the routing table" in line for line in unknown(CONTROL, route=Route()))
    assert "how checkout answers: nothing could be checked" in unknown(CONTROL, make_finding(Verdict.UNKNOWN))


def test_planned_check_without_a_finding_is_listed() -> None:
    assert "http of https://checkout.example.com:443/healthz: planned, but it left no finding" in unknown(CONTROL)


def test_check_that_did_not_run_is_not_counted_as_passed() -> None:
    lines = unknown(CONTROL, make_finding(Verdict.OK, target="https://other.example.com/"))
    assert "why the alert was raised: every check that ran passed" in lines
    assert "why the alert was raised: every check passed" not in lines


def test_checks_over_the_limit_are_listed_individually() -> None:
    targets = tuple(Target(url=f"https://h{number}.example.com/") for number in range(MAX_RUNS + 2))
    lines = [line for line in unknown(CONTROL, route=Route(targets=targets)) if "starts at most" in line]
    assert len(lines) == 3
    assert lines[-1].startswith(f"http of https://h{MAX_RUNS + 1}.example.com:443/: not run")


def test_failed_control_qualifies_only_failures() -> None:
    assert not any("ours" in line for line in unknown(CONTROL, make_finding(Verdict.FAIL)))
    assert any(
        "the targets' or ours: no resolver answers" in line
        for line in unknown(BROKEN_CONTROL, make_finding(Verdict.FAIL))
    )
    assert not any("ours" in line for line in unknown(BROKEN_CONTROL, make_finding(Verdict.OK)))


def test_control_that_did_not_run_is_listed() -> None:
    for findings in (
        [make_finding(Verdict.OK)],
        [make_finding(Verdict.UNKNOWN, probe="control"), make_finding(Verdict.OK)],
    ):
        assert any("our own side: the control did not run" in line for line in unknown(*findings))


# --- entailment ---------------------------------------------------------------------------------------


def _reply(rcode: int, *answers: bytes) -> str:
    """Return a DNS reply for "h" in Latin-1, with these answer records."""
    header = bytes([0x1D, 0xC0, 0x81, 0x80 | rcode, 0, 1, 0, len(answers), 0, 0, 0, 0])
    return (header + b"\1h\0\0\1\0\1" + b"".join(answers)).decode("latin-1")


_A = b"\xc0\x0c\0\1\0\1\0\0\0\5\0\4\xc0\0\2\1"
_ALIAS = b"\xc0\x0c\0\5\0\1\0\0\0\5\0\3\1g\0"
REPLIES = st.sampled_from(
    [_reply(0), _reply(0, _A), _reply(0, _ALIAS), _reply(3), _reply(3, _ALIAS), _reply(2), _reply(5)]
)
CERTIFICATE = trustme.CA().issue_cert("h2.example.com", "h4.example.com").cert_chain_pems[0].bytes().decode()
EXPECTED = Expectation(statuses=("200", "302"), body="^up$", slow_ms=500, follow_redirects=True)
RUNS = [
    *(ProbeRun(probe="http", target=Target(url=f"http://h{n}.example.com/", trusted=True)) for n in range(2)),
    ProbeRun(probe="http", target=Target(url="https://h2.example.com/", trusted=True)),
    ProbeRun(probe="http", target=Target(url="http://h3.example.com/", trusted=True, expect=EXPECTED)),
    ProbeRun(probe="http", target=Target(url="http://198.51.100.7/", trusted=True)),
    ProbeRun(probe="tls", target=Target(url="tls://h4.example.com:993", trusted=True)),
    ProbeRun(probe="grpc", target=Target(url="grpc://h5.example.com:50051/", trusted=True)),
    ProbeRun(probe="tcp", target=Target(host="h6.example.com", port=5432, trusted=True)),
    ProbeRun(probe="dns", target=Target(host="h7.example.com", trusted=True)),
    ProbeRun(probe="dns", target=Target(host="h8.example.com"), identifier=True),
]
LOCAL_ERRORS = [2, 27, 43, 58, 77]
ANSWERS = st.fixed_dictionaries(
    {},
    optional={
        "http_code": st.sampled_from([0, 100, 200, 204, 300, 302, 304, 401, 403, 404, 429, 500, 503]),
        "exitcode": st.sampled_from([0, 1, 7, 8, 16, 18, 23, 28, 35, 52, 55, 56, 61, 63, 92, 100, *LOCAL_ERRORS]),
        "num_connects": st.sampled_from([0, 1]),
        "time_total": st.sampled_from([0.2, 3.0]),
        "time_appconnect": st.sampled_from([0, 0.1]),
        "ssl_verify_result": st.sampled_from([0, 1, 9, 10, 18, 20, 47, 99]),
        "certs": st.sampled_from(["", CERTIFICATE, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----"]),
        "redirect_url": st.sampled_from([None, "https://login.example/"]),
        "errormsg": st.sampled_from(
            [None, "Connection reset by peer", "chunk hex-length", "routines::unexpected eof"]
        ),
    },
)
ADDRESS_LINE = f"{ADDRESS} yes {{}} 172.18.0.2"
MEASUREMENTS = st.fixed_dictionaries(
    {},
    optional={
        "trace-1": st.sampled_from(
            [
                "* TLSv1.2 (IN), TLS handshake, Request CERT (13)",
                "* connect to 192.0.2.1 failed: Connection refused",
            ]
        ),
        "headers-1": st.sampled_from(
            ["HTTP/2 200\r\ngrpc-status: 0\r\n", "HTTP/2 200\r\ngrpc-status: 14\r\n", "HTTP/1.1 200\r\n"]
        ),
        "body-1": st.sampled_from(["up", "down", "x" * 32_769, "\0\0\0\0\2\x08\1"]),
        "judged": st.sampled_from(
            [
                ADDRESS_LINE.format("reserved"),
                ADDRESS_LINE.format("public"),
                "",
                f"{ADDRESS} yes public -",
                f"{ADDRESS} no private -",
            ]
        ),
        "lookup4": st.sampled_from(["100.00 100.01", "100.00 105.00"]),
        "clock": st.sampled_from([str(int(AT.timestamp())), str(int(AT.timestamp()) + 9_000_000)]),
        "knock-1": st.sampled_from(["0 100.00 100.01", "1 100.00 103.00"]),
        "address-1": st.sampled_from([ADDRESS, "proxy"]),
        **{f"reply-{query}-10.0.0.2": REPLIES for query in ("a", "aaaa", "known")},
    },
)
ENDS = st.sampled_from(
    [{}, {}, {}, {}, {"internal": True}, {"oom_killed": True}, {"timed_out": True}, {"exit_code": 137}]
)
FINDING_PARTS = st.tuples(
    st.sampled_from(RUNS), ANSWERS, MEASUREMENTS, st.sampled_from(["", "", "", "", "judged", "result-1"]), ENDS
)
FINDINGS = st.lists(FINDING_PARTS, max_size=4).map(lambda parts: [_finding(*each) for each in parts])


def _finding(
    run: ProbeRun, answer: dict[str, Any], measurements: dict[str, Any], without: str, end: dict[str, Any]
) -> Finding:
    measured = web_measurements(**answer) | measurements
    return interpret(run, output({name: value for name, value in measured.items() if name != without}, **end))


@given(FINDINGS)
def test_every_claim_is_entailed_by_a_cited_finding(findings: list[Finding]) -> None:
    for statement in conclude(INCIDENT, findings).known:
        cited = [f for f in findings if f.probe in statement.probes and f.target in statement.targets]
        assert cited, statement
        if len(statement.probes) == 1:
            claims = statement.text.removeprefix(f"{statement.targets[0]}: ")
            assert any(not untrue_clauses(finding, claims) for finding in cited), statement


@given(FINDINGS, st.data())
def test_removing_a_cited_finding_removes_the_statement(findings: list[Finding], data: st.DataObject) -> None:
    known = conclude(INCIDENT, findings).known
    for statement in known:
        cited = [f for f in findings if restate(f).text == statement.text or len(statement.probes) > 1]
        removed = data.draw(st.sampled_from(cited))
        rest = [finding for finding in findings if finding is not removed]
        same = [f for f in rest if f == removed]
        texts = [each.text for each in conclude(INCIDENT, rest).known]
        if not same and len(statement.probes) == 1:
            assert texts.count(statement.text) < [each.text for each in known].count(statement.text)


@given(FINDINGS)
def test_no_finding_is_suppressed_or_invented(findings: list[Finding]) -> None:
    texts = statements(*findings)
    for finding in findings:
        assert (restate(finding).text in texts) is (finding.verdict in REPORTED)


def test_entailment_table_detects_untrue_clauses() -> None:
    finding = make_finding(
        Verdict.FAIL, "HTTP 503 in 1 ms (name 1)", stages=stages(name=Verdict.FAIL), facts={"status": 200}
    )
    assert untrue_clauses(
        finding, "HTTP 503 in 1 ms (name 1); in order: name; the fault is behind the front end"
    ) == [
        "HTTP 503 in 1 ms (name 1)",
        "in order: name",
        "the fault is behind the front end",
    ]
