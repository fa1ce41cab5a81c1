"""The log of every call that reached the sandbox, without its credentials."""

from __future__ import annotations

from collections import deque
from datetime import datetime
from typing import Any

from pydantic import BaseModel

KEPT_CALLS = 20_000
CREDENTIAL_ARGUMENTS = frozenset({"token", "api_key", "application_key", "app_key"})


class LoggedCall(BaseModel):
    """One call: ``outcome`` is ``ok``, an error code, ``http_<status>`` or ``dropped``."""

    seq: int
    method: str
    at: datetime
    args: dict[str, Any]
    token: str | None = None
    outcome: str
    status: int | None
    duration_ms: float


class CallLog:
    """The last calls, oldest first; the sequence number keeps counting when old ones are dropped."""

    def __init__(self) -> None:
        self._calls: deque[LoggedCall] = deque(maxlen=KEPT_CALLS)
        self._last_seq = 0

    def next_seq(self) -> int:
        """Return the number of a call that has just arrived."""
        self._last_seq += 1
        return self._last_seq

    def add(self, call: LoggedCall) -> None:
        """Keep a call that was answered."""
        self._calls.append(call)

    def entries(self, *, method: str | None = None, after: int = 0) -> list[LoggedCall]:
        """Return the calls in the order they arrived, of one method and after a number if wanted."""
        found = (c for c in self._calls if c.seq > after and (method is None or c.method == method))
        return sorted(found, key=lambda call: call.seq)


def without_credentials(args: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments without tokens and keys."""
    return {name: value for name, value in args.items() if name not in CREDENTIAL_ARGUMENTS}
