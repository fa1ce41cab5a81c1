"""What alerts and incidents have in common: both arrive as an event with a time, a body and links."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

from airflow_incident_provider.intake.bounds import MAX_DESCRIPTION, bounded_paragraphs
from airflow_incident_provider.intake.datadog.body import links_in, plain_text
from airflow_incident_provider.intake.datadog.payload import DatadogPayload
from airflow_incident_provider.intake.flags import Flags
from airflow_incident_provider.intake.moments import is_plausible, read_moment
from airflow_incident_provider.intake.web import make_link
from airflow_incident_provider.models import Link, LinkKind


def occurred_at(payload: DatadogPayload, *, received_at: datetime, flags: Flags) -> datetime:
    """Return when the event was, in UTC; the time of its arrival (flagged) when the payload does not say."""
    said = payload.date or payload.last_updated
    moment = read_moment(said)
    if moment is not None and moment.tzinfo is None:
        flags.add("date", said, "no time zone given: read as UTC")
        moment = moment.replace(tzinfo=UTC)
    if moment is None or not is_plausible(moment, received_at=received_at):
        flags.add("date", said, "not a time that can be right: the time of arrival was taken")
        return received_at
    return moment


def description(text: str | None, *, flags: Flags) -> str | None:
    """Return an event's text as plain paragraphs, or nothing if nothing is left of it."""
    if text is None:
        return None
    return bounded_paragraphs(plain_text(text), MAX_DESCRIPTION, field="text", flags=flags) or None


def body_links(payload: DatadogPayload, *, flags: Flags) -> Iterator[Link]:
    """Yield the links in the body but for those to monitors: the one monitor has a link of its own."""
    for label, url in links_in(payload.body or payload.text or ""):
        link = make_link(url, label=label, field="body", flags=flags)
        if link is not None and link.kind is not LinkKind.MONITOR:
            yield link
