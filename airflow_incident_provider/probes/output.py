"""What a container left behind, and how it is made safe to read and to show."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime

from airflow_incident_provider.text import redact, without_invisible

MAX_OUTPUT_BYTES = 65_536
"""How much of a script's output leaves the container."""

MAX_EVIDENCE_BYTES = 4_096
"""How much evidence a finding carries, in UTF-8."""

_CUT = "[cut]"
_FACT = re.compile(r"@([a-z][a-z0-9_]{0,40})=(.*)", re.DOTALL)
_EVIDENCE_MARK = "| "
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
    :param exit_code: the container's exit code; absent if it never ended by itself.
    :param timed_out: whether it was ended from outside because it took too long.
    :param oom_killed: whether the kernel ended it for want of memory.
    :param truncated: whether the reader stopped reading before the end of the output.
    :param error: why there is no output to trust (no engine, no image), in words for the room.
    :param host: the machine that the container ran on.
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


def plain_text(raw: bytes) -> str:
    """Return output as text without escape sequences, control or invisible direction characters."""
    text = raw.decode("utf-8", errors="replace").expandtabs(4)
    return without_invisible(_ESCAPES.sub("", text))


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


def split_output(raw: bytes) -> tuple[dict[str, str], str]:
    """Return the facts and the evidence of a script of the catalogue.

    Scripts put ``| `` before every line that they did not write themselves, so a server cannot state a fact.
    Lines end at a newline and at nothing else: a lone carriage return inside evidence begins no new line. Of
    a fact that is printed twice the first counts.
    """
    facts: dict[str, str] = {}
    evidence: list[str] = []
    for line in raw.split(b"\n"):
        text = plain_text(line)
        if line.startswith(_EVIDENCE_MARK.encode()):
            evidence.append(text.removeprefix(_EVIDENCE_MARK))
        elif line.startswith(b"@") and (match := _FACT.fullmatch(text)):
            facts.setdefault(match[1], redact(match[2].strip()))
    return facts, bounded(redact("\n".join(evidence)), MAX_EVIDENCE_BYTES)
