"""Test the priority weights that the cluster policy assigns."""

from __future__ import annotations

from importlib.metadata import entry_points
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_incident_provider.incident_dag import ROOM_FIRST
from airflow_incident_provider.plugins.priority_policy import task_instance_mutation_hook

REPORT_WEIGHT = 3
ROOM_WEIGHT = ROOM_FIRST + 4


class DagRun:
    """A fake DAG run with a conf."""

    def __init__(self, conf: Any) -> None:
        self.conf = conf


def weight(conf: Any, base: int = ROOM_WEIGHT, *, tags: tuple[str, ...] = ("incident",), run: bool = True) -> int:
    """Return the weight of a task with weight ``base`` in a run with ``conf``."""
    task = SimpleNamespace(priority_weight=base, get_dag=lambda: SimpleNamespace(tags=set(tags)))
    instance = SimpleNamespace(task=task, priority_weight=base)
    task_instance_mutation_hook(instance, DagRun(conf) if run else None)
    return instance.priority_weight


def manual(severity: str) -> dict[str, str]:
    return {"title": "Orders are late", "severity": severity}


def test_weight_orders_rooms_before_reports_by_severity() -> None:
    severities = ("critical", "high", "medium", "low")
    rooms = [weight(manual(severity), ROOM_WEIGHT) for severity in severities]
    reports = [weight(manual(severity), REPORT_WEIGHT) for severity in severities]
    assert rooms + reports == sorted(rooms + reports, reverse=True)
    assert len(set(rooms + reports)) == len(rooms + reports)


def test_more_severe_incident_precedes_less_severe_one() -> None:
    assert weight(manual("critical"), ROOM_FIRST + 1) > weight(manual("high"), ROOM_FIRST + 4)


@pytest.mark.parametrize(("priority", "severity"), [("P1", "critical"), ("P2", "high"), ("P4", "low")])
def test_datadog_priority_is_mapped_to_severity(payload: Any, priority: str, severity: str) -> None:
    alert = payload("01_metric_triggered")
    alert["alert"]["priority"] = priority
    assert weight({"datadog": alert}) == weight(manual(severity))
    assert weight({"datadog": alert, "lifecycle": {"key": "k"}}) == weight(manual(severity))


def test_decided_severity_takes_precedence(payload: Any) -> None:
    alert = payload("01_metric_triggered")
    alert["alert"]["priority"] = "P4"
    decided = {"datadog": alert, "lifecycle": {"key": "k", "title": "t", "severity": "critical"}}
    assert weight(decided) == weight(manual("critical"))
    update = {"incident_key": "k", "lifecycle": {"key": "k", "severity": "low"}}
    assert weight(update) == weight(manual("low"))


def test_payload_is_not_parsed_when_severity_is_decided() -> None:
    class UnreadablePayload(dict[str, Any]):
        def get(self, *arguments: Any) -> Any:
            raise AssertionError(f"{arguments} was read")

    conf = {"datadog": UnreadablePayload(), "lifecycle": {"severity": "medium"}}
    assert weight(conf) == weight(manual("medium"))


@pytest.mark.parametrize("conf", [None, {}, [], "text", {"datadog": 3}, {"title": ["\x00"]}, {"incident_key": "k"}])
def test_unreadable_conf_is_weighted_as_high(conf: Any) -> None:
    assert weight(conf) == weight(manual("high"))


def test_other_dags_are_unchanged() -> None:
    assert weight(manual("critical"), 5, tags=("etl",)) == 5


def test_task_instance_without_run_is_unchanged() -> None:
    assert weight(manual("critical"), 5, run=False) == 5


def test_policy_implements_the_airflow_hookspec() -> None:
    from airflow import policies
    from pluggy import PluginManager

    from airflow_incident_provider.plugins import priority_policy

    manager = PluginManager(policies.local_settings_hookspec.project_name)
    manager.add_hookspecs(policies)
    manager.register(priority_policy)
    manager.check_pending()
    assert manager.hook.task_instance_mutation_hook.get_hookimpls()


def test_policy_entry_point_is_registered() -> None:
    modules = [point.load() for point in entry_points(group="airflow.policy", name="incident_priority_policy")]
    assert [module.task_instance_mutation_hook for module in modules] == [task_instance_mutation_hook]
