"""A task's access to the place where an incident is discussed: a client, a ledger and a poster."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from airflow_incident_provider.exceptions import IncidentError, SlackUnavailableError
from airflow_incident_provider.lifecycle.records import Visibility
from airflow_incident_provider.models import PostedMessage, Problem, SlackWorkspace, ThreadUpdates, Verdict, WarRoom
from airflow_incident_provider.room.posting import Ledger, Poster
from airflow_incident_provider.room.snapshot import IncidentSnapshot
from airflow_incident_provider.slack.access import identify_workspace, open_slack_client
from airflow_incident_provider.slack.protocol import Channel, SlackClient

if TYPE_CHECKING:
    from airflow.sdk import Context
    from airflow.sdk.types import Logger


@dataclass(frozen=True, kw_only=True)
class RoomSession:
    """What a task needs to post about an incident.

    :param run_key: the prefix of the keys of this run's messages.
    :param step: the task id, for problems.
    :param for_another_run: whether it posts what another run could not post.
    """

    snapshot: IncidentSnapshot
    workspace: SlackWorkspace
    slack: SlackClient
    ledger: Ledger
    conn_id: str
    run_key: str
    step: str
    for_another_run: bool = False

    @classmethod
    def begin(
        cls,
        context: Context,
        snapshot: IncidentSnapshot,
        *,
        conn_id: str,
        log: Logger,
        channel_name: str = "no-channel",
    ) -> RoomSession:
        """Return a session, live or dry as the incident's first run was.

        :param conn_id: the Slack connection, if it is not known which one the first run used.
        :param channel_name: the channel that a dry run shows while there is no room.
        """
        workspace = snapshot.workspace or identify_workspace(conn_id)
        conn_id = workspace.conn_id or conn_id
        name = snapshot.room.channel_name if snapshot.room else channel_name
        return cls(
            snapshot=snapshot,
            workspace=workspace,
            slack=open_slack_client(workspace, conn_id, channel_name=name, log=log),
            ledger=Ledger(context),
            conn_id=conn_id,
            run_key=f"{snapshot.key}/{context['ti'].run_id}",
            step=context["ti"].task_id,
        )

    def in_room(self, room: WarRoom) -> RoomSession:
        """Return the session in another room."""
        return replace(self, snapshot=self.snapshot.with_room(room))

    def in_place_of(self, run_id: str) -> RoomSession:
        """Return the session to post what another run could not post, with the keys of that run."""
        return replace(self, run_key=f"{self.snapshot.key}/{run_id}", for_another_run=True)

    @property
    def room(self) -> WarRoom:
        """Where the incident is discussed; only for sessions that have such a place."""
        assert self.snapshot.room is not None
        return self.snapshot.room

    @property
    def poster(self) -> Poster:
        """Posts there, each message once."""
        return Poster(self.slack, self.room.channel_id or "", self.ledger, for_another_run=self.for_another_run)

    @property
    def is_in_thread(self) -> bool:
        """Whether the incident has only a thread in the triage channel."""
        record = self.snapshot.record
        return record is not None and record.visibility is Visibility.THREAD

    @property
    def main_thread_ts(self) -> str | None:
        """The thread for what everybody should see: none in a room, the incident's own in the triage channel."""
        return self.room.brief_ts if self.is_in_thread else None

    @property
    def buttons_key(self) -> str | None:
        """The incident's key if its messages have buttons, because interactivity is configured."""
        return self.snapshot.key if self.workspace.interactive else None

    def channel(self) -> tuple[Channel | None, bool]:
        """Return the room's channel, if the app may look at it, and whether it can be written to.

        :raises SlackUnavailableError: Slack does not answer.
        """
        try:
            channel = self.slack.channel(self.room.channel_id or "")
        except SlackUnavailableError:
            raise
        except IncidentError as error:
            return None, getattr(error, "code", None) != "channel_not_found"
        return channel, not channel.archived

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
