"""
The error response of every route under ``/incidents``.

Datadog retries a request that is answered 5xx and never one that is answered 4xx. So 4xx means that the same
request would fail again, and 503 that it may succeed later.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated

from pydantic import BaseModel, Field


class ErrorResponse(BaseModel):
    """Body of a response with a 4xx or 5xx status."""

    error: str = Field(description="What is wrong.")
    fix: Annotated[str | None, Field(description="How to fix it.")] = None


class RequestError(Exception):
    """Reject a request.

    :param status: the HTTP status; 503 only if the same request may succeed later.
    :param error: what is wrong. Sent to the client, so it must not contain a secret.
    :param fix: how to fix it, in one sentence.
    :param closes_connection: whether part of the body is unread, so that the connection serves no further request.
    """

    def __init__(self, status: int, error: str, *, fix: str | None = None, closes_connection: bool = False) -> None:
        super().__init__(f"{status}: {error}")
        self.status = status
        self.closes_connection = closes_connection
        self.answer = ErrorResponse(error=error, fix=fix)

    @property
    def may_succeed_later(self) -> bool:
        """Whether the client should retry the same request."""
        return self.status == HTTPStatus.SERVICE_UNAVAILABLE
