"""
What the webhook says, and how.

Datadog retries what is answered 5xx and never what is answered 4xx. So 4xx is for a request that would be wrong
again, 503 for what a person or time can mend, and there is no third kind of refusal.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated, Any

from pydantic import BaseModel, Field


class Decided(BaseModel):
    """The answer to an alert that was understood, whatever was made of it."""

    run_id: str | None = Field(description="The DAG run that was started for it, if one was.")
    incident: str | None = Field(description="The key of the incident that it belongs to, if it belongs to one.")
    decision: str = Field(description="What was decided, in one word.")
    reason: str = Field(description="Why, in words.")


class Refusal(BaseModel):
    """The answer to a request that was not taken."""

    error: str = Field(description="What is wrong, in words.")
    fix: Annotated[str | None, Field(description="What would mend it.")] = None


class Refused(Exception):  # noqa: N818  a refusal is an answer
    """A request that is not taken.

    :param status: the HTTP status; 503 only where the same request may succeed later.
    :param error: what is wrong; reaches the sender, so it holds no secret.
    :param fix: what would mend it, in one sentence.
    """

    def __init__(self, status: int, error: str, *, fix: str | None = None) -> None:
        super().__init__(f"{status}: {error}")
        self.status = status
        self.answer = Refusal(error=error, fix=fix)

    @property
    def may_succeed_later(self) -> bool:
        """Whether the sender should send the same again."""
        return self.status == HTTPStatus.SERVICE_UNAVAILABLE


_REFUSALS = {
    400: "The body is not JSON, or cannot be read as an incident.",
    401: "The secret is missing or wrong.",
    403: "Requests from this network are not allowed.",
    408: "The body came too slowly.",
    413: "The body is too large.",
    415: "The body is not declared as JSON.",
    503: "It cannot be taken now, and should be sent again: the reason says what is to be mended.",
}

ALERT_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {"model": Decided, "description": "Known already, or nothing to act on."},
    202: {"model": Decided, "description": "Taken: an incident was opened or changed."},
    **{status: {"model": Refusal, "description": why} for status, why in _REFUSALS.items()},
}
"""Every answer that the alert endpoints give, for the OpenAPI document."""
