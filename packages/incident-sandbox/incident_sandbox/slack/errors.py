"""The one way in which a method refuses."""

from __future__ import annotations

from typing import Any


class SlackError(Exception):
    """A refusal: the error code and whatever else the body carries.

    :param code: Slack's error code.
    :param fields: more members of the answer, such as ``needed`` or ``errors``.
    """

    def __init__(self, code: str, **fields: Any) -> None:
        super().__init__(code)
        self.code = code
        self.fields = fields

    def body(self) -> dict[str, Any]:
        """Return the answer's body."""
        return {"ok": False, "error": self.code, **self.fields}


def explained(code: str, *messages: str) -> SlackError:
    """Return a refusal that says in words what is wrong, as Slack does under ``response_metadata``."""
    return SlackError(code, response_metadata={"messages": [f"[ERROR] {message}" for message in messages]})
