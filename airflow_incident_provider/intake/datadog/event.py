"""What alerts and incidents have in common: both arrive as an event with a time, a text, samples and links."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

from airflow_incident_provider.intake.datadog.payload import DatadogPayload, json_variable, object_variable
from airflow_incident_provider.intake.datadog.text import is_datadog_url, links_in, plain_text
from airflow_incident_provider.intake.limits import MAX_DESCRIPTION, ParseWarnings, bounded_line, bounded_paragraphs
from airflow_incident_provider.intake.targets import read_targets
from airflow_incident_provider.intake.times import read_time, settle_time
from airflow_incident_provider.intake.urls import make_link
from airflow_incident_provider.intake.values import is_unset
from airflow_incident_provider.models import Link, LinkKind, Target
from airflow_incident_provider.text import one_line

_MAX_SAMPLES = 5
_MAX_SAMPLE = 300
_MAX_STEPS = 3
_URL_NAMES = ("request_url", "url", "start_url", "target_url", "startUrl", "requestUrl")


def event_time(payload: DatadogPayload, *, received_at: datetime, warnings: ParseWarnings) -> datetime:
    """Return when the event was, in UTC; the time of its arrival (with a warning) if that is not stated."""
    stated = payload.date or payload.last_updated
    moment, note = settle_time(read_time(stated), received_at=received_at)
    if note is not None:
        warnings.add("date", stated, note)
    return moment


def description(payload: DatadogPayload, details: Iterable[str], *, warnings: ParseWarnings) -> str | None:
    """Return an event's text as plain paragraphs, with details of the payload that are no text of their own."""
    text = plain_text(payload.text or payload.body or payload.incident_message or "")
    extra = "\n".join(details)
    room = MAX_DESCRIPTION - len(extra) - 2 if extra else MAX_DESCRIPTION
    body = bounded_paragraphs(text, room, field="text", warnings=warnings)
    whole = "\n\n".join(part for part in (body, extra) if part)
    return bounded_paragraphs(whole, MAX_DESCRIPTION, field="text", warnings=ParseWarnings()) or None


def body_links(payload: DatadogPayload, *, warnings: ParseWarnings) -> Iterator[Link]:
    """Yield the links in the body but for those to monitors: the one monitor has a link of its own."""
    for label, url in links_in(payload.body or payload.text or ""):
        link = make_link(url, label=label, field="body", warnings=warnings)
        if link is not None and link.kind is not LinkKind.MONITOR:
            yield link


def log_samples(payload: DatadogPayload, *, warnings: ParseWarnings) -> Iterator[str]:
    """Yield the lines of ``$LOGS_SAMPLE``: rows of a message, with the columns that stand beside it."""
    value = json_variable(payload.logs_sample, field="logs_sample", warnings=warnings)
    samples = value if isinstance(value, list) else [value]
    rows = [row for sample in samples if isinstance(sample, dict) for row in _rows(sample)]
    lines = [line for line in (_sample_line(row, warnings) for row in rows[: 10 * _MAX_SAMPLES]) if line]
    if lines:
        yield "Log sample:"
        yield from lines[:_MAX_SAMPLES]
    if len(rows) > _MAX_SAMPLES:
        yield f"and {len(rows) - _MAX_SAMPLES} more"


def _rows(sample: Mapping[str, object]) -> list[object]:
    rows = sample.get("rows")
    return rows if isinstance(rows, list) else [sample]


def _sample_line(row: object, warnings: ParseWarnings) -> str:
    if not isinstance(row, dict):
        return (
            bounded_line(row, _MAX_SAMPLE, field="logs_sample", warnings=warnings) if isinstance(row, str) else ""
        )
    items = row.get("items")
    columns = (
        [str(item) for item in items if isinstance(item, str | int | float)] if isinstance(items, list) else []
    )
    message = row.get("message")
    words = [*columns, message if isinstance(message, str) else ""]
    text = " ".join(one_line(word[:2000]) for word in words if word)
    return bounded_line(text, _MAX_SAMPLE, field="logs_sample", warnings=warnings) if text else ""


@dataclass(frozen=True)
class SyntheticTest:
    """What a payload states about a failing synthetic test."""

    details: tuple[str, ...] = ()
    links: tuple[Link, ...] = ()
    targets: tuple[Target, ...] = ()


def synthetic_test(payload: DatadogPayload, *, warnings: ParseWarnings) -> SyntheticTest:
    """Return the test, its failing step, its links, and the URL that it requests, as a target to probe."""
    summary = object_variable(payload.synthetics, field="synthetics", warnings=warnings)
    if "summary" in summary and not is_unset(summary["summary"]):
        summary = object_variable(summary["summary"], field="synthetics", warnings=warnings)
    steps = list(_failing_steps(payload, summary))[:_MAX_STEPS]
    name = payload.synthetics_test or _first_text(summary, ("test_name", "testName", "name"))
    runs = [text for key in ("location", "browser", "device") if (text := _first_text(summary, (key,)))]
    urls = _requested_urls(payload, summary)
    details = [
        f"Synthetic test: {name}" + (f" ({', '.join(runs)})" if runs else "") if name else "",
        *(f"Failing step: {step}" for step in steps),
        _labelled("Failure", _first_text(summary, ("error_message", "failure_message", "message", "error"))),
        *(_labelled("URL", url) for url in urls[:1]),
    ]
    links = (
        make_link(url, label=label, kind=LinkKind.OTHER, field="synthetics", warnings=warnings)
        for key, label in (("result_url", "Test result"), ("test_url", "Synthetic test"))
        if (url := _first_text(summary, (key,))) is not None
    )
    lines = (bounded_line(line, _MAX_SAMPLE, field="synthetics", warnings=warnings) for line in details if line)
    return SyntheticTest(
        details=tuple(lines),
        links=tuple(link for link in links if link is not None),
        targets=tuple(_targets(urls, warnings)),
    )


def _failing_steps(payload: DatadogPayload, summary: Mapping[str, object]) -> Iterator[str]:
    steps = summary.get("failing_steps") or summary.get("failingSteps")
    for step in steps if isinstance(steps, list) else []:
        if isinstance(step, dict):
            parts = (_first_text(step, (key,)) for key in ("number", "name", "error_message"))
            yield " ".join(part for part in parts if part)
        elif isinstance(step, str):
            yield step
    if not isinstance(steps, list) and payload.synthetics_step:
        yield payload.synthetics_step


def _requested_urls(payload: DatadogPayload, summary: Mapping[str, object]) -> list[str]:
    """Return the URLs that the test requests: as the summary states them, else the first of its own text."""
    request = summary.get("request")
    sources = [summary, *([request] if isinstance(request, dict) else [])]
    steps = summary.get("failing_steps")
    sources += [step for step in steps if isinstance(step, dict)] if isinstance(steps, list) else []
    stated = [url for source in sources if (url := _first_text(source, _URL_NAMES)) is not None]
    if not stated and (summary or payload.synthetics_test or (payload.event_type or "").startswith("synthetics")):
        stated = [url for _, url in links_in(payload.body or payload.text or "")][:5]
    return [url for url in dict.fromkeys(stated) if url.startswith("http") and not is_datadog_url(url)][:1]


def _targets(urls: Iterable[str], warnings: ParseWarnings) -> Iterator[Target]:
    for url in urls:
        try:
            yield from read_targets(url)
        except ValueError as error:
            warnings.add("synthetics", url, f"not probed: {error}")


def _first_text(source: Mapping[str, object], names: Iterable[str]) -> str | None:
    for name in names:
        value = source.get(name)
        if isinstance(value, str | int | float) and not isinstance(value, bool) and not is_unset(value):
            return str(value)[:2000]
    return None


def _labelled(label: str, text: str | None) -> str:
    return f"{label}: {text}" if text else ""
