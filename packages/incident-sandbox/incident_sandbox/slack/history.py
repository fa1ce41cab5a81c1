"""The history of a channel, and the replies of a thread."""

from __future__ import annotations

import re

from incident_sandbox.entities import Channel, Message
from incident_sandbox.slack import shapes
from incident_sandbox.slack.call import Answer, Call, handles
from incident_sandbox.slack.errors import SlackError
from incident_sandbox.slack.paging import decode_cursor, encode_cursor, page_limit

HISTORY_DEFAULT = 100
REPLIES_DEFAULT = 1000
TIMESTAMP = re.compile(r"\d{1,12}(\.\d{1,6})?")


@handles("conversations.history")
def history(call: Call) -> Answer:
    """Return a channel's messages, newest first, without replies."""
    channel = call.channel()
    call.require_member(channel)
    messages = [m for m in channel.messages.values() if m.in_channel and _in_range(call, m)]
    page, cursor = _page(call, messages[::-1], HISTORY_DEFAULT)
    return {
        **_answer(call, channel, page, cursor),
        "pin_count": len(channel.pins),
    }


@handles("conversations.replies")
def replies(call: Call) -> Answer:
    """Return a thread: its parent and then the replies, oldest first."""
    channel = call.channel()
    call.require_member(channel)
    named = call.message(channel, error="thread_not_found")
    parent = channel.messages.get(named.thread_ts or named.ts, named)
    under = [m for m in channel.replies(parent.ts) if _in_range(call, m)]
    page, cursor = _page(call, [parent, *under], REPLIES_DEFAULT)
    return _answer(call, channel, page, cursor)


def _answer(call: Call, channel: Channel, page: list[Message], cursor: str) -> Answer:
    payload = call.args.flag("include_all_metadata")
    answer: Answer = {
        "messages": [shapes.message(call.workspace, channel, m, payload=payload) for m in page],
        "has_more": bool(cursor),
    }
    if cursor:
        answer["response_metadata"] = {"next_cursor": cursor}
    return answer


def _page(call: Call, messages: list[Message], default: int) -> tuple[list[Message], str]:
    """Return the asked page; the cursor names the last message seen, so that new ones do not shift it."""
    position = decode_cursor(call.args, call.method.name)
    start = 0
    if position is not None:
        seen = next((index for index, m in enumerate(messages) if m.ts == position), None)
        if seen is None:
            raise SlackError("invalid_cursor")
        start = seen + 1
    settings = call.workspace.settings
    limit = page_limit(call, min(default, settings.history_limit or default))
    limit = min(limit, settings.history_limit or limit)
    if settings.short_pages:
        limit = (limit + 1) // 2
    page = messages[start : start + limit]
    more = start + limit < len(messages)
    return page, encode_cursor(call.method.name, page[-1].ts) if more else ""


def _in_range(call: Call, message: Message) -> bool:
    oldest = _bound(call, "oldest")
    latest = _bound(call, "latest")
    ts = _order(message.ts)
    if call.args.flag("inclusive"):
        return (oldest is None or ts >= oldest) and (latest is None or ts <= latest)
    return (oldest is None or ts > oldest) and (latest is None or ts < latest)


def _bound(call: Call, argument: str) -> tuple[int, int] | None:
    if argument not in call.args:
        return None
    if not TIMESTAMP.fullmatch(call.args.text(argument)):
        raise SlackError(f"invalid_ts_{argument}")
    return _order(call.args.text(argument))


def _order(ts: str) -> tuple[int, int]:
    """Return what a timestamp sorts by; a float would lose its last digits."""
    seconds, _, fraction = ts.partition(".")
    return int(seconds), int(fraction.ljust(6, "0")) if fraction else 0
