"""Whoever reports an incident is named, and invited if Airflow knows an e-mail address."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from airflow_incident_provider.messages.brief import BriefState, brief
from airflow_incident_provider.models import Incident
from airflow_incident_provider.operators import ParseIncidentOperator

Context = Callable[..., dict[str, Any]]


def parsed(context: dict[str, Any], user: str | None) -> Incident:
    context["dag_run"].triggering_user_name = user
    return Incident.model_validate(ParseIncidentOperator(task_id="t").execute(context))


@pytest.mark.parametrize(
    ("user", "invited"),
    [
        ("dana@acme.example", ("sam@acme.example", "dana@acme.example")),
        ("sam@acme.example", ("sam@acme.example",)),
        ("admin", ("sam@acme.example",)),
        ("@admin", ("sam@acme.example",)),
        ("Dana Reyes", ("sam@acme.example",)),
        (None, ("sam@acme.example",)),
    ],
)
def test_reporter_is_named_and_invited_by_address(
    context: Context, user: str | None, invited: tuple[str, ...]
) -> None:
    incident = parsed(context({"title": "Checkout is down", "users": ["sam@acme.example"]}), user)
    assert (incident.reporter, incident.responders) == (user, invited)
    shown = json.dumps(brief(BriefState(incident=incident)).blocks)
    assert ("reported by" in shown) == (user is not None)


def test_alert_has_no_reporter(context: Context, payload: Callable[[str], dict[str, Any]]) -> None:
    incident = parsed(context({"datadog": payload("01")}), "airflow-service-account@acme.example")
    assert incident.reporter is None
    assert "airflow-service-account@acme.example" not in incident.responders


def test_hostile_user_name_is_escaped(context: Context) -> None:
    incident = parsed(context({"title": "x"}), "<!channel> *now*")
    shown = json.dumps(brief(BriefState(incident=incident)).blocks)
    assert "<!channel>" not in shown
