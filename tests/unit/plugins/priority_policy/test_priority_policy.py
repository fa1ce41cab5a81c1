"""The weights that the cluster policy gives."""

from __future__ import annotations

from importlib.metadata import entry_points
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_incident_provider.incident_dag import ROOM_FIRST
from airflow_incident_provider.plugins.priority_policy import task_instance_mutation_hook

REPORT = 3
ROOM = ROOM_FIRST + 4


class DagRun:
    """Stands for Airflow's: what the policy reads of it is its conf."""

    def __init__(self, conf: Any) -> None:
        self.conf = conf


def weight(conf: Any, own: int = ROOM, *, tags: tuple[str, ...] = ("incident",), run: bool = True) -> int:
    """Return the weight that a task with this weight of its own gets in a run with this conf."""
    task = SimpleNamespace(priority_weight=own, get_dag=lambda: SimpleNamespace(tags=set(tags)))
    instance = SimpleNamespace(task=task, priority_weight=own)
    task_instance_mutation_hook(instance, DagRun(conf) if run else None)
    return instance.priority_weight


def manual(severity: str) -> dict[str, str]:
    return {"title": "Orders are late", "severity": severity}


def test_worse_comes_first_and_every_room_before_every_report() -> None:
    severities = ("critical", "high", "medium", "low")
    rooms = [weight(manual(severity), ROOM) for severity in severities]
    reports = [weight(manual(severity), REPORT) for severity in severities]
    assert rooms + reports == sorted(rooms + reports, reverse=True)
    assert len(set(rooms + reports)) == len(rooms + reports)


def test_first_step_of_the_worse_comes_before_the_last_of_the_milder() -> None:
    assert weight(manual("critical"), ROOM_FIRST + 1) > weight(manual("high"), ROOM_FIRST + 4)


@pytest.mark.parametrize(("priority", "severity"), [("P1", "critical"), ("P2", "high"), ("P4", "low")])
def test_datadog_says_it_by_priority(payload: Any, priority: str, severity: str) -> None:
    alert = payload("01_metric_triggered")
    alert["alert"]["priority"] = priority
    assert weight({"datadog": alert}) == weight(manual(severity))
    assert weight({"datadog": alert, "lifecycle": {"key": "k"}}) == weight(manual(severity))


def test_the_decided_severity_is_the_one_that_counts(payload: Any) -> None:
    alert = payload("01_metric_triggered")
    alert["alert"]["priority"] = "P4"
    decided = {"datadog": alert, "lifecycle": {"key": "k", "title": "t", "severity": "critical"}}
    assert weight(decided) == weight(manual("critical"))
    update = {"incident_key": "k", "lifecycle": {"key": "k", "severity": "low"}}
    assert weight(update) == weight(manual("low"))


def test_a_large_payload_is_not_parsed() -> None:
    class Untouchable(dict[str, Any]):
        def get(self, *arguments: Any) -> Any:
            raise AssertionError(f"{arguments} was read")

    conf = {"datadog": Untouchable(), "lifecycle": {"severity": "medium"}}
    assert weight(conf) == weight(manual("medium"))


@pytest.mark.parametrize("conf", [None, {}, [], "text", {"datadog": 3}, {"title": ["\x00"]}, {"incident_key": "k"}])
def test_what_cannot_be_read_is_high(conf: Any) -> None:
    assert weight(conf) == weight(manual("high"))


def test_other_dags_are_left_alone() -> None:
    assert weight(manual("critical"), 5, tags=("etl",)) == 5


def test_an_instance_without_a_run_is_left_alone() -> None:
    assert weight(manual("critical"), 5, run=False) == 5


def test_policy_has_the_form_that_airflow_calls() -> None:
    from airflow import policies
    from pluggy import PluginManager

    from airflow_incident_provider.plugins import priority_policy

    manager = PluginManager(policies.local_settings_hookspec.project_name)
    manager.add_hookspecs(policies)
    manager.register(priority_policy)
    manager.check_pending()
    assert manager.hook.task_instance_mutation_hook.get_hookimpls()


def test_airflow_finds_the_policy() -> None:
    found = [point.load() for point in entry_points(group="airflow.policy", name="incident_priority_policy")]
    assert [module.task_instance_mutation_hook for module in found] == [task_instance_mutation_hook]
