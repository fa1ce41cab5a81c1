"""Read what the tasks of a run pushed to XCom, and the arguments of operators."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import ValidationError

from airflow_incident_provider.exceptions import InvalidPayloadError
from airflow_incident_provider.models import XComValue
from airflow_incident_provider.text import for_error

if TYPE_CHECKING:
    from airflow.sdk import Context

Value = TypeVar("Value", bound=XComValue)


def read_value(
    model: type[Value], given: Value | Mapping[str, Any] | None, context: Context, task_id: str | None
) -> Value | None:
    """Return a step's input: the operator's argument, else what the step ``task_id`` pushed to XCom.

    Within a task group, the step of the same group comes before that of the DAG.

    :param task_id: ``None`` if only the argument counts: it was passed, even if it has no value in this run.
    :returns: the model, or ``None`` if there is neither.
    :raises InvalidPayloadError: the value is something else.
    """
    value = given
    if value is None and task_id is not None:
        value = _of_step(context, task_id)
    if value is None or isinstance(value, model):
        return value
    try:
        return model.model_validate(value)
    except ValidationError as error:
        where = "the argument" if given is not None else f"what {task_id} returned"
        raise InvalidPayloadError(
            f"{where} is no {model.__name__}: {for_error(value)} ({error.error_count()} errors).",
            fix="Pass the output of the task that returns one, such as task.output.",
        ) from None


def require_step(context: Context, task_id: str, *, fix: str) -> None:
    """Raise if the DAG has no such step: its value is not missing in this run, but can never be there.

    :raises InvalidPayloadError: there is none.
    """
    if step_nearby(context, task_id) is None:
        raise InvalidPayloadError(f"This DAG has no task {str(task_id)!r} whose result could be used.", fix=fix)


def step_nearby(context: Context, task_id: str) -> str | None:
    """Return the full id of a step in the innermost task group around the running task, else in the DAG.

    :returns: ``None`` if the DAG has no such step there.
    """
    groups = context["ti"].task_id.split(".")[:-1]
    nearest_first = (".".join((*groups[:depth], task_id)) for depth in range(len(groups), -1, -1))
    return next((each for each in nearest_first if context["dag"].has_task(each)), None)


def _of_step(context: Context, task_id: str) -> Any:
    """Return what a step returned; in a mapped task group, in the same instance of the group."""
    ti: Any = context["ti"]
    if "." not in ti.task_id:
        return returned(ti, task_id)
    step = step_nearby(context, task_id) or task_id
    group = context["task"].get_closest_mapped_task_group()
    if group is not None and step.startswith(f"{group.group_id}."):
        return ti.xcom_pull(task_ids=step, map_indexes=ti.map_index)
    return returned(ti, step)


_cache: dict[object, dict[str, Any]] = {}


def returned(ti: Any, task_id: str) -> Any:
    """Return the ``return_value`` of a task of this run, or ``None`` if there is none yet.

    A value does not change once it is pushed, so each attempt of a task asks only once: every read is a call of
    the API server.
    """
    attempt = getattr(ti, "id", None)
    if attempt not in _cache:
        _cache.clear()
    values = _cache.setdefault(attempt, {})
    if attempt is None or values.get(task_id) is None:
        values[task_id] = ti.xcom_pull(task_ids=task_id)
    return values[task_id]
