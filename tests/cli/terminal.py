"""Drive a command in a pseudo-terminal: wait for a prompt, type, read the output."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import pty
import re
import runpy
import select
import signal
import time
from multiprocessing.reduction import DupFd
from pathlib import Path
from types import TracebackType
from typing import Self

# Import Airflow once: this takes longer than any of the commands.
_COMMAND = Path(__file__).with_name("terminal_command.py")
_SPAWN = multiprocessing.get_context("spawn")
_FORKSERVER = multiprocessing.get_context("forkserver")
_FORKSERVER.set_forkserver_preload(["airflow.__main__", "airflow.models", "airflow_incident_provider.cli.commands"])

_ESCAPES = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]")


class Terminal:
    """Run ``airflow incident ...`` in a pseudo-terminal.

    :param argv: arguments after ``airflow incident``.
    :param environment: overrides for the environment of the tests.
    :param fresh: import Airflow again, for settings that it reads on import, such as its database.
    """

    def __init__(self, *argv: str, environment: dict[str, str] | None = None, fresh: bool = False) -> None:
        self._controller, terminal = pty.openpty()
        self._process = (_SPAWN if fresh else _FORKSERVER).Process(
            target=runpy.run_path,
            args=(str(_COMMAND),),
            kwargs={
                "init_globals": {
                    "terminal": DupFd(terminal),
                    "argv": argv,
                    "environment": {**os.environ, "TERM": "xterm", "COLUMNS": "160", **(environment or {})},
                }
            },
        )
        self._process.start()
        os.close(terminal)
        self._output = ""
        self.raw = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.join()
        os.close(self._controller)

    def expect(self, text: str, *, seconds: float = 90) -> None:
        """Read until the text appears, and discard the output up to it."""
        deadline = time.monotonic() + seconds
        while text not in self._output:
            assert time.monotonic() < deadline, f"timed out waiting for {text!r}; output: {self._output!r}"
            chunk = self._read()
            assert chunk is not None, f"the command exited without {text!r}; output: {self._output!r}"
            self._append(chunk)
        self._output = self._output.partition(text)[2]

    def type(self, text: str) -> None:
        """Type a line."""
        os.write(self._controller, f"{text}\n".encode())

    def interrupt(self) -> None:
        """Press Ctrl-C, repeatedly if necessary: Python can miss it just before it begins to read."""
        assert self._process.pid is not None
        for _ in range(5):
            os.killpg(self._process.pid, signal.SIGINT)
            self._process.join(5)
            if self._process.exitcode is not None:
                return

    def end(self, *, seconds: float = 60) -> tuple[int, str]:
        """Wait for the command to exit; return the exit code and the output since the last expected text."""
        deadline = time.monotonic() + seconds
        while (chunk := self._read()) is not None:
            assert time.monotonic() < deadline, f"the command does not exit; output: {self._output!r}"
            self._append(chunk)
        self._process.join(10)
        assert self._process.exitcode is not None, "the command closed its terminal but does not exit"
        return self._process.exitcode, self._output

    def _append(self, chunk: str) -> None:
        self.raw += chunk
        self._output = _ESCAPES.sub("", self._output + chunk).replace("\r\n", "\n")

    def _read(self) -> str | None:
        """Return new output, or None after the other side is closed."""
        if not select.select([self._controller], [], [], 0.5)[0]:
            return "" if self._process.is_alive() else None
        with contextlib.suppress(OSError):  # raised on Linux if no process uses the terminal
            return os.read(self._controller, 65536).decode(errors="replace") or None
        return None
