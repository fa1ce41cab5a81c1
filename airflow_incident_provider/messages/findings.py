"""The findings in the thread under the brief: worst first, with their evidence."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Mapping, Sequence

from airflow_incident_provider.messages.blocks import (
    LINE_LIMIT,
    SECTION_LIMIT,
    Block,
    Message,
    first_few,
    sections,
    split_into_messages,
)
from airflow_incident_provider.messages.mrkdwn import (
    Mrkdwn,
    between,
    bold,
    code_blocks,
    code_span,
    cut,
    duration,
    inline,
    join,
    unescaped_length,
    wrap,
)
from airflow_incident_provider.models import Finding, Verdict

_COUNTED_AS = {
    Verdict.FAIL: "failing",
    Verdict.WARN: "warning",
    Verdict.UNKNOWN: "unknown",
    Verdict.OK: "fine",
}


def verdict_counts(verdicts: Mapping[Verdict, int]) -> str:
    """Return ``1 failing, 1 warning, 3 fine``, the worst first; what was not checked is not counted."""
    found = [f"{verdicts[v]} {words}" for v, words in _COUNTED_AS.items() if verdicts.get(v)]
    return ", ".join(found) or "nothing was checked"


EVIDENCE_LIMIT = 4_096
COMMAND_LIMIT = 1_000
_HEADING_ROOM = 600
_MARKS = {Verdict.FAIL: "FAIL", Verdict.WARN: "WARN", Verdict.UNKNOWN: "UNKNOWN"}


def findings_messages(findings: Sequence[Finding], *, host: str | None = None) -> list[Message]:
    """
    Return the investigation as one message, or more when the evidence is long.

    :param findings: what the probes saw, in any order.
    :param host: the machine the probes ran from; what the findings say when absent.
    """
    serious = [finding for mark in _MARKS for finding in findings if finding.verdict is mark]
    lines = [
        _headline(findings, host),
        *(_serious_line(finding) for finding in serious),
        *_fine_lines(findings),
        *_unchecked_lines(findings),
    ]
    blocks = sections(lines)
    for finding in serious:
        blocks += _evidence(finding)
    return split_into_messages(_fallback(findings, serious), blocks)


def _counted(findings: Sequence[Finding]) -> str:
    """Return the headline's counts."""
    return verdict_counts(Counter(finding.verdict for finding in findings))


def _headline(findings: Sequence[Finding], host: str | None) -> Mrkdwn:
    """Return the counts, how long it took from the first probe's start to the last one's end, and from where."""
    parts = [bold(f"Investigation: {_counted(findings)}")]
    if ran := [finding for finding in findings if finding.verdict is not Verdict.SKIPPED]:
        began = min(finding.started_at for finding in ran)
        parts.append(Mrkdwn(duration(max(between(began, f.started_at) + f.duration_ms for f in ran))))
    hosts = (host,) if host else tuple(sorted({finding.host for finding in findings if finding.host}))
    if hosts:
        parts.append(Mrkdwn(f"run from {first_few([code_span(name) for name in hosts])}"))
    return join(parts)


def _subject(finding: Finding) -> Mrkdwn:
    """Return the probe and its target."""
    return join([code_span(finding.probe, 80), code_span(finding.target) if finding.target else Mrkdwn("")], " ")


def _serious_line(finding: Finding) -> Mrkdwn:
    """Return the verdict in capitals, the probe, its target and what it saw."""
    return Mrkdwn(f"{_MARKS[finding.verdict]} {_subject(finding)}: {inline(finding.summary, 600)}")


def _fine_lines(findings: Sequence[Finding]) -> list[Mrkdwn]:
    """Return what is fine, run together; the target is named only where one probe had several."""
    probes = Counter(finding.probe for finding in findings)
    fine = (finding for finding in findings if finding.verdict is Verdict.OK)
    return wrap(
        (
            Mrkdwn(f"ok {_subject(f) if probes[f.probe] > 1 else code_span(f.probe, 80)} {inline(f.summary)}")
            for f in fine
        ),
        LINE_LIMIT,
    )


def _unchecked_lines(findings: Sequence[Finding]) -> list[Mrkdwn]:
    """Return what was not checked, and why."""
    skipped = [
        Mrkdwn(f"{inline(f.probe, 80)}{f' {code_span(f.target)}' if f.target else ''}: {inline(f.summary)}")
        for f in findings
        if f.verdict is Verdict.SKIPPED
    ]
    return wrap([Mrkdwn(f"*Not checked* {skipped[0]}"), *skipped[1:]], LINE_LIMIT) if skipped else []


def _evidence(finding: Finding) -> list[Block]:
    """Return the command, its exit code and its output in code blocks; nothing when there is none of it."""
    parts = []
    if finding.command:
        parts.append(f"$ {cut(shlex.join(finding.command), COMMAND_LIMIT)}")
    if finding.exit_code is not None:
        parts.append(f"exit code {finding.exit_code}")
    if finding.evidence.strip():
        parts.append(cut(finding.evidence, EVIDENCE_LIMIT, unescaped_length))
    if not parts:
        return []
    heading = Mrkdwn(f"*Evidence* {_subject(finding)}")
    return sections([heading, *code_blocks("\n".join(parts), SECTION_LIMIT - _HEADING_ROOM)])


def _fallback(findings: Sequence[Finding], serious: Sequence[Finding]) -> str:
    """Return the counts and the worst findings for a notification or a screen reader."""
    lines = [f"Investigation: {_counted(findings)}"]
    lines += [f"{_MARKS[f.verdict]} {f.probe} {f.target}: {f.summary}" for f in serious]
    return "\n".join(lines)
