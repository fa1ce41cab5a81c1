"""Manual reports: accepted fields, rejected values and their messages."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from airflow_incident_provider.exceptions import InvalidPayloadError
from airflow_incident_provider.intake.report_fields import require_valid
from airflow_incident_provider.models import Incident

Read = Callable[..., Incident]


def test_all_report_fields_are_read(read: Read) -> None:
    incident = read(
        {
            "id": "INC-42",
            "title": "Checkout fails",
            "severity": "sev 1",
            "description": "Since noon:\n  cards are refused.\n\n\n\nPayPal works.",
            "env": "prod",
            "users": ["dana@acme.example", "Alice Ng", "alice ng"],
            "services": "checkout\ncart",
            "hosts": ["web-1"],
            "teams": "payments",
            "tags": ["data:customer"],
            "links": [
                "https://grafana.acme.example/d/abc",
                {"url": "https://wiki.acme.example/rb", "label": "What to do", "kind": "runbook"},
            ],
            "targets": "https://checkout.acme.example/healthz checkout.acme.example:443, web-1",
            "private": "yes",
            "started_at": "2026-11-23T11:30:00+01:00",
        }
    )
    assert incident.key == "man.INC-42"
    assert incident.id == "INC-42"
    assert incident.source == "manual"
    assert incident.severity == "critical"
    assert incident.description == "Since noon:\ncards are refused.\n\nPayPal works."
    assert incident.responders == ("dana@acme.example", "Alice Ng")
    assert incident.services == ("checkout", "cart")
    assert [(link.kind, link.label) for link in incident.links] == [
        ("dashboard", "Dashboard"),
        ("runbook", "What to do"),
    ]
    assert [str(target) for target in incident.targets] == [
        "https://checkout.acme.example/healthz",
        "checkout.acme.example:443",
        "web-1",
    ]
    assert not any(target.trusted for target in incident.targets)
    assert incident.route.private
    assert incident.occurred_at == datetime(2026, 11, 23, 10, 30, tzinfo=UTC)
    assert incident.flags == ()


def test_title_is_the_only_required_field(read: Read, received_at: datetime) -> None:
    incident = read({"title": "Checkout is ünwell", "severity": "low"})
    assert re.fullmatch(r"man\.20261123-104041-checkout-is-unwell-[0-9a-f]{16}", incident.key)
    assert incident.occurred_at == received_at


def test_missing_severity_defaults_to_high_and_is_flagged(read: Read) -> None:
    incident = read({"title": "x"})
    assert incident.severity == "high"
    assert [flag.field for flag in incident.flags] == ["severity"]


@pytest.mark.parametrize("empty", [None, "", "  ", [], {}])
def test_empty_form_fields_are_ignored(empty: Any, read: Read) -> None:
    fields = (
        "id",
        "users",
        "services",
        "hosts",
        "links",
        "targets",
        "description",
        "started_at",
        "private",
        "datadog",
    )
    given = {"title": "x", "severity": "low"}
    assert read(given | dict.fromkeys(fields, empty)) == read(given)


@pytest.mark.parametrize(
    "conf", [{}, {"title": ""}, {"users": [], "datadog": None}, {"title": "", "private": False}]
)
def test_empty_conf_is_refused_with_expected_format(conf: Any, read: Read) -> None:
    with pytest.raises(InvalidPayloadError, match=r'The conf is empty\. A conf holds either \{"datadog"'):
        read(conf)


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        (
            "severity",
            "catastrophic",
            "severity: 'catastrophic' is not a severity; use critical, high, medium or low",
        ),
        ("severity", 9, "severity: 9 is not a severity"),
        ("severity", ["high", "low"], "severity: a list of 2 is not a severity"),
        pytest.param("id", 10**5000, "id: a very long number is not an id", id="a number of 5,001 digits"),
        ("users", {"first": "dana"}, "users: an object with 1 keys is not text"),
        ("users", [["dana", "priya"]], "users: a list of 2 is not text"),
        ("users", [True], "users: true is not text"),
        ("private", "maybe", "private: 'maybe' is neither true nor false"),
        ("private", 7, "private: 7 is neither true nor false"),
        ("started_at", "noon", "started_at: 'noon' is not a time; write it like"),
        ("links", [7], "links: 7 is not a link"),
        ("links", [{"label": "x"}], "links: an object with 1 keys is not a link"),
        ("targets", ["ftp://x/"], "targets: 'ftp://x/' is not a URL that is probed"),
        ("targets", ["gopher://u:hunter2@x/"], "targets: 'gopher://[redacted]@x/' is not a URL that is probed"),
        ("targets", ["web:99999"], "has no port from 1 to 65535"),
        ("targets", ["web:0"], "has no port"),
        ("targets", ["-oProxyCommand=x"], "is not a target; use a URL, a host, or host:port"),
        ("targets", ["$(id)"], "is not a target"),
        ("targets", ["2130706433"], "is not a target"),
        ("targets", ["0x7f.1"], "is not a target"),
        ("targets", ["fe80::1%eth0"], "is not a target"),
    ],
)
def test_invalid_value_is_explained_or_left_out(
    field: str, value: Any, reason: str, read: Read, received_at: datetime
) -> None:
    conf = {"title": "x", "severity": "low", field: value}
    with pytest.raises(InvalidPayloadError) as exc_info:
        require_valid(conf, received_at=received_at)
    assert reason in str(exc_info.value)
    incident = read(conf)
    assert [(flag.field, flag.note.startswith("left out: ")) for flag in incident.flags][:1] == [(field, True)]
    assert "hunter2" not in incident.model_dump_json()


def test_title_is_required(read: Read) -> None:
    with pytest.raises(InvalidPayloadError, match="title: missing"):
        read({"severity": "high"})


@pytest.mark.parametrize(
    ("target", "read_as"),
    [
        ("[::1]:443", ("::1", 443)), ("[::1]", ("::1", None)), ("::1", ("::1", None)),
        ("10.0.0.1", ("10.0.0.1", None)), ("10.0.0.1:80", ("10.0.0.1", 80)),
        ("web_1.example.", ("web_1.example", None)),
    ],
)  # fmt: skip
def test_target_formats(target: str, read_as: Any, read: Read) -> None:
    (found,) = read({"title": "x", "targets": [target]}).targets
    assert (found.host, found.port) == read_as


def test_misspelt_field_is_flagged(read: Read) -> None:
    incident = read({"title": "x", "severity": "low", "usres": "dana", "my_own_setting": 1})
    (flag,) = incident.flags
    assert (flag.field, flag.value) == ("usres", "dana")
    assert flag.note.endswith("did you mean users?")


def test_implausible_time_is_flagged(read: Read, received_at: datetime) -> None:
    incident = read({"title": "x", "severity": "low", "started_at": "1970-01-01T00:00:00Z"})
    assert incident.occurred_at == received_at
    assert [flag.field for flag in incident.flags] == ["started_at"]


def test_unknown_link_kind_is_flagged_and_inferred_from_url(read: Read) -> None:
    link = {"url": "https://grafana.example/d/x", "kind": "graph"}
    incident = read({"title": "x", "severity": "low", "links": [link]})
    assert incident.links[0].kind == "dashboard"
    assert "graph" in incident.flags[0].value


@pytest.mark.parametrize(
    "given_id", ["a b", "a/b", "../../etc", "ü", "東京", "a..b", ".", "a" * 500, "\u202e", "🔥", 4711]
)
def test_ids_have_distinct_keys(given_id: Any, read: Read) -> None:
    keys = {read({"title": "x", "id": other}).key for other in (given_id, "a-b", "etc", "a.b", "u")}
    assert len(keys) == 5
