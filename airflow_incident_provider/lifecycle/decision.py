"""What an alert is, given the incidents that there are: decided, and explained."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum

from airflow_incident_provider.lifecycle.records import IncidentRecord, RunRequest
from airflow_incident_provider.lifecycle.rules import LifecycleRules
from airflow_incident_provider.lifecycle.signals import Signal
from airflow_incident_provider.models import Model


class Action(StrEnum):
    """What is done about a signal."""

    OPEN = "open"
    DUPLICATE = "duplicate"
    UPDATE = "update"
    RECOVER = "recover"
    REOPEN = "reopen"
    IGNORE = "ignore"


class Finding(Model):
    """A rule that was looked at: whether it held, and why."""

    rule: str
    held: bool
    why: str


class Decision(Model):
    """What a signal is, why, and what follows.

    ``record`` is to be stored (nothing for ``IGNORE`` of the unknown; unchanged for ``DUPLICATE``); ``run`` is to
    be started once the record is stored.
    """

    action: Action
    key: str | None
    reason: str
    inputs: dict[str, str]
    rules: tuple[Finding, ...]
    record: IncidentRecord | None = None
    changed: bool = False
    run: RunRequest | None = None


def decide(signal: Signal, records: Sequence[IncidentRecord], rules: LifecycleRules, now: datetime) -> Decision:
    """Return what ``signal`` is. Total, and the same for the same arguments.

    :param records: every incident that is not archived, and those archived lately; in any order.
    :param now: the time of deciding (aware).
    """
    raise NotImplementedError
