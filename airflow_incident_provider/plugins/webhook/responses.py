"""The responses of the alert endpoints."""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

from airflow_incident_provider.lifecycle.decision import Action
from airflow_incident_provider.plugins.api.errors import ErrorResponse, RequestError
from airflow_incident_provider.registry.decisions import Outcome

_NOTHING_NEW = frozenset({Action.DUPLICATE, Action.IGNORE})


class Decided(BaseModel):
    """The response to an alert that was understood, whatever was decided about it."""

    run_id: str | None = Field(description="The DAG run that reports it, if there is one.")
    incident: str | None = Field(description="The key of the incident that it belongs to, if it belongs to one.")
    decision: str = Field(description="The decision, in one word.")
    reason: str = Field(description="The reason, in a sentence.")
    notes: list[str] = Field(
        default=[], description="What was left out, replaced or repaired in the body: field and reason."
    )


class AlertResult(BaseModel):
    """The result for one alert of a body with several: the fields of a decision, or those of an error."""

    status: int = Field(description="The HTTP status that the alert would have got by itself.")
    run_id: str | None = None
    incident: str | None = None
    decision: str | None = None
    reason: str | None = None
    notes: list[str] = []
    error: str | None = None
    fix: str | None = None


class SeveralDecided(BaseModel):
    """The response to a body with several alerts, in their order.

    Its status is 503 if any of them should be sent again: the others then count as delivered before. Else it is
    that of the most that was done, so that one refused alert does not hide an accepted one.
    """

    results: list[AlertResult]
    error: str | None = Field(None, description="What is wrong with the first alert that was refused.")
    fix: str | None = None


def response_of(decided: Sequence[Outcome | RequestError], *, closes_connection: bool = False) -> JSONResponse:
    """Return the response to a body's alerts.

    :param decided: for each alert the outcome, or the refusal.
    :param closes_connection: whether part of the body is unread.
    :raises RequestError: the refusal of a single alert.
    """
    headers = {"Connection": "close"} if closes_connection else None
    if len(decided) > 1:
        body, status = _several(decided)
        return JSONResponse(body.model_dump(), status_code=status, headers=headers)
    [one] = decided
    if isinstance(one, RequestError):
        raise one
    return JSONResponse(_body(one).model_dump(), status_code=_status(one), headers=headers)


def _several(decided: Sequence[Outcome | RequestError]) -> tuple[SeveralDecided, int]:
    results = [
        AlertResult(
            status=_status(one),
            **(one.answer if isinstance(one, RequestError) else _body(one)).model_dump(),
        )
        for one in decided
    ]
    statuses = [result.status for result in results]
    by_rank = (HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.ACCEPTED, HTTPStatus.OK)
    status = next((status for status in by_rank if status in statuses), statuses[0])
    refused = next((result for result in results if result.error is not None), None)
    body = SeveralDecided(
        results=results, error=refused.error if refused else None, fix=refused.fix if refused else None
    )
    return body, status


def _status(one: Outcome | RequestError) -> int:
    if isinstance(one, RequestError):
        return one.status
    return HTTPStatus.OK if one.decision.action in _NOTHING_NEW else HTTPStatus.ACCEPTED


def _body(outcome: Outcome) -> Decided:
    decision = outcome.decision
    return Decided(
        run_id=outcome.run_id,
        incident=decision.key,
        decision=decision.action,
        reason=decision.reason,
        notes=list(outcome.notes),
    )


_REFUSALS = {
    400: "The body is not JSON, or cannot be parsed as an incident.",
    401: "The secret is missing or wrong.",
    403: "Requests from this network are not allowed.",
    413: "The body is too large.",
    415: "The body is compressed in a way that is not known, or not as its header says.",
    503: "It cannot be accepted now and should be sent again; the error says what to fix.",
}
_OF_ONE_ALERT = (400, 503)
"""The refusals that may concern one alert of several."""

ALERT_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {"model": Decided | SeveralDecided, "description": "Known already, or nothing to act on."},
    202: {"model": Decided | SeveralDecided, "description": "Accepted: an incident was opened or changed."},
    **{
        status: {
            "model": ErrorResponse | SeveralDecided if status in _OF_ONE_ALERT else ErrorResponse,
            "description": why,
        }
        for status, why in _REFUSALS.items()
    },
}
"""Every response of the alert endpoints, for the OpenAPI document."""
