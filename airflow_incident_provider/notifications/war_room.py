"""A room when somebody else's DAG fails."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseNotifier

from airflow_incident_provider.config import DEFAULT_SLACK_CONN_ID, settings
from airflow_incident_provider.exceptions import IncidentError
from airflow_incident_provider.messages.channel import numbered_name
from airflow_incident_provider.models import Incident, Route, Severity, SlackWorkspace, Source
from airflow_incident_provider.room.opener import RoomOpener, RoomRequest
from airflow_incident_provider.room.posting import Ledger
from airflow_incident_provider.room.responders import resolve_users
from airflow_incident_provider.room.snapshot import IncidentSnapshot, RunRef
from airflow_incident_provider.slack.access import identify_workspace, open_slack_client

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_incident_provider.models import WarRoom
    from airflow_incident_provider.notifications.failed_run import FailedRun
    from airflow_incident_provider.slack.protocol import SlackClient


class WarRoomNotifier(BaseNotifier):
    """Open a room about a run that failed, and tell in it what failed.

    One room a run: whatever else of the run fails later is told in the same room. It is for the
    ``on_failure_callback`` of a task, and for that of a DAG. What goes wrong here is logged and breaks nothing.

    :param members: whom to invite: e-mail addresses, names, ``@usergroup`` handles or Slack ids. (templated)
    :param title: the headline; default: "DAG ... failed". (templated)
    :param text: what people should know, such as what the DAG is for. (templated)
    :param severity: how bad a failure of this DAG is.
    :param private: whether the room is private.
    :param channel_prefix: what the room's name begins with (``a-z 0-9 _ -``); DAG and run follow.
    :param slack_conn_id: an Airflow connection of type ``slack``; without it, the log shows what would be posted.
        (templated)

    .. code-block:: python

        with DAG("orders", default_args={"on_failure_callback": WarRoomNotifier(members=["@data-oncall"])}):
            ...
    """

    template_fields: Sequence[str] = ("members", "title", "text", "slack_conn_id")

    def __init__(
        self,
        *,
        members: Sequence[str] = (),
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
        self.channel_prefix = channel_prefix
        self.slack_conn_id = slack_conn_id

    def __call__(self, *args: Any) -> None:
        """Notify, and whatever comes of that, return: a callback must not make a failure worse."""
        try:
            # Airflow renders the templates into the notifier itself, which other tasks share.
            BaseNotifier.__call__(copy.copy(self), *args)
        except IncidentError as error:
            self.log.error("No room could be opened, or not all of the failure be told in it: %s", error)
        except Exception:
            self.log.exception("No room could be opened, or not all of the failure be told in it")

    def notify(self, context: Context) -> None:
        """Open the room, or find it, and tell what failed."""
        from airflow_incident_provider.notifications.failed_run import FailedRun

        run = FailedRun.of(context)
        workspace = identify_workspace(self.slack_conn_id)
        name = _channel_name(self.channel_prefix, run)
        slack = open_slack_client(workspace, self.slack_conn_id, channel_name=name, log=self.log)
        room = self._open(slack, workspace, run, name)
        _tell(slack, room, run)
        for problem in room.problems:
            self.log.warning("In the room: %s (%s)", problem.what, problem.fix or problem.error)
        self.log.info("The room of this failure: #%s %s", room.channel_name, room.url or "")

    async def async_notify(self, context: Context) -> None:
        """Do the same in a thread: Slack's client would hold up the triggerer's event loop."""
        await asyncio.to_thread(self.notify, context)

    def _open(self, slack: SlackClient, workspace: SlackWorkspace, run: FailedRun, name: str) -> WarRoom:
        request = RoomRequest(
            snapshot=IncidentSnapshot(
                run=RunRef(dag_id=run.dag_id, run_id=run.run_id),
                incident=self._incident(run),
                workspace=workspace,
                people=resolve_users(
                    self.members,
                    workspace,
                    self.slack_conn_id,
                    private=self.private,
                    seconds=settings().lookup_budget_seconds,
                ),
            ),
            name=lambda attempt: numbered_name(name, attempt),
        )
        # Nothing is stored from one callback to the next: Slack is asked what is there.
        return RoomOpener(slack, request, Ledger({})).open()

    def _incident(self, run: FailedRun) -> Incident:
        """Return the failure in the terms of an incident."""
        return Incident(
            key=run.key,
            id=run.digest,
            source=Source.MANUAL,
            title=self.title or f"DAG {run.dag_id} failed",
            description=self.text,
            severity=self.severity,
            occurred_at=run.began_at,
            received_at=datetime.now(UTC),
            responders=tuple(self.members),
            fields={"DAG run": (run.run_id,)},
            route=Route(private=self.private),
        )


def _channel_name(prefix: str, run: FailedRun) -> str:
    """Return the room's name: the same for each failure of a run, whatever is known of it."""
    from slugify import slugify

    from airflow_incident_provider.messages.channel import NAME_LIMIT

    room = NAME_LIMIT - len(prefix) - len(run.digest) - 2
    words = slugify(run.dag_id, max_length=room, regex_pattern=r"[^a-z0-9_-]+")
    return "-".join(part for part in (prefix, words, run.digest) if part)


def _tell(slack: SlackClient, room: WarRoom, run: FailedRun) -> None:
    """Say what failed under the brief, unless that was said already."""
    from airflow_incident_provider.messages.updates import run_failure, task_failure

    if run.task is None:
        key, message = f"{run.key}/run", run_failure(run.reason)
    else:
        task = run.task
        key = f"{run.key}/{task.task_id}/{task.map_index}/{task.try_number}"
        message = task_failure(task.name, try_number=task.try_number, error=task.error, log_url=task.log_url)
    channel_id = room.channel_id or ""
    if slack.find_message(channel_id, key, thread_ts=room.brief_ts) is None:
        slack.post(channel_id, message, key=key, thread_ts=room.brief_ts)
