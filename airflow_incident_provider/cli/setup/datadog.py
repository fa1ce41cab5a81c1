"""``airflow incident setup datadog``: Datadog's webhook, its payload template and its secret."""

from __future__ import annotations

import json
import re
from argparse import Namespace
from collections.abc import Iterator
from functools import partial
from importlib.resources import files
from string import Template
from textwrap import indent
from typing import Any
from urllib.parse import urlsplit

from airflow.sdk import BaseHook

from airflow_incident_provider.cli.datadog_api import VARIABLES, WEBHOOKS, DatadogApi
from airflow_incident_provider.cli.installation import is_local
from airflow_incident_provider.cli.run import ExitCode, UsageError, command, print_error
from airflow_incident_provider.cli.setup.plan import Action, Item, apply_and_print
from airflow_incident_provider.config import DEFAULT_DATADOG_CONN_ID, DEFAULT_WEBHOOK_CONN_ID, airflow_base_url
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
    """Show the changes in Datadog, and apply them with ``--yes``; or print the manual steps."""
    if not _NAME.fullmatch(args.name):
        raise UsageError(f"--name {args.name} is not a webhook name.", fix="Use letters, digits, - and _.")
    if args.remove:
        return apply_and_print([*datadog_removal_items(args.name)], args)
    settings = webhook_settings(args.name, _url(args.url))
    if args.by_hand:
        print(manual_steps(settings))
        return ExitCode.OK
    if args.terraform:
        print(terraform(settings))
        return ExitCode.OK
    _warn_about(settings["url"])
    then = (f"Mention @webhook-{args.name} in the messages of your monitors.",)
    return apply_and_print([*_items(settings)], args, then=then)


def datadog_removal_items(name: str) -> Iterator[Item]:
    """Yield the removal of the webhook and its secret; nothing without a Datadog connection."""
    if not connection_is_configured(DEFAULT_DATADOG_CONN_ID):
        return
    api = DatadogApi(_extra())
    if api.find(WEBHOOKS, name) is not None:
        yield Item(f"Datadog webhook {name}", Action.REMOVE, api.host, partial(api.delete, WEBHOOKS, name))
    if api.find(VARIABLES, SECRET_VARIABLE) is not None:
        remove = partial(api.delete, VARIABLES, SECRET_VARIABLE)
        yield Item(f"Datadog custom variable {SECRET_VARIABLE}", Action.REMOVE, api.host, remove)


def _items(settings: dict[str, Any]) -> Iterator[Item]:
    """Yield the secret first: a webhook that refers to a missing variable sends the variable's name."""
    api, name = DatadogApi(_extra()), settings["name"]
    variable = {"name": SECRET_VARIABLE, "value": _secret(), "is_secret": True}
    # Datadog never returns the value of a hidden variable, so it is always sent.
    action = Action.CREATE if api.find(VARIABLES, SECRET_VARIABLE) is None else Action.UPDATE
    detail = f"hidden, with the secret of the connection {DEFAULT_WEBHOOK_CONN_ID}"
    yield Item(f"Datadog custom variable {SECRET_VARIABLE}", action, detail, partial(api.put, VARIABLES, variable))
    found, what = api.find(WEBHOOKS, name), f"Datadog webhook {name}"
    if found is None:
        yield Item(what, Action.CREATE, settings["url"], partial(api.put, WEBHOOKS, settings))
    elif changed := [part for part, value in settings.items() if found.get(part) != value]:
        detail = f"{settings['url']}; changes {', '.join(changed)}"
        yield Item(what, Action.UPDATE, detail, partial(api.put, WEBHOOKS, settings))
    else:
        yield Item(what, Action.KEEP, settings["url"])


def _warn_about(url: str) -> None:
    """Print a warning for an address that Datadog cannot reach, or that exposes the secret."""
    parts = urlsplit(url)
    if is_local(parts.hostname or ""):
        print_error(f"Warning: {url} is only reachable from this machine: Datadog cannot post to it.")
    elif parts.scheme == "http":
        print_error(f"Warning: {url} is not encrypted: the webhook's secret can be read on the way.")


def terraform(settings: dict[str, Any]) -> str:
    """Return the webhook and its secret, which is a variable, as Terraform resources.

    A test alerts when alerts cannot be accepted; its message must not go to this webhook.
    """
    base, webhook, _ = settings["url"].partition("/webhook/")
    payload, headers = indent(settings["payload"].rstrip(), "    "), json.dumps(settings["custom_headers"])
    resources = _filled("webhook.tf", {**settings, "payload": payload, "headers": headers})
    if not webhook:
        # A proxy with paths of its own: where it has the health page is not known.
        return resources
    return f"{resources}\n{_filled('webhook_health.tf', {'base': base})}".rstrip("\n")


def manual_steps(settings: dict[str, Any]) -> str:
    """Return what to enter in Datadog's pages, without the secret."""
    return _filled("webhook_by_hand.txt", {**settings, "payload": settings["payload"].rstrip()}).rstrip("\n")


def _filled(name: str, values: dict[str, Any]) -> str:
    """Return a template of this folder with its values."""
    template = Template(files(__package__).joinpath(name).read_text(encoding="utf-8"))
    return template.substitute(values, variable=SECRET_VARIABLE, conn_id=DEFAULT_WEBHOOK_CONN_ID)


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
