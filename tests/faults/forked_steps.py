"""Run each task of an incident in a separate process that can be killed, without Airflow.

As in Airflow, the writes of a task to stores and XComs survive it: its process sends each write to the parent
process before it continues.
"""

from __future__ import annotations

import os
import pickle
import traceback
from collections.abc import Iterator
from typing import Any, BinaryIO

import pytest
from airflow.sdk.exceptions import AirflowSkipException

from airflow_incident_provider.lifecycle.records import RunRequest
from airflow_incident_provider.models import Finding
from airflow_incident_provider.operators import PostRemindersOperator, RecoverIncidentOperator

from ..unit.operators import lifecycle_harness as harness

MAX_TRIES = 4
STEPS: dict[type[Any], str] = {
    **{operator: task for operator, task in harness.TASK_IDS.items() if task != "schedule_next_check"},
    PostRemindersOperator: "post_reminders",
}
_SKIPPED = "skipped"


class ForkedSteps:
    """Runs tasks in separate processes.

    :param findings: the findings of the probes if a run starts them.
    """

    def __init__(
        self, lifecycle: harness.LifecycleHarness, findings: list[Finding], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self._lifecycle, self._findings, self._monkeypatch = lifecycle, findings, monkeypatch
        self._process = 0
        self.tries = 0

    def processes(self) -> set[int]:
        """Return the ID of the process of the current task."""
        return {self._process} - {0}

    def run(self, request: RunRequest) -> None:
        """Run the tasks of a requested run in the DAG's order; retry a task whose process was killed."""
        tasks = harness.selected_tasks(self._lifecycle, request.run_id, **request.conf)
        if "plan_recheck" in tasks:
            tasks.add("recover_incident")
        for operator, task_id in STEPS.items():
            if task_id in tasks:
                if operator is RecoverIncidentOperator:
                    self._lifecycle.store_findings(request.dag_id, request.run_id, self._findings)
                self._run_with_retries(operator, task_id, request)

    def _run_with_retries(self, operator: type[Any], task_id: str, request: RunRequest) -> None:
        for _ in range(MAX_TRIES):
            self.tries += 1
            if self._run_once(operator, task_id, request):
                return
        raise AssertionError(f"{task_id} was killed {MAX_TRIES} times")

    def _run_once(self, operator: type[Any], task_id: str, request: RunRequest) -> bool:
        """Run a task in a process; return whether it completed."""
        context = self._lifecycle.context(task_id, request.run_id, **request.conf)
        stores = [*self._lifecycle.stores.values(), self._lifecycle.assets, *self._lifecycle.inbox.values()]
        read_end, write_end = os.pipe()
        self._process = os.fork()
        if not self._process:
            os.close(read_end)
            self._run_in_child(operator, task_id, context, write_end)
        os.close(write_end)
        completed = False
        with os.fdopen(read_end, "rb") as writes:
            for kind, key, value in _read_messages(writes):
                completed = completed or kind == "completed"
                if kind == "store":
                    stores[[id(store) for store in stores].index(key[0])].set(key[1], value)
                elif kind == "xcom":
                    self._lifecycle.xcoms[key] = value
                elif kind == "error":
                    raise AssertionError(f"{task_id}: {value}")
        os.waitpid(self._process, 0)
        self._process = 0
        return completed

    def _run_in_child(self, operator: type[Any], task_id: str, context: dict[str, Any], pipe: int) -> None:
        def send(kind: str, key: Any, value: Any) -> None:
            with os.fdopen(os.dup(pipe), "wb") as written:
                pickle.dump((kind, key, value), written)

        def store(to: harness.JsonStore, key: str, value: Any) -> None:
            dict.__setitem__(to, key, value)
            send("store", (id(to), key), value)

        def push(task: harness.FakeTaskInstance, key: str, value: Any) -> None:
            place = (task.dag_id, task.run_id, task.task_id, key)
            self._lifecycle.xcoms[place] = value
            send("xcom", place, value)

        self._monkeypatch.setattr(harness.JsonStore, "set", store)
        self._monkeypatch.setattr(harness.FakeTaskInstance, "xcom_push", push)
        try:
            value = operator(task_id=task_id).execute(context)
        except AirflowSkipException:
            send("completed", None, _SKIPPED)
        except Exception:  # noqa: BLE001 - the parent raises it
            send("error", None, traceback.format_exc())
        else:
            context["ti"].xcom_push("return_value", value)
            send("completed", None, None)
        finally:
            os._exit(0)


def _read_messages(pipe: BinaryIO) -> Iterator[tuple[str, Any, Any]]:
    """Yield the messages of a process until it ends. A message that was interrupted by a kill is ignored."""
    while True:
        try:
            yield pickle.load(pipe)
        except (EOFError, pickle.UnpicklingError):
            return
