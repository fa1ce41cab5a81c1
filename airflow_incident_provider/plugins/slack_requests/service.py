"""The parts of the endpoints put together: verification, the receiver, and replies to the person."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Mapping
from typing import Any

from airflow_incident_provider.config import DEFAULT_SLACK_CONN_ID
from airflow_incident_provider.exceptions import SlackError
from airflow_incident_provider.messages.controls import FormContext
from airflow_incident_provider.messages.mrkdwn import escape
from airflow_incident_provider.plugins.api.errors import RequestError
from airflow_incident_provider.plugins.slack_requests.authorization import Authorization, SlackMembers
from airflow_incident_provider.plugins.slack_requests.receiver import SlackReceiver
from airflow_incident_provider.plugins.slack_requests.verification import SlackApp, Verification
from airflow_incident_provider.registry.actions import DatabaseIncidents
from airflow_incident_provider.registry.runs import Runs
from airflow_incident_provider.routing_file import RoutingTableFile
from airflow_incident_provider.slack.access import live_slack_client

QUESTION_SECONDS = 1.5
"""Time for one question to Slack before an acknowledgement."""

ADMISSION_SECONDS = 1.5
"""Time to read the signing secret, which may be in a blocked database; Slack shows the person that this failed."""

REPLY_SECONDS = 10

log = logging.getLogger(__name__)


class SlackService:
    """Everything that the endpoints need.

    :param verification: admits requests by their signature.
    :param receiver: acts on requests; by default in Airflow's database.
    """

    def __init__(self, verification: Verification | None = None, receiver: SlackReceiver | None = None) -> None:
        self._verification = verification or Verification()
        routing = RoutingTableFile()
        self.receiver = receiver or SlackReceiver(
            DatabaseIncidents(Runs()),
            Authorization(lambda: SlackMembers(QUESTION_SECONDS)),
            routing.table,
            open_view,
        )

    async def admit(self, body: bytes, headers: Mapping[str, str]) -> SlackApp:
        """Return the app that the request is signed for.

        :raises RequestError: it is not signed by Slack, or the signing secret cannot be read in time.
        """
        admitted = asyncio.to_thread(self._verification.admit, body, headers)
        try:
            return await asyncio.wait_for(admitted, ADMISSION_SECONDS)
        except TimeoutError:
            raise RequestError(
                503, f"The connection {DEFAULT_SLACK_CONN_ID} cannot be read in time.", fix="Try again."
            ) from None

    def reply_later(self, payload: Mapping[str, Any], text: str) -> None:
        """Show a text, unless it is empty, to the sender only, after the acknowledgement."""
        if text:
            self.receiver.in_background(_reply, payload, text)


def open_view(trigger_id: str, view: dict[str, Any]) -> None:
    """Open a modal (``views.open``).

    :raises SlackError: Slack did not open it.
    """
    client = live_slack_client(DEFAULT_SLACK_CONN_ID).within(QUESTION_SECONDS)
    client.hook.write("views.open", trigger_id=trigger_id, view=json.dumps(view))


def _reply(payload: Mapping[str, Any], text: str) -> None:
    """Show a text to the sender of the payload only: by its response URL, else by ``chat.postEphemeral``."""
    response_url = payload.get("response_url")
    if isinstance(response_url, str) and response_url:
        # The payload is signed, so the address is Slack's.
        from slack_sdk.webhook import WebhookClient

        WebhookClient(response_url, timeout=REPLY_SECONDS).send(
            text=escape(text), response_type="ephemeral", replace_original=False
        )
        return
    channel_id, user_id = _channel_of_form(payload), (payload.get("user") or {}).get("id")
    if channel_id is None or not isinstance(user_id, str):
        return
    try:
        client = live_slack_client(DEFAULT_SLACK_CONN_ID).within(REPLY_SECONDS)
        client.hook.write("chat.postEphemeral", channel=channel_id, user=user_id, text=escape(text), parse="none")
    except SlackError as error:
        log.warning("A reply could not be shown: %s", error)


def _channel_of_form(payload: Mapping[str, Any]) -> str | None:
    view = payload.get("view")
    try:
        metadata = str(view.get("private_metadata", "")) if isinstance(view, Mapping) else ""
        return FormContext.model_validate_json(metadata).channel_id
    except ValueError:
        return None
