"""
Long-running processes that never outlive us.

Each :class:`ManagedProcess` leads a session of its own and writes to a log file. A :class:`Guard`, one small
process beside us, ends the sessions if we end without doing so: also on SIGKILL, which no ``atexit`` handler
and no ``finally`` survives.
"""

from __future__ import annotations

import contextlib
import errno
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

from airflow_incident_provider.exceptions import IncidentError
from incident_sandbox.demo import session_guard

LOOPBACK = "127.0.0.1"
POLL_SECONDS = 0.1


class LocalProcessError(IncidentError):
    """A local process could not be started, ended early, or was not ready in time."""


class Guard:
    """A process that ends our sessions when we are gone. Use it as a context manager.

    It learns of our end because the pipe to it closes, which the kernel does for us in every case.
    """

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(  # noqa: S603 - this package's own script
            [sys.executable, "-E", session_guard.__file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            text=True,
            start_new_session=True,
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is not None:
            # Closes the pipe and waits until whatever was still noted has ended.
            self._process.communicate()
            self._process = None

    def note(self, session: int) -> None:
        """Have this session ended if we end before :meth:`forget`."""
        self._tell(f"+{session}\n")

    def forget(self, session: int) -> None:
        """Leave this session alone from now on: it has ended."""
        # Without its guard a process can still be stopped; nothing is gained by failing here.
        with contextlib.suppress(BrokenPipeError):
            self._tell(f"-{session}\n")

    def _tell(self, line: str) -> None:
        if self._process is None or self._process.stdin is None:
            raise RuntimeError("The guard is used outside its `with` block.")
        self._process.stdin.write(line)
        self._process.stdin.flush()


class ManagedProcess:
    """A process that leads a session of its own, with everything that it forks.

    :param name: what messages call it; also the name of its log file.
    :param command: the program and its arguments.
    :param environment: the whole environment: nothing is inherited.
    :param log: the file that its output is appended to.
    :param guard: ends the session if we cannot.
    """

    def __init__(
        self, name: str, command: Sequence[str], *, environment: Mapping[str, str], log: Path, guard: Guard
    ) -> None:
        self.name = name
        self.log = log
        self._command = list(command)
        self._environment = dict(environment)
        self._guard = guard
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """The process id, which is also the id of its session; none before the start and after the end."""
        return self._process.pid if self._process is not None else None

    @property
    def running(self) -> bool:
        """Whether the leader is running."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start it; does nothing if it is running.

        :raises LocalProcessError: the program cannot be run.
        """
        if self.running:
            return
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as output:
            try:
                self._process = subprocess.Popen(  # noqa: S603 - a list of arguments: no shell reads it
                    self._command,
                    env=self._environment,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
            except OSError as error:
                raise LocalProcessError(f"{self.name} cannot be started: {error}.") from error
        self._guard.note(self._process.pid)

    def stop(self) -> None:
        """End it and all that it started: first politely, then by force. Does nothing if it has ended."""
        stop_all([self])

    def kill(self) -> None:
        """End it and all that it started with SIGKILL, as a crash would."""
        stop_all([self], seconds_after_term=0)

    def restart(self) -> None:
        """Stop it if need be, and start it again with the same command and environment."""
        self.stop()
        self.start()

    def interrupt(self) -> None:
        """Send SIGINT to the leader alone, for programs that then end their own children in order."""
        if self._process is not None and self.running:
            self._process.send_signal(signal.SIGINT)

    def wait(self, timeout: float) -> int | None:
        """Wait for the leader to end.

        :param timeout: seconds.
        :return: its exit code; none if it is still running, or was not started.
        """
        if self._process is None:
            return None
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout)
        return self._process.returncode

    def log_tail(self, lines: int = 15) -> str:
        """Return the last lines of its log, for an error message."""
        if not self.log.exists():
            return ""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def _forget(self) -> None:
        if self._process is not None:
            self._process.wait()
            self._guard.forget(self._process.pid)
            self._process = None


def stop_all(
    processes: Iterable[ManagedProcess], *, seconds_after_term: float = session_guard.SECONDS_AFTER_TERM
) -> None:
    """Stop these processes side by side, with all that they started.

    :param seconds_after_term: seconds between SIGTERM and SIGKILL; 0 sends SIGKILL at once.
    """
    started = [process for process in processes if process.pid is not None]
    sessions = [process.pid for process in started if process.pid is not None]
    session_guard.end_sessions(sessions, seconds_after_term=seconds_after_term)
    for process in started:
        process._forget()


def wait_until(
    condition: Callable[[], bool], *, what: str, timeout: float, while_running: Iterable[ManagedProcess] = ()
) -> None:
    """Wait until a condition holds.

    :param condition: asked about ten times a second.
    :param what: what is waited for, for the message.
    :param timeout: seconds.
    :param while_running: processes that must stay alive while waiting.
    :raises LocalProcessError: the time is over, or one of the processes ended.
    """
    watched = list(while_running)
    deadline = time.monotonic() + timeout
    while not condition():
        for process in watched:
            if not process.running:
                raise LocalProcessError(
                    f"{process.name} ended while waiting for {what}. The end of its log:\n{process.log_tail()}",
                    fix=f"The whole log is {process.log}.",
                )
        if time.monotonic() > deadline:
            logs = ", ".join(str(process.log) for process in watched)
            raise LocalProcessError(
                f"Waited {timeout:.0f} s without success for {what}.", fix=f"See {logs}." if logs else None
            )
        time.sleep(POLL_SECONDS)


def choose_port(wanted: int | None = None) -> int:
    """Return a TCP port of the loopback address that is free now.

    :param wanted: a certain port; none for any.
    :raises LocalProcessError: the wanted port is taken.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # A server that has just ended leaves connections in TIME_WAIT; they do not make a port taken.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, wanted or 0))
        except OSError as error:
            if error.errno not in (errno.EADDRINUSE, errno.EACCES):
                raise
            raise LocalProcessError(
                f"Port {wanted} of {LOOPBACK} cannot be used: {error.strerror}{_holder(wanted)}.",
                fix="End what uses it, or choose another port.",
            ) from error
        port: int = probe.getsockname()[1]
        return port


def _holder(port: int | None) -> str:
    """Name the process that listens on a port, as far as we may see it."""
    try:
        for connection in psutil.net_connections(kind="tcp"):
            if connection.laddr and connection.laddr.port == port and connection.status == psutil.CONN_LISTEN:
                name = psutil.Process(connection.pid).name() if connection.pid else "another user's process"
                return f", by {name} (pid {connection.pid})"
    except psutil.Error:
        return ""
    return ""
