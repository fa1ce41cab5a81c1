"""A task's context as far as the operators use it, to run one of them without a DAG or a database."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest


class TaskInstance:
    """Stands for Airflow's: remembers what was pushed, and answers what other tasks are said to have pushed."""

    def __init__(self, pushed_by_others: dict[str, Any]) -> None:
        self.dag_id, self.run_id, self.task_id, self.map_index = "d", "r", "t", -1
        self.try_number, self.max_tries = 1, 0
        self.pushed: dict[str, Any] = {}
        self._others = pushed_by_others

    def xcom_push(self, key: str, value: Any) -> None:
        self.pushed[key] = value

    def xcom_pull(self, task_ids: str | list[str], key: str = "return_value") -> Any:
        if isinstance(task_ids, str):
            return self._others.get(task_ids) if key == "return_value" else None
        return [self._others[each] for each in task_ids if each in self._others and key == "return_value"]

    def get_task_states(self, **_: object) -> dict[str, dict[str, str]]:
        return {self.run_id: dict.fromkeys(self._others, "success")}


class Store(dict[str, Any]):
    """Stands for the task state store, which outlives an attempt."""

    def set(self, key: str, value: Any, **_retention: Any) -> None:
        self[key] = value

    def delete(self, key: str) -> None:
        self.pop(key, None)


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.fixture
def context(store: Store) -> Callable[..., dict[str, Any]]:
    """Return a context in which other tasks have pushed these values."""

    def context(conf: dict[str, Any] | None = None, **pushed_by_others: Any) -> dict[str, Any]:
        now = datetime.now(UTC)
        return {
            "ti": TaskInstance(pushed_by_others),
            "dag": investigating_dag(),
            "dag_run": SimpleNamespace(conf=conf or {}, start_date=now, run_after=now),
            "params": {},
            "task_state_store": store,
        }

    return context


@pytest.fixture
def app(connect: Callable[..., Any]) -> Any:
    """The app in the sandbox's workspace; it gives up on a call after two seconds."""
    from airflow_incident_provider.slack.client import LiveSlackClient
    from airflow_incident_provider.slack.hook import IncidentSlackHook

    connect(timeout=2)
    return LiveSlackClient(IncidentSlackHook())


def investigating_dag() -> Any:
    """Return a DAG with a probe task: the summary looks for tasks that return findings."""
    from airflow.sdk import DAG

    from airflow_incident_provider.operators import InvestigateInContainerOperator

    dag = DAG("d")
    InvestigateInContainerOperator(task_id="investigate", probe={}, dag=dag)
    return dag
