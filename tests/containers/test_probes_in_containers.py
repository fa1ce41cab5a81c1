"""The built-in probe in locked-down containers: what it does not contact, and what hostile answers cannot do."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from incident_sandbox.demo.broken_service import DOMAIN, METADATA_URL, BrokenService, Certificate

from airflow_incident_provider.models import Finding, ProbeRun, Target, Verdict
from airflow_incident_provider.probes import CURL_IMAGE, ProbeSettings, get_probe
from airflow_incident_provider.probes.output import read_measurements

from .conftest import HOSTILE_NAMES, Sandbox  # isort: skip

pytestmark = pytest.mark.docker

Look = Callable[..., Finding]
CHECKOUT = f"checkout.{DOMAIN}"


@pytest.mark.parametrize("certificate", [None, Certificate.EXPIRING, Certificate.EXPIRED])
def test_failing_url_of_the_demonstration(
    look: Look, service: BrokenService, certificate: Certificate | None
) -> None:
    finding = look("http", Target(url=service.url("/failing", certificate=certificate)))
    assert (finding.verdict, finding.facts["status"]) == (Verdict.FAIL, 503)
    assert "no healthy upstream" in finding.evidence
    assert ("certificate" in finding.summary) is (certificate is not None)


def test_redirect_is_reported_and_not_followed(look: Look, service: BrokenService) -> None:
    finding = look("http", Target(url=service.url("/redirect")))
    assert (finding.facts["status"], finding.facts["location"]) == (302, METADATA_URL)
    assert (finding.verdict, "which was not followed" in finding.summary) == (Verdict.UNKNOWN, True)


def test_answer_cannot_state_anything_or_steer_a_terminal(look: Look, service: BrokenService) -> None:
    finding = look("http", Target(url=service.url("/hostile")))
    assert (finding.verdict, finding.facts["status"]) == (Verdict.FAIL, 503)
    assert "ALL GOOD" in finding.evidence
    assert "aaaaaaaa" not in finding.evidence
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f\u202e]", finding.evidence)


def test_endless_answer_is_cut(look: Look, service: BrokenService) -> None:
    finding = look("http", Target(url=service.url("/endless")))
    assert (finding.verdict, finding.facts["status"]) == (Verdict.OK, 200)
    assert len(finding.evidence.encode()) <= 4096


@pytest.mark.parametrize("name", [*HOSTILE_NAMES, f"mixed.{DOMAIN}"])
def test_name_that_resolves_to_a_refused_address_is_not_contacted(
    sandbox: Sandbox, service: BrokenService, name: str
) -> None:
    """Only the service's own network is allowed; the probe must say what it would not contact."""
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
def test_every_check_that_connects_judges_first(look: Look, probe: str, target: Target) -> None:
    finding = look(probe, target, allowed_networks=("0.0.0.0/0", "::/0"))
    assert finding.verdict is Verdict.SKIPPED
    assert "169.254.169.254" in finding.summary


def test_private_address_is_not_contacted_unless_allowed(look: Look, service: BrokenService) -> None:
    target = Target(url=service.url())
    assert look("http", target, allowed_networks=()).verdict is Verdict.SKIPPED
    assert look("http", target).verdict is Verdict.OK


def test_name_at_the_metadata_address_is_a_warning_of_the_name(look: Look) -> None:
    finding = look("dns", Target(host=f"metadata.{DOMAIN}"))
    assert finding.verdict is Verdict.WARN
    assert "169.254.169.254 (metadata) is no address of a service" in finding.summary


def test_environment_is_never_executed(sandbox: Sandbox, service: BrokenService) -> None:
    """Whatever a target says, it stays text; planning would refuse these, and the script must not need it to."""
    run = ProbeRun(probe="http", target=Target(url=service.url()), allowed_networks=("0.0.0.0/0",))
    environment = dict(get_probe("http").environment(run, ProbeSettings()))
    command = list(get_probe("http").command(run))
    for hostile in ("$(echo pwned)", "`echo pwned`", "a; echo pwned", "-h", "a'b\"c", "x\nclock AAAA", "*"):
        changed = {**environment, "HOST": hostile, "LITERAL": hostile, "DNS_QUERIES": hostile}
        output: Any = sandbox.run(CURL_IMAGE, command, changed)
        assert b"pwned" not in output.stdout, hostile
        assert not read_measurements(output.stdout).has("result-1"), hostile
