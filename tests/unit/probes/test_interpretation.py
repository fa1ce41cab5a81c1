"""Interpret container output as a finding; an incomplete run is never ok."""

from __future__ import annotations

import json
from datetime import timedelta
from email.utils import format_datetime
from typing import Any

import pytest
import trustme
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_incident_provider.models import Expectation, Finding, ProbeRun, StageName, Target, Verdict
from airflow_incident_provider.probes import (
    BUILTIN_PROBES,
    ContainerOutput,
    after_redirect,
    custom_finding,
    interpret,
    redirected_run,
    skipped_finding,
    unknown_finding,
)
from airflow_incident_provider.probes.conclusions import restate
from benchmarks.probes.entailment import untrue_clauses

from .measurements import AT, curl_report, output, web_measurements

URL = "http://checkout.example.com/healthz"
HTTP = ProbeRun(probe="http", target=Target(url=URL))
HTTPS = ProbeRun(probe="http", target=Target(url="https://checkout.example.com/healthz"))
TARGETS = {
    "http": Target(url=URL),
    "grpc": Target(url="grpc://checkout.example.com:50051"),
    "tls": Target(url="tls://checkout.example.com:443"),
    "tcp": Target(host="checkout.example.com", port=5432),
    "dns": Target(host="checkout.example.com"),
    "control": None,
}


def expecting(**expected: Any) -> ProbeRun:
    return ProbeRun(probe="http", target=Target(url=URL, trusted=True, expect=Expectation(**expected)))


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"error": "no Docker Engine answers"}, "could not run: no Docker Engine answers"),
        ({"oom_killed": True}, "out of memory"),
        ({"timed_out": True}, "did not end in time"),
        ({"exit_code": 143}, "was killed"),
        ({"exit_code": 1}, "did not come to its end (exit code 1)"),
        ({"exit_code": None}, "was killed"),
        ({"truncated": True}, "more than is read"),
    ],
)
def test_incomplete_run_is_unknown(fields: dict[str, Any], words: str) -> None:
    finding = interpret(HTTP, output(web_measurements(), **fields))
    assert finding.verdict is Verdict.UNKNOWN
    assert words in finding.summary


@pytest.mark.parametrize("missing", ["judged", "result-1", "address-1", "lookup4"])
def test_missing_measurement_is_never_ok(missing: str) -> None:
    measurements = {name: value for name, value in web_measurements().items() if name != missing}
    assert interpret(HTTP, output(measurements)).verdict is not Verdict.OK


@settings(deadline=None)
@given(probe=st.sampled_from([probe.name for probe in BUILTIN_PROBES]), data=st.data())
def test_any_output_yields_a_valid_finding(probe: str, data: st.DataObject) -> None:
    """Any output yields a serializable finding, and its statement claims nothing more."""
    values = [
        "",
        "0",
        "1",
        "-1",
        "nan",
        "x y",
        "::1 yes public -",
        "1.2.3.4 no metadata x",
        "[]",
        "{}",
        "null",
        "1 2 3",
    ]
    values += [
        curl_report(http_code=503),
        curl_report(http_code="x", exitcode=[]),
        curl_report(certs=7, time_total="a"),
    ]
    names = [
        *web_measurements(),
        "knock-1",
        "trace-1",
        "verified-1",
        "reply-a-10.0.0.2",
        "reply-known-x",
        "proxy",
        "load",
    ]
    changes = data.draw(st.dictionaries(st.sampled_from(names), st.sampled_from(values)))
    base = data.draw(st.sampled_from([{}, web_measurements()]))
    finding = interpret(ProbeRun(probe=probe, target=TARGETS[probe]), output({**base, **changes}))
    assert Finding.model_validate_json(finding.model_dump_json()) == finding
    if not finding.is_control:
        claims = restate(finding).text.removeprefix(f"{finding.target}: ")
        assert untrue_clauses(finding, claims) == []


def test_times_are_wall_clock_times() -> None:
    """The name lookup counts, because a person waits for it too."""
    finding = interpret(HTTP, output(web_measurements(http_code=503)))
    assert (finding.verdict, finding.summary) == (
        Verdict.FAIL,
        "HTTP 503 in 220 ms (name 10, connect 3, first byte 197)",
    )
    slow = interpret(HTTP, output(web_measurements() | {"lookup4": "100.00 105.30"}))
    assert slow.verdict is Verdict.WARN
    assert "the name took 5.3 s to resolve" in slow.summary
    assert "name 5300" in slow.summary


@pytest.mark.parametrize(
    ("fields", "verdict"),
    [
        ({"http_code": 200}, Verdict.OK),
        ({"http_code": 204}, Verdict.OK),
        ({"http_code": 304}, Verdict.OK),
        ({"http_code": 302, "redirect_url": "https://login.example/"}, Verdict.UNKNOWN),
        ({"http_code": 401}, Verdict.OK),
        ({"http_code": 403}, Verdict.OK),
        ({"http_code": 405}, Verdict.OK),
        ({"http_code": 404}, Verdict.WARN),
        ({"http_code": 429}, Verdict.WARN),
        ({"http_code": 500}, Verdict.FAIL),
        ({"time_total": 2.5}, Verdict.WARN),
        ({"exitcode": 28}, Verdict.WARN),
        ({"exitcode": 18}, Verdict.WARN),
        ({"exitcode": 23}, Verdict.OK),
        ({"http_code": 0, "exitcode": 52}, Verdict.FAIL),
        ({"http_code": 0, "exitcode": 56}, Verdict.FAIL),
        ({"http_code": 0, "exitcode": 99}, Verdict.FAIL),
    ],
)
def test_verdicts_without_an_expectation(fields: dict[str, Any], verdict: Verdict) -> None:
    assert interpret(HTTP, output(web_measurements(**fields))).verdict is verdict


@pytest.mark.parametrize(
    ("expected", "fields", "verdict"),
    [
        ({"statuses": ("404",)}, {"http_code": 404}, Verdict.OK),
        ({"statuses": ("2xx", "301-303")}, {"http_code": 302}, Verdict.OK),
        ({"statuses": ("204",)}, {"http_code": 200}, Verdict.FAIL),
        ({"statuses": ("2xx",)}, {"http_code": 401}, Verdict.FAIL),
        ({"statuses": ("5xx",)}, {"http_code": 503}, Verdict.OK),
        ({"body": "^ok$"}, {}, Verdict.OK),
        ({"body": "^up$"}, {}, Verdict.FAIL),
        ({"slow_ms": 100}, {}, Verdict.WARN),
        ({"slow_ms": 5000}, {"time_total": 3.0}, Verdict.OK),
    ],
)
def test_verdicts_with_an_expectation(expected: dict[str, Any], fields: dict[str, Any], verdict: Verdict) -> None:
    assert interpret(expecting(**expected), output(web_measurements(**fields))).verdict is verdict


def test_hanging_handshake_differs_from_hanging_connection() -> None:
    hanging = {"http_code": 0, "exitcode": 28, "time_connect": 0, "time_total": 4.0}
    finding = interpret(HTTPS, output(web_measurements(**hanging)))
    assert finding.summary == "the TLS handshake did not end within 4 s; not reached: request"
    finding = interpret(HTTPS, output(web_measurements(**hanging, num_connects=0)))
    assert finding.summary == "port 443: no connection in time at 192.0.2.1; not reached: TLS, request"


def test_finding_lists_the_stages_that_were_not_reached() -> None:
    measurements = {name: value for name, value in web_measurements().items() if not name.endswith("-1")}
    finding = interpret(HTTPS, output(measurements | {"judged": ""}))
    assert [stage.verdict for stage in finding.stages[1:]] == [Verdict.SKIPPED] * 3
    assert finding.summary.endswith("not reached: connection, TLS, request")


def test_forbidden_address_is_skipped() -> None:
    finding = interpret(HTTP, output(web_measurements() | {"judged": "10.0.0.1 no private 172.18.0.2"}))
    assert finding.verdict is Verdict.SKIPPED
    assert finding.summary == "refused: checkout.example.com is at 10.0.0.1 (private), which may not be probed"


def test_vantage_point_is_part_of_the_finding() -> None:
    finding = interpret(HTTP, output(web_measurements(), network="probes"))
    assert finding.vantage is not None
    assert finding.vantage.model_dump() == {
        "network": "probes",
        "addresses": ("172.18.0.2",),
        "resolvers": ("10.0.0.2",),
        "families": ("IPv4",),
    }


def test_command_can_be_pasted_into_a_shell() -> None:
    assert interpret(HTTP, output(web_measurements())).command == (
        "curl",
        "-sv",
        "--max-time",
        "10",
        "http://checkout.example.com:80/healthz",
    )
    assert interpret(HTTP, output(web_measurements())).exit_code is None


def test_secret_in_a_response_is_redacted_from_the_finding() -> None:
    secret = "xoxb-1234567890-abcdefghijkl"
    fields = {
        "http_code": 302,
        "redirect_url": f"https://a.example/?token={secret}",
        "errormsg": secret,
        "exitcode": 18,
    }
    measurements = web_measurements(**fields) | {"headers-1": f"Location: /?t={secret}", "body-1": secret}
    assert secret not in interpret(HTTP, output(measurements)).model_dump_json()


# --- redirects ----------------------------------------------------------------------------------------


def redirecting(location: str, **expected: Any) -> tuple[ProbeRun, Finding]:
    run = expecting(**({"follow_redirects": True} | expected))
    return run, interpret(run, output(web_measurements(http_code=302, redirect_url=location)))


def test_redirect_is_followed_only_if_configured() -> None:
    run, finding = redirecting("http://other.example.com/", follow_redirects=False)
    assert redirected_run(run, finding) is None
    run, finding = redirecting("http://other.example.com/")
    following = redirected_run(run, finding)
    assert following is not None
    assert (str(following.target), following.refused) == ("http://other.example.com/", None)


@pytest.mark.parametrize(
    "location", ["http://169.254.169.254/", "http://[::1]/", "ftp://a.example/", "http://2852039166/"]
)
def test_redirect_location_is_validated_like_a_target(location: str) -> None:
    run, finding = redirecting(location)
    following = redirected_run(run, finding)
    assert following is not None
    assert following.refused is not None
    merged = after_redirect(finding, skipped_finding(following, started_at=AT))
    assert merged.verdict is Verdict.UNKNOWN
    assert merged.target == str(run.target)


def test_headers_and_client_certificate_are_not_sent_to_another_host() -> None:
    expected = {"headers": (("X-Tenant", "acme"),), "client_certificate": "probe"}
    run, finding = redirecting("http://checkout.example.com/login", **expected)
    same = redirected_run(run, finding)
    run, finding = redirecting("http://other.example.com/", **expected)
    other = redirected_run(run, finding)
    assert same is not None
    assert other is not None
    assert same.target is not None
    assert other.target is not None
    assert same.target.expect == run.target.expect  # type: ignore[union-attr]
    assert other.target.expect == Expectation(follow_redirects=True)


def test_finding_after_a_redirect_names_the_location() -> None:
    run, first = redirecting("http://other.example.com/")
    following = redirected_run(run, first)
    assert following is not None
    merged = after_redirect(first, interpret(following, output(web_measurements(http_code=503))))
    assert merged.verdict is Verdict.FAIL
    assert merged.summary.startswith("redirects to http://other.example.com/: HTTP 503 in ")
    assert merged.facts["redirected_to"] == str(following.target)


def test_fault_before_a_redirect_is_kept() -> None:
    run, _ = redirecting("http://other.example.com/")
    slow = web_measurements(http_code=302, redirect_url="http://other.example.com/", time_total=9.0)
    first = interpret(run, output(slow))
    following = redirected_run(run, first)
    assert following is not None
    merged = after_redirect(first, interpret(following, output(web_measurements())))
    assert merged.verdict is Verdict.WARN
    assert "slow: the limit is" in merged.summary
    assert "not followed" not in merged.summary
    assert untrue_clauses(merged, merged.summary) == []


# --- custom images -----------------------------------------------------------------------------------


def test_custom_image_finding_names_the_task_not_the_image() -> None:
    finding = custom_finding(
        ContainerOutput(started_at=AT, exit_code=0), name="is_redis_up", image="redis:7", command=()
    )
    assert (finding.probe, finding.target, finding.verdict) == ("is_redis_up", "", Verdict.OK)
    assert "redis:7" not in restate(finding).text
    assert restate(finding).text == "is_redis_up: exit code 0"


@pytest.mark.parametrize(
    "fields",
    [
        {"timed_out": True},
        {"oom_killed": True, "exit_code": 0},
        {"exit_code": 137},
        {"truncated": True, "exit_code": 0},
    ],
)
def test_incomplete_custom_image_is_unknown(fields: dict[str, Any]) -> None:
    finding = custom_finding(ContainerOutput(started_at=AT, **fields), name="a", image="b", command=())
    assert finding.verdict is Verdict.UNKNOWN


def test_probe_that_could_not_run_is_unknown() -> None:
    finding = unknown_finding(HTTP, "no Docker Engine answers", started_at=AT)
    assert (finding.verdict, finding.target) == (Verdict.UNKNOWN, URL)


def test_control_reports_the_failed_check() -> None:
    run = ProbeRun(probe="control")
    measurements = {**web_measurements(), "reply-known-10.0.0.2": ""}
    finding = interpret(run, output(measurements))
    assert (finding.verdict, finding.summary) == (Verdict.FAIL, "no resolver answers (10.0.0.2)")
    assert finding.is_control
    assert json.loads(finding.model_dump_json())["facts"]["load_1m"] == 0.5


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"load": "96.0 1 1 1/2 1\n2\nMemTotal: 100 kB\nMemAvailable: 90 kB"},
            "the machine is busy (load 96.0 on 2 CPUs)",
        ),
        ({"load": "0.5 1 1 1/2 1\n2\nMemTotal: 100 kB\nMemAvailable: 1 kB"}, "1% of its memory left"),
        ({"clock": str(int(AT.timestamp()) + 7200)}, "the engine's clock is 7199 s ahead of the worker's"),
        ({"clock": str(int(AT.timestamp()) - 7200)}, "the engine's clock is 7200 s behind the worker's"),
    ],
)
def test_control_checks_load_memory_and_clock(changes: dict[str, str], words: str) -> None:
    from airflow_incident_provider.probes.dns import query

    reply = bytearray(query("", "ns"))
    reply[2] |= 0x80
    measurements = {**web_measurements(), **changes}
    finding = interpret(ProbeRun(probe="control"), _with_reply(measurements, bytes(reply)))
    assert finding.verdict is Verdict.WARN
    assert words in finding.summary


def _with_reply(measurements: dict[str, str], reply: bytes) -> ContainerOutput:
    import gzip
    from base64 import b64encode

    container_output = output(measurements)
    line = b"reply-known-10.0.0.2 " + b64encode(gzip.compress(reply)) + b"\n"
    return ContainerOutput(started_at=AT, exit_code=0, duration_ms=300, stdout=line + container_output.stdout)


def test_stages_are_in_the_order_of_a_request() -> None:
    finding = interpret(HTTP, output(web_measurements()))
    assert [stage.name for stage in finding.stages] == [StageName.NAME, StageName.CONNECTION, StageName.REQUEST]


def _http_date(minutes: float) -> str:
    return format_datetime(AT + timedelta(minutes=minutes), usegmt=True)


@pytest.mark.parametrize(
    ("headers", "verdict"),
    [
        # A cache passes on the date of the original response.
        (f"Date: {_http_date(-60)}\r\nAge: 3600\r\n", Verdict.FAIL),
        (f"Date: {_http_date(-1440)}\r\nAge: 86400\r\nAge: 86400\r\n", Verdict.FAIL),
        # -0000 means UTC.
        (f"Date: {_http_date(0).replace('GMT', '-0000')}\r\n", Verdict.FAIL),
        (f"Date: {_http_date(0)}\r\nAge: soon\r\n", Verdict.FAIL),
        (f"Date: {_http_date(-60)}\r\nAge: 0\r\n", Verdict.WARN),
        (f"Date: {_http_date(-60).replace('GMT', '-0000')}\r\n", Verdict.WARN),
    ],
)
def test_server_clock_accounts_for_the_age_header(headers: str, verdict: Verdict) -> None:
    issued = trustme.CA().issue_cert("checkout.example.com", not_after=AT - timedelta(minutes=10))
    pem = issued.cert_chain_pems[0].bytes().decode()
    measured = web_measurements(certs=pem, time_appconnect=0.1, ssl_verify_result=10)
    finding = interpret(HTTPS, output(measured | {"headers-1": f"HTTP/1.1 200 OK\r\n{headers}\r\n"}))
    assert finding.verdict is verdict
    words = "certificate expired" if verdict is Verdict.FAIL else "valid by the server's clock only"
    assert words in finding.summary
