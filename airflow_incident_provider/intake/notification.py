"""A parsed notification, before anything is decided about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from airflow_incident_provider.models import Incident


@dataclass(frozen=True)
class Notification:
    """What one payload states.

    :param incident: the incident as the payload describes it.
    :param group: identity of the alert across its cycles: the incident's key without what changes between them.
    :param has_cycle: whether the payload distinguishes one cycle of the alert from the next.
    :param recovery_reason: why this reports an end, as a sentence; ``None`` while the alert fires.
    :param may_open: whether an incident may be opened for it. False for a recovery, and for news of an incident
        whose impact is over already.
    :param severity_stated: whether the payload states the severity. A default changes none that was stated before.
    :param delivery_id: the sender's own id of this notification.
    :param headline: the title of the notification, where that differs from the incident's.
    :param is_identified: whether the payload itself states what identifies the alert (its own id, not that of a
        message), its title, and whether it fires or ended. Only what was cut off or damaged has to.
    :param states_labels: whether the payload has every field that tags, services and hosts are taken from.
    :param privacy_assumed: whether the incident is private only because parts of the payload are missing.
    :param scope_unknown: whether the group of the alert may be what is missing of the payload.
    :param key_inputs: what the key was made of, by name.
    :param former_keys: key and group by which version 0.1.0 stored the same alert, where they differ from today's.
    """

    incident: Incident
    group: str
    has_cycle: bool = True
    recovery_reason: str | None = None
    may_open: bool = True
    severity_stated: bool = True
    delivery_id: str | None = None
    headline: str | None = None
    is_identified: bool = False
    states_labels: bool = False
    privacy_assumed: bool = False
    scope_unknown: bool = False
    key_inputs: Mapping[str, str] = field(default_factory=dict)
    former_keys: FormerKeys | None = None


@dataclass(frozen=True)
class FormerKeys:
    """Key and group of an alert as version 0.1.0 made them, with 24-bit digests."""

    key: str
    group: str
