"""``airflow incident setup datadog``: the webhook, its payload and its secret."""

from __future__ import annotations

import re
from argparse import Namespace
from typing import Any

from airflow_incident_provider.commands.datadog_api import DatadogApi
from airflow_incident_provider.commands.output import print_text
from airflow_incident_provider.commands.running import ExitCode, UsageError, command
from airflow_incident_provider.commands.webhooks import SECRET_VARIABLE, served_url, webhook_settings
from airflow_incident_provider.config import DEFAULT_DATADOG_CONN_ID, DEFAULT_WEBHOOK_CONN_ID
from airflow_incident_provider.exceptions import IncidentError
from airflow_incident_provider.slack.access import connection_is_configured

_NAME = re.compile(r"[A-Za-z0-9_-]{1,100}")


@command
def setup_datadog(args: Namespace) -> ExitCode:
    """Create or update the webhook in Datadog, or say how to do it by hand."""
    if not _NAME.fullmatch(args.name):
        raise UsageError(f"--name {args.name} is no name of a webhook.", fix="Use letters, digits, - and _.")
    settings = webhook_settings(args.name, _url(args.url))
    if args.by_hand:
        print(by_hand(settings))
        return ExitCode.OK
    api = DatadogApi.from_extra(_extra())
    # First the secret: a webhook that names a variable which is not there sends the variable's name.
    new_secret = api.put_variable({"name": SECRET_VARIABLE, "value": _secret(), "is_secret": True})
    new_webhook = api.put_webhook(settings)
    print_text(f"{_done(new_secret)} the hidden custom variable {SECRET_VARIABLE}.")
    print_text(f"{_done(new_webhook)} the webhook {args.name}, to {settings['url']}.")
    print_text(f"Mention @webhook-{args.name} in the messages of your monitors.")
    return ExitCode.OK


def by_hand(settings: dict[str, Any]) -> str:
    """Return what to do in Datadog's pages; the secret is not in it."""
    return "\n".join(
        (
            "In Datadog, Integrations, Webhooks:",
            "",
            f"1. Under Custom Variables add {SECRET_VARIABLE}, with 'Hide from view'. Its value is the password of",
            f"   the Airflow connection {DEFAULT_WEBHOOK_CONN_ID}.",
            f"2. Under Webhooks add {settings['name']}:",
            f"   URL:            {settings['url']}",
            f"   Custom headers: {settings['custom_headers']}",
            "   Encode as form: off",
            "   Payload:",
            "",
            settings["payload"].rstrip(),
            "",
            f"3. Mention @webhook-{settings['name']} in the messages of your monitors.",
        )
    )


def _url(given: str | None) -> str:
    url = given or served_url("/webhook/datadog")
    if url is None:
        raise UsageError("Where does Datadog reach Airflow?", fix="Name it with --url, or set [api] base_url.")
    if not url.startswith(("https://", "http://")):
        raise UsageError(f"--url {url} is no address.", fix="Begin it with https://.")
    return url


def _extra() -> dict[str, Any]:
    from airflow.sdk import BaseHook

    if not connection_is_configured(DEFAULT_DATADOG_CONN_ID):
        raise IncidentError(
            f"There is no connection {DEFAULT_DATADOG_CONN_ID}.",
            fix="Run: airflow incident setup airflow, with DD_API_KEY and DD_APP_KEY set; or --print.",
        )
    return dict(BaseHook.get_connection(DEFAULT_DATADOG_CONN_ID).extra_dejson)


def _secret() -> str:
    from airflow_incident_provider.plugins.api.errors import RequestError
    from airflow_incident_provider.plugins.webhook.authentication import Authentication

    try:
        return Authentication().credentials().secret
    except RequestError as refused:
        raise IncidentError(refused.answer.error, fix="Run: airflow incident setup airflow --yes") from None


def _done(is_new: bool) -> str:
    return "Created" if is_new else "Updated"
