"""A task context with what the operators use, to run an operator without a DAG or a database."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest


class TaskInstance:
    """A fake task instance that records pushed XComs and returns those of other tasks."""

    def __init__(self, upstream_values: dict[str, Any]) -> None:
        self.dag_id, self.run_id, self.task_id, self.map_index = "d", "r", "t", -1
        self.try_number, self.max_tries = 1, 0
        self.pushed: dict[str, Any] = {}
        self._upstream_values = upstream_values

    def xcom_push(self, key: str, value: Any) -> None:
        self.pushed[key] = value

    def xcom_pull(self, task_ids: str | list[str], key: str = "return_value") -> Any:
        if isinstance(task_ids, str):
            return self._upstream_values.get(task_ids) if key == "return_value" else None
        return [
            self._upstream_values[task_id]
            for task_id in task_ids
            if task_id in self._upstream_values and key == "return_value"
        ]

    def get_task_states(self, **_: object) -> dict[str, dict[str, str]]:
        return {self.run_id: dict.fromkeys(self._upstream_values, "success")}


class Store(dict[str, Any]):
    """A fake task state store, which is kept between attempts."""

    def set(self, key: str, value: Any, **_retention: Any) -> None:
        self[key] = value

    def delete(self, key: str) -> None:
        self.pop(key, None)


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.fixture
def context(store: Store) -> Callable[..., dict[str, Any]]:
    """Return a factory of contexts; its keyword arguments are the XComs of other tasks."""

    def context(conf: dict[str, Any] | None = None, **upstream_values: Any) -> dict[str, Any]:
        now = datetime.now(UTC)
        return {
            "ti": TaskInstance(upstream_values),
            "dag": investigating_dag(),
            "dag_run": SimpleNamespace(conf=conf or {}, start_date=now, run_after=now),
            "params": {},
            "task_state_store": store,
        }

    return context


@pytest.fixture
def app(connect: Callable[..., Any]) -> Any:
    """Return a Slack client for the sandbox with a timeout of two seconds."""
    from airflow_incident_provider.slack.client import LiveSlackClient
    from airflow_incident_provider.slack.hook import IncidentSlackHook

    connect(timeout=2)
    return LiveSlackClient(IncidentSlackHook())


def investigating_dag() -> Any:
    """Return a DAG with the steps that others need, and a probe, because the summary looks for findings."""
    from airflow.providers.standard.operators.empty import EmptyOperator
    from airflow.sdk import DAG

    from airflow_incident_provider.operators import InvestigateInContainerOperator

    dag = DAG("d")
    for step in ("parse_incident_event", "create_war_room"):
        EmptyOperator(task_id=step, dag=dag)
    InvestigateInContainerOperator(task_id="investigate", probe={}, dag=dag)
    return dag
