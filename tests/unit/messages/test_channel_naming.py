"""Test the name, topic, purpose and bookmarks of a room."""

from __future__ import annotations

import html
import re

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airflow_incident_provider.messages.channel import (
    bookmarks,
    channel_name,
    is_own_topic,
    purpose,
    purpose_key,
    topic,
)
from airflow_incident_provider.models import Incident, Link, LinkKind, Route

from .hostile import incidents
from .rooms import RUN_URL, checkout_incident

VALID = re.compile(r"[a-z0-9][a-z0-9_-]{0,79}")
slow_settings = settings(
    deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.large_base_example]
)


def incident_with(**fields: object) -> Incident:
    return checkout_incident().model_copy(update=fields)


@slow_settings
@given(incidents, st.integers(1, 99))
def test_channel_name_is_valid_and_deterministic(incident: Incident, attempt: int) -> None:
    reloaded = Incident.model_validate(incident.to_xcom())
    for name, expected in (
        (channel_name(incident), channel_name(reloaded)),
        (channel_name(incident, attempt), channel_name(reloaded, attempt)),
    ):
        assert VALID.fullmatch(name)
        assert name == expected


@given(st.from_regex(r"[a-z0-9]([a-z0-9_]{0,34}[a-z0-9])?", fullmatch=True), st.text(max_size=200))
def test_channel_name_keeps_the_incident_id(incident_id: str, title: str) -> None:
    incident = incident_with(id=incident_id, title=title)
    assert channel_name(incident).endswith(f"-{incident_id}")
    assert f"-{incident_id}-" in channel_name(incident, 12)


def test_channel_name() -> None:
    assert channel_name(checkout_incident()) == "inc-20261123-checkout-5xx-ratio-above-2-148275309"


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({"title": "ÉTÉ 🔥 !!!"}, "inc-20261123-ete-148275309"),
        ({"title": "🔥"}, "inc-20261123-148275309"),
        ({"title": "word " * 30}, "inc-20261123" + "-word" * 11 + "-148275309"),
        ({"title": "db", "id": "INC/42"}, "inc-20261123-db-inc-42"),
        ({"title": "db", "route": Route(channel_prefix="Sev 1!")}, "sev-1-20261123-db-148275309"),
        ({"title": "db", "route": Route(channel_prefix="***")}, "inc-20261123-db-148275309"),
    ],
)
def test_channel_name_of_unusual_incidents(fields: dict[str, object], name: str) -> None:
    assert channel_name(incident_with(**fields)) == name


def test_long_ids_with_common_prefix_have_different_names() -> None:
    first, second = (channel_name(incident_with(id="a" * 100 + end)) for end in "xy")
    assert first != second


def test_channel_name_uses_key_when_id_has_no_letters() -> None:
    first, second = (channel_name(incident_with(id="🔥", key=key)) for key in ("dd.1", "dd.2"))
    assert first != second


def test_alternative_channel_names_are_distinct() -> None:
    incident = checkout_incident()
    names = {channel_name(incident), *(channel_name(incident, attempt) for attempt in range(1, 20))}
    assert len(names) == 20
    assert channel_name(incident, 1) != channel_name(incident_with(key="dd.2"), 1)
    assert re.fullmatch(r".*-148275309-[0-9a-f]{4}-3", channel_name(incident, 3))


def test_topic() -> None:
    incident = checkout_incident()
    assert topic(incident) == "critical · open · checkout prod · since 2026-11-23 09:35 UTC"
    assert topic(incident, status="resolved", commander="Alice Ng").startswith(
        "critical · resolved · lead Alice Ng · "
    )
    assert topic(incident_with(services=(), env=None)) == "critical · open · since 2026-11-23 09:35 UTC"


def test_topic_of_drill() -> None:
    assert topic(incident_with(tags=("drill:true",))).startswith("drill · open · ")


@pytest.mark.parametrize("commander", ["commander: nobody yet", "commander: Alice Ng"])
def test_topic_of_version_0_1_0_is_recognized(commander: str) -> None:
    assert is_own_topic(f"critical · checkout prod · since 09:35 UTC · open · {commander}")


@slow_settings
@given(incidents, st.text(max_size=300))
def test_topic_and_purpose_are_short_plain_lines(incident: Incident, commander: str) -> None:
    for text in (topic(incident, commander=commander), purpose(incident)):
        assert 1 <= len(text) <= 250
        assert not set("<>\n\r") & set(text)


@slow_settings
@given(incidents)
def test_purpose_key_round_trips_through_slack_encoding(incident: Incident) -> None:
    assert purpose_key(html.escape(purpose(incident), quote=False)) == incident.key


@pytest.mark.parametrize(
    "text", ["", "key dd.1", "x Incident room, key dd.1", "Incident room, key ", "Incident room, key dd.1x/2 · a"]
)
def test_unrelated_purpose_has_no_key(text: str) -> None:
    assert purpose_key(text) is None


def test_title_cannot_forge_the_key() -> None:
    assert purpose_key(purpose(incident_with(title="Incident room, key dd.other · x"))) == checkout_incident().key


def test_bookmarks_are_ordered_and_valid() -> None:
    assert [bookmark.label for bookmark in bookmarks(checkout_incident(), RUN_URL)] == [
        *("Monitor", "Dashboard", "Runbook", "Airflow run")
    ]
    invalid = incident_with(
        links=(Link(kind=LinkKind.MONITOR, label="M", url="javascript:alert(1)"),),
        route=Route(runbook="https://wiki.example.com/rb"),
    )
    assert [(bookmark.label, bookmark.url) for bookmark in bookmarks(invalid, None)] == [
        ("Runbook", "https://wiki.example.com/rb")
    ]
    assert bookmarks(incident_with(links=(), route=Route(runbook="rb-117")), None) == ()
