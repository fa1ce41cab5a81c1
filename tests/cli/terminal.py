"""A command in a pseudo-terminal, driven as a person drives it: wait for a prompt, type, read on."""

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

# Airflow is imported once: that takes longer than any of the commands.
_COMMAND = Path(__file__).with_name("terminal_command.py")
_NEW = multiprocessing.get_context("spawn")
_COPIES = multiprocessing.get_context("forkserver")
_COPIES.set_forkserver_preload(["airflow.__main__", "airflow.models", "airflow_incident_provider.cli.commands"])

_ESCAPES = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]")


class Terminal:
    """``airflow incident ...`` in a pseudo-terminal of its own.

    :param argv: what comes after ``airflow incident``.
    :param environment: what is different from the tests' own environment.
    :param fresh: import Airflow again, for settings that it reads while it is imported, such as its database.
    """

    def __init__(self, *argv: str, environment: dict[str, str] | None = None, fresh: bool = False) -> None:
        self._controller, terminal = pty.openpty()
        self._process = (_NEW if fresh else _COPIES).Process(
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
        self._seen = ""
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
        """Read until the text has come, and go on behind it."""
        deadline = time.monotonic() + seconds
        while text not in self._seen:
            assert time.monotonic() < deadline, f"waited in vain for {text!r}; came: {self._seen!r}"
            chunk = self._read()
            assert chunk is not None, f"it ended without {text!r}; came: {self._seen!r}"
            self._take(chunk)
        self._seen = self._seen.partition(text)[2]

    def type(self, text: str) -> None:
        """Type a line."""
        os.write(self._controller, f"{text}\n".encode())

    def interrupt(self) -> None:
        """Press Ctrl-C, and again if nothing happens: Python does not notice it just before it begins to read."""
        assert self._process.pid is not None
        for _ in range(5):
            os.killpg(self._process.pid, signal.SIGINT)
            self._process.join(5)
            if self._process.exitcode is not None:
                return

    def end(self, *, seconds: float = 60) -> tuple[int, str]:
        """Wait for the end; return the exit code, and what came since the last expectation."""
        deadline = time.monotonic() + seconds
        while (chunk := self._read()) is not None:
            assert time.monotonic() < deadline, f"it does not end; came: {self._seen!r}"
            self._take(chunk)
        self._process.join(10)
        assert self._process.exitcode is not None, "it has closed its terminal and does not end"
        return self._process.exitcode, self._seen

    def _take(self, chunk: str) -> None:
        self.raw += chunk
        self._seen = _ESCAPES.sub("", self._seen + chunk).replace("\r\n", "\n")

    def _read(self) -> str | None:
        """Return what has come; nothing once the other side is closed."""
        if not select.select([self._controller], [], [], 0.5)[0]:
            return "" if self._process.is_alive() else None
        with contextlib.suppress(OSError):  # how Linux tells that the terminal has no user any more
            return os.read(self._controller, 65536).decode(errors="replace") or None
        return None
