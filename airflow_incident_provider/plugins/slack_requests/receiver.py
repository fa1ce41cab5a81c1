"""
Handles Slack's requests within the three seconds that Slack waits.

An action is authorized, applied and committed before the acknowledgement, so an acknowledged action is never lost.
If Slack or the database is too slow for that, the reply says that the action is not confirmed. A refusal has its
reason: in the form, if one was submitted, because somebody who left the room sees no message there.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any, Protocol, TypeVar

from sqlalchemy.exc import SQLAlchemyError

from airflow_incident_provider.exceptions import IncidentError, InvalidPayloadError, SlackError
from airflow_incident_provider.intake.routing_table import RoutingTable
from airflow_incident_provider.interaction.commands import help_text
from airflow_incident_provider.interaction.requests import SlackRequest
from airflow_incident_provider.lifecycle.actions import AppliedAction
from airflow_incident_provider.lifecycle.coordination import Actor, ActorSource, IncidentAction
from airflow_incident_provider.lifecycle.records import IncidentRecord
from airflow_incident_provider.messages.controls import FormContext, form
from airflow_incident_provider.plugins.slack_requests.authorization import Authorization, NotAuthorizedError

ANSWER_SECONDS = 2.2
MAX_WORKERS = 8

NOT_CONFIRMED = "Not confirmed: Airflow's database did not answer in time. Look at the brief before you try again."
FORM_NOT_OPENED = "The form could not be opened. Nothing was done; try again."
UNKNOWN_INCIDENT = "No incident belongs to this channel."
WRONG_CHANNEL = "This is not the room of that incident."

log = logging.getLogger(__name__)
_Result = TypeVar("_Result")


class Incidents(Protocol):
    """Reads records and applies actions, in Airflow's database."""

    def find(self, *, key: str | None, channel_id: str) -> IncidentRecord | None:
        """Return the incident with this key, or the one whose room the channel is."""

    def apply(self, key: str, action: IncidentAction, table: RoutingTable) -> AppliedAction:
        """Apply an action in one transaction, with the runs that it starts."""


@dataclass(frozen=True)
class Reply:
    """The response to the person; empty for none."""

    text: str = ""
    in_form: bool = False
    """Whether nothing is known to be done, so that a submitted form stays open and shows the text."""


class SlackReceiver:
    """Receives Slack's requests.

    :param incidents: the registry.
    :param authorization: decides who may act.
    :param routing_table: returns the routing table.
    :param open_view: opens a modal: ``views.open`` with a trigger id and a view.
    """

    def __init__(
        self,
        incidents: Incidents,
        authorization: Authorization,
        routing_table: Callable[[], RoutingTable],
        open_view: Callable[[str, dict[str, Any]], None],
    ) -> None:
        self._incidents = incidents
        self._authorization = authorization
        self._routing_table = routing_table
        self._open_view = open_view
        self._threads = ThreadPoolExecutor(MAX_WORKERS, thread_name_prefix="incident-slack")
        self._background: set[asyncio.Future[Any]] = set()

    async def receive(self, request: SlackRequest, *, waited: float = 0.0) -> Reply:
        """Act on a request and return the reply for the person.

        :param waited: the seconds that Slack has waited already.
        """
        if request.wants_help:
            return Reply(help_text())
        work, too_late = (self._act, NOT_CONFIRMED) if request.form is None else (self._show_form, FORM_NOT_OPENED)
        try:
            return await asyncio.wait_for(self._in_thread(work, request), ANSWER_SECONDS - waited)
        except TimeoutError:
            log.warning("A Slack request could not be handled within %s s", ANSWER_SECONDS)
            return Reply(too_late, in_form=True)

    def in_background(self, work: Callable[..., object], *arguments: Any) -> None:
        """Run something after the acknowledgement; its failure is logged."""
        future = asyncio.get_running_loop().run_in_executor(self._threads, partial(work, *arguments))
        self._background.add(future)
        future.add_done_callback(self._finished)

    # --- actions --------------------------------------------------------------------------------------

    def _act(self, request: SlackRequest) -> Reply:
        assert request.command is not None
        try:
            record = self._incidents.find(key=request.key, channel_id=request.channel_id)
            if record is None:
                return Reply(UNKNOWN_INCIDENT, in_form=True)
            table = self._routing_table()
            self._authorize(request, record, table.interaction.groups)
            action = IncidentAction(
                id=request.id,
                kind=request.command.kind,
                at=datetime.now(UTC),
                actor=Actor(name=request.person.name, slack_id=request.person.slack_id, source=ActorSource.SLACK),
                **request.command.arguments,
            )
            applied = self._incidents.apply(record.key, action, table)
        except NotAuthorizedError as error:
            return Reply(str(error), in_form=True)
        except InvalidPayloadError as error:
            return Reply(f"{error.message} {error.fix or ''}".strip(), in_form=True)
        except IncidentError as error:
            log.warning("A Slack request was refused: %s", error)
            return Reply(f"Not done: {error.message} {error.fix or ''}".strip(), in_form=True)
        except SQLAlchemyError as error:
            log.error("A Slack request failed in the database: %s", type(error).__name__)
            return Reply(NOT_CONFIRMED, in_form=True)
        log.info("Action %s on %s by %s: %s", action.kind, record.key, request.person.slack_id, applied.outcome)
        return Reply(applied.reply)

    def _authorize(self, request: SlackRequest, record: IncidentRecord, groups: Sequence[str]) -> None:
        if record.room.channel_id != request.channel_id:
            raise NotAuthorizedError(WRONG_CHANNEL)
        self._authorization.require(request.person.slack_id or "", record.room.channel_id, groups)

    # --- forms ----------------------------------------------------------------------------------------

    def _show_form(self, request: SlackRequest) -> Reply:
        """Open a form in the incident's room. Who may submit it is decided then."""
        assert request.form is not None
        try:
            record = self._incidents.find(key=request.key, channel_id=request.channel_id)
        except (IncidentError, SQLAlchemyError):
            return Reply(FORM_NOT_OPENED)
        if record is None or record.room.channel_id != request.channel_id:
            return Reply(UNKNOWN_INCIDENT if record is None else WRONG_CHANNEL)
        context = FormContext(key=record.key, kind=request.form, channel_id=request.channel_id)
        try:
            self._open_view(request.trigger_id or "", form(context, title=record.title, severity=record.severity))
        except SlackError as error:
            log.warning("Slack did not open a form: %s", error)
            return Reply(FORM_NOT_OPENED)
        return Reply()

    # --- threads --------------------------------------------------------------------------------------

    async def _in_thread(self, work: Callable[..., _Result], *arguments: Any) -> _Result:
        return await asyncio.get_running_loop().run_in_executor(self._threads, partial(work, *arguments))

    def _finished(self, future: asyncio.Future[Any]) -> None:
        self._background.discard(future)
        error = None if future.cancelled() else future.exception()
        if error is not None:
            log.error("Work after an acknowledgement failed", exc_info=error)
