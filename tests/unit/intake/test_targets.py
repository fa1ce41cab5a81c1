"""Targets: URLs, hosts, ports, connection strings and expectations."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_incident_provider.exceptions import RoutingTableError
from airflow_incident_provider.intake.routing_table import build_routing_table
from airflow_incident_provider.intake.targets import CONNECTION_STRINGS, CONNECTION_STRINGS_OVER_TLS, read_target
from airflow_incident_provider.models import Expectation, Target


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("postgres://app:p4ss@orders-db.acme.example/orders?sslmode=require", ("orders-db.acme.example", 5432)),
        ("postgresql+psycopg://u:a/b?c#d@db.acme.example:6432/x", ("db.acme.example", 6432)),
        ("jdbc:mysql://db.acme.example/x?user=a&password=b", ("db.acme.example", 3306)),
        ("redis://:s3cret@cache.acme.example:6380/0", ("cache.acme.example", 6380)),
        ("mongodb://u:p@[2606:4700::1]:27018/x", ("2606:4700::1", 27018)),
        ("kafka://broker.acme.example", ("broker.acme.example", 9092)),
        ("AMQP://guest:guest@10.0.0.1/%2f", ("10.0.0.1", 5672)),
        ("DB.Acme.Example.:5432", ("db.acme.example", 5432)),
        ("b\u00fccher.acme.example:443", ("xn--bcher-kva.acme.example", 443)),
        ("[2606:4700::1]:443", ("2606:4700::1", 443)),
    ],
)
def test_host_and_port_targets(text: str, target: tuple[str, int]) -> None:
    assert read_target(text) == Target(host=target[0], port=target[1])


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("rediss://:s3cret@cache.acme.example/0", "tls://cache.acme.example:6379"),
        ("amqps://u:p@mq.acme.example", "tls://mq.acme.example:5671"),
        ("grpc://orders.acme.example:50051", "grpc://orders.acme.example:50051"),
        ("grpcs://orders.acme.example", "grpcs://orders.acme.example"),
        ("tcp://db.acme.example:5432", "tcp://db.acme.example:5432"),
        ("https://b\u00fccher.acme.example/healthz", "https://b\u00fccher.acme.example/healthz"),
    ],
)
def test_url_targets(text: str, url: str) -> None:
    assert read_target(text) == Target(url=url)


@pytest.mark.parametrize(
    "text",
    [
        "mongodb://u:hunter2@a.example:27017,b.example:27017/x",
        "postgres://u:hunter2@/x",
        "postgres://u:hunter2@2852039166/x",
        "postgres://u:hunter2@db.example:99999/x",
        "https://u:hunter2@db.example/",
        "tcp://u:hunter2@db.example:5432",
        "ftp://u:hunter2@db.example/",
        "grpc://db.example",
        "u:hunter2@db.example:5432",
    ],
)
def test_error_contains_no_password(text: str) -> None:
    with pytest.raises(ValueError, match=r"\w") as exc_info:
        read_target(text)
    assert "hunter2" not in str(exc_info.value)


@given(
    st.sampled_from(sorted(CONNECTION_STRINGS | CONNECTION_STRINGS_OVER_TLS)),
    st.text(st.characters(codec="ascii", exclude_characters="\n\r\t ", min_codepoint=33), min_size=8, max_size=20),
)
def test_target_contains_no_password(scheme: str, password: str) -> None:
    marked = f"Zq{password}qZ"
    text = f"{scheme}://user:{marked}@db.acme.example:1234/name"
    target = read_target(text)
    assert marked not in target.model_dump_json()
    assert "db.acme.example" in str(target)


def targets(*settings: Any) -> tuple[Target, ...]:
    return build_routing_table({"defaults": {"targets": list(settings)}}).defaults.targets


def test_target_expectations_are_read() -> None:
    (plain, expected) = targets(
        "https://a.example/",
        {
            "url": "https://b.example/x?y=1",
            "path": "/healthz",
            "expect": [200, "2xx", "300-303"],
            "follow_redirects": True,
            "headers": {"X-Tenant": "acme"},
            "client_certificate": "probe_certificate",
            "body": "^ok$",
            "slow": "500ms",
        },
    )
    assert plain == Target(url="https://a.example/", trusted=True)
    assert expected == Target(
        url="https://b.example/healthz",
        trusted=True,
        expect=Expectation(
            statuses=("200", "2xx", "300-303"),
            follow_redirects=True,
            headers=(("X-Tenant", "acme"),),
            client_certificate="probe_certificate",
            body="^ok$",
            slow_ms=500,
        ),
    )
    assert hash(expected)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"url": "https://a.example/", "expects": 200}, "expects"),
        ({"url": "https://a.example/", "expect": "fine"}, "is not an HTTP status"),
        ({"url": "https://a.example/", "expect": 600}, "is not an HTTP status"),
        ({"url": "https://a.example/", "body": "("}, "is not a regular expression"),
        ({"url": "https://a.example/", "slow": "soon"}, "write it like 500ms or 2s"),
        ({"url": "https://a.example/", "headers": {"Authorization": "Bearer x"}}, "looks like a secret"),
        ({"url": "https://a.example/", "headers": {"X-A": "a\nX-B: b"}}, "is not one line"),
        ({"url": "https://a.example/", "path": "healthz"}, "path"),
        ({"url": "a.example:5432", "path": "/x"}, "path needs a URL"),
        ({"path": "/x"}, "url"),
    ],
)
def test_invalid_expectation_names_its_location(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(RoutingTableError) as exc_info:
        targets(settings)
    assert message in str(exc_info.value)
    assert "defaults.targets[0]" in str(exc_info.value)
