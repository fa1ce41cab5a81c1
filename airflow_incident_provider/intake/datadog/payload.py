"""
Datadog's payload: our template, and the other forms in which people send the same variables.

Whoever sets the webhook up writes the template, so the same variable arrives under many names: nested as in ours
(``alert.id``), nested with its prefix (``alert.alert_id``), flat (``alert_id``, ``ALERT_ID``), or not at all
(Datadog's default payload). Names are compared without case and punctuation. A value that cannot be used is
left out with a warning: an alert is refused only if nothing identifies it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from importlib import resources
from typing import Any

from airflow_incident_provider.intake.limits import ParseWarnings
from airflow_incident_provider.intake.lists import MAX_ITEMS, tag_items
from airflow_incident_provider.intake.values import composed, is_unset, json_in, plain_name, read_text, unwrapped
from airflow_incident_provider.models import Model
from airflow_incident_provider.text import one_line

SCHEMA = "airflow-incident/1"
"""What the template's payloads call themselves."""

_SCHEMA_FAMILY = SCHEMA.partition("/")[0] + "/"
_DEFAULT_PAYLOAD = frozenset({"event_type", "title", "body"})
_TELLING = frozenset(
    {"alertid", "alertcyclekey", "alerttransition", "incidentpublicid", "incidentuuid", "securitysignalid"}
    | {"securitysignaltitle"}
)
"""Names of which one is enough to recognise a payload of Datadog's."""
_INCIDENT_IDS = ("incidentpublicid", "incidentuuid")
_SECTIONS = ("alert", "incident", "event", "monitor", "synthetics")
_TRANSITION_WORDS = re.compile(
    r"(?:re-?)?(?:triggered|alert(?:ed|ing)?|warn(?:ed|ing)?|no[ _-]?data|notify)"
    r"|(?:(?:warn|no data) )?recovered|resolved|closed|ok|firing",
    re.IGNORECASE,
)
_PRIORITY = re.compile(r"(?!\s*(?:normal|low)\s*$).{1,40}", re.IGNORECASE)
"""Anything but the priorities of an event, which say nothing about the monitor."""


def _in_sections(*names: str) -> tuple[str, ...]:
    """Return names as they are, and as sections of the payload have them: ``alert.host``, ``monitor.status``."""
    prefixed = (f"{section}{name}" for section in ("alert", "monitor", "event") for name in names)
    return tuple(dict.fromkeys((*names, *prefixed)))


# For each variable the names it arrives under, in the order in which they count.
_TEXTS: dict[str, tuple[str, ...]] = {
    "schema_name": ("schema",),
    "id": ("id", "eventid", "securitysignalid"),
    "event_type": ("eventtype",),
    "title": (
        "title",
        "eventtitle",
        "monitorname",
        "alertname",
        "name",
        "subject",
        "summary",
        "securitysignaltitle",
        "securityrulename",
    ),
    "body": (
        "body",
        "eventmsg",
        "eventmessage",
        "msg",
        "message",
        "alertmessage",
        "description",
        "securitysignalmsg",
    ),
    "text": ("text", "textonlymsg", "textonlymessage"),
    "date": _in_sections("date", "dateposix", "timestamp"),
    "last_updated": _in_sections("lastupdated", "lastupdatedposix"),
    "link": _in_sections("link", "url"),
    "snapshot": _in_sections("snapshot", "snapshoturl", "imageurl"),
    "hostname": _in_sections("hostname", "host"),
    "alert_id": ("alertid", "monitorid"),
    "cycle_key": _in_sections("cyclekey"),
    "aggregation_key": _in_sections("aggregkey", "aggregationkey"),
    "alert_title": ("alerttitle", "monitortitle"),
    "transition": _in_sections("transition"),
    "alert_type": ("alerttype",),
    "priority": ("alertpriority", "monitorpriority"),
    "metric": _in_sections("metric"),
    "query": _in_sections("query"),
    "status": ("alertstatus",),
    "incident_id": ("incidentpublicid",),
    "incident_uuid": ("incidentuuid",),
    "incident_title": ("incidenttitle",),
    "incident_severity": ("incidentseverity",),
    "incident_status": ("incidentstatus",),
    "incident_url": ("incidenturl",),
    "incident_message": ("incidentmsg", "incidentmessage"),
    "synthetics_test": ("syntheticstest", "syntheticstestname"),
    "synthetics_step": ("syntheticsfailingstep", "syntheticsfirstfailingstepname"),
}
_SCOPE = ("alertscope", "monitorscope", "scope", "eventscope")
_LOST = "lost"
"""The plain name of ``request_body.LOST_KEY``."""
_LABELS = {
    "service": _in_sections("service", "services"),
    "env": _in_sections("env", "environment"),
    "team": _in_sections("team", "teams"),
}
"""Tags that templates give fields of their own, as ``$TAGS[service]``: {key: names}."""
_VALUES: dict[str, tuple[str, ...]] = {
    "tags": ("tags", "alerttags", "eventtags", "monitortags", "incidenttags", "securitysignaltags"),
    "commander": ("incidentcommander",),
    "fields": ("incidentfields",),
    "integrations": ("incidentintegrations",),
    "logs_sample": ("logssample", "alertlogssample"),
    "synthetics": ("syntheticssummary", "synthetics"),
}
# Variables whose value shows whether the name was meant: {name: (variable, pattern)}.
_BY_VALUE = (
    (
        "transition",
        (*_in_sections("status", "state"), "eventtype"),
        _TRANSITION_WORDS,
    ),
    ("priority", ("priority",), _PRIORITY),
    ("priority", (*_in_sections("severity"), "securitysignalseverity"), re.compile(r".{1,40}")),
    (
        "alert_type",
        ("type", "level", "eventalerttype", "monitoralerttype"),
        re.compile(r"error|warning|success|info", re.IGNORECASE),
    ),
)


class DatadogPayload(Model):
    """The variables of one notification. The default payload has only id, event_type, title, body and dates."""

    schema_name: str | None = None
    id: str | None = None
    event_type: str | None = None
    title: str | None = None
    body: str | None = None
    text: str | None = None
    date: str | None = None
    last_updated: str | None = None
    link: str | None = None
    snapshot: str | None = None
    hostname: str | None = None
    alert_id: str | None = None
    cycle_key: str | None = None
    aggregation_key: str | None = None
    alert_title: str | None = None
    transition: str | None = None
    alert_type: str | None = None
    priority: str | None = None
    metric: str | None = None
    query: str | None = None
    scope: str | None = None
    status: str | None = None
    incident_id: str | None = None
    incident_uuid: str | None = None
    incident_title: str | None = None
    incident_severity: str | None = None
    incident_status: str | None = None
    incident_url: str | None = None
    incident_message: str | None = None
    synthetics_test: str | None = None
    synthetics_step: str | None = None
    tags: Any = None
    labels: tuple[str, ...] = ()
    states_labels: bool = False
    is_incomplete: bool = False
    commander: Any = None
    fields: Any = None
    integrations: Any = None
    logs_sample: Any = None
    synthetics: Any = None


def payload_template() -> str:
    """Return the custom payload for Datadog's webhook integration. It ships with the package.

    Variables that hold JSON stand unquoted in brackets: an unset one then leaves an empty list behind.
    """
    return resources.files(__package__).joinpath("template.json.txt").read_text(encoding="utf-8")


def payload_schema() -> dict[str, Any]:
    """Return the JSON Schema of the template's payload, for the API documentation."""
    empty = re.sub(r"\[\$[A-Z_]+\]", "[]", payload_template())
    return _schema_of(json.loads(empty))


def _schema_of(value: object) -> dict[str, Any]:
    if isinstance(value, dict):
        return {"type": "object", "properties": {name: _schema_of(item) for name, item in value.items()}}
    return {"description": f"Datadog's variable {value}."} if isinstance(value, str) and value[:1] == "$" else {}


def looks_like_datadog(conf: Mapping[str, object]) -> bool:
    """Return whether a conf is itself a payload of Datadog's."""
    schema = conf.get("schema")
    if isinstance(schema, str) and schema.startswith(_SCHEMA_FAMILY):
        return True
    names = _flat(conf)
    if any(name in names and not is_unset(names[name][1]) for name in _TELLING):
        return True
    if all(isinstance(conf.get(name), dict) for name in ("event", "monitor")):
        return True
    # Other systems have incidents too; Datadog's is known by its id, also where it is not set.
    is_incident = isinstance(conf.get("incident"), dict) and not names.keys().isdisjoint(_INCIDENT_IDS)
    return is_incident or conf.keys() >= _DEFAULT_PAYLOAD or isinstance(conf.get("alert"), dict)


def read_payload(payload: Mapping[str, object], warnings: ParseWarnings) -> DatadogPayload:
    """Return the variables that a payload holds; what cannot be used is left out with a warning."""
    flat = _flat(payload)
    found: dict[str, object] = {}
    for variable, names in _TEXTS.items():
        found[variable] = next((text for name in names if (text := _text(flat, name, warnings)) is not None), None)
    for variable, names, pattern in _BY_VALUE:
        if found[variable] is None:
            candidates = (_text(flat, name, ParseWarnings()) for name in names)
            found[variable] = next((text for text in candidates if text and pattern.fullmatch(text)), None)
    found["scope"] = _scope(flat, warnings)
    found["states_labels"] = _states_labels(flat)
    found["is_incomplete"] = _LOST in flat
    labels = tuple(
        f"{key}:{value}"
        for key, names in _LABELS.items()
        for name in names
        if name in flat
        for value in read_tags(unwrapped(flat[name][1]), field=flat[name][0], warnings=warnings)
        if ":" not in value
    )
    found["labels"] = (*labels, *_further_tags(flat, warnings))
    for variable, names in _VALUES.items():
        found[variable] = next(
            (flat[name][1] for name in names if name in flat and not is_unset(flat[name][1])), None
        )
    return DatadogPayload(**found)


def _further_tags(flat: Mapping[str, tuple[str, object]], warnings: ParseWarnings) -> tuple[str, ...]:
    """Return the tags under every name but the first that has some: a template may send several kinds of them."""
    stated = [flat[name] for name in _VALUES["tags"] if name in flat and not is_unset(flat[name][1])]
    return tuple(tag for path, value in stated[1:] for tag in read_tags(value, field=path, warnings=warnings))


def _scope(flat: Mapping[str, tuple[str, object]], warnings: ParseWarnings) -> str | None:
    """Return the group that the monitor alerts for: empty if it has none, ``None`` if the payload has no such name.

    It distinguishes alerts, so every form of tags is accepted.
    """
    stated = next((flat[name] for name in _SCOPE if name in flat and not is_unset(flat[name][1])), None)
    if stated is None:
        return "" if any(name in flat for name in _SCOPE) else None
    path, value = stated
    if not isinstance(value, str):
        return ",".join(read_tags(value, field=path, warnings=warnings)) or None
    text = composed(value).strip()
    return text[1:-1].strip() or None if text[:1] + text[-1:] == "{}" else text


def _states_labels(flat: Mapping[str, tuple[str, object]]) -> bool:
    """Return whether tags, scope and host are there, though they may be empty, and none of them was cut."""
    lost = flat[_LOST][1] if _LOST in flat else None
    names = flat.keys() - {plain_name(name) for name in (lost if isinstance(lost, list) else ())}
    # Whose template is not ours may have further fields for services and the like.
    is_template_known = "schema" in names and flat["schema"][1] == SCHEMA
    return is_template_known and all(
        names.intersection(each) for each in (_VALUES["tags"], _SCOPE, _TEXTS["hostname"])
    )


def _flat(payload: Mapping[str, object]) -> dict[str, tuple[str, object]]:
    """Return every value of the payload and its sections by its plain name, with the path it was found at."""
    flat: dict[str, tuple[str, object]] = {}
    sections: list[tuple[str, Mapping[str, object]]] = []
    for key, value in payload.items():
        name = plain_name(key)
        section = _section(value) if name in _SECTIONS else None
        if section is not None:
            sections.append((name, section))
        if section is None or name == "synthetics":
            flat.setdefault(name, (str(key), value))
    for name, section in sections:
        for key, value in section.items():
            inner = plain_name(key)
            inner = inner if inner.startswith(name) else name + inner
            path = f"{name}.{key}"
            if inner not in flat or is_unset(flat[inner][1]):
                flat[inner] = (path, value)
    return flat


def _section(value: object) -> Mapping[str, object] | None:
    """Return a part of the payload that is an object, also if it came as text."""
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if isinstance(value, str) and value.lstrip().startswith("{"):
        value = json_in(value)
    return value if isinstance(value, dict) else None


def _text(flat: Mapping[str, tuple[str, object]], name: str, warnings: ParseWarnings) -> str | None:
    if name not in flat:
        return None
    path, value = flat[name]
    try:
        return read_text(value)
    except ValueError as error:
        warnings.add(path, value, f"left out: {error}")
        return None


def json_variable(value: object, *, field: str, warnings: ParseWarnings) -> object:
    """Return the object or list that a variable holds; ``None`` if it is unset or (with a warning) not JSON.

    The template puts brackets around a variable, so that one of a single object arrives in a list.
    """
    while isinstance(value, list) and len(value) == 1 and (isinstance(value[0], list | str) or is_unset(value[0])):
        value = value[0]
    if is_unset(value):
        return None
    if isinstance(value, str):
        parsed = json_in(value)
        if parsed is None:
            warnings.add(field, value, "left out: it is not JSON")
            return None
        value = parsed
    if is_unset(value):
        return None
    if not isinstance(value, dict | list):
        warnings.add(field, value, "left out: it is neither an object nor a list")
        return None
    return value


def object_variable(value: object, *, field: str, warnings: ParseWarnings) -> Mapping[str, object]:
    """Return the object that a variable holds, also within the brackets of the template; else an empty one."""
    value = json_variable(value, field=field, warnings=warnings)
    if isinstance(value, list):
        value = next((item for item in value if isinstance(item, dict)), None)
    return value if isinstance(value, dict) else {}


def read_tags(value: object, *, field: str, warnings: ParseWarnings) -> tuple[str, ...]:
    """Return all tags that a variable holds, clean and distinct: at most ``MAX_ITEMS``, of which few are kept."""
    if is_unset(value):
        return ()
    items = tag_items(value)
    parts = [tag for tag in items if isinstance(tag, str)]
    if len(parts) < len(items) or (isinstance(value, list) and len(value) > MAX_ITEMS):
        warnings.add(field, value, "what is no text, and thus no tag, or too much was left out")
    kept: dict[str, str] = {}
    for part in parts:
        tag = one_line(part[:1000])
        if not is_unset(tag):
            kept.setdefault(tag.casefold(), tag)
    return tuple(kept.values())
