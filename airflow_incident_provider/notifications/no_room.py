"""Notify the responders in another way when an incident's room cannot be opened."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Iterator
from contextlib import suppress
from importlib import import_module
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseNotifier

from airflow_incident_provider.config import TaskId, run_url, settings
from airflow_incident_provider.models import Incident
from airflow_incident_provider.people.queries import QueryKind, parse_query
from airflow_incident_provider.room.xcom import returned
from airflow_incident_provider.text import one_line

if TYPE_CHECKING:
    from airflow.sdk import Context


class NoRoomNotifier(BaseNotifier):
    """Send the notification that ``[incident] fallback_notifier`` configures: the failure callback of the room.

    The notifier is any class of Airflow's notifiers, such as
    ``airflow.providers.smtp.notifications.smtp.SmtpNotifier``. Its arguments are the JSON object in ``[incident]
    fallback_notifier_arguments``. Those that the notifier renders with Jinja may use, besides Airflow's context:

    - ``incident``: the :class:`~airflow_incident_provider.models.Incident`, with ``title``, ``severity`` and so on;
    - ``no_room``: why there is no room, in one line;
    - ``responders``: everybody who should come, and ``responder_emails``, the addresses among them;
    - ``incident_url``: the address of the run in Airflow's UI.

    An error here is logged: a callback must not make a failure worse.

    .. code-block:: python

        CreateWarRoomOperator(task_id="create_war_room", on_failure_callback=NoRoomNotifier())
    """

    def notify(self, context: Context) -> None:
        """Send the notification, if one is configured and there is an incident."""
        if settings().fallback_notifier is None:
            return
        try:
            self._notify(context)
        except Exception:
            self.log.exception("The responders were not notified that there is no room")

    async def async_notify(self, context: Context) -> None:
        """Do the same in a thread."""
        await asyncio.to_thread(self.notify, context)

    def _notify(self, context: Context) -> None:
        ti: Any = context["ti"]
        value = returned(ti, TaskId.PARSE_INCIDENT)
        if value is None:
            return
        incident = Incident.model_validate(value)
        details: dict[str, Any] = {
            "incident": incident,
            "no_room": one_line(str(context.get("exception") or "it could not be opened")),
            "responders": list(incident.responders),
            "responder_emails": list(dict.fromkeys(_addresses(incident.responders))),
            "incident_url": run_url(ti.dag_id, ti.run_id) or "",
        }
        configured_notifier()({**context, **details})
        self.log.info("The responders were notified that there is no room")


def _addresses(responders: Iterable[str]) -> Iterator[str]:
    """Yield the e-mail addresses among the queries for people."""
    for text in responders:
        with suppress(ValueError):  # there is no name in it
            query = parse_query(text)
            if query.kind is QueryKind.EMAIL:
                yield query.value


def configured_notifier() -> Any:
    """Return the notifier that ``[incident]`` configures.

    :raises ValueError: the class cannot be imported, or its arguments are not a JSON object.
    """
    path = settings().fallback_notifier or ""
    module, _, name = path.rpartition(".")
    try:
        notifier = getattr(import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ValueError(f"[incident] fallback_notifier: {path!r} cannot be imported: {error}") from error
    text = settings().fallback_notifier_arguments
    try:
        arguments = json.loads(text or "{}")
    except ValueError as error:
        raise ValueError(f"[incident] fallback_notifier_arguments is not JSON: {error}") from error
    if not isinstance(arguments, dict):
        raise ValueError("[incident] fallback_notifier_arguments is not a JSON object")
    return notifier(**arguments)
