"""Slack: token, scopes, directory of members and channel creation for every connection, and the clock."""

from __future__ import annotations

import secrets
from email.utils import parsedate_to_datetime

from airflow_incident_provider.cli.checks.context import CheckContext
from airflow_incident_provider.cli.checks.result import (
    NotCheckableError,
    Result,
    Results,
    advised,
    failure,
    passed,
    required,
    skipped,
    warning,
)
from airflow_incident_provider.config import DEFAULT_SLACK_CONN_ID, settings
from airflow_incident_provider.exceptions import IncidentError, SlackUnavailableError
from airflow_incident_provider.people.resolver import OUTDATED_AFTER, age_in_words
from airflow_incident_provider.slack.access import OPTIONAL, REQUIRED, SCOPES
from airflow_incident_provider.slack.client import CLOCK_SKEW, LiveSlackClient
from airflow_incident_provider.slack.directory_cache import DirectoryCache
from airflow_incident_provider.slack.protocol import ChannelNameTakenError

UNNOTICED_SKEW_S = 10.0
_ADD_SCOPE = "Add the scope under 'OAuth & Permissions' of the Slack app, then reinstall the app."


def token(context: CheckContext) -> Results:
    """Check that Slack accepts the token of every connection that an incident DAG uses."""
    for conn_id in context.slack_conn_ids:
        client = context.slack_or_error(conn_id)
        subject = _subject("token", conn_id)
        if client is None:
            yield _no_connection(context, subject, conn_id)
        elif isinstance(client, IncidentError):
            yield failure(subject, client.message, client.fix or "Check that this machine reaches slack.com.")
        else:
            yield passed(subject, f"{client.workspace.team} as {client.workspace.bot_user_id}")


def _no_connection(context: CheckContext, subject: str, conn_id: str) -> Result:
    dag_ids = ", ".join(dag.dag_id for dag in context.dags if conn_id in dag.slack_conn_ids) or "every DAG"
    found = f"there is no connection {conn_id}: every run of {dag_ids} would be a dry run"
    if conn_id == DEFAULT_SLACK_CONN_ID:
        return failure(
            subject,
            found,
            "Set SLACK_BOT_TOKEN to the app's bot token, then run:",
            "airflow incident setup airflow --yes",
        )
    return failure(
        subject,
        found,
        "Set SLACK_BOT_TOKEN to the bot token of that workspace's app, then run:",
        f"airflow incident setup airflow --slack-conn-id {conn_id} --yes",
    )


def scopes(context: CheckContext) -> Results:
    """Check that each app has the scopes that the steps use."""
    for conn_id in _working(context):
        workspace = context.slack(conn_id).workspace
        if not workspace.scopes_granted:
            yield warning(
                _subject("scopes", conn_id),
                "Slack did not list them",
                "See 'OAuth & Permissions' of the Slack app.",
            )
            continue
        for missing in workspace.scopes_missing:
            result = failure if missing.scope in REQUIRED else warning
            yield result(_subject(f"scope {missing.scope}", conn_id), missing.costs, _ADD_SCOPE)
        if not workspace.scopes_missing:
            yield passed(_subject("scopes", conn_id), f"all {len(SCOPES)}")
        for scope in sorted(OPTIONAL.keys() - set(workspace.scopes_granted)):
            yield warning(_subject(f"scope {scope}", conn_id), OPTIONAL[scope], _ADD_SCOPE)


def interactivity(context: CheckContext) -> Results:
    """Check that requests of Slack can be verified: without a signing secret, messages have no buttons."""
    for conn_id in _working(context):
        subject = _subject("interactivity", conn_id)
        if context.slack(conn_id).workspace.interactive:
            yield passed(subject, "the signing secret is configured")
        else:
            yield skipped(subject, "no signing_secret in the connection's extra: messages have no buttons")


def socket_mode(context: CheckContext) -> Results:
    """Check the app-level token of each connection that has one: Slack must open a connection for it."""
    # It imports slack_sdk.
    from airflow_incident_provider.slack.app_token import AppLevelSlackHook

    for conn_id in context.slack_conn_ids:
        connection = context.connection(conn_id)
        if connection is None or not connection.extra_dejson.get("app_token"):
            continue
        subject = _subject("Socket Mode", conn_id)
        if not connection.extra_dejson.get("signing_secret"):
            fix = "Put the app's signing secret into signing_secret of the connection's extra."
            yield failure(subject, "there is an app_token, but no signing_secret: messages have no buttons", fix)
            continue
        try:
            AppLevelSlackHook(connection, attempts=1).open_socket()
        except SlackUnavailableError as error:
            yield warning(subject, error.message, error.fix or "Try again in a minute.")
        except IncidentError as error:
            yield failure(subject, error.message, error.fix or "See the Slack app's settings.")
        else:
            yield passed(subject, "Slack accepts the app-level token; keep running: airflow incident socket")


def directory(context: CheckContext) -> Results:
    """Check the age of each workspace's directory of members, if there is one on this machine."""
    cache = DirectoryCache(settings().directory_folder)
    for conn_id in _working(context):
        cached = cache.get(context.slack(conn_id).workspace.team_id or "")
        if cached is None:
            continue
        subject = _subject("directory", conn_id)
        found = f"{len(cached.directory)} members, {age_in_words(cached.age)} old"
        fix = "Unpause the DAG slack_directory_refresh and see why its last run failed."
        yield advised(subject, cached.age <= OUTDATED_AFTER, found, fix)


def rooms(context: CheckContext) -> Results:
    """Check that a channel can be created and archived."""
    if not context.may_write:
        raise NotCheckableError("--write was not given")
    for conn_id in _working(context):
        yield _room(context.slack(conn_id), _subject("rooms", conn_id))


def _room(client: LiveSlackClient, subject: str) -> Result:
    name = f"inc-check-{secrets.token_hex(4)}"
    try:
        channel = client.create_channel(name, private=False)
        client.archive(channel.id)
    except ChannelNameTakenError:
        return failure(
            subject, f"#{name} exists already", "Try again:", "airflow incident check --write --only slack"
        )
    except IncidentError as error:
        return failure(subject, error.message, error.fix or "See what the workspace allows apps to do.")
    return passed(subject, f"#{name} was created and archived")


def clock(context: CheckContext) -> Results:
    """Check that this machine's clock agrees with Slack's: posted messages are searched by time."""
    conn_id = next(iter(_working(context)))
    response = context.slack(conn_id).hook.read("api.test")
    headers = {name.lower(): value for name, value in response.headers.items()}
    now = context.now()
    if "date" not in headers:
        yield warning("clock", "Slack's response has no date", "Look for a proxy that removes headers.")
        return
    # The header has whole seconds.
    seconds = abs((now - parsedate_to_datetime(headers["date"])).total_seconds())
    found, fix = f"{seconds:.0f} s from Slack's", "Set this machine's clock: run a time service such as chrony."
    if seconds > CLOCK_SKEW.total_seconds():
        yield required("clock", False, found, fix)
    else:
        yield advised("clock", seconds <= UNNOTICED_SKEW_S, found, fix)


def base_url(context: CheckContext) -> Results:
    """Check whether a connection leads to a stand-in for Slack."""
    for conn_id in _working(context):
        address = context.slack(conn_id).hook.client.base_url
        subject = _subject("API", conn_id)
        if "slack.com" in address or "slack-gov.com" in address:
            yield passed(subject, address)
        else:
            yield skipped(subject, f"{address} is not Slack: a sandbox or a proxy")


def _working(context: CheckContext) -> list[str]:
    """Return the connections that work.

    :raises NotCheckableError: none does.
    """
    working = [
        conn_id
        for conn_id in context.slack_conn_ids
        if not isinstance(context.slack_or_error(conn_id), IncidentError | None)
    ]
    if not working:
        context.slack(context.slack_conn_ids[0])
    return working


def _subject(name: str, conn_id: str) -> str:
    return name if conn_id == DEFAULT_SLACK_CONN_ID else f"{name} ({conn_id})"
