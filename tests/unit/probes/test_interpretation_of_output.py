"""A container's output becomes a finding, and what did not complete is never fine."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_incident_provider.models import Finding, ProbeRun, Target, Verdict
from airflow_incident_provider.probes import (
    ContainerOutput,
    catalogue,
    get_probe,
    interpret,
    skipped_finding,
    unknown_finding,
)

AT = datetime(2026, 11, 23, 9, 35, tzinfo=UTC)
HTTP = ProbeRun(probe="http", target=Target(url="https://checkout.example.com/healthz"))
TLS = ProbeRun(probe="tls", target=Target(host="checkout.example.com", port=443))
TCP = ProbeRun(probe="tcp", target=Target(host="checkout.example.com", port=443))
DNS = ProbeRun(probe="dns", target=Target(host="checkout.example.com"))
RUNS = {"http": HTTP, "tls": TLS, "tcp": TCP, "dns": DNS, "host_facts": ProbeRun(probe="host_facts")}

ANSWERED = {
    "resolution": "NOERROR",
    "lookup_ms": "2",
    "addresses": "192.0.2.1",
    "curl_exit_code": "0",
    "timings": "0.003 0.012 0.210 0.210",
    "status": "503",
    "http_version": "1.1",
}
CERTIFICATE = {
    "resolution": "NOERROR",
    "addresses": "192.0.2.1",
    "curl_exit_code": "0",
    "timings": "0.003 0.012 0.020 0.020",
    "subject": "C = US, CN = checkout.example.com",
    "issuer": "CN = Good Authority",
    "not_before": "Jan  1 00:00:00 2026 GMT",
    "not_after": "Nov 29 12:00:00 2026 GMT",
    "alternative_names": "DNS:checkout.example.com, DNS:*.pay.example.com, IP Address:2001:DB8:0:0:0:0:0:1",
    "verification_code": "0",
    "verified_handshake": "0.010",
}


def printed(facts: dict[str, str], **output: Any) -> ContainerOutput:
    lines = "".join(
        f"@{name}={value}\n" for name, value in ({**facts, "complete": "yes"}).items() if value is not None
    )
    return ContainerOutput(**{"started_at": AT, "exit_code": 0, "stdout": lines.encode()} | output)


def judged(run: ProbeRun, facts: dict[str, str], **changed: str) -> tuple[Verdict, str]:
    finding = interpret(run, printed({**facts, **changed}))
    return finding.verdict, finding.summary


@pytest.mark.parametrize(
    ("output", "words"),
    [
        ({"error": "no Docker Engine answers"}, "could not run: no Docker Engine answers"),
        ({"oom_killed": True}, "out of memory"),
        ({"timed_out": True}, "did not finish within 20 s"),
        ({"exit_code": 143}, "did not finish within 20 s"),
        ({"exit_code": 1}, "exit code 1"),
        ({"exit_code": None}, "exit code None"),
        ({"truncated": True}, "more than is read"),
    ],
)
def test_incomplete_run_is_unknown_whatever_it_printed(output: dict[str, Any], words: str) -> None:
    finding = interpret(HTTP, printed({**ANSWERED, "status": "200"}, **output))
    assert finding.verdict is Verdict.UNKNOWN
    assert words in finding.summary


@pytest.mark.parametrize("missing", ["complete", "status", "curl_exit_code", "timings", "addresses"])
def test_missing_fact_is_never_fine(missing: str) -> None:
    facts = {**ANSWERED, "status": "200"}
    lines = [f"@{name}={value}" for name, value in {**facts, "complete": "yes"}.items() if name != missing]
    finding = interpret(HTTP, ContainerOutput(started_at=AT, exit_code=0, stdout="\n".join(lines).encode()))
    assert finding.verdict is not Verdict.OK


@pytest.mark.parametrize("probe", [probe.name for probe in catalogue()])
@settings(deadline=None)
@given(data=st.data())
def test_no_output_breaks_the_reading(probe: str, data: st.DataObject) -> None:
    """Whatever facts a script prints, there is a finding, and it can be stored."""
    values = st.sampled_from(
        ["", "0", "1", "-1", "nan", "1e999", "9" * 400, "x y", "0 0 0 0", "::1", "1.2.3.4 ::", "yes"]
    )
    names = sorted(
        ANSWERED | CERTIFICATE | dict.fromkeys(["tries", "open", "refused", "timeout", "unreachable", "failed"])
    )
    names += ["open_ms", "resolver", "routes", "default_route", "loopback", "uptime_s", "load_1m", "cpus"]
    names += ["memory_total_kb", "memory_available_kb", "target_refused", "location", "connect_failure"]
    facts = data.draw(st.dictionaries(st.sampled_from(names), values))
    base = data.draw(st.sampled_from([{}, ANSWERED, CERTIFICATE]))
    finding = interpret(RUNS[probe], printed({**base, **facts}))
    assert Finding.model_validate_json(finding.model_dump_json()) == finding


def test_http_summary_tells_each_part_of_the_time() -> None:
    assert judged(HTTP, ANSWERED) == (
        Verdict.FAIL,
        "HTTP 503 after 212 ms (name 2, connect 3, TLS 9, first byte 198)",
    )


@pytest.mark.parametrize(
    ("changed", "verdict"),
    [
        ({"status": "200"}, Verdict.OK),
        ({"status": "302"}, Verdict.OK),
        ({"status": "404"}, Verdict.WARN),
        ({"status": "500"}, Verdict.FAIL),
        ({"status": "200", "timings": "0.003 0.012 2.5 2.5"}, Verdict.WARN),
        ({"status": "200", "curl_exit_code": "28"}, Verdict.WARN),
        ({"status": "200", "curl_exit_code": "18"}, Verdict.WARN),
        ({"status": "200", "curl_exit_code": "23"}, Verdict.OK),
        ({"status": "000", "curl_exit_code": "52"}, Verdict.FAIL),
    ],
)
def test_http_verdicts(changed: dict[str, str], verdict: Verdict) -> None:
    assert judged(HTTP, ANSWERED, **changed)[0] is verdict


@pytest.mark.parametrize(
    ("changed", "summary"),
    [
        ({"curl_exit_code": "7", "connect_failure": "Connection refused"}, "connection refused"),
        ({"curl_exit_code": "7"}, "could not connect"),
        ({"curl_exit_code": "28", "timings": "0 0 0 4"}, "no connection within 4 s"),
        ({"curl_exit_code": "28", "timings": "0.1 0 0 10"}, "no answer within 10 s"),
        ({"curl_exit_code": "35"}, "the TLS handshake failed"),
        ({"curl_exit_code": "99"}, "no answer (curl exit code 99)"),
    ],
)
def test_connection_problems_in_words(changed: dict[str, str], summary: str) -> None:
    assert judged(HTTP, ANSWERED, status="000", **changed) == (Verdict.FAIL, summary)


@pytest.mark.parametrize(
    ("changed", "verdict", "summary"),
    [
        ({}, Verdict.WARN, "certificate expires in 6 days (2026-11-29, CN=checkout.example.com)"),
        (
            {"not_after": "Dec 23 12:00:00 2026 GMT"},
            Verdict.OK,
            "certificate expires in 30 days (2026-12-23, CN=checkout.example.com)",
        ),
        (
            {"not_after": "Nov 23 12:00:00 2026 GMT"},
            Verdict.WARN,
            "certificate expires in less than a day (2026-11-23, CN=checkout.example.com)",
        ),
        (
            {"not_after": "Nov 23 09:00:00 2026 GMT"},
            Verdict.FAIL,
            "certificate expired less than a day ago (2026-11-23, CN=checkout.example.com)",
        ),
        (
            {"not_after": "Nov 22 09:00:00 2026 GMT"},
            Verdict.FAIL,
            "certificate expired 1 day ago (2026-11-22, CN=checkout.example.com)",
        ),
    ],
)
def test_certificate_summary(changed: dict[str, str], verdict: Verdict, summary: str) -> None:
    assert judged(TLS, CERTIFICATE, **changed) == (verdict, summary)


@pytest.mark.parametrize(
    ("host", "verdict"),
    [
        ("checkout.example.com", Verdict.OK),
        ("CHECKOUT.example.com.", Verdict.OK),
        ("a.pay.example.com", Verdict.OK),
        ("a.b.pay.example.com", Verdict.FAIL),
        ("pay.example.com", Verdict.FAIL),
        ("other.example.com", Verdict.FAIL),
        ("2001:db8::1", Verdict.OK),
        ("192.0.2.1", Verdict.FAIL),
    ],
)
def test_certificate_names(host: str, verdict: Verdict) -> None:
    run = ProbeRun(probe="tls", target=Target(host=host, port=443))
    assert judged(run, CERTIFICATE, not_after="Dec 23 12:00:00 2027 GMT")[0] is verdict


def test_certificate_that_is_not_valid_yet() -> None:
    verdict, summary = judged(TLS, CERTIFICATE, not_before="Nov 24 00:00:00 2026 GMT")
    assert verdict is Verdict.FAIL
    assert summary.startswith("certificate is not valid yet")


@pytest.mark.parametrize(
    ("code", "handshake", "verification"),
    [("60", "0", "rejected"), ("52", "0.01", "accepted"), ("28", "0", "not known")],
)
def test_verification_is_told_apart_from_what_came_after(code: str, handshake: str, verification: str) -> None:
    facts = {**CERTIFICATE, "verification_code": code, "verified_handshake": handshake}
    assert interpret(TLS, printed(facts)).facts["verification"] == verification


def test_tcp_that_fails_in_part_is_a_warning() -> None:
    facts = {"addresses": "192.0.2.1 192.0.2.2", "tries": "5", "open": "3", "refused": "2", "timeout": "0"}
    facts |= {"unreachable": "0", "failed": "0", "open_ms": "1.2 3.1 9.9 ", "not_open": "192.0.2.2"}
    assert judged(TCP, facts) == (
        Verdict.WARN,
        "443 open, median 3 ms of 3; 2 of 5 tries failed: connection refused (192.0.2.2)",
    )


@pytest.mark.parametrize(
    ("resolution", "summary"),
    [
        ("NXDOMAIN", "no such name (NXDOMAIN)"),
        ("NOERROR", "the name has no address"),
        ("TIMEOUT", "no name server answered"),
        ("SERVFAIL", "the name server could not answer (SERVFAIL)"),
    ],
)
def test_names_without_addresses(resolution: str, summary: str) -> None:
    assert judged(DNS, {"resolution": resolution, "addresses": ""}) == (Verdict.FAIL, summary)


def test_refusal_in_the_container_is_a_skip() -> None:
    finding = interpret(HTTP, printed({"target_refused": "x is at 169.254.169.254 (metadata)"}))
    assert finding.verdict is Verdict.SKIPPED
    assert "169.254.169.254" in finding.summary


def test_finding_says_how_it_came_about() -> None:
    finding = interpret(HTTP, printed(ANSWERED, image_digest="sha256:1", host="worker-1", duration_ms=400))
    assert (finding.image, finding.image_digest, finding.host) == (get_probe("http").image, "sha256:1", "worker-1")
    assert (finding.started_at, finding.duration_ms, finding.exit_code) == (AT, 400, 0)
    assert finding.command[-2:] == ("sh", "http.sh")
    assert "TARGET_URL=https://checkout.example.com:443/healthz" in finding.command


def test_secrets_of_a_target_are_not_repeated() -> None:
    run = ProbeRun(probe="http", target=Target(url="https://a.example.com/?token=hunter2hunter2"))
    finding = interpret(run, printed({**ANSWERED, "location": "https://a.example.com/?token=hunter2hunter2"}))
    assert "hunter2" not in finding.model_dump_json()


def test_constructors() -> None:
    unknown = unknown_finding(HTTP, "the image is not there", started_at=AT)
    assert (unknown.verdict, unknown.summary) == (
        Verdict.UNKNOWN,
        "the probe could not run: the image is not there",
    )
    refused = ProbeRun(
        probe="no-such", target=Target(host="10.0.0.1"), refused="10.0.0.1 (private) may not be probed"
    )
    skipped = skipped_finding(refused, started_at=AT)
    assert (skipped.verdict, skipped.summary) == (Verdict.SKIPPED, "10.0.0.1 (private) may not be probed")
