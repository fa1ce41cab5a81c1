"""``airflow incident setup datadog``: Datadog's webhook, its payload template and its secret."""

from __future__ import annotations

import json
import re
from argparse import Namespace
from typing import Any

from airflow.sdk import BaseHook

from airflow_incident_provider.cli.datadog_api import DatadogApi
from airflow_incident_provider.cli.output import print_text
from airflow_incident_provider.cli.run import ExitCode, UsageError, command
from airflow_incident_provider.config import (
    DEFAULT_DATADOG_CONN_ID,
    DEFAULT_WEBHOOK_CONN_ID,
    airflow_base_url,
)
from airflow_incident_provider.exceptions import IncidentError
from airflow_incident_provider.intake import payload_template
from airflow_incident_provider.plugins.api.errors import RequestError
from airflow_incident_provider.plugins.api.plugin import URL_PREFIX
from airflow_incident_provider.plugins.webhook.authentication import SECRET_HEADER, Authentication
from airflow_incident_provider.slack.access import connection_is_configured

WEBHOOK_NAME = "airflow-incident"
WEBHOOK_PATH = "/webhook/datadog"
SECRET_VARIABLE = "AIRFLOW_INCIDENT_SECRET"  # noqa: S105 - the name of Datadog's hidden custom variable

_NAME = re.compile(r"[A-Za-z0-9_-]{1,100}")


@command
def setup_datadog(args: Namespace) -> ExitCode:
    """Create or update the webhook in Datadog, or print the manual steps."""
    if not _NAME.fullmatch(args.name):
        raise UsageError(f"--name {args.name} is not a webhook name.", fix="Use letters, digits, - and _.")
    settings = webhook_settings(args.name, _url(args.url))
    if args.by_hand:
        print(manual_steps(settings))
        return ExitCode.OK
    api = DatadogApi.from_extra(_extra())
    # The secret first: a webhook that refers to a missing variable sends the variable's name.
    new_secret = api.put_variable({"name": SECRET_VARIABLE, "value": _secret(), "is_secret": True})
    new_webhook = api.put_webhook(settings)
    print_text(f"{_done(new_secret)} the hidden custom variable {SECRET_VARIABLE}.")
    print_text(f"{_done(new_webhook)} the webhook {args.name}, to {settings['url']}.")
    print_text(f"Mention @webhook-{args.name} in the messages of your monitors.")
    return ExitCode.OK


def manual_steps(settings: dict[str, Any]) -> str:
    """Return what to enter in Datadog's pages, without the secret."""
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


def page_url(path: str) -> str | None:
    """Return the address of a page of this package's API, if ``[api] base_url`` is set."""
    base = airflow_base_url()
    return f"{base}{URL_PREFIX}{path}" if base is not None else None


def webhook_settings(name: str, url: str) -> dict[str, Any]:
    """Return the webhook as Datadog's API takes it; it refers to the secret by the variable's name."""
    return {
        "name": name,
        "url": url,
        "encode_as": "json",
        "custom_headers": json.dumps({SECRET_HEADER: f"${SECRET_VARIABLE}"}),
        "payload": payload_template(),
    }


def _url(given: str | None) -> str:
    url = given or page_url(WEBHOOK_PATH)
    if url is None:
        raise UsageError("The public address of Airflow is unknown.", fix="Give --url, or set [api] base_url.")
    if not url.startswith(("https://", "http://")):
        raise UsageError(f"--url {url} is not a URL.", fix="Begin it with https://.")
    return url


def _extra() -> dict[str, Any]:
    if not connection_is_configured(DEFAULT_DATADOG_CONN_ID):
        raise IncidentError(
            f"There is no connection {DEFAULT_DATADOG_CONN_ID}.",
            fix="Run: airflow incident setup airflow --yes, with DD_API_KEY and DD_APP_KEY set; or use --print.",
        )
    return dict(BaseHook.get_connection(DEFAULT_DATADOG_CONN_ID).extra_dejson)


def _secret() -> str:
    try:
        return Authentication().credentials().secret
    except RequestError as error:
        raise IncidentError(error.answer.error, fix="Run: airflow incident setup airflow --yes") from None


def _done(is_new: bool) -> str:
    return "Created" if is_new else "Updated"
