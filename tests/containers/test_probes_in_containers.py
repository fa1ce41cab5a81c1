"""The real scripts, in real locked-down containers, against a service that is half broken."""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Callable
from typing import Any

import pytest
from incident_sandbox.demo.broken_service import DOMAIN, METADATA_URL, BrokenService, Certificate

from airflow_incident_provider.models import Finding, ProbeRun, Target, Verdict

from .conftest import HOSTILE_NAMES, Sandbox  # isort: skip

pytestmark = pytest.mark.docker

Look = Callable[..., Finding]
CHECKOUT = f"checkout.{DOMAIN}"


def test_control_is_fine_on_a_working_network(look: Look) -> None:
    finding = look("host_facts")
    assert finding.verdict is Verdict.OK
    assert finding.facts["resolver_answers"] is True
    assert int(finding.facts["memory_available_percent"]) > 0


def test_control_fails_when_the_name_server_is_gone(look: Look, sandbox: Sandbox) -> None:
    finding = look("host_facts", dns=sandbox.deserted_address)
    assert finding.verdict is Verdict.FAIL
    assert "no working name server" in finding.summary


def test_control_fails_without_a_network(look: Look) -> None:
    finding = look("host_facts", network="none")
    assert finding.verdict is Verdict.FAIL
    assert "no address, no route" in finding.summary


def test_name_that_exists(look: Look, service: BrokenService) -> None:
    finding = look("dns", Target(host=CHECKOUT))
    assert (finding.verdict, finding.facts["addresses"]) == (Verdict.OK, service.address)
    assert re.fullmatch(r"1 address, \d+ ms", finding.summary)


@pytest.mark.parametrize(
    ("probe", "target"),
    [
        ("dns", Target(host=f"nobody.{DOMAIN}")),
        ("tcp", Target(host=f"nobody.{DOMAIN}", port=80)),
        ("tls", Target(host=f"nobody.{DOMAIN}", port=443)),
        ("http", Target(url=f"http://nobody.{DOMAIN}/")),
    ],
)
def test_name_that_does_not_exist(look: Look, probe: str, target: Target) -> None:
    finding = look(probe, target)
    assert (finding.verdict, finding.summary) == (Verdict.FAIL, "no such name (NXDOMAIN)")


def test_name_server_that_is_gone(look: Look, sandbox: Sandbox) -> None:
    finding = look("dns", Target(host=CHECKOUT), dns=sandbox.deserted_address)
    assert finding.verdict is Verdict.FAIL
    assert finding.facts["resolution"] in {"TIMEOUT", "SERVFAIL"}


def test_open_port(look: Look, service: BrokenService) -> None:
    finding = look("tcp", Target(host=CHECKOUT, port=service.port()))
    assert finding.verdict is Verdict.OK
    assert finding.facts["open"] == finding.facts["tries"] == 5
    assert re.fullmatch(rf"{service.port()} open, median [\d.]+ ms of 5", finding.summary)


def test_refused_port(look: Look, service: BrokenService) -> None:
    finding = look("tcp", Target(host=CHECKOUT, port=service.refused_port))
    assert (finding.verdict, finding.summary) == (Verdict.FAIL, "connection refused")
    assert finding.facts["refused"] == 5
    assert f"{service.address} port {service.refused_port}: refused" in finding.evidence


def test_port_of_a_host_that_is_gone(look: Look, sandbox: Sandbox) -> None:
    """Nobody has the address: the kernel says so, or nobody says anything; nothing was refused."""
    finding = look("tcp", Target(host=sandbox.deserted_address, port=80))
    assert finding.verdict is Verdict.FAIL
    assert finding.summary in {"no route to the host", "no connection within 2 s"}
    assert "refused" not in finding.facts


def test_url_behind_a_refused_port(look: Look, service: BrokenService) -> None:
    finding = look("http", Target(url=f"http://{CHECKOUT}:{service.refused_port}/"))
    assert (finding.verdict, finding.summary) == (Verdict.FAIL, "connection refused")


@pytest.mark.parametrize("certificate", [None, Certificate.GOOD])
def test_healthy_url(look: Look, service: BrokenService, certificate: Certificate | None) -> None:
    finding = look("http", Target(url=service.url(certificate=certificate)))
    assert (finding.verdict, finding.facts["status"]) == (Verdict.OK, 200)
    tls = r"TLS \d+, " if certificate else ""
    assert re.fullmatch(rf"HTTP 200 after \d+ ms \(name \d+, connect \d+, {tls}first byte \d+\)", finding.summary)


def test_url_by_address(look: Look, service: BrokenService) -> None:
    finding = look("http", Target(url=service.url(host=service.address)))
    assert (finding.verdict, finding.facts["status"]) == (Verdict.OK, 200)


def test_failing_url(look: Look, service: BrokenService) -> None:
    finding = look("http", Target(url=service.url("/failing")))
    assert (finding.verdict, finding.facts["status"]) == (Verdict.FAIL, 503)
    assert "no healthy upstream" in finding.evidence


def test_missing_page(look: Look, service: BrokenService) -> None:
    finding = look("http", Target(url=service.url("/no-such-page")))
    assert (finding.verdict, finding.facts["status"]) == (Verdict.WARN, 404)


def test_redirect_is_told_and_not_followed(look: Look, service: BrokenService) -> None:
    finding = look("http", Target(url=service.url("/redirect")))
    assert (finding.facts["status"], finding.facts["location"]) == (302, METADATA_URL)
    assert "not followed" in finding.summary


def test_endless_answer_is_cut(look: Look, service: BrokenService) -> None:
    finding = look("http", Target(url=service.url("/endless")))
    assert (finding.verdict, finding.facts["status"]) == (Verdict.OK, 200)
    assert "only the beginning was read" in finding.summary
    assert len(finding.evidence.encode()) <= 4096
    assert finding.evidence.endswith("[cut]")


def test_answer_cannot_state_facts_or_steer_a_terminal(look: Look, service: BrokenService) -> None:
    finding = look("http", Target(url=service.url("/hostile")))
    assert (finding.verdict, finding.facts["status"]) == (Verdict.FAIL, 503)
    assert "ALL GOOD" in finding.evidence
    assert "aaaaaaaa" not in finding.evidence
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f\u202e]", finding.evidence)


@pytest.mark.parametrize(
    ("certificate", "verdict", "words"),
    [
        (Certificate.EXPIRED, Verdict.FAIL, "certificate expired 3 days ago"),
        (Certificate.EXPIRING, Verdict.WARN, "certificate expires in 6 days"),
        (Certificate.GOOD, Verdict.WARN, "certificate expires in 199 days"),
    ],
)
def test_certificates(
    look: Look, service: BrokenService, certificate: Certificate, verdict: Verdict, words: str
) -> None:
    finding = look("tls", Target(host=CHECKOUT, port=service.port(certificate)))
    assert finding.verdict is verdict
    assert finding.summary.startswith(words)
    assert f"CN={CHECKOUT}" in finding.summary
    assert finding.facts["verification"] == "rejected"
    assert finding.facts["name_matches"] is True
    assert "PRIVATE" not in finding.evidence


def test_certificate_for_another_name(look: Look, service: BrokenService) -> None:
    finding = look("tls", Target(host=f"db.{DOMAIN}", port=service.port(Certificate.GOOD)))
    assert finding.verdict is Verdict.FAIL
    assert "another name" in finding.summary


def test_port_that_speaks_no_tls(look: Look, service: BrokenService) -> None:
    finding = look("tls", Target(host=CHECKOUT, port=service.port()))
    assert (finding.verdict, finding.summary) == (Verdict.FAIL, "the TLS handshake failed")


def test_port_that_is_no_web_server(look: Look, service: BrokenService) -> None:
    """It greets in its own protocol, with something that looks like a fact."""
    with socket.create_server((service.address, 0)) as server:
        threading.Thread(target=_greet, args=(server,), daemon=True).start()
        finding = look("http", Target(url=f"http://{CHECKOUT}:{server.getsockname()[1]}/"))
    assert finding.verdict is Verdict.FAIL
    assert finding.summary in {"the answer is not HTTP", "the connection broke before the answer was complete"}


def _greet(server: socket.socket) -> None:
    connection, _ = server.accept()
    with connection:
        connection.sendall(b"@status=200\n@complete=yes\n220 smtp ready\r\n")
        connection.recv(4096)


@pytest.mark.parametrize("name", [*HOSTILE_NAMES, f"mixed.{DOMAIN}"])
def test_name_that_resolves_to_a_refused_address_is_not_touched(
    sandbox: Sandbox, service: BrokenService, name: str
) -> None:
    """Only the service's own network is allowed; the probe must say what it would not touch."""
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
    [("tcp", Target(host=f"metadata.{DOMAIN}", port=80)), ("tls", Target(host=f"metadata.{DOMAIN}", port=443))],
)
def test_every_probe_that_connects_checks_first(look: Look, probe: str, target: Target) -> None:
    finding = look(probe, target, allowed_networks=("0.0.0.0/0", "::/0"))
    assert finding.verdict is Verdict.SKIPPED
    assert "169.254.169.254" in finding.summary


def test_private_address_is_not_touched_unless_allowed(look: Look, service: BrokenService) -> None:
    target = Target(url=service.url())
    assert look("http", target, allowed_networks=()).verdict is Verdict.SKIPPED
    assert look("http", target).verdict is Verdict.OK


def test_dns_warns_of_a_name_at_the_metadata_address(look: Look) -> None:
    finding = look("dns", Target(host=f"metadata.{DOMAIN}"))
    assert finding.verdict is Verdict.WARN
    assert "metadata" in finding.summary


def test_environment_is_never_executed(sandbox: Sandbox, service: BrokenService) -> None:
    """Whatever a target says, it stays text; planning would refuse these, and the script must not need it to."""
    from airflow_incident_provider.probes.declaration import CURL_IMAGE

    from airflow_incident_provider.probes import command_for

    for hostile in ("$(echo pwned)", "`echo pwned`", "a; echo pwned", "-h", "a'b\"c", "x\n@status=200"):
        environment = {
            "TARGET_HOST": hostile,
            "TARGET_PORT": "80",
            "TARGET_URL": f"http://{hostile}/",
            "ALLOWED_NETWORKS": "",
        }
        output: Any = sandbox.run(CURL_IMAGE, command_for("http"), environment)
        facts = [line for line in output.stdout.split(b"\n") if line.startswith(b"@")]
        assert not [fact for fact in facts if fact.startswith(b"@status=2")], hostile
        assert b"\npwned" not in output.stdout, hostile
