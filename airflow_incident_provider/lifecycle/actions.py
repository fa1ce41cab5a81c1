"""
How an action of a person changes an incident.

``apply_action`` is a pure function: the record before and the action give the record after, the runs to start, and
a reply for the person. The caller first checks that the person may act on this incident.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta
from enum import StrEnum
from typing import Any

from airflow_incident_provider.config import ConfKey, DagId
from airflow_incident_provider.lifecycle.closing import Closing
from airflow_incident_provider.lifecycle.coordination import (
    MAX_ACTION_ITEMS,
    MAX_ACTIONS,
    MAX_FEEDBACK,
    MAX_ITEM_TEXT,
    MAX_STATUS_UPDATES,
    MAX_UPDATE_TEXT,
    ActionEntry,
    ActionItem,
    ActionKind,
    Coordination,
    Feedback,
    IncidentAction,
    Person,
    Role,
    SeverityOverride,
    StatusUpdate,
)
from airflow_incident_provider.lifecycle.records import (
    MAX_RESPONDERS,
    IncidentRecord,
    RunRequest,
    Status,
    UpdateItem,
    UpdateKind,
)
from airflow_incident_provider.lifecycle.transitions import firing_severity, with_item
from airflow_incident_provider.models import Severity
from airflow_incident_provider.text import clean, digest, distinct, one_line, redact, shorten

SNOOZE = timedelta(minutes=30)
CHECK_INTERVAL = timedelta(seconds=30)
"""A second request to check within this time starts no further run."""

RespondersFor = Callable[[IncidentRecord], tuple[str, ...]]
"""Returns the responders that the routing table names for an incident as its record is now."""


class Outcome(StrEnum):
    """The result of an action."""

    APPLIED = "applied"
    UNCHANGED = "unchanged"
    """The incident was already as requested, or this very action was applied before."""
    REFUSED = "refused"
    """The incident's state does not allow it."""


@dataclass(frozen=True)
class AppliedAction:
    """An action's result.

    What the record has pending is posted by an update run; ``runs`` are those that the action needs besides it.

    :param reply: for the person who acted, in plain text.
    """

    record: IncidentRecord
    outcome: Outcome
    reply: str
    runs: tuple[RunRequest, ...] = field(default=())


def apply_action(record: IncidentRecord, action: IncidentAction, *, responders_for: RespondersFor) -> AppliedAction:
    """Apply an action to a record.

    :param responders_for: routes the incident again after a change of severity.
    """
    if record.coordination.has_applied(action.id):
        return AppliedAction(record, Outcome.UNCHANGED, "This was done already.")
    closed = record.status in (Status.RESOLVED, Status.ARCHIVED)
    if closed and action.kind not in _ALSO_WHEN_CLOSED:
        fix = "" if record.status is Status.ARCHIVED else " Reopen it first: /incident reopen"
        return AppliedAction(record, Outcome.REFUSED, f"This incident is {record.status}.{fix}")
    if action.kind is ActionKind.SEVERITY:
        applied = _change_severity(record, action, responders_for)
    else:
        applied = _HANDLERS[action.kind](record, action)
    if applied.outcome is not Outcome.APPLIED:
        return applied
    return replace(applied, record=_with_entry(applied.record, action))


# --- people -------------------------------------------------------------------------------------------


def _take_role(record: IncidentRecord, action: IncidentAction) -> AppliedAction:
    role = Role.COMMANDER if action.kind is ActionKind.LEAD else action.role
    person = action.person or Person(name=action.actor.name, slack_id=action.actor.slack_id)
    before = record.coordination.roles.get(role)
    if before is not None and _same_person(before, person):
        return AppliedAction(record, Outcome.UNCHANGED, f"{person.name} has the role {role} already.")
    changes: dict[str, Any] = {"roles": {**record.coordination.roles, role: person}}
    if role is Role.COMMANDER and record.coordination.first_led_at is None:
        changes["first_led_at"] = action.at
    record = _coordinated(record, **changes)
    former = (before.slack_id or before.name) if before else None
    if role is Role.COMMANDER:
        former = former or record.commander
        record = record.model_copy(update={"commander": person.name})
    item = UpdateItem(
        kind=UpdateKind.COMMANDER if role is Role.COMMANDER else UpdateKind.ROLE,
        at=action.at,
        alert=None if role is Role.COMMANDER else role,
        before=former or "",
        after=person.slack_id or person.name,
        actor=_mention(action),
    )
    record = with_item(record, item)
    if action.person is not None:
        record = _with_called(record, (person.slack_id or person.name,), action)
    return AppliedAction(record, Outcome.APPLIED, f"{person.name} is now {_role_name(role)}.")


def _invite(record: IncidentRecord, action: IncidentAction) -> AppliedAction:
    changed = _with_called(record, action.names, action)
    if changed is record:
        return AppliedAction(record, Outcome.UNCHANGED, "Everybody named is being invited already.")
    return AppliedAction(changed, Outcome.APPLIED, f"Inviting {', '.join(action.names)}.")


def _with_called(record: IncidentRecord, names: tuple[str, ...], action: IncidentAction) -> IncidentRecord:
    """Return the record with people that a person invites, also if they were named before: they may have left."""
    waiting = {name.casefold() for item in record.pending if item.calls_people for name in item.names}
    called = tuple(name for name in distinct(names) if name.casefold() not in waiting)
    if not called:
        return record
    responders = distinct((*record.responders, *called))[:MAX_RESPONDERS]
    item = UpdateItem(
        kind=UpdateKind.RESPONDERS, at=action.at, alert=action.id, names=called, actor=_mention(action)
    )
    return with_item(record.model_copy(update={"responders": responders}), item)


def _with_responders(record: IncidentRecord, names: tuple[str, ...], action: IncidentAction) -> IncidentRecord:
    known = {name.casefold() for name in record.responders}
    new = tuple(name for name in dict.fromkeys(names) if name.casefold() not in known)
    if not new:
        return record
    record = record.model_copy(update={"responders": (*record.responders, *new)[:MAX_RESPONDERS]})
    item = UpdateItem(kind=UpdateKind.RESPONDERS, at=action.at, names=new, actor=_mention(action))
    return with_item(record, item)


# --- severity -----------------------------------------------------------------------------------------


def _change_severity(
    record: IncidentRecord, action: IncidentAction, responders_for: RespondersFor
) -> AppliedAction:
    chosen = action.severity
    if chosen is None:
        return AppliedAction(record, Outcome.REFUSED, f"Name a severity: {', '.join(Severity)}.")
    if chosen is record.severity:
        return AppliedAction(record, Outcome.UNCHANGED, f"The severity is {chosen} already.")
    before = record.severity
    override = SeverityOverride(chosen=chosen, worst=firing_severity(record) or before)
    record = _coordinated(record, severity=override).model_copy(update={"severity": chosen})
    item = UpdateItem(kind=UpdateKind.SEVERITY, at=action.at, before=before, after=chosen, actor=_mention(action))
    record = _with_responders(with_item(record, item), responders_for(record), action)
    return AppliedAction(record, Outcome.APPLIED, f"Severity: {before} → {chosen}.")


# --- what is said -------------------------------------------------------------------------------------


def _post_update(record: IncidentRecord, action: IncidentAction) -> AppliedAction:
    text = shorten(redact(clean(action.text)).strip(), MAX_UPDATE_TEXT)
    if not text:
        return AppliedAction(record, Outcome.REFUSED, "Write the update: /incident update We are rolling back")
    next_at = action.at + timedelta(minutes=action.minutes) if action.minutes is not None else None
    update = StatusUpdate(at=action.at, actor=_mention(action), text=text, next_at=next_at)
    record = _coordinated(record, updates=(*record.coordination.updates, update)[-MAX_STATUS_UPDATES:])
    item = UpdateItem(
        kind=UpdateKind.STATUS_UPDATE,
        at=action.at,
        alert=action.id,
        text=text,
        actor=_mention(action),
        next_at=next_at,
    )
    return AppliedAction(with_item(record, item), Outcome.APPLIED, "The update is posted.")


def _add_item(record: IncidentRecord, action: IncidentAction) -> AppliedAction:
    text = shorten(redact(one_line(action.text)), MAX_ITEM_TEXT)
    if not text:
        return AppliedAction(record, Outcome.REFUSED, "Write the action item: /incident item Alert on queue length")
    if len(record.coordination.items) >= MAX_ACTION_ITEMS:
        return AppliedAction(record, Outcome.REFUSED, f"An incident has at most {MAX_ACTION_ITEMS} action items.")
    item = ActionItem(at=action.at, actor=_mention(action), text=text)
    record = _coordinated(record, items=(*record.coordination.items, item))
    update = UpdateItem(kind=UpdateKind.ITEM, at=action.at, alert=action.id, text=text, actor=_mention(action))
    return AppliedAction(with_item(record, update), Outcome.APPLIED, "The action item is recorded.")


def _rate_finding(record: IncidentRecord, action: IncidentAction) -> AppliedAction:
    if not action.finding or action.useful is None:
        return AppliedAction(record, Outcome.REFUSED, "Use the buttons under a finding.")
    feedback = Feedback(finding=shorten(action.finding, 120), actor=_mention(action), useful=action.useful)
    kept = tuple(
        other
        for other in record.coordination.feedback
        if (other.finding, other.actor) != (feedback.finding, feedback.actor)
    )
    if len(kept) < len(record.coordination.feedback) and feedback in record.coordination.feedback:
        return AppliedAction(record, Outcome.UNCHANGED, "Your answer is recorded already.")
    return AppliedAction(
        _coordinated(record, feedback=(*kept, feedback)[-MAX_FEEDBACK:]), Outcome.APPLIED, "Thank you: recorded."
    )


# --- state --------------------------------------------------------------------------------------------


def _check_again(record: IncidentRecord, action: IncidentAction) -> AppliedAction:
    latest = max(
        (entry.at for entry in record.coordination.actions if entry.kind is ActionKind.CHECK), default=None
    )
    if latest is not None and action.at - latest < CHECK_INTERVAL:
        return AppliedAction(record, Outcome.UNCHANGED, "The checks are running already.")
    return AppliedAction(record, Outcome.APPLIED, "Running the checks again.", (_check_run(record, action),))


def _resolve(record: IncidentRecord, action: IncidentAction) -> AppliedAction:
    if record.status in (Status.RESOLVED, Status.ARCHIVED):
        return AppliedAction(record, Outcome.UNCHANGED, f"This incident is {record.status} already.")
    run = RunRequest(
        dag_id=DagId.INCIDENT_UPDATE,
        run_id=_run_id(record, action, "resolve"),
        conf={
            ConfKey.INCIDENT_KEY.value: record.key,
            ConfKey.CLOSE_REQUEST.value: {"closing": Closing.RESOLVE.value, "by": _mention(action)},
        },
    )
    return AppliedAction(record, Outcome.APPLIED, "Resolving the incident.", (run, _check_run(record, action)))


def _reopen(record: IncidentRecord, action: IncidentAction) -> AppliedAction:
    if record.status is Status.OPEN:
        return AppliedAction(record, Outcome.UNCHANGED, "This incident is open.")
    if record.status is Status.ARCHIVED:
        return AppliedAction(record, Outcome.REFUSED, "The room is archived. Report a new incident.")
    record = _coordinated(record, held_open=True).model_copy(
        update={
            "status": Status.OPEN,
            "recovered_at": None,
            "resolved_at": None,
            "reopened": record.reopened + 1,
            "reopened_at": (*record.reopened_at, action.at),
        }
    )
    item = UpdateItem(kind=UpdateKind.REOPENED, at=action.at, actor=_mention(action))
    return AppliedAction(with_item(record, item), Outcome.APPLIED, "The incident is open again.")


def _snooze(record: IncidentRecord, action: IncidentAction) -> AppliedAction:
    length = timedelta(minutes=action.minutes) if action.minutes is not None else SNOOZE
    record = _coordinated(record, snoozed_until=action.at + length)
    minutes = round(length.total_seconds() / 60)
    return AppliedAction(record, Outcome.APPLIED, f"No reminders for {minutes} minutes.")


_HANDLERS: dict[ActionKind, Callable[[IncidentRecord, IncidentAction], AppliedAction]] = {
    ActionKind.LEAD: _take_role,
    ActionKind.ROLE: _take_role,
    ActionKind.UPDATE: _post_update,
    ActionKind.CHECK: _check_again,
    ActionKind.INVITE: _invite,
    ActionKind.RESOLVE: _resolve,
    ActionKind.REOPEN: _reopen,
    ActionKind.SNOOZE: _snooze,
    ActionKind.FEEDBACK: _rate_finding,
    ActionKind.ITEM: _add_item,
}
_ALSO_WHEN_CLOSED = frozenset({ActionKind.REOPEN, ActionKind.RESOLVE, ActionKind.FEEDBACK, ActionKind.ITEM})


# --- shared -------------------------------------------------------------------------------------------


def _coordinated(record: IncidentRecord, **changes: Any) -> IncidentRecord:
    return record.model_copy(update={"coordination": record.coordination.model_copy(update=changes)})


def _with_entry(record: IncidentRecord, action: IncidentAction) -> IncidentRecord:
    entry = ActionEntry(
        id=action.id, kind=action.kind, at=action.at, actor=_mention(action), detail=shorten(_detail(action), 120)
    )
    coordination: Coordination = record.coordination
    entries = (*coordination.actions, entry)
    dropped = max(0, len(entries) - MAX_ACTIONS)
    return _coordinated(record, actions=entries[dropped:], dropped_actions=coordination.dropped_actions + dropped)


def _detail(action: IncidentAction) -> str:
    match action.kind:
        case ActionKind.LEAD | ActionKind.ROLE:
            person = action.person or action.actor
            return f"{action.role}: {person.slack_id or person.name}"
        case ActionKind.SEVERITY:
            return str(action.severity)
        case ActionKind.INVITE:
            return ", ".join(action.names)
        case ActionKind.FEEDBACK:
            return f"{action.finding}: {'useful' if action.useful else 'not useful'}"
        case ActionKind.SNOOZE:
            return f"{action.minutes or round(SNOOZE.total_seconds() / 60)} min"
        case _:
            return redact(one_line(action.text))


def _check_run(record: IncidentRecord, action: IncidentAction) -> RunRequest:
    return RunRequest(
        dag_id=DagId.INCIDENT_UPDATE,
        run_id=_run_id(record, action, "check"),
        conf={ConfKey.INCIDENT_KEY.value: record.key, ConfKey.CHECK_REQUEST.value: True},
    )


def _run_id(record: IncidentRecord, action: IncidentAction, prefix: str) -> str:
    return f"{prefix}.{record.key}.{digest(action.id, 12)}"[:250]


def _mention(action: IncidentAction) -> str:
    return action.actor.slack_id or action.actor.name


def _same_person(one: Person, other: Person) -> bool:
    if one.slack_id or other.slack_id:
        return one.slack_id == other.slack_id
    return one.name.casefold() == other.name.casefold()


def _role_name(role: Role) -> str:
    return {
        Role.COMMANDER: "incident commander",
        Role.COMMUNICATIONS: "communications lead",
        Role.SCRIBE: "scribe",
    }[role]
