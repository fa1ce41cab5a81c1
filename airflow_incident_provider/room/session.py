"""A task's visit to the place where an incident is talked about: who we are there, and what we have done there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from airflow_incident_provider.lifecycle.records import Visibility
from airflow_incident_provider.models import PostedMessage, Problem, SlackWorkspace, ThreadUpdates, Verdict, WarRoom
from airflow_incident_provider.room.ledger import Ledger
from airflow_incident_provider.room.posting import Poster
from airflow_incident_provider.room.snapshot import KnownIncident
from airflow_incident_provider.slack.access import identify_workspace, open_slack_client
from airflow_incident_provider.slack.protocol import SlackClient

if TYPE_CHECKING:
    from airflow.sdk import Context
    from airflow.sdk.types import Logger


@dataclass(frozen=True, kw_only=True)
class Visit:
    """What a task needs to tell something of an incident.

    :param run_key: what the keys of this run's messages begin with.
    :param step: the task, for what is said about failures.
    """

    known: KnownIncident
    workspace: SlackWorkspace
    slack: SlackClient
    ledger: Ledger
    conn_id: str
    run_key: str
    step: str

    @classmethod
    def begin(
        cls, context: Context, known: KnownIncident, *, conn_id: str, log: Logger, place: str = "no-channel"
    ) -> Visit:
        """Return a visit, live or dry as the incident's first run was.

        :param conn_id: how to reach Slack, where it is not known how the first run did.
        :param place: what a dry-run calls the place while there is no room.
        """
        workspace = known.workspace or identify_workspace(conn_id)
        conn_id = workspace.conn_id or conn_id
        name = known.room.channel_name if known.room else place
        return cls(
            known=known,
            workspace=workspace,
            slack=open_slack_client(workspace, conn_id, channel_name=name, log=log),
            ledger=Ledger(context),
            conn_id=conn_id,
            run_key=f"{known.record.key}/{context['ti'].run_id}",
            step=context["ti"].task_id,
        )

    def moved_to(self, room: WarRoom) -> Visit:
        """Return the visit in another room."""
        return replace(self, known=replace(self.known, room=room))

    @property
    def room(self) -> WarRoom:
        """Where it is talked about; only to be asked for where there is such a place."""
        assert self.known.room is not None
        return self.known.room

    @property
    def poster(self) -> Poster:
        """What posts there, once, however often the task is tried."""
        return Poster(self.slack, self.room.channel_id or "", self.ledger)

    @property
    def is_in_thread(self) -> bool:
        """Whether the incident has only a thread in the triage channel."""
        return self.known.record.visibility is Visibility.THREAD

    @property
    def main_thread_ts(self) -> str | None:
        """Where what everybody should see goes: into the channel itself, but never into the triage channel."""
        return self.room.brief_ts if self.is_in_thread else None

    def value(
        self,
        posted: Iterable[PostedMessage],
        *,
        problems: Iterable[Problem] = (),
        counts: Mapping[Verdict, int] | None = None,
    ) -> ThreadUpdates:
        """Return what the task did, for its XCom."""
        return ThreadUpdates(
            mode=self.workspace.mode,
            channel_id=self.room.channel_id,
            thread_ts=self.room.brief_ts,
            messages=() if self.workspace.dry_run else tuple(posted),
            counts=dict(counts or {}),
            problems=tuple(problems),
            would_post=self.slack.would_post,
        )
