"""The corpus of hostile texts in every field of a conf and of an alert: rejected with a reason, or harmless."""

from __future__ import annotations

import contextlib
import ipaddress
import json
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from incident_sandbox.slack.mrkdwn import notifications

from airflow_incident_provider.exceptions import InvalidPayloadError, RoutingTableError
from airflow_incident_provider.intake import RoutingTable, load_routing_table, read_incident
from airflow_incident_provider.messages.blocks import Message
from airflow_incident_provider.messages.brief import BriefState, brief, brief_details
from airflow_incident_provider.messages.channel import bookmarks, channel_name, purpose, topic
from airflow_incident_provider.messages.findings import findings_messages
from airflow_incident_provider.models import Finding, Incident
from airflow_incident_provider.probes import (
    ContainerOutput,
    ProbeSettings,
    get_probe,
    interpret,
    plan_probes,
    skipped_finding,
)

CORPUS = {
    path.stem: json.loads(path.read_text(encoding="utf-8"))
    for path in sorted((Path(__file__).parent / "hostile_corpus").glob("*.json"))
}
TEXTS = [text for name, texts in CORPUS.items() if name != "targets" for text in texts]
TARGETS = CORPUS["targets"]
NOW = datetime(2026, 11, 23, 9, 35, tzinfo=UTC)
ROUTING = RoutingTable()
TEXT_FIELDS = ("title", "description", "env", "id", "severity", "started_at")
LIST_FIELDS = ("users", "services", "hosts", "teams", "tags", "links", "targets")
ALERT_FIELDS = ("title", "body", "text", "hostname", "tags", "snapshot", "link", "event_type")
ALERT_VARIABLES = ("id", "cycle_key", "title", "metric", "query", "scope", "status", "priority", "transition")


def confs(text: str, alert: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield a conf for each field that can contain a text, and one with the text in all fields."""
    for field in TEXT_FIELDS:
        yield {"title": "x", field: text}
    for field in LIST_FIELDS:
        yield {"title": "x", field: [text]}
    yield {"title": text, **dict.fromkeys(TEXT_FIELDS[1:4], text), **{field: [text] for field in LIST_FIELDS[:-2]}}
    for field in ALERT_FIELDS:
        yield {"datadog": {**alert, field: text}}
    for field in ALERT_VARIABLES:
        yield {"datadog": {**alert, "alert": {**alert["alert"], field: text}}}


def incident_of(conf: dict[str, Any]) -> Incident | None:
    """Return the incident, or ``None`` if the conf is rejected."""
    try:
        return read_incident(conf, received_at=NOW, routing=ROUTING)
    except InvalidPayloadError:
        return None


def messages_of(incident: Incident) -> Iterator[Message]:
    findings = list(findings_of(incident))
    yield brief(BriefState(incident=incident))
    yield from brief_details(BriefState(incident=incident))
    if findings:
        yield from findings_messages(findings)


def findings_of(incident: Incident) -> Iterator[Finding]:
    """Yield a finding for each probe; the output of the probes that run contains the incident's text."""
    output = f"{incident.title}\n{incident.description}\nhttp_code={incident.title}\n".encode(errors="replace")
    for run in plan_probes(incident):
        if run.refused:
            yield skipped_finding(run, started_at=NOW)
        else:
            yield interpret(run, ContainerOutput(started_at=NOW, duration_ms=1, stdout=output, exit_code=0))


def assert_harmless(incident: Incident) -> None:
    assert_no_mentions_or_misleading_links(incident)
    assert_ids_are_valid(incident)
    assert_container_environment_is_safe(incident)
    assert_no_internal_target_is_probed(incident)


def assert_no_mentions_or_misleading_links(incident: Incident) -> None:
    """Nobody is mentioned, and every labelled link was given as a link."""
    given = {link.url for link in incident.links} | {incident.snapshot_url}
    for message in messages_of(incident):
        for text in _mrkdwn_texts(message):
            notifies = notifications(text)
            assert not any((notifies.mass, notifies.users, notifies.usergroups, notifies.channels)), text
            labelled = {
                str(link["url"]).replace("&amp;", "&") for link in notifies.links if link["label"] is not None
            }
            assert labelled <= given, (labelled - given, text)
        json.dumps(message.as_arguments()).encode()
    for plain in (topic(incident), purpose(incident)):
        assert "<" not in plain
        assert not re.search(r"[\x00-\x1f\x7f\u202a-\u202e\u2066-\u2069]", plain)
    for mark in bookmarks(incident, None):
        assert urlsplit(mark.url).scheme in ("http", "https")


def _mrkdwn_texts(message: Message) -> Iterator[str]:
    yield message.text

    def walk(value: Any) -> Iterator[str]:
        if isinstance(value, dict):
            if value.get("type") == "mrkdwn":
                yield value["text"]
            for each in value.values():
                yield from walk(each)
        elif isinstance(value, list | tuple):
            for each in value:
                yield from walk(each)

    yield from walk(message.blocks)


def assert_ids_are_valid(incident: Incident) -> None:
    """The key is valid as a run ID and contains no path traversal; the channel name is valid in Slack."""
    assert re.fullmatch(r"[A-Za-z0-9_.~:+-]{1,200}", incident.key)
    assert ".." not in incident.key
    for name in (channel_name(incident), channel_name(incident, 1)):
        assert re.fullmatch(r"[a-z0-9_-]{1,80}", name)


def assert_container_environment_is_safe(incident: Incident) -> None:
    """Targets are passed to probes in environment variables, without control and shell characters."""
    for run in plan_probes(incident):
        if not run.refused:
            for name, value in get_probe(run.probe).environment(run, ProbeSettings()).items():
                assert re.fullmatch(r"[A-Z_]+", name)
                given = _text_from_alert(name, value)
                assert not re.search(r"[\x00-\x1f\x7f`$;|<>\\]", given), value


def _text_from_alert(name: str, value: str) -> str:
    """Return the part of a variable that an alert determines: of curl's configuration only the URL."""
    if name == "ADDRESS_RULES":
        return ""
    if name == "CURL_CONFIG":
        first, *others = value.split("\n")
        assert not any("url" in line for line in others), value
        return first
    return value


def assert_no_internal_target_is_probed(incident: Incident) -> None:
    """No target is an internal address, in any notation."""
    for run in plan_probes(incident):
        if run.refused or run.target is None:
            continue
        host = urlsplit(run.target.url).hostname if run.target.url else run.target.host
        assert host
        assert not host.lower().rstrip(".").endswith(("localhost", "localdomain"))
        assert not re.fullmatch(r"[0-9a-fx.]+", host.lower()) or ipaddress.ip_address(host).is_global
        if ":" in host:
            assert ipaddress.ip_address(host).is_global


@pytest.fixture(scope="module")
def alert() -> dict[str, Any]:
    recorded = Path(__file__).parents[1] / "payloads" / "01_metric_triggered.json"
    read: dict[str, Any] = json.loads(recorded.read_text(encoding="utf-8"))
    return read


@pytest.mark.parametrize("category", [name for name in CORPUS if name != "targets"])
def test_hostile_text_is_harmless_in_every_field(alert: dict[str, Any], category: str) -> None:
    for text in CORPUS[category]:
        for conf in confs(text, alert):
            if (incident := incident_of(conf)) is not None:
                assert_harmless(incident)
    assert not Path("/tmp/pwned").exists()


@pytest.mark.parametrize("target", TARGETS, ids=ascii)
def test_hostile_target_is_refused(target: str, alert: dict[str, Any]) -> None:
    """Targets are refused by their text; names that resolve to internal addresses are refused in the container."""
    for conf in ({"title": "x", "targets": [target]}, {"title": "x", "hosts": [target]}):
        if (incident := incident_of(conf)) is not None:
            assert_harmless(incident)
            assert all(run.refused for run in plan_probes(incident) if run.target is not None)
    for field in ("link", "hostname"):
        if (incident := incident_of({"datadog": {**alert, field: target}})) is not None:
            assert_harmless(incident)


@pytest.mark.parametrize("text", CORPUS["yaml"], ids=ascii)
def test_yaml_objects_in_routing_table_are_rejected(text: str) -> None:
    """YAML tags that create objects are rejected in every place of the table."""
    for table in (text, f"version: 1\ndefaults: {text}\n", f"version: 1\nrules: [{{name: {text}}}]\n"):
        with contextlib.suppress(RoutingTableError):
            load_routing_table(table)
    assert not Path("/tmp/pwned").exists()


def test_unescaped_corpus_is_harmful(alert: dict[str, Any]) -> None:
    """Otherwise the tests above could not fail."""
    mentioning = [text for text in CORPUS["mass_mentions"] if notifications(text).mass]
    misleading = [text for text in CORPUS["disguised_links"] if notifications(text).links]
    assert len(mentioning) >= 10
    assert len(misleading) >= 5


def test_corpus_size(report: Callable[[str], None], alert: dict[str, Any]) -> None:
    fields = len(list(confs("x", alert)))
    report(
        f"hostile corpus: {len(TEXTS)} texts in {fields} confs each and {len(TARGETS)} targets in 4, "
        f"{len(TEXTS) * fields + len(TARGETS) * 4} confs in all"
    )
    assert len(TEXTS) + len(TARGETS) >= 200


SPECIAL_CHARACTERS = "<>&`*_~|!@#{}%$;'\"\\\n\x00 ./"
texts = st.sampled_from(TEXTS + TARGETS) | st.text(max_size=40) | st.text(alphabet=SPECIAL_CHARACTERS)


@given(
    st.dictionaries(
        st.sampled_from((*TEXT_FIELDS, *LIST_FIELDS)), st.lists(texts, max_size=3).map("".join), max_size=8
    )
)
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_random_conf_is_harmless(conf: dict[str, str]) -> None:
    given_conf: dict[str, Any] = {"title": "x"} | {
        field: [text] if field in LIST_FIELDS else text for field, text in conf.items()
    }
    if (incident := incident_of(given_conf)) is not None:
        assert_harmless(incident)
