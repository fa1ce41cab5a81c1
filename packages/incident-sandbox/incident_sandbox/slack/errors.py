"""Errors that a method returns."""

from __future__ import annotations

from typing import Any


class SlackError(Exception):
    """An error response: the code and further fields.

    :param code: Slack's error code.
    :param fields: further fields of the body, such as ``needed`` or ``errors``.
    """

    def __init__(self, code: str, **fields: Any) -> None:
        super().__init__(code)
        self.code = code
        self.fields = fields

    def body(self) -> dict[str, Any]:
        """Return the response's body."""
        return {"ok": False, "error": self.code, **self.fields}


def explained(code: str, *messages: str) -> SlackError:
    """Return an error with an explanation in ``response_metadata.messages``, as Slack has it."""
    return SlackError(code, response_metadata={"messages": [f"[ERROR] {message}" for message in messages]})
