"""Read Slack's responses. What a gateway leaves out or changes is an error of its own, never a crash."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow_incident_provider.exceptions import SlackUnavailableError


def not_slack(method: str, what: str) -> SlackUnavailableError:
    """Return the error for an answer that Slack does not give, such as the sign-in page of a gateway."""
    return SlackUnavailableError(
        f"The answer to {method} is not Slack's: {what}.",
        code=what,
        fix="Check base_url and proxy in the connection's extra, and any gateway between Airflow and Slack.",
        effect_possible=True,
    )


def required_text(response: Any, method: str, field: str) -> str:
    """Return a text of a response.

    :raises SlackUnavailableError: it is missing or empty. The call may have taken effect.
    """
    value = response.get(field)
    if not isinstance(value, str) or not value:
        raise not_slack(method, f"it has no {field}")
    return value


def required_object(response: Any, method: str, field: str) -> Mapping[str, Any]:
    """Return an object of a response that has an id, such as a channel or a user.

    :raises SlackUnavailableError: it is missing. The call may have taken effect.
    """
    value = response.get(field)
    if not _has_id(value):
        raise not_slack(method, f"it has no {field}")
    return dict(value)


def required_list(response: Any, method: str, field: str) -> list[Any]:
    """Return a list of a response, which may be empty.

    :raises SlackUnavailableError: it is missing.
    """
    value = response.get(field)
    if not isinstance(value, list):
        raise not_slack(method, f"it has no {field}")
    return value


def required_objects(response: Any, method: str, field: str) -> list[Mapping[str, Any]]:
    """Return the objects with an id in a list of a response. Errors as for :func:`required_list`."""
    return [item for item in required_list(response, method, field) if _has_id(item)]


def objects(response: Any, field: str) -> list[Mapping[str, Any]]:
    """Return the objects in a list of a response; none if there is no such list."""
    value = response.get(field)
    return [item for item in value if isinstance(item, Mapping)] if isinstance(value, list) else []


def mapping(value: object) -> Mapping[str, Any]:
    """Return a part of a response that should be an object; an empty one if it is none."""
    return value if isinstance(value, Mapping) else {}


def next_cursor(page: Any) -> str:
    """Return where the next page begins; empty after the last one."""
    return str(mapping(page.get("response_metadata")).get("next_cursor") or "")


def _has_id(value: object) -> bool:
    return isinstance(value, Mapping) and isinstance(value.get("id"), str) and bool(value["id"])
