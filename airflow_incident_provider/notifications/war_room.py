"""A war room when another DAG fails."""

from __future__ import annotations

import asyncio
import copy
import random
import re
import sqlite3
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseNotifier

from airflow_incident_provider.config import DEFAULT_SLACK_CONN_ID, settings
from airflow_incident_provider.exceptions import (
    IncidentError,
    SlackConfigurationError,
    SlackRequestError,
    SlackUnavailableError,
)
from airflow_incident_provider.messages.blocks import Message
from airflow_incident_provider.messages.channel import NAME_LIMIT, numbered_name, purpose_key
from airflow_incident_provider.messages.updates import failures_message, run_failure, task_failure
from airflow_incident_provider.models import Incident, Route, Severity, Source
from airflow_incident_provider.notifications.failed_run import FailedRun
from airflow_incident_provider.notifications.failure_queue import Batch, FailureQueue, RoomRef
from airflow_incident_provider.room.brief import brief_key
from airflow_incident_provider.room.opener import RoomOpener, RoomRequest
from airflow_incident_provider.room.posting import Ledger, find_early_message
from airflow_incident_provider.room.responders import people_in, resolve_users
from airflow_incident_provider.room.snapshot import IncidentSnapshot, RunRef
from airflow_incident_provider.slack.access import identify_workspace, open_slack_client
from airflow_incident_provider.slack.errors import THREAD_GONE

if TYPE_CHECKING:
    from airflow.sdk import Context


RATE_LIMIT_PATIENCE_S = 600.0
"""Seconds that a task's callback waits, in all, for Slack's rate limits; until then its failure is queued."""

OUTAGE_PATIENCE_S = 30.0
"""Seconds that it tries again if Slack does not answer; afterwards the next failure on this worker posts it."""

DAG_PATIENCE_S = 20.0
"""Seconds for the callback of a DAG, which runs in the DAG processor."""

_FIRST_RETRY_S = 1.0
_MAX_PREFIX = 40
_NOT_IN_PREFIX = re.compile(r"[^a-z0-9_-]+")
_ROOM_GONE = THREAD_GONE | {"channel_not_found", "is_archived", "not_in_channel"}


class WarRoomNotifier(BaseNotifier):
    """Open a room for a run that failed, and post its failures there.

    One room for each run: everything that fails in the run later is posted in the same room, and failures that come
    at the same time are posted in one message. Failures of private notifiers, and of each further connection, have
    a room of their own. Use it as ``on_failure_callback`` of tasks or of a DAG. Errors are logged and never make
    the failure worse. A failure that cannot be posted, because Slack is down or limits the rate, is kept in
    ``[incident] directory_folder`` and posted with the next one on the same worker.

    :param members: people to invite: e-mail addresses, names, ``@usergroup`` handles or Slack ids, in a list or in
        a text with commas or line breaks. (templated)
    :param title: the headline; default: "DAG ... failed". (templated)
    :param text: what people should know, such as what the DAG is for. (templated)
    :param severity: how bad a failure of this DAG is.
    :param private: whether the room is private.
    :param channel_prefix: the start of the room's name; DAG and run follow. Other characters than ``a-z 0-9 _ -``
        become hyphens.
    :param slack_conn_id: an Airflow connection of type ``slack``; without it, the log shows what would be posted.
        (templated)
    :raises ValueError: ``channel_prefix`` has no letter or digit, or is longer than 40 characters.

    .. code-block:: python

        with DAG("orders", default_args={"on_failure_callback": WarRoomNotifier(members=["@data-oncall"])}):
            ...
    """

    template_fields: Sequence[str] = ("members", "title", "text", "slack_conn_id")

    def __init__(
        self,
        *,
        members: str | Sequence[str] = (),
        title: str | None = None,
        text: str | None = None,
        severity: Severity | str = Severity.HIGH,
        private: bool = False,
        channel_prefix: str = "dag",
        slack_conn_id: str = DEFAULT_SLACK_CONN_ID,
        context: Context | None = None,
    ) -> None:
        super().__init__(context)
        self.members = members
        self.title = title
        self.text = text
        self.severity = Severity(severity)
        self.private = private
        self.channel_prefix = _valid_prefix(channel_prefix)
        self.slack_conn_id = slack_conn_id

    def __call__(self, *args: Any) -> None:
        """Notify, and return whatever happens: a callback must not make a failure worse."""
        try:
            # Airflow renders the templates into the notifier itself, which other tasks share.
            BaseNotifier.__call__(copy.copy(self), *args)
        except IncidentError as error:
            self.log.error("No room could be opened, or not every failure posted in it: %s", error)
        except Exception:
            self.log.exception("No room could be opened, or not every failure posted in it")

    def notify(self, context: Context) -> None:
        """Queue the failure, and post all that are queued for this run, unless another process does."""
        failure = FailedRun.of(context, destination=self._destination())
        deadline = _Deadline.of(failure)
        try:
            self._notify_through(settings().directory_folder, failure, deadline)
        except (OSError, sqlite3.Error) as error:
            self.log.warning("Failures cannot be queued, so this one is posted by itself: %s", error)
            self._notify_through(None, failure, deadline)

    def _notify_through(self, folder: Path | None, failure: FailedRun, deadline: _Deadline) -> None:
        """Notify by way of the queue in a folder, or without one."""
        with closing(FailureQueue(folder)) as queue:
            queue.add(failure, self._parameters())
            self._post_queued(queue, failure, deadline)
            self._post_left_over(queue, failure)

    async def async_notify(self, context: Context) -> None:
        """Do the same in a thread: Slack's client would block the triggerer's event loop."""
        await asyncio.to_thread(self.notify, context)

    # --- the queue ----------------------------------------------------------------------------------

    def _post_queued(self, queue: FailureQueue, failure: FailedRun, deadline: _Deadline) -> None:
        with queue.only_one(failure.key, timeout_s=deadline.remaining_s()) as is_mine:
            if not is_mine:
                self.log.warning("Another process is still posting; it posts this failure too")
                return
            while not queue.is_posted(failure):
                try:
                    _Delivery(self, queue, failure).post_all()
                except SlackUnavailableError as error:
                    if not deadline.wait(error):
                        raise
                    self.log.info("Trying again to post the failure: %s", error)

    def _post_left_over(self, queue: FailureQueue, failure: FailedRun) -> None:
        """Post what earlier processes on this worker could not post, unless another process already does."""
        for other, parameters in queue.waiting_runs():
            if other.key == failure.key:
                continue
            with queue.only_one(other.key, timeout_s=0) as is_mine:
                if not is_mine:
                    continue
                try:
                    _Delivery(WarRoomNotifier(**parameters), queue, other).post_all()
                except SlackUnavailableError as error:
                    self.log.warning("Failures of %s could not be posted yet: %s", other.dag_id, error)
                    return
                except IncidentError as error:
                    self.log.warning("Failures of %s could not be posted: %s", other.dag_id, error)

    def _destination(self) -> str | None:
        """Return what distinguishes the run's rooms; ``None`` for the public one of the default connection."""
        if self.slack_conn_id == DEFAULT_SLACK_CONN_ID and not self.private:
            return None
        return f"{self.slack_conn_id}/{'private' if self.private else 'public'}"

    def _parameters(self) -> dict[str, Any]:
        return {
            "members": people_in(self.members),
            "title": self.title,
            "text": self.text,
            "severity": str(self.severity),
            "private": self.private,
            "channel_prefix": self.channel_prefix,
            "slack_conn_id": self.slack_conn_id,
        }


class _Delivery:
    """Posts the queued failures of one run: finds its room, or opens it, and posts.

    Only one of these works on a run at a time on this worker; on another worker, Slack's channel name is the lock.
    """

    def __init__(self, notifier: WarRoomNotifier, queue: FailureQueue, run: FailedRun) -> None:
        self._notifier = notifier
        self._queue = queue
        self._run = run
        self._workspace = identify_workspace(notifier.slack_conn_id)
        self._name = _channel_name(notifier.channel_prefix, run)
        self._slack = open_slack_client(
            self._workspace, notifier.slack_conn_id, channel_name=self._name, log=notifier.log
        )

    def post_all(self) -> None:
        """Post every queued failure of the run, each once.

        :raises SlackUnavailableError: Slack does not answer or limits the rate; what was not posted stays queued.
        """
        while (batch := self._queue.next_batch(self._run.key)) is not None:
            self._post(batch)
            self._queue.mark_posted(self._run.key, batch)

    def _post(self, batch: Batch) -> None:
        room = self._queue.room(self._run.key) or self._find_or_open()
        if batch.tried_before and self._slack.find_message(room.channel_id, batch.key, thread_ts=room.thread_ts):
            return
        try:
            self._slack.post(room.channel_id, _message(batch), key=batch.key, thread_ts=room.thread_ts)
        except SlackRequestError as error:
            message = _message(batch)
            if error.code in _ROOM_GONE:
                self._queue.remember_room(self._run.key, None)
                room = self._find_or_open()
            else:  # Slack refuses the text: the names of the tasks are better than nothing.
                self._notifier.log.warning("The failures are posted without details: %s", error)
                message = _message(batch, details=False)
            self._slack.post(room.channel_id, message, key=batch.key, thread_ts=room.thread_ts)

    def _find_or_open(self) -> RoomRef:
        incident = _incident(self._notifier, self._run)
        room = self._find(incident) or self._open(incident)
        if not self._workspace.dry_run:
            self._queue.remember_room(self._run.key, room)
        return room

    def _find(self, incident: Incident) -> RoomRef | None:
        """Return the room that another worker opened, if its brief is there: then there is nothing else to do."""
        try:
            channel = self._slack.find_channel(self._name)
        except SlackConfigurationError as error:
            # An app that may not look opens another room: two are better than none.
            self._notifier.log.warning("Cannot look for the room of an earlier failure: %s", error)
            return None
        ours = channel is not None and channel.creator == self._workspace.bot_user_id and not channel.archived
        if channel is None or not ours or purpose_key(channel.purpose) != incident.key:
            return None
        key = brief_key(incident)
        brief_ts = find_early_message(self._slack, channel.id, key, posted_after=channel.created_at)
        return RoomRef(channel.id, brief_ts) if brief_ts else None

    def _open(self, incident: Incident) -> RoomRef:
        notifier, run = self._notifier, self._run
        request = RoomRequest(
            snapshot=IncidentSnapshot(
                run=RunRef(dag_id=run.dag_id, run_id=run.run_id),
                incident=incident,
                workspace=self._workspace,
                people=resolve_users(
                    notifier.members,
                    self._workspace,
                    notifier.slack_conn_id,
                    private=notifier.private,
                    seconds=settings().lookup_budget_seconds,
                ),
            ),
            name=lambda attempt: numbered_name(self._name, attempt),
        )
        room = RoomOpener(self._slack, request, Ledger({})).open()
        for problem in room.problems:
            notifier.log.warning("In the room: %s", problem.log_line())
        notifier.log.info("The room of this failure: #%s %s", room.channel_name, room.url or "")
        return RoomRef(room.channel_id or "", room.brief_ts)


@dataclass
class _Deadline:
    """How long a callback may wait for Slack."""

    started: float
    rate_limit_s: float
    outage_s: float
    retry_s: float = _FIRST_RETRY_S

    @classmethod
    def of(cls, failure: FailedRun) -> _Deadline:
        if failure.task is None:
            return cls(time.monotonic(), DAG_PATIENCE_S, DAG_PATIENCE_S)
        return cls(time.monotonic(), RATE_LIMIT_PATIENCE_S, OUTAGE_PATIENCE_S)

    def remaining_s(self) -> float:
        """Return the seconds that are left."""
        return max(0.0, self.started + self.rate_limit_s - time.monotonic())

    def wait(self, error: SlackUnavailableError) -> bool:
        """Wait as long as Slack asked, or a while; return whether to try again."""
        patience = self.outage_s if error.retry_after is None else self.rate_limit_s
        seconds = self.retry_s if error.retry_after is None else error.retry_after
        # Slack asks every worker to wait equally long: not all of them should come back at once.
        seconds += random.uniform(0, min(1.0, seconds))  # noqa: S311 - no secret
        if time.monotonic() + seconds > self.started + patience:
            return False
        time.sleep(seconds)
        self.retry_s *= 2
        return True


def _incident(notifier: WarRoomNotifier, run: FailedRun) -> Incident:
    return Incident(
        key=run.key,
        id=run.digest,
        source=Source.MANUAL,
        title=notifier.title or f"DAG {run.dag_id} failed",
        description=notifier.text,
        severity=notifier.severity,
        occurred_at=run.began_at,
        received_at=datetime.now(UTC),
        responders=tuple(people_in(notifier.members)),
        fields={"DAG run": (run.run_id,)},
        route=Route(private=notifier.private),
    )


def _valid_prefix(prefix: str) -> str:
    """Return a prefix as Slack's channel names allow it.

    :raises ValueError: nothing is left of it, or it is too long.
    """
    valid = _NOT_IN_PREFIX.sub("-", prefix.strip().lower()).strip("-_")
    if not valid or len(valid) > _MAX_PREFIX:
        raise ValueError(
            f"channel_prefix is {prefix!r}; it needs a letter a-z or a digit, and at most {_MAX_PREFIX} characters"
        )
    return valid


def _channel_name(prefix: str, run: FailedRun) -> str:
    """Return the room's name: the same for every failure of a run."""
    from slugify import slugify

    length = NAME_LIMIT - len(prefix) - len(run.digest) - 2
    words = slugify(run.dag_id, max_length=length, regex_pattern=r"[^a-z0-9_-]+")
    return "-".join(part for part in (prefix, words, run.digest) if part)


def _message(batch: Batch, *, details: bool = True) -> Message:
    lines = [
        run_failure(failure.reason)
        if failure.task is None
        else task_failure(
            failure.task.name,
            try_number=failure.task.try_number,
            error=failure.task.error if details else None,
            log_url=failure.task.log_url if details else None,
        )
        for failure in batch.failures
    ]
    if len(batch.failures) > 1:
        return failures_message(f"{len(batch.failures)} failures", lines)
    [failure] = batch.failures
    return failures_message(f"Task {failure.task.name} failed" if failure.task else "The run failed", lines)
