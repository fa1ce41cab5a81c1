"""What a container left behind, and how it is made safe to read and to show."""

from __future__ import annotations

import binascii
import json
import re
import zlib
from base64 import b64decode
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from airflow_incident_provider.text import clean, redact

MAX_OUTPUT_BYTES = 524_288
"""How much of a container's output is read."""

MAX_EVIDENCE_BYTES = 4_096
"""How much evidence a finding carries, in UTF-8."""

_MAX_MEASUREMENT_BYTES = 262_144
_CUT = "[cut]"
_COMPLETE = b"complete"
# ECMA-48: CSI, then OSC/DCS/SOS/PM/APC strings with their terminators, then the two-character escapes.
_ESCAPES = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"
    r"|(?:\x1b[\]PX^_]|[\x90\x98\x9d-\x9f])[^\x07\x1b\x9c\n]*(?:\x07|\x1b\\|\x9c)?"
    r"|\x1b[ -/]*[0-~]"
)


@dataclass(frozen=True, kw_only=True)
class ContainerOutput:
    """What is known of a container that has ended, or that could not be started.

    :param stdout: the raw output, as far as it was read.
    :param exit_code: the container's exit code; absent if it was ended from outside.
    :param timed_out: whether it was ended from outside because it took too long.
    :param oom_killed: whether the kernel ended it because it ran out of memory.
    :param truncated: whether the reader stopped reading before the end of the output.
    :param error: why there is no output to trust (no engine, no image), as text for the room.
    :param host: the machine that started the container.
    :param network: the Docker network that the container was in.
    :param internal: whether that network has no way out, by what the engine says of it.
    """

    started_at: datetime
    duration_ms: int = 0
    stdout: bytes = b""
    exit_code: int | None = None
    timed_out: bool = False
    oom_killed: bool = False
    truncated: bool = False
    error: str | None = None
    image_digest: str | None = None
    host: str | None = None
    network: str | None = None
    internal: bool = False

    @property
    def failure(self) -> str | None:
        """Why the output must not be interpreted, or ``None`` if the container ended by itself.

        A container whose process was killed by a signal (exit code 137, say) did not: its output may lack anything.
        """
        if self.error is not None:
            return f"the container could not run: {self.error}"
        if self.oom_killed:
            return "the container ran out of memory"
        if self.timed_out:
            return "the container did not end in time"
        if self.truncated:
            return "the container printed more than is read"
        if self.exit_code is None or self.exit_code in _KILLED:
            return f"the container was killed (exit code {self.exit_code})"
        return None


_KILLED = range(129, 193)
"""Exit codes that name the signal that ended a process: 128 and the signal's number."""


class MissingMeasurementError(LookupError):
    """A probe ended without something that its assessment needs; the finding becomes ``unknown``."""


@dataclass(frozen=True)
class Measurements:
    """What the built-in probe printed, by name."""

    values: Mapping[str, bytes] = field(default_factory=dict)
    complete: bool = False

    def has(self, name: str) -> bool:
        """Return whether something was measured under this name."""
        return bool(self.values.get(name))

    def text(self, name: str) -> str:
        """Return a measurement as text; empty if there is none."""
        return self.values.get(name, b"").decode(errors="replace").strip()

    def words(self, name: str) -> tuple[str, ...]:
        """Return the words of a measurement."""
        return tuple(self.text(name).split())

    def rows(self, name: str) -> list[list[str]]:
        """Return the words of each line of a measurement."""
        return [line.split() for line in self.text(name).splitlines() if line.strip()]

    def json(self, name: str) -> dict[str, Any]:
        """Return a measurement that is a JSON object.

        :raises MissingMeasurementError: there is none, or it is not JSON.
        """
        try:
            value = json.loads(self.values.get(name, b"").decode(errors="replace"))
        except ValueError as error:
            raise MissingMeasurementError(name) from error
        if not isinstance(value, dict):
            raise MissingMeasurementError(name)
        return value

    def elapsed_ms(self, name: str) -> int:
        """Return the milliseconds between the last two numbers of a measurement, which are seconds.

        :raises MissingMeasurementError: there are none.
        """
        try:
            began, ended = (float(word) for word in self.words(name)[-2:])
        except ValueError as error:
            raise MissingMeasurementError(name) from error
        return max(0, round((ended - began) * 1000))


def read_measurements(raw: bytes) -> Measurements:
    """Return what the built-in probe printed; a line that is not a measurement is left out."""
    values: dict[str, bytes] = {}
    for line in raw.split(b"\n"):
        name, _, encoded = line.strip().partition(b" ")
        if not encoded or not re.fullmatch(rb"[A-Za-z0-9.:-]{1,80}", name):
            continue
        try:
            compressed = b64decode(encoded, validate=True)
            value = zlib.decompressobj(16 + zlib.MAX_WBITS).decompress(compressed, _MAX_MEASUREMENT_BYTES)
        except (binascii.Error, zlib.error):
            continue
        values.setdefault(name.decode(), value)
    return Measurements(values, complete=raw.rstrip().rpartition(b"\n")[2] == _COMPLETE)


def engine_ahead_s(measured: Measurements, output: ContainerOutput) -> int:
    """Return how many seconds the engine's clock is ahead of the worker's.

    :raises MissingMeasurementError: the probe did not say what time it is.
    """
    try:
        clock = int(measured.text("clock"))
    except ValueError as error:
        raise MissingMeasurementError("clock") from error
    # The container read its clock somewhere between its start and its end.
    started = output.started_at.timestamp()
    return round(clock - min(max(clock, started), started + output.duration_ms / 1000 + 1))


def plain_text(raw: bytes) -> str:
    """Return output as text without escape sequences, control or invisible characters."""
    text = raw.decode("utf-8", errors="replace").expandtabs(4)
    return clean(_ESCAPES.sub("", text))


def evidence_text(raw: bytes, limit: int = MAX_EVIDENCE_BYTES) -> str:
    """Return any container's output as evidence: readable, without secrets, within ``limit`` bytes."""
    return bounded(redact(plain_text(raw)), limit)


def bounded(text: str, limit: int) -> str:
    """Return ``text`` within ``limit`` UTF-8 bytes, cut after a whole line where there is one."""
    text = text.strip("\n")
    if len(text.encode()) <= limit:
        return text
    room = limit - len(_CUT) - 1
    head = text.encode()[:room].decode(errors="ignore")
    whole_lines, newline, _ = head.rpartition("\n")
    return f"{whole_lines if newline else head}\n{_CUT}"
