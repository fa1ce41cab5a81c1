"""Read what the tasks of a run pushed to XCom."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from airflow_incident_provider.models import XComValue

if TYPE_CHECKING:
    from airflow.sdk import Context

Value = TypeVar("Value", bound=XComValue)


def read_value(
    model: type[Value], given: Value | Mapping[str, Any] | None, context: Context, task_id: str
) -> Value | None:
    """Return a step's input: the operator's argument, else what ``task_id`` pushed to XCom.

    :returns: the model, or ``None`` if there is neither.
    """
    value = given if given is not None else returned(context["ti"], task_id)
    if value is None or isinstance(value, model):
        return value
    return model.model_validate(value)


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
