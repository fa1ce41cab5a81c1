"""Slack's cursors: opaque, bound to their method, and refused when they make no sense."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from typing import TypeVar

from incident_sandbox.slack.arguments import Arguments
from incident_sandbox.slack.call import Call
from incident_sandbox.slack.errors import SlackError

MAX_LIMIT = 1000

T = TypeVar("T")


def encode_cursor(method: str, position: str) -> str:
    """Return an opaque cursor."""
    return base64.b64encode(f"{method}:{position}".encode()).decode()


def decode_cursor(args: Arguments, method: str) -> str | None:
    """Return the position that the cursor holds, ``None`` without a cursor, or answer ``invalid_cursor``."""
    if "cursor" not in args:
        return None
    try:
        text = base64.b64decode(args.text("cursor"), validate=True).decode()
    except (binascii.Error, UnicodeDecodeError, ValueError):
        raise SlackError("invalid_cursor") from None
    name, _, position = text.rpartition(":")
    if name != method or not position:
        raise SlackError("invalid_cursor")
    return position


def page_limit(call: Call, default: int) -> int:
    """Return how many items the caller wants, from 1 to 1000, or answer ``invalid_limit``."""
    limit = call.args.number("limit", default, error="invalid_limit") or default
    if not 0 < limit <= MAX_LIMIT:
        raise SlackError("invalid_limit")
    return limit


def page_of(call: Call, items: Sequence[T], default: int) -> tuple[list[T], str]:
    """Return the page that the call asks for, and the cursor of the next one (empty at the end)."""
    position = decode_cursor(call.args, call.method.name)
    if position is not None and not position.isdecimal():
        raise SlackError("invalid_cursor")
    start = int(position or 0)
    if start > len(items):
        raise SlackError("invalid_cursor")
    limit = page_limit(call, default)
    if call.workspace.settings.short_pages:
        limit = (limit + 1) // 2
    end = start + limit
    following = encode_cursor(call.method.name, str(end)) if end < len(items) else ""
    return list(items[start:end]), following
