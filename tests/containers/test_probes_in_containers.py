"""The built-in probes in locked-down containers: addresses that are not contacted, and hostile responses."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from incident_sandbox.demo.broken_service import DOMAIN, METADATA_URL, BrokenService, Certificate

from airflow_incident_provider.models import Finding, ProbeRun, Target, Verdict
from airflow_incident_provider.probes import CURL_IMAGE, ProbeSettings, get_probe
from airflow_incident_provider.probes.output import read_measurements

from .conftest import HOSTILE_NAMES, Sandbox

pytestmark = pytest.mark.docker

RunProbe = Callable[..., Finding]
CHECKOUT = f"checkout.{DOMAIN}"


@pytest.mark.parametrize("certificate", [None, Certificate.EXPIRING, Certificate.EXPIRED])
def test_failing_url(run_probe: RunProbe, service: BrokenService, certificate: Certificate | None) -> None:
    finding = run_probe("http", Target(url=service.url("/failing", certificate=certificate)))
    assert (finding.verdict, finding.facts["status"]) == (Verdict.FAIL, 503)
    assert "no healthy upstream" in finding.evidence
    assert ("certificate" in finding.summary) is (certificate is not None)


def test_redirect_is_reported_and_not_followed(run_probe: RunProbe, service: BrokenService) -> None:
    finding = run_probe("http", Target(url=service.url("/redirect")))
    assert (finding.facts["status"], finding.facts["location"]) == (302, METADATA_URL)
    assert (finding.verdict, "which was not followed" in finding.summary) == (Verdict.UNKNOWN, True)


def test_hostile_response_is_escaped(run_probe: RunProbe, service: BrokenService) -> None:
    finding = run_probe("http", Target(url=service.url("/hostile")))
    assert (finding.verdict, finding.facts["status"]) == (Verdict.FAIL, 503)
    assert "ALL GOOD" in finding.evidence
    assert "aaaaaaaa" not in finding.evidence
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f\u202e]", finding.evidence)


def test_endless_response_is_truncated(run_probe: RunProbe, service: BrokenService) -> None:
    finding = run_probe("http", Target(url=service.url("/endless")))
    assert (finding.verdict, finding.facts["status"]) == (Verdict.OK, 200)
    assert len(finding.evidence.encode()) <= 4096


@pytest.mark.parametrize("name", [*HOSTILE_NAMES, f"mixed.{DOMAIN}"])
def test_name_with_refused_address_is_not_contacted(sandbox: Sandbox, service: BrokenService, name: str) -> None:
    """Only the network of the service is allowed."""
    run = ProbeRun(
        probe="http",
        target=Target(url=f"http://{name}:{service.port()}/healthy"),
        allowed_networks=(sandbox.network.subnet,),
    )
    finding = sandbox.probe(run)
    assert finding.verdict is Verdict.SKIPPED
    assert finding.summary.startswith(f"refused: {name} is at ")
    assert "status" not in finding.facts


@pytest.mark.parametrize(
    ("probe", "target"),
    [
        ("tcp", Target(host=f"metadata.{DOMAIN}", port=80)),
        ("tls", Target(url=f"tls://metadata.{DOMAIN}:443")),
        ("grpc", Target(url=f"grpc://metadata.{DOMAIN}:80")),
        ("http", Target(url="http://169.254.169.254/")),
    ],
)
def test_address_is_checked_before_connecting(run_probe: RunProbe, probe: str, target: Target) -> None:
    finding = run_probe(probe, target, allowed_networks=("0.0.0.0/0", "::/0"))
    assert finding.verdict is Verdict.SKIPPED
    assert "169.254.169.254" in finding.summary


def test_private_address_is_not_contacted_unless_allowed(run_probe: RunProbe, service: BrokenService) -> None:
    target = Target(url=service.url())
    assert run_probe("http", target, allowed_networks=()).verdict is Verdict.SKIPPED
    assert run_probe("http", target).verdict is Verdict.OK


def test_name_at_the_metadata_address_is_a_dns_warning(run_probe: RunProbe) -> None:
    finding = run_probe("dns", Target(host=f"metadata.{DOMAIN}"))
    assert finding.verdict is Verdict.WARN
    assert "169.254.169.254 (metadata) is no address of a service" in finding.summary


def test_environment_is_not_executed(sandbox: Sandbox, service: BrokenService) -> None:
    """Planning refuses such targets, but the script does not depend on that."""
    run = ProbeRun(probe="http", target=Target(url=service.url()), allowed_networks=("0.0.0.0/0",))
    environment = dict(get_probe("http").environment(run, ProbeSettings()))
    command = list(get_probe("http").command(run))
    for hostile in ("$(echo pwned)", "`echo pwned`", "a; echo pwned", "-h", "a'b\"c", "x\nclock AAAA", "*"):
        changed = {**environment, "HOST": hostile, "LITERAL": hostile, "DNS_QUERIES": hostile}
        output: Any = sandbox.run(CURL_IMAGE, command, changed)
        assert b"pwned" not in output.stdout, hostile
        assert not read_measurements(output.stdout).has("result-1"), hostile
