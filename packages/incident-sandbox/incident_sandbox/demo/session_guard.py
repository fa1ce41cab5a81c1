"""
End whole sessions of processes; run as a script, do so for a parent that is gone.

Airflow gives every task a process group of its own and rewrites process titles, so neither a group nor a name
finds everything that a component started. Its session does: each component leads one, and what it forks stays
in it. PostgreSQL's backends are the exception (each opens a session), so descendants count as members too.

As a script this reads ``+SESSION`` and ``-SESSION`` lines from its standard input. When that input closes, for
whatever reason (a clean exit, an exception, SIGKILL of the parent), it ends the sessions that are still noted.
It imports nothing of this package, so that it runs by its path alone and starts at once.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterable

import psutil

SECONDS_AFTER_TERM = 5.0
"""How long processes have to end by themselves before they are killed."""

SECONDS_AFTER_KILL = 10.0
"""How long to go on killing: only a process stuck in the kernel is left after that."""


def living_members(sessions: Iterable[int]) -> set[psutil.Process]:
    """Return the processes of these sessions and the descendants of those, without zombies."""
    wanted = set(sessions)
    parents: dict[psutil.Process, int] = {}
    members: set[psutil.Process] = set()
    for process in psutil.process_iter():
        try:
            session = os.getsid(process.pid)
            parents[process] = process.ppid()
        except (ProcessLookupError, PermissionError, psutil.Error):
            continue
        if session in wanted:
            members.add(process)
    return {process for process in _with_descendants(members, parents) if _is_alive(process)}


def end_sessions(sessions: Iterable[int], *, seconds_after_term: float = SECONDS_AFTER_TERM) -> None:
    """End every process of these sessions: SIGTERM, then SIGKILL for what is left.

    :param sessions: session ids, which are the process ids of their leaders.
    :param seconds_after_term: seconds between the two; 0 sends SIGKILL at once.
    """
    sessions = set(sessions)
    alive = living_members(sessions)
    if seconds_after_term > 0:
        _send(alive, signal.SIGTERM)
        _, left = psutil.wait_procs(alive, timeout=seconds_after_term)
        alive = set(left) | living_members(sessions)
    deadline = time.monotonic() + SECONDS_AFTER_KILL
    # More than one round: a process may fork between being listed and being killed.
    while alive and time.monotonic() < deadline:
        _send(alive, signal.SIGKILL)
        _, left = psutil.wait_procs(alive, timeout=0.2)
        alive = {process for process in left if _is_alive(process)} | living_members(sessions)


def _with_descendants(ancestors: set[psutil.Process], parents: dict[psutil.Process, int]) -> set[psutil.Process]:
    family = set(ancestors)
    generation = ancestors
    while generation:
        pids = {process.pid for process in generation}
        generation = {child for child, parent in parents.items() if parent in pids} - family
        family |= generation
    return family


def _send(processes: Iterable[psutil.Process], number: signal.Signals) -> None:
    for process in processes:
        try:
            process.send_signal(number)
        except psutil.NoSuchProcess:
            continue


def _is_alive(process: psutil.Process) -> bool:
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def main() -> None:
    """Note sessions until standard input closes, then end those that are left."""
    # A second Ctrl-C, or a SIGTERM to everything, must not stop the one that cleans up.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    sessions: set[int] = set()
    for line in sys.stdin:
        change = sessions.add if line.startswith("+") else sessions.discard
        change(int(line[1:]))
    end_sessions(sessions)


if __name__ == "__main__":
    main()
