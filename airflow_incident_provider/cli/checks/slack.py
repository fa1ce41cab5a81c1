"""Slack: token, scopes, directory of members and channel creation for every connection, and the clock."""

from __future__ import annotations

import secrets
from email.utils import parsedate_to_datetime

from airflow_incident_provider.cli.checks.context import CheckContext, NotCheckableError, Result, Results, Subject
from airflow_incident_provider.config import DEFAULT_SLACK_CONN_ID, settings
from airflow_incident_provider.exceptions import IncidentError, SlackUnavailableError
from airflow_incident_provider.people.resolver import OUTDATED_AFTER, age_in_words
from airflow_incident_provider.slack.access import OPTIONAL, REQUIRED, SCOPES
from airflow_incident_provider.slack.client import CLOCK_SKEW, LiveSlackClient
from airflow_incident_provider.slack.directory_cache import DirectoryCache
from airflow_incident_provider.slack.protocol import ChannelNameTakenError

UNNOTICED_SKEW_S = 10.0
_ADD_SCOPE = "Add the scope under 'OAuth & Permissions' of the Slack app, then reinstall the app."


def token(context: CheckContext, subject: Subject) -> Results:
    """Check that Slack accepts the token of every connection that an incident DAG uses."""
    for conn_id in context.slack_conn_ids:
        client, line = context.slack_or_error(conn_id), _of(subject, conn_id)
        if client is None:
            yield _no_connection(context, line, conn_id)
        elif isinstance(client, IncidentError):
            yield line.failure(client.message, client.fix or "Check that this machine reaches slack.com.")
        else:
            yield line.passed(f"{client.workspace.team} as {client.workspace.bot_user_id}")


def _no_connection(context: CheckContext, subject: Subject, conn_id: str) -> Result:
    dag_ids = ", ".join(dag.dag_id for dag in context.dags if conn_id in dag.slack_conn_ids) or "every DAG"
    found = f"there is no connection {conn_id}: every run of {dag_ids} would be a dry run"
    if conn_id == DEFAULT_SLACK_CONN_ID:
        return subject.failure(
            found, "Set SLACK_BOT_TOKEN to the app's bot token, then run:", "airflow incident setup airflow --yes"
        )
    return subject.failure(
        found,
        "Set SLACK_BOT_TOKEN to the bot token of that workspace's app, then run:",
        f"airflow incident setup airflow --slack-conn-id {conn_id} --yes",
    )


def scopes(context: CheckContext, subject: Subject) -> Results:
    """Check that each app has the scopes that the steps use."""
    for conn_id, client in _working(context):
        line, workspace = _of(subject, conn_id), client.workspace
        if not workspace.scopes_granted:
            yield line.warning("Slack did not list them", "See 'OAuth & Permissions' of the Slack app.")
            continue
        for missing in workspace.scopes_missing:
            lacking = _of(Subject(f"scope {missing.scope}"), conn_id)
            result = lacking.failure if missing.scope in REQUIRED else lacking.warning
            yield result(missing.costs, _ADD_SCOPE)
        if not workspace.scopes_missing:
            yield line.passed(f"all {len(SCOPES)}")
        for scope in sorted(OPTIONAL.keys() - set(workspace.scopes_granted)):
            yield _of(Subject(f"scope {scope}"), conn_id).warning(OPTIONAL[scope], _ADD_SCOPE)


def interactivity(context: CheckContext, subject: Subject) -> Results:
    """Check that requests of Slack can be verified: without a signing secret, messages have no buttons."""
    for conn_id, client in _working(context):
        if client.workspace.interactive:
            yield _of(subject, conn_id).passed("the signing secret is configured")
        else:
            found = "no signing_secret in the connection's extra: messages have no buttons"
            yield _of(subject, conn_id).skipped(found)


def socket_mode(context: CheckContext, subject: Subject) -> Results:
    """Check the app-level token of each connection that has one: Slack must open a connection for it."""
    # It imports slack_sdk.
    from airflow_incident_provider.slack.app_token import AppLevelSlackHook

    for conn_id in context.slack_conn_ids:
        connection, line = context.connection(conn_id), _of(subject, conn_id)
        if connection is None or not connection.extra_dejson.get("app_token"):
            continue
        if not connection.extra_dejson.get("signing_secret"):
            fix = "Put the app's signing secret into signing_secret of the connection's extra."
            yield line.failure("there is an app_token, but no signing_secret: messages have no buttons", fix)
            continue
        try:
            AppLevelSlackHook(connection, attempts=1).open_socket()
        except SlackUnavailableError as error:
            yield line.warning(error.message, error.fix or "Try again in a minute.")
        except IncidentError as error:
            yield line.failure(error.message, error.fix or "See the Slack app's settings.")
        else:
            yield line.passed("Slack accepts the app-level token; keep running: airflow incident socket")


def directory(context: CheckContext, subject: Subject) -> Results:
    """Check the age of each workspace's directory of members, if there is one on this machine."""
    cache = DirectoryCache(settings().directory_folder)
    for conn_id, client in _working(context):
        cached = cache.get(client.workspace.team_id or "")
        if cached is not None:
            found = f"{len(cached.directory)} members, {age_in_words(cached.age)} old"
            fix = "Unpause the DAG slack_directory_refresh and see why its last run failed."
            yield _of(subject, conn_id).advised(cached.age <= OUTDATED_AFTER, found, fix)


def rooms(context: CheckContext, subject: Subject) -> Results:
    """Check that a channel can be created and archived."""
    if not context.may_write:
        raise NotCheckableError("--write was not given")
    for conn_id, client in _working(context):
        yield _room(client, _of(subject, conn_id))


def _room(client: LiveSlackClient, subject: Subject) -> Result:
    name = f"inc-check-{secrets.token_hex(4)}"
    try:
        channel = client.create_channel(name, private=False)
        client.archive(channel.id)
    except ChannelNameTakenError:
        return subject.failure(
            f"#{name} exists already", "Try again:", "airflow incident check --write --only slack"
        )
    except IncidentError as error:
        return subject.failure(error.message, error.fix or "See what the workspace allows apps to do.")
    return subject.passed(f"#{name} was created and archived")


def clock(context: CheckContext, subject: Subject) -> Result:
    """Check that this machine's clock agrees with Slack's: posted messages are searched by time."""
    _, client = _working(context)[0]
    response = client.hook.read("api.test")
    headers = {name.lower(): value for name, value in response.headers.items()}
    now = context.now()
    if "date" not in headers:
        return subject.warning("Slack's response has no date", "Look for a proxy that removes headers.")
    # The header has whole seconds.
    seconds = abs((now - parsedate_to_datetime(headers["date"])).total_seconds())
    found, fix = f"{seconds:.0f} s from Slack's", "Set this machine's clock: run a time service such as chrony."
    if seconds > CLOCK_SKEW.total_seconds():
        return subject.failure(found, fix)
    return subject.advised(seconds <= UNNOTICED_SKEW_S, found, fix)


def base_url(context: CheckContext, subject: Subject) -> Results:
    """Check whether a connection leads to a stand-in for Slack."""
    for conn_id, client in _working(context):
        address = client.hook.client.base_url
        if "slack.com" in address or "slack-gov.com" in address:
            yield _of(subject, conn_id).passed(address)
        else:
            yield _of(subject, conn_id).skipped(f"{address} is not Slack: a sandbox or a proxy")


def _working(context: CheckContext) -> list[tuple[str, LiveSlackClient]]:
    """Return the connections that work, with their clients.

    :raises NotCheckableError: none does.
    """
    clients = [(conn_id, context.slack_or_error(conn_id)) for conn_id in context.slack_conn_ids]
    working = [(conn_id, client) for conn_id, client in clients if isinstance(client, LiveSlackClient)]
    if not working:
        context.slack(context.slack_conn_ids[0])
    return working


def _of(subject: Subject, conn_id: str) -> Subject:
    return subject.of(conn_id if conn_id != DEFAULT_SLACK_CONN_ID else None)
