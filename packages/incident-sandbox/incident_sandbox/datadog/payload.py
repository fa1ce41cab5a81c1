"""The alert of a story, as Datadog's webhook sends it with the payload template of the provider."""

from __future__ import annotations

import re
from typing import Any

from incident_sandbox.datadog.world import World

Json = dict[str, Any]

_NO_INCIDENT: Json = {
    "public_id": "null",
    "uuid": "null",
    "title": "",
    "severity": "null",
    "status": "null",
    "url": "null",
    "message": "",
    "commander": None,
    "fields": None,
    "integrations": None,
}


_METRIC = re.compile(r"\b(?:avg|sum|min|max|count|p\d\d):([\w.]+)\{")


def alert_payload(world: World) -> Json:
    """Return the body that the webhook posts."""
    story, alert = world.story, world.story.alert
    ms = str(round(world.alerted_at * 1000))
    metric = _metric_name(world.monitor_query) if alert.kind != "logs" else ""
    title = f"[P1] [Triggered on {{{world.scope}}}] {world.title}"
    text = f"{metric or 'logs'} was above {alert.threshold:.12g} during the last 5m."
    return {
        "schema": "airflow-incident/1",
        "id": ms,
        "event_type": "log_alert" if alert.kind == "logs" else "query_alert_monitor",
        "title": title,
        "body": text,
        "text": text,
        "date": ms,
        "last_updated": ms,
        "link": f"https://app.datadoghq.com/event/event?id={ms}",
        "snapshot": "",
        "hostname": world.host(story.service, alert.host) if alert.host is not None else "",
        "priority": "normal",
        "tags": f"env:{story.env},monitor,service:{story.service},team:payments",
        "aggreg_key": "9c1f27ab04d84e5a8ce1d0b7f3a92c55",
        "org": {"id": "421337", "name": "Acme Retail"},
        "alert": {
            "id": str(alert.id),
            "cycle_key": ms,
            "title": title,
            "transition": alert.transition,
            "type": "error",
            "priority": "P1",
            "metric": metric,
            "metric_namespace": metric.partition(".")[0],
            "query": world.monitor_query,
            "scope": world.scope,
            "status": text,
        },
        "incident": dict(_NO_INCIDENT),
        "logs_sample": None,
        "synthetics": None,
    }


def _metric_name(query: str) -> str:
    found = _METRIC.search(query)
    return found[1] if found else ""
