"""kill -9 of whatever process makes a given call to Slack."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable

from incident_sandbox import Fault
from incident_sandbox.faults import FaultScript, When


class KillAtCall(FaultScript):
    """Kills the process that makes the ``nth`` call, which is not answered.

    :param callers: returns the processes that have a connection to Slack.
    """

    def __init__(self, callers: Callable[[], set[int]], nth: int, when: When) -> None:
        super().__init__()
        self._callers, self._left, self._when = callers, nth, when
        self.killed: list[str] = []

    def take(self, method: str) -> Fault | None:
        """Count the call; at the one in question kill its process, which closes its connection."""
        self._left -= 1
        if self._left:
            return None
        self.killed = [method] * kill(self._callers())
        return Fault(drop=True, when=self._when)


def kill(pids: set[int]) -> int:
    """Send SIGKILL and return how many it reached."""
    reached = 0
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
            reached += 1
    return reached
