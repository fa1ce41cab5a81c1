"""Which probes run against what, and what is refused before anything runs."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from airflow_incident_provider.models import Incident, ProbeRun, Route, Severity, Source, Target
from airflow_incident_provider.probes import CONTROL, MAX_RUNS, environment_for, plan_probes

AT = datetime(2026, 11, 23, 9, 35, tzinfo=UTC)


def incident(**fields: Any) -> Incident:
    return Incident(
        key="k",
        id="1",
        source=Source.MANUAL,
        title="t",
        severity=Severity.HIGH,
        occurred_at=AT,
        received_at=AT,
        **fields,
    )


def planned(**fields: Any) -> list[tuple[str, str]]:
    return [(run.probe, str(run.target)) for run in plan_probes(incident(**fields)) if run.refused is None]


def test_control_alone_when_nothing_is_named() -> None:
    assert plan_probes(incident()) == (ProbeRun(probe=CONTROL),)


def test_https_url_is_looked_at_from_name_to_answer() -> None:
    assert planned(targets=(Target(url="https://checkout.example.com/healthz"),)) == [
        (CONTROL, "None"),
        ("dns", "checkout.example.com"),
        ("http", "https://checkout.example.com/healthz"),
        ("tcp", "checkout.example.com:443"),
        ("tls", "checkout.example.com:443"),
    ]


def test_plain_url_has_no_certificate_to_look_at() -> None:
    assert {probe for probe, _ in planned(targets=(Target(url="http://a.example.com:8080/"),))} == {
        CONTROL,
        "dns",
        "http",
        "tcp",
    }


def test_address_needs_no_name_resolution() -> None:
    assert planned(targets=(Target(host="8.8.8.8", port=53),)) == [(CONTROL, "None"), ("tcp", "8.8.8.8:53")]


def test_two_urls_of_one_host_share_its_name_and_port() -> None:
    runs = planned(targets=(Target(url="http://a.example.com/x"), Target(url="http://a.example.com/y")))
    assert sorted(probe for probe, _ in runs) == ["dns", "host_facts", "http", "http", "tcp"]


def test_route_selects_probes_and_never_drops_the_control() -> None:
    route = Route(probes=("dns",))
    assert planned(route=route, targets=(Target(url="https://a.example.com/"),)) == [
        (CONTROL, "None"),
        ("dns", "a.example.com"),
    ]


def test_probe_that_does_not_exist_is_reported_not_run() -> None:
    (_, run) = plan_probes(incident(route=Route(probes=("no-such",))))
    assert run.probe == "no-such"
    assert "no such probe" in str(run.refused)


def test_runs_are_bounded_and_the_routes_come_first() -> None:
    hosts = tuple(f"h{i}.example.com" for i in range(40))
    runs = plan_probes(incident(hosts=hosts, route=Route(targets=(Target(host="mine.example.com"),))))
    assert len(runs) == MAX_RUNS
    assert [str(run.target) for run in runs[:2]] == ["None", "mine.example.com"]


def test_private_address_needs_the_routing_table() -> None:
    target = Target(host="10.1.2.3", port=80)
    (_, from_alert) = plan_probes(incident(targets=(target,)))
    (_, allowed) = plan_probes(incident(targets=(target,), route=Route(allowed_networks=("10.1.0.0/16",))))
    (_, named) = plan_probes(incident(route=Route(targets=(target,))))
    assert "private" in str(from_alert.refused)
    assert allowed.refused is None
    assert named.refused is None


def test_alert_cannot_call_its_own_target_trusted() -> None:
    (_, run) = plan_probes(incident(targets=(Target(host="10.1.2.3", port=80, trusted=True),)))
    assert run.refused is not None


def test_trusted_name_may_resolve_into_private_networks_and_an_alerts_may_not() -> None:
    name = Target(host="db.example.com", port=5432)
    (_, *from_alert) = plan_probes(incident(targets=(name,)))
    (_, *named) = plan_probes(incident(route=Route(targets=(name,))))
    assert {run.allowed_networks for run in from_alert} == {()}
    assert all("10.0.0.0/8" in run.allowed_networks for run in named)
    assert not any(network.startswith(("127.", "169.254.")) for run in named for network in run.allowed_networks)


@pytest.mark.parametrize("trusted", [True, False])
def test_metadata_is_refused_for_everybody(trusted: bool) -> None:
    target = Target(url="http://169.254.169.254/latest/meta-data/")
    fields = {"route": Route(targets=(target,))} if trusted else {"targets": (target,)}
    (_, run) = plan_probes(incident(**fields))
    assert "metadata" in str(run.refused)


def test_short_host_name_of_an_alert_is_not_guessed_at() -> None:
    (_, from_alert) = plan_probes(incident(hosts=("web-03",)))
    (_, named) = plan_probes(incident(route=Route(targets=(Target(host="web-03"),))))
    assert "short name" in str(from_alert.refused)
    assert named.refused is None


def test_container_is_told_one_canonical_url() -> None:
    run = ProbeRun(probe="http", target=Target(url="HTTP://A.example.com:0080/p?q=1#f"))
    assert environment_for(run) == {
        "ALLOWED_NETWORKS": "",
        "TARGET_URL": "http://a.example.com:80/p?q=1",
        "TARGET_HOST": "a.example.com",
        "TARGET_PORT": "80",
    }
