"""The arguments of a call, in every encoding that Slack accepts.

Arguments come in the query string, a form, a multipart form or a JSON object. Booleans are written "1",
"true" or true; lists as a comma string or JSON; structured values as JSON or as a string of JSON.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl

from starlette.requests import Request

from incident_sandbox.slack.errors import SlackError

FALSE_WORDS = frozenset({"", "0", "false", "no", "none", "null"})
JSON_TYPE = "application/json"
FORM_TYPE = "application/x-www-form-urlencoded"
MULTIPART_TYPE = "multipart/form-data"


class Arguments:
    """Read access to a call's arguments; an absent and an empty one are both absent."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self.values = {name: value for name, value in values.items() if value is not None}

    def __contains__(self, name: str) -> bool:
        return self.values.get(name) not in (None, "")

    def given(self, name: str) -> bool:
        """Return whether the argument was sent, even if empty."""
        return name in self.values

    def text(self, name: str, default: str = "") -> str:
        """Return the argument as text."""
        value = self.values.get(name, default)
        return value if isinstance(value, str) else json.dumps(value)

    def flag(self, name: str, *, default: bool = False) -> bool:
        """Return the argument as a boolean."""
        value = self.values.get(name, default)
        return value if isinstance(value, bool) else str(value).strip().lower() not in FALSE_WORDS

    def number(self, name: str, default: int, *, error: str) -> int:
        """Return the argument as a whole number, or answer ``error``."""
        if name not in self:
            return default
        try:
            return int(str(self.values[name]))
        except ValueError:
            raise SlackError(error) from None

    def items(self, name: str) -> list[str]:
        """Return a list that was sent as a comma string, as JSON, or as a JSON string."""
        value = self.values.get(name, "")
        if isinstance(value, str) and value.lstrip().startswith("["):
            value = self.structure(name, error="invalid_arguments")
        parts = value if isinstance(value, list) else str(value).split(",")
        return [text for part in parts if (text := str(part).strip())]

    def structure(self, name: str, *, error: str) -> Any:
        """Return a JSON value that was sent as such or as a string; ``error`` when the string is not JSON."""
        value = self.values.get(name)
        if not isinstance(value, str):
            return value
        if value == "":
            return None
        try:
            return json.loads(value)
        except ValueError:
            raise SlackError(error) from None


async def read_arguments(request: Request) -> Arguments:
    """Decode the query string and the body; the body's arguments win.

    :raises SlackError: ``invalid_json``, ``json_not_object`` or ``invalid_post_type``.
    """
    values: dict[str, Any] = dict(request.query_params)
    if request.method == "GET":
        return Arguments(values)
    content_type = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if content_type == JSON_TYPE:
        values.update(_json_object(await request.body()))
    elif content_type == MULTIPART_TYPE:
        form = await request.form()
        values.update({name: value for name, value in form.items() if isinstance(value, str)})
    elif content_type in (FORM_TYPE, ""):
        body = (await request.body()).decode("utf-8", errors="replace")
        values.update(parse_qsl(body, keep_blank_values=True))
    else:
        raise SlackError("invalid_post_type")
    return Arguments(values)


def _json_object(body: bytes) -> dict[str, Any]:
    if not body.strip():
        return {}
    try:
        value = json.loads(body)
    except ValueError:
        raise SlackError("invalid_json") from None
    if not isinstance(value, dict):
        raise SlackError("json_not_object")
    return value
