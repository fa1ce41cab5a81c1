"""
The fields of Airflow's trigger form, as plain JSON Schema.

Airflow holds every conf against these schemas, also the one that a webhook sends. So nothing is required, and what
Datadog's payload calls by the same names (``id``, ``title``, ``tags``) fits too; what is wrong is refused in words
by ``read_incident``. A field of two types besides null is drawn as a text area, which takes plain lines or JSON.
"""

from __future__ import annotations

from typing import Any, Final

from airflow_incident_provider.models import Severity

_WHAT: Final = "What happens"
_WHO: Final = "Who comes"
_WHERE: Final = "Where it happens"
_DATADOG: Final = "From Datadog"

_TEXT: Final = ["string", "null"]
_LIST: Final = ["array", "string", "null"]


def trigger_form() -> dict[str, dict[str, Any]]:
    """Return the fields of the form: for each its name, and the keyword arguments of Airflow's ``Param``."""
    return {**_what_happens(), **_who_comes(), **_where(), **_from_datadog()}


def _what_happens() -> dict[str, dict[str, Any]]:
    return {
        "title": _field(_TEXT, _WHAT, "Title", "What people see, in a few words. Needed, unless Datadog sent it."),
        "severity": _field(
            _TEXT,
            _WHAT,
            "Severity",
            "How bad it is. Without a choice it is treated as high.",
            enum=[*(severity.value for severity in Severity), None],
            values_display={
                "critical": "Critical: customers are stopped",
                "high": "High: customers are hindered",
                "medium": "Medium: something is wrong inside",
                "low": "Low: worth a look",
                "None": "Not said",
            },
        ),
        "description": _field(_TEXT, _WHAT, "Description", "What is known so far.", format="multiline"),
        "started_at": _field(_TEXT, _WHAT, "Began", "When it began. Empty means now.", format="date-time"),
        "id": _field(
            _TEXT,
            _WHAT,
            "Id",
            "An id that it has elsewhere, such as a ticket's. The same id leads to the same room."
            " Empty means that one is made.",
        ),
    }


def _who_comes() -> dict[str, dict[str, Any]]:
    return {
        "users": _field(
            _LIST,
            _WHO,
            "People",
            "One a line: e-mail address (the surest), Slack name, Slack id, or @group."
            " The routing table adds its own.",
        ),
        "private": _field(
            ["boolean", "null"],
            _WHO,
            "Private room",
            "Only who is invited sees it, and only e-mail addresses and Slack ids invite.",
        ),
    }


def _where() -> dict[str, dict[str, Any]]:
    return {
        "env": _field(_TEXT, _WHERE, "Environment", "Such as prod."),
        "services": _field(_LIST, _WHERE, "Services", "One a line."),
        "hosts": _field(_LIST, _WHERE, "Hosts", "One a line."),
        "teams": _field(_LIST, _WHERE, "Teams", "Whose it is, one a line. The routing table goes by it."),
        "targets": _field(
            _LIST, _WHERE, "Targets", "What to probe, one a line: https://host/path, host, or host:port."
        ),
        "links": _field(_LIST, _WHERE, "Links", "Dashboards, runbooks and the like: one URL a line."),
        "tags": _field(_LIST, _WHERE, "Tags", "One a line, such as env:prod. The routing table goes by them."),
    }


def _from_datadog() -> dict[str, dict[str, Any]]:
    return {
        "datadog": _field(
            ["object", "string", "null"],
            _DATADOG,
            "Datadog payload",
            "What Datadog's webhook sent. Only people, private room, targets and links add to it.",
        )
    }


def _field(types: list[str], section: str, title: str, description: str, **schema: Any) -> dict[str, Any]:
    """Return one field, empty to begin with."""
    return {
        "default": None,
        "type": list(types),
        "title": title,
        "description": description,
        "section": section,
        **schema,
    }
