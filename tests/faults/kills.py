"""Kill the process that makes a given call to Slack."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable

from incident_sandbox import Fault
from incident_sandbox.faults import FaultScript, When


class KillAtCall(FaultScript):
    """Kills the process that makes the ``nth`` call, which gets no response.

    :param connected_processes: returns the processes that have a connection to Slack.
    """

    def __init__(self, connected_processes: Callable[[], set[int]], nth: int, when: When) -> None:
        super().__init__()
        self._connected_processes, self._left, self._when = connected_processes, nth, when
        self.killed: list[str] = []

    def take(self, method: str) -> Fault | None:
        """Count the call. At the ``nth`` call kill its process and drop the connection."""
        self._left -= 1
        if self._left:
            return None
        self.killed = [method] * kill(self._connected_processes())
        return Fault(drop=True, when=self._when)


def kill(pids: set[int]) -> int:
    """Send SIGKILL and return how many processes were killed."""
    killed = 0
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
            killed += 1
    return killed
