"""Plan probe runs and refuse unsafe targets."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from airflow_incident_provider.intake.targets import read_targets
from airflow_incident_provider.models import Expectation, Incident, ProbeRun, Route, Severity, Source, Target
from airflow_incident_provider.probes import CONTROL, MAX_RUNS, ProbeSettings, get_probe, plan_probes

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


def test_only_control_is_planned_without_targets() -> None:
    assert plan_probes(incident()) == (ProbeRun(probe=CONTROL),)


@pytest.mark.parametrize(
    ("target", "run"),
    [
        (Target(url="https://a.example.com/healthz"), ("http", "https://a.example.com:443/healthz")),
        (Target(url="HTTP://A.Example.com./"), ("http", "http://a.example.com:80/")),
        (Target(url="https://b\u00fccher.example/\u00e4"), ("http", "https://xn--bcher-kva.example:443/%C3%A4")),
        (Target(url="grpc://a.example.com:50051"), ("grpc", "grpc://a.example.com:50051/")),
        (Target(url="tls://a.example.com:6380"), ("tls", "tls://a.example.com:6380")),
        (Target(url="tcp://a.example.com:5432"), ("tcp", "a.example.com:5432")),
        (Target(host="a.example.com", port=443), ("tls", "tls://a.example.com:443")),
        (Target(host="A.example.com.", port=5432), ("tcp", "a.example.com:5432")),
        (Target(host="a.example.com"), ("dns", "a.example.com")),
        (Target(host="8.8.8.8", port=53), ("tcp", "8.8.8.8:53")),
        (Target(url="http://[2606:4700::1]:8080/"), ("http", "http://[2606:4700::1]:8080/")),
    ],
)
def test_target_gets_the_probe_with_the_most_stages(target: Target, run: tuple[str, str]) -> None:
    assert planned(targets=(target,)) == [(CONTROL, "None"), run]


def test_equivalent_targets_are_deduplicated() -> None:
    targets = tuple(
        Target(host=host, port=5432) for host in ("DB.Example.com", "db.example.com", "db.example.com.")
    )
    assert planned(targets=targets) == [(CONTROL, "None"), ("tcp", "db.example.com:5432")]


def test_two_urls_of_one_host_are_two_runs() -> None:
    runs = planned(targets=(Target(url="http://a.example.com/x"), Target(url="http://a.example.com/y")))
    assert [probe for probe, _ in runs] == [CONTROL, "http", "http"]


def test_alert_host_covered_by_a_target_is_not_probed_again() -> None:
    runs = planned(hosts=("a.example.com", "b.example.com"), targets=(Target(url="http://a.example.com/"),))
    assert runs[1:] == [("http", "http://a.example.com:80/"), ("dns", "b.example.com")]


def test_alert_host_is_an_identifier_but_a_target_is_not() -> None:
    runs = plan_probes(
        incident(hosts=("ip-10-20-3-41.ec2.internal-shop",), targets=(Target(host="b.example.com"),))
    )
    assert [(str(run.target), run.identifier) for run in runs[1:]] == [
        ("b.example.com", False),
        ("ip-10-20-3-41.ec2.internal-shop", True),
    ]


@pytest.mark.parametrize("target", [Target(host="10.0.0.1"), Target(host="a.example.com")])
def test_target_without_a_suitable_probe_is_reported(target: Target) -> None:
    (_, run) = plan_probes(incident(route=Route(probes=("http", "tcp"), targets=(target,))))
    assert run.refused == "no selected probe is for such a target (http, tcp)"


def test_control_accepts_its_name_of_version_0_1_0() -> None:
    assert planned(route=Route(probes=("host_facts", "dns"))) == [(CONTROL, "None")]


def test_expectations_are_read_from_the_routing_table_only() -> None:
    expected = Target(url="https://a.example.com/", expect=Expectation(statuses=("404",)))
    (_, from_alert) = plan_probes(incident(targets=(expected,)))
    (_, from_table) = plan_probes(incident(route=Route(targets=(expected,))))
    assert from_alert.target is not None
    assert from_alert.target.expect is None
    assert from_table.target is not None
    assert from_table.target.expect == expected.expect


def test_route_selects_probes_and_keeps_the_control() -> None:
    route = Route(probes=("dns",))
    assert planned(route=route, targets=(Target(url="https://a.example.com/"),)) == [
        (CONTROL, "None"),
        ("dns", "a.example.com"),
    ]


def test_unknown_probe_is_reported() -> None:
    (_, run) = plan_probes(incident(route=Route(probes=("no-such",))))
    assert run.probe == "no-such"
    assert "no such probe" in str(run.refused)


def test_runs_are_limited_and_route_targets_come_first() -> None:
    hosts = tuple(f"h{i}.example.com" for i in range(40))
    runs = plan_probes(incident(hosts=hosts, route=Route(targets=(Target(host="mine.example.com"),))))
    assert len(runs) == MAX_RUNS
    assert [str(run.target) for run in runs[:2]] == ["None", "mine.example.com"]


def test_private_address_requires_the_routing_table() -> None:
    target = Target(host="10.1.2.3", port=80)
    (_, from_alert) = plan_probes(incident(targets=(target,)))
    (_, allowed) = plan_probes(incident(targets=(target,), route=Route(allowed_networks=("10.1.0.0/16",))))
    (_, from_table) = plan_probes(incident(route=Route(targets=(target,))))
    assert "private" in str(from_alert.refused)
    assert allowed.refused is None
    assert from_table.refused is None


def test_alert_cannot_mark_its_target_as_trusted() -> None:
    (_, run) = plan_probes(incident(targets=(Target(host="10.1.2.3", port=80, trusted=True),)))
    assert run.refused is not None


def test_only_trusted_names_may_resolve_to_private_networks() -> None:
    name = Target(host="db.example.com", port=5432)
    (_, *from_alert) = plan_probes(incident(targets=(name,)))
    (_, *from_table) = plan_probes(incident(route=Route(targets=(name,))))
    assert {run.allowed_networks for run in from_alert} == {()}
    assert all("10.0.0.0/8" in run.allowed_networks for run in from_table)
    assert not any(
        network.startswith(("127.", "169.254.")) for run in from_table for network in run.allowed_networks
    )


@pytest.mark.parametrize("trusted", [True, False])
def test_metadata_address_is_always_refused(trusted: bool) -> None:
    target = Target(url="http://169.254.169.254/latest/meta-data/")
    fields = {"route": Route(targets=(target,))} if trusted else {"targets": (target,)}
    (_, run) = plan_probes(incident(**fields))
    assert "metadata" in str(run.refused)


def test_short_host_name_of_an_alert_is_refused() -> None:
    (_, from_alert) = plan_probes(incident(hosts=("web-03",)))
    (_, from_table) = plan_probes(incident(route=Route(targets=(Target(host="web-03"),))))
    assert "short name" in str(from_alert.refused)
    assert from_table.refused is None


def test_container_receives_one_canonical_url() -> None:
    run = ProbeRun(probe="http", target=Target(url="HTTP://A.example.com:0080/p?q=1#f"))
    environment = get_probe("http").environment(run, ProbeSettings())
    assert environment["CURL_CONFIG"].splitlines()[0] == 'url = "http://a.example.com:80/p?q=1"'
    assert (environment["HOST"], environment["PORT"], environment["LITERAL"]) == ("a.example.com", "80", "")


@pytest.mark.parametrize("value", ['x" \nproxy = "http://evil/', "a\r\nb: c"])
def test_value_cannot_inject_a_curl_option(value: str) -> None:
    expect = Expectation(headers=(("X-A", value),))
    run = ProbeRun(probe="http", target=Target(url="http://a.example.com/", trusted=True, expect=expect))
    with pytest.raises(ValueError, match="line break"):
        get_probe("http").environment(run, ProbeSettings())


def test_quotes_and_backslashes_are_escaped() -> None:
    expect = Expectation(headers=(("X-A", 'a" \\ b'),))
    run = ProbeRun(probe="http", target=Target(url="http://a.example.com/", trusted=True, expect=expect))
    lines = get_probe("http").environment(run, ProbeSettings())["CURL_CONFIG"].splitlines()
    assert 'header = "X-A: a\\" \\\\ b"' in lines


@pytest.mark.parametrize(
    ("url", "trusted", "proxied"),
    [
        ("https://outside.example/", True, True),
        ("https://outside.example/", False, False),
        ("https://db.internal.acme.example/", True, False),
        ("http://10.1.2.3/", True, False),
        ("http://8.8.8.8/", True, True),
        ("tcp://outside.example:25", True, False),
    ],
)
def test_proxy_is_used_only_for_trusted_external_web_targets(url: str, trusted: bool, proxied: bool) -> None:
    settings = ProbeSettings(
        proxy="http://proxy.acme.example:3128", no_proxy=("internal.acme.example", "10.0.0.0/8")
    )
    target = Target(url=url, trusted=trusted)
    (_, run) = plan_probes(incident(**({"route": Route(targets=(target,))} if trusted else {"targets": (target,)})))
    assert bool(get_probe(run.probe).environment(run, settings)["PROXY"]) is proxied


@pytest.mark.parametrize(
    ("entry", "exempt"),
    [
        ("*", True),
        ("outside.example:8443", True),
        ("example:8443", True),
        ("outside.example:443", False),
        ("fd00::/8", False),
        ("[fd00::1]:8443", False),
    ],
)
def test_proxy_exemption_can_be_a_wildcard_or_name_a_port(entry: str, exempt: bool) -> None:
    target = Target(url="https://outside.example:8443/", trusted=True)
    (_, run) = plan_probes(incident(route=Route(targets=(target,))))
    settings = ProbeSettings(proxy="http://proxy.acme.example:3128", no_proxy=(entry,))
    assert (not get_probe(run.probe).environment(run, settings)["PROXY"]) is exempt


@pytest.mark.parametrize("scheme", ["mongodb+srv", "MongoDB+SRV", "kafka+srv"])
@pytest.mark.parametrize("trusted", [True, False])
def test_srv_record_name_is_not_treated_as_a_host(scheme: str, trusted: bool) -> None:
    (target,) = read_targets(f"{scheme}://app:hunter2@cluster0.ab1.acme.example/db?w=1", trusted=trusted)
    assert str(target) == f"{scheme.lower()}://cluster0.ab1.acme.example"
    (_, run) = plan_probes(incident(route=Route(targets=(target,))))
    assert "SRV records" in (run.refused or "")
