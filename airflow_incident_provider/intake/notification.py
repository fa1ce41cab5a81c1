"""What one delivery says, before anybody has decided what it means: also that something is well again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from airflow_incident_provider.models import Incident


@dataclass(frozen=True)
class Notification:
    """A payload as it was read.

    ``group`` is the incident's key without what changes from one cycle of an alert to the next. ``has_cycle`` is
    false for an alert whose payload does not tell one cycle from the next. ``over`` is the sentence that says why
    this opens no incident, if it tells of an end. ``delivery_id`` is the sender's own id of the notification.
    ``headline`` is the title of the notification, where that differs from the incident's. ``key_inputs`` is what
    the key was made of, by name.
    """

    incident: Incident
    group: str
    has_cycle: bool = True
    over: str | None = None
    delivery_id: str | None = None
    headline: str | None = None
    key_inputs: Mapping[str, str] = field(default_factory=dict)
