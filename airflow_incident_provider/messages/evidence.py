"""What Datadog knows, in the thread under the brief: facts first, possible causes apart from them."""

from __future__ import annotations

from collections.abc import Iterator

from airflow_incident_provider.evidence.model import CallOutcome, Evidence, Hypothesis, PastIncident
from airflow_incident_provider.evidence.series import sparkline
from airflow_incident_provider.evidence.weighing import LIKELY
from airflow_incident_provider.evidence.written_summary import CheckedSummary, Claim
from airflow_incident_provider.messages.blocks import (
    LINE_LIMIT,
    Message,
    bullet_list,
    context,
    first_few,
    preformatted,
    sections,
    split_into_messages,
)
from airflow_incident_provider.messages.findings import finding_blocks, passing_line
from airflow_incident_provider.messages.mrkdwn import Mrkdwn, bold, clock, code_span, inline, join, link, wrap
from airflow_incident_provider.models import Finding, Statement, Verdict

_ATTENTION = (Verdict.FAIL, Verdict.WARN)
_SENTENCE = 500
_CITED = 160


def evidence_messages(evidence: Evidence, *, key: str | None = None) -> list[Message]:
    """Return the evidence as one message, or more when it is long; none when Datadog was not asked.

    That it was not asked is said with the findings of the probes.

    :param key: the incident's key where buttons work: people can then rate what asks for attention.
    """
    if not evidence.calls:
        return []
    found = _serious(evidence)
    blocks = sections([_headline(evidence), *_graph(evidence)])
    blocks += (block for finding in found for block in finding_blocks(finding, key))
    blocks += sections(_hypotheses(evidence))
    blocks += (context(line) for line in passing_line(evidence.findings, LINE_LIMIT))
    blocks += (context(line) for line in _not_known(evidence))
    for finding in found:
        if finding.evidence.strip():
            heading = Mrkdwn(f"*Examples* {code_span(finding.probe)} (masked secrets, untrusted text)")
            blocks += [*sections([heading]), *preformatted(finding.evidence)]
    blocks += sections(bullet_list(Mrkdwn("*Earlier incidents*"), [_past_line(past) for past in evidence.past]))
    return split_into_messages(_fallback(evidence, found), blocks)


def _headline(evidence: Evidence) -> Mrkdwn:
    since = f"since {clock(evidence.onset, seconds=False)} UTC" if evidence.onset else ""
    since += " or earlier" if since and evidence.onset_open else ""
    refused = sum(call.outcome is not CallOutcome.ANSWERED for call in evidence.calls)
    calls = f"{len(evidence.calls)} calls{f', {refused} without a full answer' if refused else ''}"
    subject = " ".join(filter(None, (evidence.service, evidence.env)))
    return join([bold("Datadog"), code_span(subject, 200) if subject else Mrkdwn(""), Mrkdwn(since), Mrkdwn(calls)])


def _graph(evidence: Evidence) -> list[Mrkdwn]:
    """Return the metric as a line of block characters, for readers without the picture."""
    graph = evidence.graph
    if graph is None or not (line := sparkline(graph.values)):
        return []
    return [Mrkdwn(f"{code_span(line)} {code_span(graph.title, 200)}")]


def _not_known(evidence: Evidence) -> list[Mrkdwn]:
    unknown = [
        Mrkdwn(f"{code_span(finding.probe, 80)} {inline(finding.summary, 300)}")
        for finding in evidence.findings
        if finding.verdict in {Verdict.UNKNOWN, Verdict.SKIPPED}
    ]
    return wrap([Mrkdwn(f"*Not known* {unknown[0]}"), *unknown[1:]], LINE_LIMIT) if unknown else []


def _hypotheses(evidence: Evidence) -> list[Mrkdwn]:
    """Return the possible causes under a heading of their own."""
    if not evidence.hypotheses:
        return [Mrkdwn(f"*Possible causes* {inline(evidence.abstained, 600)}")] if evidence.abstained else []
    lines = (line for hypothesis in evidence.hypotheses for line in _hypothesis(hypothesis))
    return [Mrkdwn("*Possible causes* (hypotheses, not facts)"), *lines]


def _hypothesis(hypothesis: Hypothesis) -> Iterator[Mrkdwn]:
    yield Mrkdwn(f"• {confidence_word(hypothesis)}: {inline(hypothesis.text, _SENTENCE)}")
    for label, cited in (("for it", hypothesis.supporting), ("against it", hypothesis.contradicting)):
        if cited:
            texts = (f"{inline(each.text, _CITED)} ({code_span(each.finding, 80)})" for each in cited)
            yield Mrkdwn(f"   {label}: {'; '.join(texts)}")
    if hypothesis.unchecked:
        yield Mrkdwn(f"   not checked: {first_few([code_span(name) for name in hypothesis.unchecked], 6)}")
    if hypothesis.settles:
        yield Mrkdwn(f"   would settle it: {inline(hypothesis.settles, 300)}")


def confidence_word(hypothesis: Hypothesis) -> str:
    """Return how sure the engine is, in a word and a number."""
    word = "likely" if hypothesis.confidence >= LIKELY else "possible"
    return f"{word} ({hypothesis.confidence:.2f})"


def _past_line(past: PastIncident) -> Mrkdwn:
    title = link(past.url, past.title) if past.url else inline(past.title, 150)
    when = Mrkdwn(f"{past.occurred_at:%Y-%m-%d %H:%M} UTC")
    took = Mrkdwn(f"{round(past.duration.total_seconds() / 60)} min" if past.duration is not None else "")
    same = Mrkdwn(f"same {', '.join(past.same)}" if past.same else "")
    return join([title, when, took, inline(past.ended or "", 40), same])


def _fallback(evidence: Evidence, found: list[Finding]) -> str:
    """Return the evidence for a notification or a screen reader."""
    lines = ["Datadog", *(f"{finding.verdict}: {finding.probe}: {finding.summary}" for finding in found)]
    lines += [f"Hypothesis, {confidence_word(each)}: {each.text}" for each in evidence.hypotheses]
    return "\n".join(lines)


def ai_summary_message(checked: CheckedSummary) -> list[Message]:
    """Return what a language model wrote, with the findings that each sentence cites; none if nothing is left."""
    if not checked.claims:
        return []
    heading = Mrkdwn("*Written by a language model* (AI), from the findings above")
    blocks = sections(bullet_list(heading, [_claim(claim) for claim in checked.claims]))
    if checked.dropped:
        left_out = "1 sentence" if checked.dropped == 1 else f"{checked.dropped} sentences"
        blocks.append(context(Mrkdwn(f"{left_out} left out: the findings do not say so")))
    texts = [f"Written by a language model: {claim.text}" for claim in checked.claims]
    return split_into_messages("\n".join(texts), blocks)


def _claim(claim: Claim) -> Mrkdwn:
    cited = first_few([code_span(finding, 80) for finding in claim.findings], 6)
    return Mrkdwn(f"{inline(claim.text, _SENTENCE)} ({cited})")


def known_statements(evidence: Evidence | None) -> tuple[Statement, ...]:
    """Return what the summary says is known: one sentence for each finding that asks for attention."""
    return tuple(
        Statement(text=f"{finding.probe} of {finding.target}: {finding.summary}", probes=(finding.probe,))
        for finding in (_serious(evidence) if evidence else ())
    )


def _serious(evidence: Evidence) -> list[Finding]:
    """Return the findings that ask for attention, the worst first."""
    return [finding for verdict in _ATTENTION for finding in evidence.findings if finding.verdict is verdict]


def hypothesis_statements(evidence: Evidence | None) -> tuple[Statement, ...]:
    """Return the possible causes for the summary, each with the findings that support it."""
    return tuple(
        Statement(
            text=f"{confidence_word(each)}: {each.text}",
            probes=tuple(dict.fromkeys(citation.finding for citation in each.supporting)),
        )
        for each in (evidence.hypotheses if evidence else ())
    )


def unknown_texts(evidence: Evidence | None) -> tuple[str, ...]:
    """Return what the summary says is not known."""
    if evidence is None:
        return ("whether a deployment preceded it, and what the metrics show now: the evidence was not collected",)
    texts = [f.summary for f in evidence.findings if f.verdict is Verdict.UNKNOWN]
    skipped = [f for f in evidence.findings if f.verdict is Verdict.SKIPPED]
    if skipped and not evidence.calls:
        texts.append(f"whether a deployment preceded it, and what the metrics show now: {skipped[0].summary}")
    return tuple(dict.fromkeys(texts))
