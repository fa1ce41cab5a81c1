"""Records stored by version 0.1.0, with 24-bit digests in their keys, match their alerts."""

from __future__ import annotations

import json
from typing import Any

import pytest

from airflow_incident_provider.intake.keys import FORMER_DIGITS
from airflow_incident_provider.lifecycle.decision import Action
from airflow_incident_provider.lifecycle.records import IncidentRecord, Status


def as_stored_by_0_1_0(record: IncidentRecord) -> IncidentRecord:
    """Truncate the digests of a record to the length of version 0.1.0."""
    text = json.dumps(record.to_json())
    for alert in record.alerts.values():
        for key in (alert.key, alert.group):
            text = text.replace(key, key[: FORMER_DIGITS - 16])
    return IncidentRecord.from_json(json.loads(text))


@pytest.mark.parametrize("transition", ["Re-Triggered", "Recovered", "Triggered"])
def test_alerts_match_former_keys(make_simulation: Any, transition: str) -> None:
    simulation = make_simulation()
    opened = simulation.alert(scope=["host:a"])
    assert opened.record is not None
    stored = as_stored_by_0_1_0(opened.record)
    assert stored.alerts.keys() != opened.record.alerts.keys()
    simulation.records = {stored.key: stored}
    decision = simulation.alert(scope=["host:a"], transition=transition, seconds=600)
    assert decision.record is not None
    assert (decision.key, len(decision.record.alerts)) == (stored.key, 1)
    assert decision.action is (Action.RECOVER if transition == "Recovered" else Action.UPDATE)
    if transition == "Recovered":
        assert decision.record.status is Status.RECOVERED


def test_recovery_of_other_group_is_ignored(make_simulation: Any) -> None:
    simulation = make_simulation()
    opened = simulation.alert(scope=["host:a"])
    simulation.records = {opened.record.key: as_stored_by_0_1_0(opened.record)}
    assert simulation.alert(scope=["host:b"], transition="Recovered", seconds=60).action is Action.IGNORE


def test_hosts_with_colliding_24_bit_digests_are_separate_alerts(make_simulation: Any) -> None:
    one, other = "host:ip-10-0-22-190.ec2.internal", "host:ip-10-0-5-217.ec2.internal"
    simulation = make_simulation()
    opened = simulation.alert(scope=[one], cycle="c1")
    simulation.alert(scope=[other], cycle="c2", seconds=10)
    decision = simulation.alert(scope=[one], cycle="c1", transition="Recovered", seconds=60)
    assert (decision.action, decision.key) == (Action.UPDATE, opened.key)
    assert decision.record.firing_count == 1
