"""The findings in the thread under the brief: worst first, one per line, followed by their evidence."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta

from airflow_incident_provider.messages.blocks import (
    LINE_LIMIT,
    Block,
    Message,
    context,
    first_few,
    preformatted,
    section,
    sections,
    split_into_messages,
)
from airflow_incident_provider.messages.controls import feedback_controls
from airflow_incident_provider.messages.mrkdwn import (
    Mrkdwn,
    between,
    bold,
    clock,
    code_span,
    duration,
    inline,
    join,
    plain_length,
    truncate,
    wrap,
)
from airflow_incident_provider.models import CONTROL_PROBES, Finding, StageName, Verdict

EVIDENCE_LIMIT = 4_096
COMMAND_LIMIT = 1_000
SERIOUS = (Verdict.FAIL, Verdict.WARN, Verdict.UNKNOWN)
"""The verdicts that are listed one per line, worst first."""

VERDICT_SYMBOLS: Mapping[Verdict, str] = {
    Verdict.FAIL: "❌",
    Verdict.WARN: "⚠️",
    Verdict.UNKNOWN: "❔",
    Verdict.OK: "✅",
    Verdict.SKIPPED: "◻️",
}
"""Symbols that differ in shape as well as in colour."""

_COUNTED_AS = {
    Verdict.FAIL: "failing",
    Verdict.WARN: "warning",
    Verdict.UNKNOWN: "unknown",
    Verdict.OK: "passing",
}
_OWN_NETWORK = "our own network"


# --- counting ---------------------------------------------------------------------------------------------


def about_service(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Return the findings without those about our own network, worst first."""
    order = (*SERIOUS, Verdict.OK, Verdict.SKIPPED)
    return tuple(sorted((f for f in findings if not f.is_control), key=lambda f: order.index(f.verdict)))


def own_network_failure(findings: Sequence[Finding]) -> Finding | None:
    """Return the finding that our own network fails; ``None`` if a check reached its target nevertheless."""
    stages = (stage for finding in findings if not finding.is_control for stage in finding.stages)
    connections = (stage.verdict for stage in stages if stage.name is StageName.CONNECTION)
    if not {Verdict.OK, Verdict.WARN}.isdisjoint(connections):
        return None
    return next((f for f in findings if f.is_control and f.verdict is Verdict.FAIL), None)


def count_verdicts(findings: Iterable[Finding]) -> dict[Verdict, int]:
    """Return how many findings there are of each verdict; those about our own network are not counted."""
    return dict(Counter(finding.verdict for finding in about_service(findings)))


def verdict_counts(verdicts: Mapping[Verdict, int]) -> str:
    """Return ``1 failing, 1 warning, 3 passing``, worst first; what was not checked is not counted."""
    found = [f"{verdicts[v]} {words}" for v, words in _COUNTED_AS.items() if verdicts.get(v)]
    return ", ".join(found) or "not checked"


def checked_at(findings: Iterable[Finding]) -> datetime | None:
    """Return when the last probe ended; ``None`` if none ran."""
    return max((f.started_at + timedelta(milliseconds=f.duration_ms) for f in findings if _ran(f)), default=None)


def _ran(finding: Finding) -> bool:
    return finding.verdict is not Verdict.SKIPPED


# --- lines ------------------------------------------------------------------------------------------------


def probe_name(probe: str) -> str:
    """Return the display name of a probe."""
    return _OWN_NETWORK if probe in CONTROL_PROBES else probe


def plain_subject(finding: Finding) -> str:
    """Return the probe and its target as plain text."""
    return _OWN_NETWORK if finding.is_control else f"{finding.probe} {finding.target}".rstrip()


def subject(finding: Finding) -> Mrkdwn:
    """Return the probe and its target."""
    if finding.is_control:
        return Mrkdwn(_OWN_NETWORK)
    return join([inline(finding.probe, 80), code_span(finding.target) if finding.target else Mrkdwn("")], " ")


def finding_line(finding: Finding, *, limit: int = 600, details: bool = True) -> Mrkdwn:
    """
    Return a finding on one line: symbol, what was observed, probe and target.

    :param limit: the maximum size of what was observed.
    :param details: whether to include what the summary has in parentheses, such as timings.
    """
    observed, bracket, rest = finding.summary.partition(" (")
    line = join([bold(observed, limit), subject(finding)])
    extra = inline(f"({rest}", limit) if bracket and details else Mrkdwn("")
    return join([Mrkdwn(VERDICT_SYMBOLS[finding.verdict]), line, extra], " ")


def passing_line(findings: Sequence[Finding], limit: int) -> list[Mrkdwn]:
    """Return the passing findings together; the target is named only if a probe has several."""
    probes = Counter(finding.probe for finding in findings)
    parts = (
        join([subject(f) if probes[f.probe] > 1 else inline(probe_name(f.probe), 80), inline(f.summary, 200)], ": ")
        for f in findings
        if f.verdict is Verdict.OK
    )
    return wrap((Mrkdwn(f"{VERDICT_SYMBOLS[Verdict.OK]} {part}") for part in parts), limit)


def unchecked_line(findings: Sequence[Finding], limit: int) -> list[Mrkdwn]:
    """Return what was not checked, and why."""
    skipped = [join([subject(f), inline(f.summary)], ": ") for f in findings if f.verdict is Verdict.SKIPPED]
    if skipped:
        skipped[0] = Mrkdwn(f"{VERDICT_SYMBOLS[Verdict.SKIPPED]} *Not checked* {skipped[0]}")
    return wrap(skipped, limit)


# --- messages ---------------------------------------------------------------------------------------------


def findings_messages(findings: Sequence[Finding], *, key: str | None = None) -> list[Message]:
    """
    Return the findings and their evidence as one message, or more if the evidence is long.

    :param findings: in any order.
    :param key: the incident's key where buttons work: people can then rate what is listed one per line.
    """
    ordered = about_service(findings)
    own_network = [f for f in findings if f.is_control]
    serious = [f for f in (*own_network, *ordered) if f.verdict in SERIOUS]
    blocks = [section(_headline(findings))]
    blocks += (block for finding in serious for block in finding_blocks(finding, key))
    blocks += (context(line) for line in passing_line((*ordered, *own_network), LINE_LIMIT))
    blocks += (context(line) for line in unchecked_line(ordered, LINE_LIMIT))
    blocks += (block for finding in serious for block in _evidence(finding))
    return split_into_messages(_fallback(findings, serious), blocks)


def finding_blocks(finding: Finding, key: str | None) -> list[Block]:
    """Return a finding on one line, and the buttons that rate it if there is a key."""
    shown = [section(finding_line(finding))]
    if key is not None:
        shown.append(feedback_controls(key, f"{finding.probe} {finding.target or ''}".rstrip()))
    return shown


def headline(findings: Sequence[Finding]) -> str:
    """Return how many checks fail, or that none does, or that nothing was checked."""
    if own_network_failure(findings):
        return "Our own network fails: no check reached the service"
    counts = count_verdicts(findings)
    total = sum(counts.get(verdict, 0) for verdict in _COUNTED_AS)
    if not total:
        return "Nothing was checked"
    if failing := counts.get(Verdict.FAIL, 0):
        return f"{failing} of {total} {_checks(total)} {'fails' if failing == 1 else 'fail'}"
    if (unknown := counts.get(Verdict.UNKNOWN, 0)) == total:
        return f"{unknown} {_checks(unknown)} could not run"
    if counts.keys() - {Verdict.OK}:
        return f"No check fails: {verdict_counts(counts)}"
    return "The check passes" if total == 1 else f"All {total} checks pass"


def _checks(count: int) -> str:
    return "check" if count == 1 else "checks"


def _headline(findings: Sequence[Finding]) -> Mrkdwn:
    """Return the counts, and from where, when and how long the probes ran."""
    parts = [bold(headline(findings))]
    if hosts := sorted({finding.host for finding in findings if finding.host}):
        parts.append(Mrkdwn(f"from {first_few([code_span(name) for name in hosts])}"))
    if ran := [finding for finding in findings if _ran(finding)]:
        started = min(finding.started_at for finding in ran)
        parts.append(Mrkdwn(f"{clock(started)} UTC"))
        parts.append(Mrkdwn(duration(max(between(started, f.started_at) + f.duration_ms for f in ran))))
    return join(parts)


def _evidence(finding: Finding) -> list[Block]:
    """Return the command and its output; nothing if there was no output."""
    output = finding.evidence.strip("\n")
    if not output.strip():
        return []
    command = f"$ {truncate(shlex.join(finding.command), COMMAND_LIMIT)}\n" if finding.command else ""
    exit_code = f"\n(exit code {finding.exit_code})" if finding.exit_code else ""
    heading = join([Mrkdwn(f"*Evidence* {VERDICT_SYMBOLS[finding.verdict]}"), subject(finding)], " ")
    text = f"{command}{truncate(output, EVIDENCE_LIMIT, plain_length)}{exit_code}"
    return [*sections([heading]), *preformatted(text)]


def _fallback(findings: Sequence[Finding], serious: Sequence[Finding]) -> str:
    """Return the headline and the worst findings, with the verdict as a word."""
    lines = [headline(findings)]
    lines += [f"{f.verdict}: {plain_subject(f)}: {f.summary}" for f in serious]
    return "\n".join(lines)
