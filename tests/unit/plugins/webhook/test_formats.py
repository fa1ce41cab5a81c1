"""Test the decision for each body in the corpus of formats, through the application of the webhook."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from airflow.sdk import Connection
from fastapi.testclient import TestClient

from airflow_incident_provider.lifecycle.decision import Decision, decide
from airflow_incident_provider.lifecycle.matching import GroupHistory
from airflow_incident_provider.lifecycle.records import IncidentRecord
from airflow_incident_provider.plugins.api.app import create_app
from airflow_incident_provider.plugins.webhook.authentication import SECRET_HEADER, Authentication
from airflow_incident_provider.plugins.webhook.receiver import AlertReceiver
from airflow_incident_provider.registry.decisions import Outcome, PendingAlert
from airflow_incident_provider.registry.records import Rejection

ROOT = Path(__file__).parents[4]
FORMATS: list[dict[str, Any]] = [
    entry
    for path in sorted((ROOT / "tests/payloads/formats").glob("*.yaml"))
    for entry in yaml.safe_load(path.read_text(encoding="utf-8"))
]
SECRET = "a-secret-for-these-tests"


class Webhook:
    """The application of the webhook with incidents in memory."""

    def __init__(self) -> None:
        self.records: dict[str, IncidentRecord] = {}
        self.histories: dict[str, GroupHistory] = {}
        self.latest: tuple[PendingAlert, Decision] | None = None
        self.rejections: list[Rejection] = []
        connection = Connection(conn_id="incident_webhook", conn_type="generic", password=SECRET)
        receiver = AlertReceiver(
            Authentication(lambda: connection), lambda alerts, _: self._act_on(alerts), self.rejections.append
        )
        self._client = TestClient(create_app(receiver=receiver), headers={SECRET_HEADER: SECRET})

    def post(self, entry: dict[str, Any], body: dict[str, Any]) -> Any:
        path = f"/webhook/{entry['endpoint']}"
        if "json" in body:
            return self._client.post(path, json=body["json"])
        media_type = body.get("content_type") or entry.get("content_type", "application/json")
        content = body["raw"].encode(body.get("encoding", "utf-8"))
        return self._client.post(path, content=content, headers={"Content-Type": media_type})

    def _act_on(self, alerts: Sequence[PendingAlert]) -> list[Outcome | Exception]:
        return [self._decide(alert) for alert in alerts]

    def _decide(self, alert: PendingAlert) -> Outcome:
        history = self.histories.get(alert.signal.group)
        decision = decide(
            alert.signal, list(self.records.values()), alert.routing, datetime.now(UTC), history=history
        )
        if decision.record is not None and decision.changed:
            self.records[decision.record.key] = decision.record
        if decision.history is not None:
            self.histories[alert.signal.group] = decision.history
        self.latest = (alert, decision)
        return Outcome(decision, decision.runs[0].run_id if decision.runs else None, ())


@pytest.mark.parametrize("entry", FORMATS, ids=lambda entry: entry["format"])
def test_every_format_gets_the_expected_decisions(entry: dict[str, Any]) -> None:
    webhook = Webhook()
    for body in entry["bodies"]:
        expected = body["is"]
        response = webhook.post(entry, body)
        if "refused" in expected:
            assert response.status_code == expected["refused"], (body["name"], response.text)
            assert response.json()["error"], body["name"]
            assert expected.get("rejection", "") in webhook.rejections[-1].title, body["name"]
            continue
        assert response.status_code in (200, 202), (body["name"], response.text)
        if "results" in expected:
            results = response.json()["results"]
            assert [result["decision"] or result["status"] for result in results] == expected["results"], body[
                "name"
            ]
            continue
        assert webhook.latest is not None
        incident = webhook.latest[0].signal.incident
        actual = {
            "decision": response.json()["decision"],
            "severity": incident.severity.value,
            "title": incident.title,
        }
        assert {name: actual[name] for name in expected} == expected, (body["name"], response.json()["reason"])


def test_corpus_is_large() -> None:
    assert len(FORMATS) >= 15
    assert sum(len(entry["bodies"]) for entry in FORMATS) >= 60


def test_documented_formats_match_the_corpus() -> None:
    page = (ROOT / "docs/reference/webhook-formats.md").read_text(encoding="utf-8")
    rows = [
        f"| {entry['format']} | `/incidents/webhook/{entry['endpoint']}` | {entry['support']} |"
        for entry in FORMATS
    ]
    table = page.partition("| --- | --- | --- |\n")[2].partition("\n\n")[0]
    assert table.splitlines() == rows
