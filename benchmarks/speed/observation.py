"""What a person in Slack sees, and when: read from the workspace itself, the same way for every contender."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from incident_sandbox.entities import Message
from incident_sandbox.workspace import Workspace

BRIEF = "/brief"
EVIDENCE = "/post_investigation_updates/"
SUMMARY = "/summary"
POLL_SECONDS = 0.05


@dataclass(frozen=True)
class Times:
    """Seconds from the start until each message was in the room; none for one that is not there."""

    room: float | None
    evidence: float | None
    summary: float | None

    @property
    def complete(self) -> bool:
        """Whether all three are there."""
        return None not in (self.room, self.evidence, self.summary)


def observe(workspace: Workspace, key: str, *, since: float) -> Times:
    """
    Return when the messages of one incident came.

    :param key: the incident's key, which the metadata of its messages begin with.
    :param since: the start, in seconds since the epoch.
    """
    with workspace.lock:
        ours = [
            (str(key_said), float(message.ts) - since)
            for channel in workspace.channels.values()
            for message in channel.messages.values()
            if (key_said := _key(message)).startswith(key)
        ]

    def first(kind: str) -> float | None:
        return min((at for said, at in ours if kind in said), default=None)

    return Times(room=first(BRIEF), evidence=first(EVIDENCE), summary=first(SUMMARY))


def wait_for(what: Callable[[], bool], *, timeout: float) -> None:
    """Wait until something is so; after ``timeout`` seconds it is left to the caller to see what is missing."""
    deadline = time.monotonic() + timeout
    while not what() and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)


def calls_since(workspace: Workspace, seq: int) -> list[str]:
    """Return the methods that were called after a number, in order."""
    with workspace.lock:
        return [call.method for call in workspace.calls.entries(after=seq)]


def last_call(workspace: Workspace) -> int:
    """Return the number of the last call."""
    with workspace.lock:
        return max((call.seq for call in workspace.calls.entries()), default=0)


def counted(calls: Iterable[str]) -> str:
    """Return how often each method was called, in words."""
    methods = list(calls)
    return ", ".join(f"{methods.count(name)} {name}" for name in dict.fromkeys(methods))


def _key(message: Message) -> str:
    return str(((message.metadata or {}).get("event_payload") or {}).get("key") or "")
