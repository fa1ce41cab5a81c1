"""
Notifications of other monitoring and paging systems, translated into the fields of a report.

A format is accepted where its meaning is unambiguous: what the alert is, whether it fires, and by which id its end
is recognised. Formats that are recognised but not translated are refused by name.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from airflow_incident_provider.exceptions import InvalidPayloadError
from airflow_incident_provider.intake.label_values import (
    ENV_LABELS,
    HOST_LABELS,
    SERVICE_LABELS,
    SEVERITY_LABELS,
    TEAM_LABELS,
    Object,
    all_under,
    earliest_time,
    first_under,
    object_in,
    severity_label,
    text_in,
    text_under,
    worst_severity,
)
from airflow_incident_provider.intake.lists import merged_fields
from airflow_incident_provider.text import for_error

_FIX = 'Send the fields of a report: "title", and "id", "severity" and "status" where there are some.'
_GRAFANA_PREFIX = re.compile(
    r"^\[(?:alerting|firing|ok|resolved|no data|pending|paused)(?::\d+)?(?:, RESOLVED:\d+)?\]\s*", re.I
)
_PORT = re.compile(r":\d{1,5}$")


@dataclass(frozen=True)
class ForeignAlert:
    """A notification of another system.

    :param sender: the system.
    :param report: the fields of a report.
    :param firing: whether the alert fires; otherwise it ended.
    :param may_open: whether it is news of an alert by itself, not of one that must have been reported before.
    :param delivery_id: the sender's own id of the notification.
    :param event_at: when the sender says that it happened: events may be delivered in another order.
    :param is_stated: whether the title, and whether the alert fires, are the notification's own and no defaults.
    """

    sender: str
    report: Mapping[str, object]
    firing: bool
    may_open: bool = True
    delivery_id: str | None = None
    event_at: object = None
    is_stated: bool = True


def read_foreign(conf: Object) -> ForeignAlert | None:
    """Return the notification of another system that ``conf`` is, or ``None`` if it is none.

    :raises InvalidPayloadError: for a system that is recognised but not supported, or a notification without alert.
    """
    for matches, read in _FORMATS:
        if matches(conf):
            return read(conf)
    for sender, matches in _UNSUPPORTED:
        if matches(conf):
            raise InvalidPayloadError(f"This is a notification of {sender}, which is not supported.", fix=_FIX)
    return None


def separate_alerts(conf: Object) -> list[Object] | None:
    """Return the notifications that one of several consists of, or ``None`` if it is a single one.

    A group of alerts with labels is one notification. What stands beside a list of others holds for each of them.
    """
    if _is_pagerduty_messages(conf):
        messages = conf["messages"]
        return [{"messages": [message]} for message in messages] if len(messages) > 1 else None
    if len(conf) > _MAX_ENVELOPE or _is_alert_group(conf) or "title" in conf:
        return None
    name = next((name for name in _LISTS if isinstance(conf.get(name), list) and conf[name]), None)
    if name is None or not all(isinstance(alert, dict) for alert in conf[name]):
        return None
    beside = {key: value for key, value in conf.items() if key != name}
    return [merged_fields(beside, alert) for alert in conf[name]]


_LISTS = ("alerts", "events", "incidents", "notifications", "items", "records", "data", "payload", "body", "json")
"""Names under which an envelope holds several alerts."""
_MAX_ENVELOPE = 20
"""Fields of an envelope; what has more is an alert itself."""

# --- Alertmanager and Grafana -----------------------------------------------------------------------


def _is_alert_group(conf: Object) -> bool:
    alerts = conf.get("alerts")
    return isinstance(alerts, list) and (not alerts or bool(_alerts_of(alerts)))


def _alerts_of(alerts: Iterable[object]) -> list[Object]:
    return [
        alert
        for alert in alerts
        if isinstance(alert, dict) and ("labels" in alert or ("status" in alert and "title" not in alert))
    ]


def _alert_group(conf: Object) -> ForeignAlert:
    """Read a group of alerts: one incident, which fires while any of its alerts does."""
    sender = "Grafana" if "orgId" in conf or "state" in conf else "Alertmanager"
    alerts = _alerts_of(conf["alerts"])
    if not alerts:
        raise InvalidPayloadError(f"This notification of {sender} holds no alert.", fix=_FIX)
    over = [
        str(one.get("status") or conf.get("status")).casefold() in ("resolved", "ok", "normal") for one in alerts
    ]
    firing = not all(over)
    current = [alert for alert, is_over in zip(alerts, over, strict=True) if not (firing and is_over)]
    common = {**object_in(conf.get("groupLabels")), **object_in(conf.get("commonLabels"))}
    labels = [{**common, **object_in(alert.get("labels"))} for alert in current]
    notes = [object_in(alert.get("annotations")) for alert in current] + [object_in(conf.get("commonAnnotations"))]
    # Where a rule itself fails, Grafana calls the alert after the failure, and the rule rulename.
    name = first_under(labels, ("rulename", "alertname")) or _GRAFANA_PREFIX.sub(
        "", text_in(conf.get("title")) or ""
    )
    summary = first_under(notes, ("summary", "message"))
    title = ": ".join(dict.fromkeys(part for part in (name, summary) if part)) or f"{sender} alert"
    report = {
        "id": _group_id(conf, alerts),
        "title": title + (f" ({len(current)} alerts)" if len(current) > 1 else ""),
        "severity": worst_severity(severity_label(one) for one in labels),
        "description": first_under(notes, ("description", "message")) or summary or text_in(conf.get("message")),
        "env": first_under(labels, ENV_LABELS),
        "services": all_under(labels, SERVICE_LABELS),
        "hosts": [_PORT.sub("", host) for host in all_under(labels, HOST_LABELS)],
        "teams": all_under(labels, TEAM_LABELS),
        "tags": list(
            dict.fromkeys(f"{key}:{value}" for one in labels for key, value in one.items() if text_in(value))
        ),
        "links": list(_group_links(conf, current, notes)),
        "started_at": earliest_time(text_in(alert.get("startsAt")) for alert in current),
    }
    # The key of a group is the last of its fields: with it, all alerts are there.
    return ForeignAlert(sender, report, firing, is_stated=bool(name or summary) and "groupKey" in conf)


def _is_single_alert(conf: Object) -> bool:
    return bool(text_in(object_in(conf.get("labels")).get("alertname"))) and "title" not in conf


def _group_id(conf: Object, alerts: list[Object]) -> str | None:
    """Return what stays the same while the group's alerts change."""
    if key := text_in(conf.get("groupKey")):
        return key
    if len(alerts) == 1 and (fingerprint := text_in(alerts[0].get("fingerprint"))):
        return fingerprint
    labels = object_in(conf.get("groupLabels"))
    return ",".join(f"{name}={labels[name]}" for name in sorted(labels)) or None


def _group_links(conf: Object, alerts: Iterable[Object], notes: Iterable[Object]) -> Iterator[dict[str, str]]:
    for note in notes:
        for key in ("runbook_url", "runbookURL", "runbook"):
            if (url := text_in(note.get(key))) and "://" in url:
                yield {"url": url, "label": "Runbook", "kind": "runbook"}
        if url := text_in(note.get("dashboard_url")):
            yield {"url": url, "label": "Dashboard", "kind": "dashboard"}
    for alert in alerts:
        for key, label in (("dashboardURL", "Dashboard"), ("panelURL", "Panel"), ("generatorURL", "Rule")):
            if url := text_in(alert.get(key)):
                yield {"url": url, "label": label}
    if url := text_in(conf.get("externalURL")):
        yield {"url": url, "label": "Alert manager"}


def _is_grafana_rule(conf: Object) -> bool:
    return isinstance(conf.get("state"), str) and ("ruleId" in conf or "ruleName" in conf) and "alerts" not in conf


def _grafana_rule(conf: Object) -> ForeignAlert:
    state = str(conf["state"]).casefold().replace(" ", "_")
    name = (
        text_in(conf.get("ruleName"))
        or _GRAFANA_PREFIX.sub("", text_in(conf.get("title")) or "")
        or "Grafana alert"
    )
    tags = object_in(conf.get("tags"))
    rule = text_in(conf.get("ruleId"))
    places = [text_in(conf.get(key)) for key in ("orgId", "dashboardId", "panelId")]
    report = {
        "id": "-".join(["grafana", *(place for place in places if place), rule]) if rule else None,
        "title": name,
        "severity": text_under(tags, SEVERITY_LABELS),
        "description": text_in(conf.get("message")),
        "env": text_under(tags, ENV_LABELS),
        "services": all_under([tags], SERVICE_LABELS),
        "teams": all_under([tags], TEAM_LABELS),
        "tags": [f"{key}:{value}" for key, value in tags.items()],
        "links": [url for key in ("ruleUrl",) if (url := text_in(conf.get(key)))],
    }
    return ForeignAlert("Grafana", report, firing=state != "ok", may_open=state in ("alerting", "no_data"))


# --- PagerDuty --------------------------------------------------------------------------------------


def _is_pagerduty_webhook(conf: Object) -> bool:
    event = object_in(conf.get("event"))
    return isinstance(event.get("event_type"), str) and isinstance(event.get("data"), dict)


def _pagerduty_webhook(conf: Object) -> ForeignAlert:
    """Read an event of an incident, or of a note, a responder or the like, which is news of its incident."""
    event: Object = conf["event"]
    kind, data = str(event["event_type"]).casefold(), object_in(event["data"])
    delivery_id, event_at = text_in(event.get("id")), event.get("occurred_at")
    if data.get("type", "incident") == "incident":
        ended = {"status": "resolved"} if kind == "incident.resolved" else {}
        status = ended or {"status": data.get("status", "triggered")}
        return replace(_pagerduty_incident({**data, **status}), delivery_id=delivery_id, event_at=event_at)
    incident = object_in(data.get("incident"))
    if not incident:
        raise InvalidPayloadError(
            f"The PagerDuty event {for_error(kind)} is about no incident.", fix="Subscribe to incident.*."
        )
    read = _pagerduty_incident(incident)
    return replace(read, may_open=False, delivery_id=delivery_id, event_at=event_at)


def _pagerduty_incident(incident: Object) -> ForeignAlert:
    service = object_in(incident.get("service"))
    status = (text_in(incident.get("status")) or "triggered").casefold()
    title = text_in(incident.get("title")) or text_in(incident.get("summary"))
    report = {
        "id": text_in(incident.get("id")) or text_in(incident.get("incident_key")),
        "title": title or "PagerDuty incident",
        "severity": text_in(object_in(incident.get("priority")).get("summary")) or text_in(incident.get("urgency")),
        "status": status,
        "services": [name for key in ("summary", "name") if (name := text_in(service.get(key)))][:1],
        "links": [{"url": url, "label": "PagerDuty"}] if (url := text_in(incident.get("html_url"))) else [],
        "started_at": text_in(incident.get("created_at")),
    }
    return ForeignAlert(
        "PagerDuty",
        report,
        firing=status != "resolved",
        is_stated=title is not None and "status" in incident,
    )


def _is_pagerduty_messages(conf: Object) -> bool:
    messages = conf.get("messages")
    return (
        isinstance(messages, list) and bool(messages) and isinstance(object_in(messages[0]).get("incident"), dict)
    )


def _pagerduty_messages(conf: Object) -> ForeignAlert:
    message: Object = conf["messages"][0]
    return replace(
        _pagerduty_incident(message["incident"]),
        delivery_id=text_in(message.get("id")),
        event_at=message.get("created_on"),
    )


def _is_pagerduty_event(conf: Object) -> bool:
    return str(conf.get("event_action")).casefold() in ("trigger", "acknowledge", "resolve")


def _pagerduty_event(conf: Object) -> ForeignAlert:
    payload, key = object_in(conf.get("payload")), text_in(conf.get("dedup_key"))
    action = str(conf["event_action"]).casefold()
    if action != "trigger" and key is None:
        raise InvalidPayloadError(f"dedup_key: missing; without it there is nothing to {action}.")
    source = text_in(payload.get("source"))
    details = object_in(payload.get("custom_details"))
    title = text_in(payload.get("summary")) or (f"PagerDuty alert {key}" if key else source)
    links = conf.get("links")
    report = {
        "id": key,
        "title": title,
        "severity": text_in(payload.get("severity")),
        "description": "\n".join(f"{name}: {value}" for name, value in details.items() if text_in(value)) or None,
        "hosts": [source] if source and " " not in source else [],
        "services": [name for name in (text_in(payload.get("component")),) if name]
        or all_under([details], SERVICE_LABELS),
        "env": text_under(details, ENV_LABELS),
        "teams": all_under([details], TEAM_LABELS),
        "tags": [
            *(f"{name}:{value}" for name in ("group", "class") if (value := text_in(payload.get(name)))),
            *(f"{name}:{value}" for name, value in details.items() if text_in(value) and name != "tags"),
            *([details["tags"]] if "tags" in details else []),
        ],
        "links": [
            {"url": str(link["href"]), "label": text_in(link.get("text")) or "Link"}
            for link in (links if isinstance(links, list) else [])
            if isinstance(link, dict) and text_in(link.get("href"))
        ],
        "started_at": text_in(payload.get("timestamp")),
    }
    return ForeignAlert("PagerDuty", report, firing=action != "resolve", may_open=action == "trigger")


# --- Opsgenie ---------------------------------------------------------------------------------------

_OPSGENIE_ENDS = frozenset({"close", "delete"})
_OPSGENIE_BEGINS = frozenset({"create", "unacknowledge", "acknowledge", "escalate", "escalatenext"})


def _is_opsgenie_webhook(conf: Object) -> bool:
    return isinstance(conf.get("action"), str) and "alertId" in object_in(conf.get("alert"))


def _opsgenie_webhook(conf: Object) -> ForeignAlert:
    action = str(conf["action"]).casefold()
    report = _opsgenie_fields(conf["alert"])
    report["id"] = text_in(conf["alert"]["alertId"])
    return ForeignAlert(
        "Opsgenie", report, firing=action not in _OPSGENIE_ENDS, may_open=action in _OPSGENIE_BEGINS
    )


_OPSGENIE_ONLY = frozenset({"alias", "visibleTo", "entity"})
_NOT_OPSGENIE = frozenset(
    {"title", "summary", "severity", "users", "status", "env", "service", "services", "hosts"}
)
"""Fields of a report, which Opsgenie has not: who sends one of them means a report."""


def _is_opsgenie_alert(conf: Object) -> bool:
    responders = conf.get("responders")
    named = bool(_OPSGENIE_ONLY & conf.keys()) or (
        isinstance(responders, list) and any("type" in object_in(one) for one in responders)
    )
    return isinstance(conf.get("message"), str) and named and not _NOT_OPSGENIE & conf.keys()


def _opsgenie_alert(conf: Object) -> ForeignAlert:
    return ForeignAlert("Opsgenie", _opsgenie_fields(conf), firing=True)


def _opsgenie_fields(alert: Object) -> dict[str, object]:
    details = object_in(alert.get("details"))
    tags = alert.get("tags")
    return {
        "id": text_in(alert.get("alias")),
        "title": text_in(alert.get("message")),
        "severity": text_in(alert.get("priority")),
        "description": text_in(alert.get("description")),
        "env": text_under(details, ENV_LABELS),
        "services": all_under([details], SERVICE_LABELS) or [n for n in (text_in(alert.get("entity")),) if n],
        "hosts": all_under([details], HOST_LABELS),
        "teams": all_under([details], TEAM_LABELS),
        "tags": [
            *(tags if isinstance(tags, list) else [tags]),
            *(f"{k}:{v}" for k, v in details.items() if text_in(v)),
        ],
        "started_at": alert.get("createdAt"),
    }


# --- Uptime Kuma ------------------------------------------------------------------------------------


def _is_uptime_kuma(conf: Object) -> bool:
    return isinstance(conf.get("heartbeat"), dict) and isinstance(conf.get("monitor"), dict)


def _uptime_kuma(conf: Object) -> ForeignAlert:
    """Read a heartbeat; its status is 0 for down, 1 for up, 2 for pending and 3 for maintenance."""
    heartbeat, monitor = object_in(conf["heartbeat"]), object_in(conf["monitor"])
    name, url = text_in(monitor.get("name")), text_in(monitor.get("url"))
    status = text_in(heartbeat.get("status"))
    report = {
        "id": text_in(monitor.get("id")),
        "title": f"{name or 'Monitor'} is down",
        "description": text_in(heartbeat.get("msg")) or text_in(conf.get("msg")),
        "targets": [url] if url and "://" in url else [],
    }
    return ForeignAlert(
        "Uptime Kuma",
        report,
        firing=status != "1",
        may_open=status == "0",
        is_stated=name is not None and status is not None,
    )


_FORMATS: tuple[tuple[Callable[[Object], bool], Callable[[Object], ForeignAlert]], ...] = (
    (_is_alert_group, _alert_group),
    (_is_single_alert, lambda conf: _alert_group({"status": conf.get("status"), "alerts": [conf]})),
    (_is_uptime_kuma, _uptime_kuma),
    (_is_grafana_rule, _grafana_rule),
    (_is_pagerduty_webhook, _pagerduty_webhook),
    (_is_pagerduty_messages, _pagerduty_messages),
    (_is_pagerduty_event, _pagerduty_event),
    (_is_opsgenie_webhook, _opsgenie_webhook),
    (_is_opsgenie_alert, _opsgenie_alert),
)
_SENTRY = frozenset({"event", "issue", "metric_alert", "error", "comment"})
_UNSUPPORTED: tuple[tuple[str, Callable[[Object], bool]], ...] = (
    ("Amazon SNS", lambda conf: "TopicArn" in conf and "Type" in conf),
    ("Azure Monitor", lambda conf: conf.get("schemaId") == "azureMonitorCommonAlertSchema"),
    ("Google Cloud Monitoring", lambda conf: "policy_name" in object_in(conf.get("incident"))),
    ("Amazon CloudWatch", lambda conf: "NewStateValue" in conf or conf.get("source") == "aws.cloudwatch"),
    ("Sentry", lambda conf: bool(_SENTRY & object_in(conf.get("data")).keys()) and "action" in conf),
    ("New Relic", lambda conf: "issueUrl" in conf and "accumulations" in conf),
    ("Slack", lambda conf: "title" not in conf and isinstance(conf.get("blocks") or conf.get("attachments"), list)),
)
