"""An incident that version 0.1.0 stored, with 24-bit digests in its keys, is found, ended and not doubled."""

from __future__ import annotations

import json
from typing import Any

import pytest

from airflow_incident_provider.intake.keys import FORMER_DIGITS
from airflow_incident_provider.lifecycle.decision import Action
from airflow_incident_provider.lifecycle.records import IncidentRecord, Status


def as_stored_before(record: IncidentRecord) -> IncidentRecord:
    """Return the record with the digests cut to the length of version 0.1.0."""
    text = json.dumps(record.to_json())
    for alert in record.alerts.values():
        for key in (alert.key, alert.group):
            text = text.replace(key, key[: FORMER_DIGITS - 16])
    return IncidentRecord.from_json(json.loads(text))


@pytest.mark.parametrize("transition", ["Re-Triggered", "Recovered", "Triggered"])
def test_its_alerts_are_found_under_their_former_keys(make_world: Any, transition: str) -> None:
    world = make_world()
    opened = world.alert(scope=["host:a"])
    assert opened.record is not None
    stored = as_stored_before(opened.record)
    assert stored.alerts.keys() != opened.record.alerts.keys()
    world.records = {stored.key: stored}
    decision = world.alert(scope=["host:a"], transition=transition, seconds=600)
    assert decision.record is not None
    assert (decision.key, len(decision.record.alerts)) == (stored.key, 1)
    assert decision.action is (Action.RECOVER if transition == "Recovered" else Action.UPDATE)
    if transition == "Recovered":
        assert decision.record.status is Status.RECOVERED


def test_a_recovery_of_another_group_does_not_end_it(make_world: Any) -> None:
    world = make_world()
    opened = world.alert(scope=["host:a"])
    world.records = {opened.record.key: as_stored_before(opened.record)}
    assert world.alert(scope=["host:b"], transition="Recovered", seconds=60).action is Action.IGNORE


def test_hosts_whose_24_bit_digests_collide_are_two_alerts(make_world: Any) -> None:
    one, other = "host:ip-10-0-22-190.ec2.internal", "host:ip-10-0-5-217.ec2.internal"
    world = make_world()
    opened = world.alert(scope=[one], cycle="c1")
    world.alert(scope=[other], cycle="c2", seconds=10)
    decision = world.alert(scope=[one], cycle="c1", transition="Recovered", seconds=60)
    assert (decision.action, decision.key) == (Action.UPDATE, opened.key)
    assert decision.record.firing_count == 1
