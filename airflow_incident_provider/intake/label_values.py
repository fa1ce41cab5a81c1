"""
Values in the notifications of other systems, by the labels and names under which they stand there.

The same thing has several customary labels; the first that has a value counts.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from airflow_incident_provider.intake.times import EARLIEST, read_time
from airflow_incident_provider.intake.values import is_unset, read_severity
from airflow_incident_provider.models import Severity

Object = Mapping[str, Any]

SERVICE_LABELS = ("service", "app", "application", "service_name", "job")
HOST_LABELS = ("host", "hostname", "instance", "node")
ENV_LABELS = ("env", "environment")
TEAM_LABELS = ("team", "owner")
SEVERITY_LABELS = ("severity", "priority", "level")


def severity_label(labels: Object) -> str | None:
    """Return the severity that the labels name. Prometheus' ``none`` means that no one is paged."""
    value = next((labels[name] for name in SEVERITY_LABELS if name in labels), None)
    return "info" if value == "none" else text_in(value)


def worst_severity(severities: Iterable[str | None]) -> str | None:
    """Return the worst of the severities, as far as they are understood; else the first."""
    known = [severity for severity in severities if severity]
    understood = {text: severity for text in known if (severity := read_severity(text)) is not None}
    worst = min(understood, key=lambda text: list(Severity).index(understood[text]), default=None)
    return worst or next(iter(known), None)


def earliest_time(times: Iterable[str | None]) -> str | None:
    """Return the earliest of the times that can be right; Go writes the year 1 for none."""
    read = {text: moment for text in times if text and (moment := read_time(text)) and moment.tzinfo is not None}
    return min((text for text in read if read[text] >= EARLIEST), key=read.__getitem__, default=None)


def object_in(value: object) -> Object:
    """Return an object as it is, and an empty one for anything else."""
    return value if isinstance(value, dict) else {}


def text_in(value: object) -> str | None:
    """Return a scalar as text, or ``None`` if it is unset or no scalar."""
    if isinstance(value, str | int | float) and not isinstance(value, bool) and not is_unset(value):
        return str(value)
    return None


def text_under(labels: Object, names: Iterable[str]) -> str | None:
    """Return the value of the first of the names that has one."""
    return next((text for name in names if (text := text_in(labels.get(name)))), None)


def first_under(objects: Iterable[Object], names: Iterable[str]) -> str | None:
    """Return the value of the first object that has one under any of the names."""
    names = tuple(names)
    return next((text for one in objects if (text := text_under(one, names))), None)


def all_under(objects: Iterable[Object], names: Iterable[str]) -> list[str]:
    """Return the values of all objects under any of the names, each once."""
    names = tuple(names)
    return list(dict.fromkeys(text for one in objects if (text := text_under(one, names))))
