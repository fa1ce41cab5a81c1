"""The responses of the alert endpoints."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, Field

from airflow_incident_provider.plugins.api.errors import ErrorResponse


class Decided(BaseModel):
    """The response to an alert that was understood, whatever was decided about it."""

    run_id: str | None = Field(description="The DAG run that reports it, if there is one.")
    incident: str | None = Field(description="The key of the incident that it belongs to, if it belongs to one.")
    decision: str = Field(description="The decision, in one word.")
    reason: str = Field(description="The reason, in a sentence.")


_REFUSALS = {
    400: "The body is not JSON, or cannot be parsed as an incident.",
    401: "The secret is missing or wrong.",
    403: "Requests from this network are not allowed.",
    413: "The body is too large.",
    415: "The body is compressed in a way that is not known, or not as its header says.",
    503: "It cannot be accepted now and should be sent again; the error says what to fix.",
}

ALERT_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {"model": Decided, "description": "Known already, or nothing to act on."},
    202: {"model": Decided, "description": "Accepted: an incident was opened or changed."},
    **{status: {"model": ErrorResponse, "description": why} for status, why in _REFUSALS.items()},
}
"""Every response of the alert endpoints, for the OpenAPI document."""
