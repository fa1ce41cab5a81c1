"""Datadog's payload: its template, its fields, and the forms that its variables arrive in."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable
from importlib import resources
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from airflow_incident_provider.intake.limits import ParseWarnings, bounded_names
from airflow_incident_provider.text import for_error

_OWN_NAME = re.compile(r"\$[A-Z][A-Z0-9_]*(?:\[[^\]]*\])?")
_LONGEST_NUMBER = 256
"""Bits; no id of Datadog's comes near, and Python refuses to print integers of more than 4,300 digits."""


def is_unset(value: object) -> bool:
    """Return whether a variable had no value."""
    if isinstance(value, str):
        text = value.strip()
        return text in {"", "null"} or _OWN_NAME.fullmatch(text) is not None
    return value is None or (isinstance(value, float) and not math.isfinite(value))


def text_variable(value: object) -> str | None:
    """Return a variable's text, or nothing when it is unset; a number, if the template left it unquoted, is text.

    :raises ValueError: if it is neither text nor a number.
    """
    if is_unset(value):
        return None
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"{for_error(value)} is not text")
    if isinstance(value, int) and value.bit_length() > _LONGEST_NUMBER:
        raise ValueError(f"{for_error(value)} is not an id")
    return str(value)


def json_variable(value: object, *, field: str, warnings: ParseWarnings) -> object:
    """Return the object or list that a variable holds, or nothing when it is unset or (flagged) not JSON."""
    if is_unset(value):
        return None
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            warnings.add(field, value, "left out: it is not JSON")
            return None
    if value is not None and not isinstance(value, dict | list):
        warnings.add(field, value, "left out: it is neither an object nor a list")
        return None
    return value


def _section(value: object) -> object:
    """Return a part of the payload as an object, also when it is unset or came as text."""
    if is_unset(value):
        return {}
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            raise ValueError(f"{for_error(value)} is not a JSON object") from None
    if not isinstance(value, dict):
        raise ValueError(f"{for_error(value)} is not an object")
    return value


Text = Annotated[str | None, BeforeValidator(text_variable)]


class _Section(BaseModel):
    """A part of the payload; keys that we do not know are none of our business."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class AlertSection(_Section):
    """What the ``$ALERT_*`` variables held."""

    id: Text = None
    cycle_key: Text = None
    title: Text = None
    transition: Text = None
    type: Text = None
    priority: Text = None
    metric: Text = None
    metric_namespace: Text = None
    query: Text = None
    scope: Text = None
    status: Text = None


class IncidentSection(_Section):
    """What the ``$INCIDENT_*`` variables held; commander, fields and integrations hold JSON."""

    public_id: Text = None
    uuid: Text = None
    title: Text = None
    severity: Text = None
    status: Text = None
    url: Text = None
    message: Text = None
    commander: object = None
    fields: object = None
    integrations: object = None


class DatadogPayload(_Section):
    """One notification. The default payload has only id, event_type, title, body, date, last_updated and org."""

    schema_name: Text = Field(default=None, alias="schema")
    id: Text = None
    event_type: Text = None
    title: Text = None
    body: Text = None
    text: Text = None
    date: Text = None
    last_updated: Text = None
    link: Text = None
    snapshot: Text = None
    hostname: Text = None
    tags: object = None
    alert: Annotated[AlertSection, BeforeValidator(_section)] = AlertSection()
    incident: Annotated[IncidentSection, BeforeValidator(_section)] = IncidentSection()


_MAX_READ = 1000
"""Tags that are looked at; far more than are kept."""


def read_tags(value: object, *, field: str, warnings: ParseWarnings) -> tuple[str, ...]:
    """Return the tags that a variable holds, as text with commas or as a list; anything else is flagged."""
    if is_unset(value):
        return ()
    if isinstance(value, str):
        parts = value.split(",", _MAX_READ)[:_MAX_READ]
    elif isinstance(value, list):
        parts = [tag for tag in value[:_MAX_READ] if isinstance(tag, str)]
        if len(parts) < len(value):
            warnings.add(field, value, "tags that are not text, or too many, were left out")
    else:
        warnings.add(field, value, "left out: tags are text with commas between, or a list")
        return ()
    return bounded_names(parts, field=field, warnings=warnings)


def values_of(key: str, tags: Iterable[str]) -> tuple[str, ...]:
    """Return the values of the tags with this key, in their order, each once."""
    prefix = f"{key}:"
    found = (tag[len(prefix) :].strip() for tag in tags if tag.casefold().startswith(prefix))
    return tuple(dict.fromkeys(value for value in found if value))


SCHEMA = "airflow-incident/1"
"""What the template's payloads call themselves."""


def payload_template() -> str:
    """Return the custom payload for Datadog's webhook integration. It ships with the package.

    It is no JSON until Datadog has put values for its variables: some of them are objects and stand unquoted.
    """
    return resources.files(__package__).joinpath("template.json.txt").read_text(encoding="utf-8")
