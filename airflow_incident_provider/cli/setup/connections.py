"""The connections of ``airflow incident setup airflow``.

Their secrets are read from the environment: an argument would be visible to other users of the machine.
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from airflow.models.connection import Connection
from airflow.utils.session import create_session
from sqlalchemy import select

from airflow_incident_provider.cli.run import UsageError
from airflow_incident_provider.cli.setup.plan import Action, Item
from airflow_incident_provider.config import (
    DEFAULT_DATADOG_CONN_ID,
    DEFAULT_SLACK_CONN_ID,
    DEFAULT_WEBHOOK_CONN_ID,
)
from airflow_incident_provider.plugins.webhook.authentication import SHORTEST_SECRET
from airflow_incident_provider.slack.access import connection_is_configured

SLACK_TOKEN = "SLACK_BOT_TOKEN"  # noqa: S105 - the variable's name
SLACK_BASE_URL = "SLACK_BASE_URL"
"""The base URL of Slack's API, for GovSlack, a proxy or a sandbox."""
DATADOG_KEYS = ("DD_API_KEY", "DD_APP_KEY")
DATADOG_SITE = "DD_SITE"
DATADOG_HOST = "DATADOG_HOST"
"""The address of Datadog's API, for a proxy or a sandbox; it takes precedence over the site."""
WEBHOOK_SECRET = "INCIDENT_WEBHOOK_SECRET"  # noqa: S105 - the variable's name

Settings = dict[str, Any]


def connection_items() -> Iterator[Item]:
    """Yield the change for each connection."""
    yield _item(DEFAULT_SLACK_CONN_ID, _slack(), needs=SLACK_TOKEN, without="every run is a dry run")
    yield _item(
        DEFAULT_DATADOG_CONN_ID,
        _datadog(),
        needs=" and ".join(DATADOG_KEYS),
        without="no incident is reported to Datadog",
    )
    yield _webhook()


def is_stored(conn_id: str) -> bool:
    """Return whether the connection is in Airflow's database, where it can be changed."""
    if f"AIRFLOW_CONN_{conn_id.upper()}" in os.environ:
        return False
    with create_session() as session:
        return session.scalar(select(Connection.id).where(Connection.conn_id == conn_id)) is not None


def _item(conn_id: str, settings: Settings | None, *, needs: str, without: str) -> Item:
    what = f"connection {conn_id}"
    exists = connection_is_configured(conn_id)
    if settings is None:
        if exists:
            return Item(what, Action.KEEP, f"{needs} is not set")
        return Item(what, Action.MANUAL, f"set {needs} in the environment and run this again; without it {without}")
    if exists and not is_stored(conn_id):
        return Item(what, Action.KEEP, "it comes from the environment or a secrets backend: change it there")
    return Item(what, Action.UPDATE if exists else Action.CREATE, f"from {needs}", _storing(conn_id, settings))


def _slack() -> Settings | None:
    token = os.environ.get(SLACK_TOKEN, "").strip()
    if not token:
        return None
    if not token.startswith("xoxb-"):
        raise UsageError(
            f"{SLACK_TOKEN} is not a bot token.", fix="It begins with xoxb-; see 'OAuth & Permissions' of the app."
        )
    base_url = os.environ.get(SLACK_BASE_URL, "").strip()
    return {"conn_type": "slack", "password": token, "extra": {"base_url": base_url} if base_url else {}}


def _datadog() -> Settings | None:
    api_key, app_key = (os.environ.get(name, "").strip() for name in DATADOG_KEYS)
    if not (api_key and app_key):
        return None
    site = os.environ.get(DATADOG_SITE, "").strip() or "datadoghq.com"
    host = os.environ.get(DATADOG_HOST, "").strip() or f"https://api.{site}"
    return {"conn_type": "datadog", "extra": {"api_key": api_key, "app_key": app_key, "api_host": host}}


def _webhook() -> Item:
    """Return the change for the webhook's secret: one is generated if there is none."""
    given = os.environ.get(WEBHOOK_SECRET, "").strip()
    if given and len(given) < SHORTEST_SECRET:
        raise UsageError(f"{WEBHOOK_SECRET} has fewer than {SHORTEST_SECRET} characters.")
    if given or connection_is_configured(DEFAULT_WEBHOOK_CONN_ID):
        settings = {"conn_type": "http", "password": given} if given else None
        return _item(DEFAULT_WEBHOOK_CONN_ID, settings, needs=WEBHOOK_SECRET, without="no alert is accepted")
    settings = {"conn_type": "http", "password": secrets.token_urlsafe(32)}
    detail = "with a new random secret; setup datadog sends it to Datadog"
    return Item(
        f"connection {DEFAULT_WEBHOOK_CONN_ID}", Action.CREATE, detail, _storing(DEFAULT_WEBHOOK_CONN_ID, settings)
    )


def _storing(conn_id: str, settings: Settings) -> Callable[[], None]:
    return partial(_store, conn_id, settings)


def _store(conn_id: str, settings: Settings) -> None:
    """Write a connection; other extras of an existing one, such as ``base_url``, are kept."""
    with create_session() as session:
        connection = session.scalar(select(Connection).where(Connection.conn_id == conn_id))
        if connection is None:
            connection = Connection(conn_id=conn_id)
            session.add(connection)
        connection.conn_type = settings["conn_type"]
        if "password" in settings:
            connection.set_password(settings["password"])
        if settings.get("extra"):
            connection.set_extra(json.dumps({**connection.extra_dejson, **settings["extra"]}))
