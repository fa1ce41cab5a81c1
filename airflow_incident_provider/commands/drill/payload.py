"""A recorded alert, marked as a drill."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from importlib.resources import files
from typing import Any

from airflow_incident_provider.commands.running import UsageError
from airflow_incident_provider.intake.datadog.payload import is_unset
from airflow_incident_provider.intake.datadog.text import read_title

MARK = "DRILL"
TAG = "drill:true"
CHANNEL_PREFIX = "drill"

RULE = {"name": "drill", "match": {"tag": TAG}, "channel_prefix": CHANNEL_PREFIX}
"""The rule of the routing table that gives a drill's room its name. It has to come first."""


def recorded_alert() -> dict[str, Any]:
    """Return the conf of a recorded alert."""
    text = files("incident_sandbox.demo").joinpath("alert.json").read_text(encoding="utf-8")
    return {"datadog": json.loads(text)}


def as_drill(conf: Mapping[str, Any], *, now_ns: int | None = None) -> dict[str, Any]:
    """Return a conf marked as a drill: its title, its tags, and an identity that no real incident has.

    :param now_ns: nanoseconds since the epoch; the same again gives the same drill.
    :raises UsageError: a payload that is no object.
    """
    stamp = now_ns if now_ns is not None else time.time_ns()
    if "datadog" in conf:
        if not isinstance(conf["datadog"], Mapping):
            raise UsageError("The Datadog payload is no object.")
        return {**conf, "datadog": _marked_payload(conf["datadog"], stamp)}
    tags = conf.get("tags") or []
    listed = tags.split(",") if isinstance(tags, str) else list(tags)
    title = _marked_title(str(conf.get("title") or ""))
    return {**conf, "title": title, "tags": [*listed, TAG], "id": f"drill-{stamp}"}


def with_drill_rule(table: Mapping[str, Any]) -> dict[str, Any]:
    """Return a routing table with the rule for drills before all others."""
    return {**table, "rules": [RULE, *table.get("rules", [])]}


def _marked_payload(payload: Mapping[str, Any], stamp: int) -> dict[str, Any]:
    """Return a payload of Datadog's as another alert, or incident, that has begun just now."""
    now_ms = str(stamp // 1_000_000)
    marked = {
        **payload,
        "title": _marked_title(str(payload.get("title") or "")),
        "tags": ",".join(filter(None, (str(payload.get("tags") or ""), TAG))),
        "id": f"drill-{stamp}",
        "date": now_ms,
        "last_updated": now_ms,
    }
    alert, incident = payload.get("alert"), payload.get("incident")
    if isinstance(alert, Mapping):
        marked["alert"] = _marked_alert(alert, stamp)
    if isinstance(incident, Mapping) and not is_unset(incident.get("public_id") or incident.get("uuid")):
        marked["incident"] = _marked_incident(incident, stamp)
    return marked


def _marked_alert(alert: Mapping[str, Any], stamp: int) -> dict[str, Any]:
    title = {"title": _marked_title(str(alert["title"]))} if alert.get("title") else {}
    return {**alert, **title, "id": f"drill-{alert.get('id') or 0}", "cycle_key": str(stamp)}


def _marked_incident(incident: Mapping[str, Any], stamp: int) -> dict[str, Any]:
    return {
        **incident,
        "title": _marked_title(str(incident.get("title") or "")),
        "public_id": f"drill-{stamp}",
        "uuid": None,
        # The channel that the real incident has: nobody there must be told of a drill.
        "integrations": None,
    }


def _marked_title(text: str) -> str:
    """Return a title with the mark before the monitor's name, behind what Datadog puts before that."""
    name = read_title(text).name
    return f"{text.strip().removesuffix(name)}{MARK} {name}".strip()
