"""A plain note in the thread: somebody's own words, line by line."""

from __future__ import annotations

from airflow_incident_provider.messages.blocks import sections
from airflow_incident_provider.messages.escaping import inline
from airflow_incident_provider.messages.limits import Message, fit


def note_messages(text: str) -> list[Message]:
    """Return the text as one message, or more if it is long; nothing when it is empty."""
    lines = [inline(line) for line in text.splitlines() if line.strip()]
    return fit(text, sections(lines))
