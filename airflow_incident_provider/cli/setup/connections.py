"""The connections of ``airflow incident setup airflow``.

Their secrets are read from the environment, or from a sandbox: an argument would be visible to other users of the
machine.
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Iterable, Iterator
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import httpx
from airflow.models.connection import Connection
from airflow.sdk import BaseHook
from airflow.utils.session import create_session
from sqlalchemy import delete, select

from airflow_incident_provider.cli.run import UsageError
from airflow_incident_provider.cli.setup.plan import Action, Item
from airflow_incident_provider.config import DEFAULT_DATADOG_CONN_ID, DEFAULT_SLACK_CONN_ID, DEFAULT_WEBHOOK_CONN_ID
from airflow_incident_provider.exceptions import IncidentError
from airflow_incident_provider.plugins.webhook.authentication import SHORTEST_SECRET
from airflow_incident_provider.slack.access import connection_is_configured

SLACK_TOKEN = "SLACK_BOT_TOKEN"  # noqa: S105 - the variable's name
SLACK_BASE_URL = "SLACK_BASE_URL"
"""The base URL of Slack's API, for GovSlack, a proxy or a sandbox."""
SLACK_SIGNING_SECRET = "SLACK_SIGNING_SECRET"  # noqa: S105 - the variable's name
SLACK_APP_TOKEN = "SLACK_APP_TOKEN"  # noqa: S105 - the variable's name
"""The app-level token, for Socket Mode."""
DATADOG_KEYS = ("DD_API_KEY", "DD_APP_KEY")
DATADOG_SITE = "DD_SITE"
DATADOG_HOST = "DATADOG_HOST"
"""The address of Datadog's API, for a proxy or a sandbox; it takes precedence over the site."""
WEBHOOK_SECRET = "INCIDENT_WEBHOOK_SECRET"  # noqa: S105 - the variable's name

CREATED = "Created by: airflow incident setup airflow"
CREATED_FOR_SANDBOX = "Created by: airflow incident setup airflow --sandbox"
"""Descriptions of connections: they mark what ``--remove`` removes."""

SANDBOX_SECONDS = 5.0

Settings = dict[str, Any]


def connection_items(slack_conn_id: str = DEFAULT_SLACK_CONN_ID) -> Iterator[Item]:
    """Yield the change for each connection.

    :param slack_conn_id: the Slack connection that gets the token of the environment.
    """
    yield _item(slack_conn_id, _slack(), needs=SLACK_TOKEN, without="every run is a dry run")
    datadog = _datadog()
    if datadog is None and not connection_is_configured(DEFAULT_DATADOG_CONN_ID):
        detail = f"set {' and '.join(DATADOG_KEYS)} to report incidents to Datadog and to set up its webhook"
        yield Item(f"connection {DEFAULT_DATADOG_CONN_ID}", Action.OPTIONAL, detail)
    else:
        yield _item(DEFAULT_DATADOG_CONN_ID, datadog, needs=" and ".join(DATADOG_KEYS), without="")
    yield _webhook()


def missing_slack_items(conn_ids: Iterable[str]) -> Iterator[Item]:
    """Yield what to do for each Slack connection of a DAG that does not exist: its token is that of another app."""
    for conn_id in conn_ids:
        if not connection_is_configured(conn_id):
            detail = (
                f"set {SLACK_TOKEN} to the token of that workspace's app, then run: airflow incident setup airflow"
                f" --slack-conn-id {conn_id} --yes; without it every run is a dry run"
            )
            yield Item(f"connection {conn_id}", Action.MANUAL, detail)


def sandbox_items(url: str) -> Iterator[Item]:
    """Yield the changes that connect Airflow to a running sandbox.

    :raises IncidentError: no sandbox answers at the address.
    """
    for conn_id, settings in _sandbox_connections(url).items():
        what, exists = f"connection {conn_id}", connection_is_configured(conn_id)
        if exists and _description(conn_id) != CREATED_FOR_SANDBOX:
            yield Item(what, Action.MANUAL, f"it exists and is not for a sandbox. {_kept_reason(conn_id)}")
        else:
            action = Action.UPDATE if exists else Action.CREATE
            store = partial(_store, conn_id, settings, CREATED_FOR_SANDBOX)
            yield Item(what, action, f"to the sandbox at {url}", store)
    yield _webhook()


def removal_items(conn_ids: list[str]) -> Iterator[Item]:
    """Yield the removal of each connection that setup created; others are kept."""
    for conn_id in [*conn_ids, DEFAULT_DATADOG_CONN_ID, DEFAULT_WEBHOOK_CONN_ID]:
        what, description = f"connection {conn_id}", _description(conn_id)
        if description in (CREATED, CREATED_FOR_SANDBOX):
            yield Item(what, Action.REMOVE, "created by setup", partial(_delete, conn_id))
        elif connection_is_configured(conn_id):
            yield Item(what, Action.MANUAL, _kept_reason(conn_id))


def is_stored(conn_id: str) -> bool:
    """Return whether the connection is in Airflow's database, where it can be changed."""
    return f"AIRFLOW_CONN_{conn_id.upper()}" not in os.environ and _description(conn_id) is not None


def slack_is_sandbox(conn_id: str) -> bool:
    """Return whether a Slack connection leads to something else than Slack."""
    if not connection_is_configured(conn_id):
        return True
    host = urlsplit(str(BaseHook.get_connection(conn_id).extra_dejson.get("base_url") or "")).hostname
    return host is not None and not host.endswith(("slack.com", "slack-gov.com"))


def _kept_reason(conn_id: str) -> str:
    if is_stored(conn_id):
        return f"setup did not create it. To delete it: airflow connections delete {conn_id}"
    return "it comes from the environment or a secrets backend: delete it there"


def _item(conn_id: str, settings: Settings | None, *, needs: str, without: str) -> Item:
    what = f"connection {conn_id}"
    exists = connection_is_configured(conn_id)
    if settings is None:
        if exists:
            return Item(what, Action.KEEP, f"{needs} {'are' if ' and ' in needs else 'is'} not set")
        return Item(what, Action.MANUAL, f"set {needs} in the environment and run this again; without it {without}")
    if exists and not is_stored(conn_id):
        return Item(what, Action.KEEP, "it comes from the environment or a secrets backend: change it there")
    return Item(
        what, Action.UPDATE if exists else Action.CREATE, f"from {needs}", partial(_store, conn_id, settings)
    )


def _given(variable: str) -> str:
    return os.environ.get(variable, "").strip()


def _slack() -> Settings | None:
    token = _given(SLACK_TOKEN)
    if not token:
        return None
    if not token.startswith("xoxb-"):
        raise UsageError(
            f"{SLACK_TOKEN} is not a bot token.", fix="It begins with xoxb-; see 'OAuth & Permissions' of the app."
        )
    extra = {
        "base_url": _given(SLACK_BASE_URL),
        "signing_secret": _given(SLACK_SIGNING_SECRET),
        "app_token": _given(SLACK_APP_TOKEN),
    }
    if extra["app_token"] and not extra["app_token"].startswith("xapp-"):
        raise UsageError(
            f"{SLACK_APP_TOKEN} is no app-level token.",
            fix="It begins with xapp-; see 'Basic Information', 'App-Level Tokens' of the app.",
        )
    given = {name: value for name, value in extra.items() if value}
    return {"conn_type": "slack", "password": token, "extra": given}


def _datadog() -> Settings | None:
    api_key, app_key = map(_given, DATADOG_KEYS)
    if not (api_key or app_key):
        return None
    if not (api_key and app_key):
        missing = DATADOG_KEYS[1 if api_key else 0]
        raise UsageError(f"{missing} is not set.", fix="Datadog's webhook API needs both keys.")
    site = _given(DATADOG_SITE) or "datadoghq.com"
    host = _given(DATADOG_HOST) or f"https://api.{site}"
    return {"conn_type": "datadog", "extra": {"api_key": api_key, "app_key": app_key, "api_host": host}}


def _webhook() -> Item:
    """Return the change for the webhook's secret: one is generated if there is none."""
    given = _given(WEBHOOK_SECRET)
    if given and len(given) < SHORTEST_SECRET:
        raise UsageError(f"{WEBHOOK_SECRET} has fewer than {SHORTEST_SECRET} characters.")
    if given or connection_is_configured(DEFAULT_WEBHOOK_CONN_ID):
        settings = {"conn_type": "http", "password": given} if given else None
        return _item(DEFAULT_WEBHOOK_CONN_ID, settings, needs=WEBHOOK_SECRET, without="no alert is accepted")
    settings = {"conn_type": "http", "password": secrets.token_urlsafe(32)}
    detail = f"with a new random secret. To read it: airflow connections get {DEFAULT_WEBHOOK_CONN_ID}"
    store = partial(_store, DEFAULT_WEBHOOK_CONN_ID, settings)
    return Item(f"connection {DEFAULT_WEBHOOK_CONN_ID}", Action.CREATE, detail, store)


def _sandbox_connections(url: str) -> dict[str, Settings]:
    if not url.startswith(("http://", "https://")):
        raise UsageError(
            f"--sandbox {url} is not a URL.", fix="Use the address that airflow incident sandbox prints."
        )
    try:
        response = httpx.get(f"{url.rstrip('/')}/sandbox/connections", timeout=SANDBOX_SECONDS)
        response.raise_for_status()
        connections: dict[str, Settings] = response.json()
    except (httpx.HTTPError, ValueError) as error:
        raise IncidentError(
            f"No sandbox answers at {url}: {type(error).__name__}.", fix="Start one: airflow incident sandbox"
        ) from error
    return connections


def _description(conn_id: str) -> str | None:
    """Return the description of a stored connection; empty if it has none, ``None`` if it is not stored."""
    with create_session() as session:
        row = session.execute(select(Connection.description).where(Connection.conn_id == conn_id)).first()
    return None if row is None else row[0] or ""


def _store(conn_id: str, settings: Settings, description: str = CREATED) -> None:
    """Write a connection; other extras of an existing one are kept, unless they are those of a sandbox."""
    with create_session() as session:
        connection = session.scalar(select(Connection).where(Connection.conn_id == conn_id))
        if connection is None:
            connection = Connection(conn_id=conn_id, description=description)
            session.add(connection)
        extra = dict(connection.extra_dejson)
        if connection.description == CREATED_FOR_SANDBOX:
            extra, connection.description = {}, description
        connection.conn_type = settings["conn_type"]
        if "password" in settings:
            connection.set_password(settings["password"])
        connection.set_extra(json.dumps({**extra, **settings.get("extra", {})}))


def _delete(conn_id: str) -> None:
    with create_session() as session:
        session.execute(delete(Connection).where(Connection.conn_id == conn_id))
