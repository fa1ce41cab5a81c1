"""Slack: the token, what it may do, whether rooms can be made, and whose clock is right."""

from __future__ import annotations

import secrets
from email.utils import parsedate_to_datetime

from airflow_incident_provider.commands.check.results import (
    NotCheckableError,
    Results,
    advised,
    doubtful,
    good,
    required,
    wrong,
)
from airflow_incident_provider.commands.check.site import Site
from airflow_incident_provider.config import DEFAULT_SLACK_CONN_ID
from airflow_incident_provider.exceptions import IncidentError
from airflow_incident_provider.slack.access import REQUIRED, SCOPES
from airflow_incident_provider.slack.client import CLOCK_SKEW
from airflow_incident_provider.slack.protocol import ChannelNameTakenError

UNNOTICED_SKEW_S = 10.0
_ADD_SCOPE = "Add the scope under 'OAuth & Permissions' of the Slack app, then reinstall it."


def token(site: Site) -> Results:
    """Check that Slack accepts the token."""
    slack = site.slack_or_refusal
    if slack is None:
        yield wrong(
            "token",
            f"there is no connection {DEFAULT_SLACK_CONN_ID}: every run would be a dry-run",
            "Run: airflow incident setup airflow --yes, with SLACK_BOT_TOKEN in the environment.",
        )
    elif isinstance(slack, IncidentError):
        yield wrong("token", slack.message, slack.fix or "See whether this machine reaches slack.com.")
    else:
        yield good("token", f"{slack.workspace.team} as {slack.workspace.bot_user_id}")


def scopes(site: Site) -> Results:
    """Check that the app may do what the steps do; each scope that is missing costs something."""
    workspace = site.slack.workspace
    if not workspace.scopes_granted:
        yield doubtful("scopes", "Slack did not tell them", "See 'OAuth & Permissions' of the Slack app.")
        return
    for missing in workspace.scopes_missing:
        result = wrong if missing.scope in REQUIRED else doubtful
        yield result(f"scope {missing.scope}", missing.costs, _ADD_SCOPE)
    if not workspace.scopes_missing:
        yield good("scopes", f"all {len(SCOPES)}")


def rooms(site: Site) -> Results:
    """Check that a room can be made, and archived."""
    if not site.may_write:
        raise NotCheckableError("--write was not given")
    name = f"inc-check-{secrets.token_hex(4)}"
    try:
        channel = site.slack.create_channel(name, private=False)
        site.slack.archive(channel.id)
    except ChannelNameTakenError:
        yield wrong("rooms", f"#{name} is there already", "Try again.")
    except IncidentError as error:
        yield wrong("rooms", error.message, error.fix or "See what the workspace allows apps to do.")
    else:
        yield good("rooms", f"#{name} was made and archived")


def clock(site: Site) -> Results:
    """Check that this machine's clock agrees with Slack's: what was posted is looked for by time."""
    headers = {name.lower(): value for name, value in site.slack.hook.read("api.test").headers.items()}
    asked_at = site.now()
    if "date" not in headers:
        yield doubtful("clock", "Slack's answer has no date", "Look for a proxy that removes headers.")
        return
    # The header has whole seconds.
    seconds = abs((asked_at - parsedate_to_datetime(headers["date"])).total_seconds())
    found, fix = f"{seconds:.0f} s from Slack's", "Set this machine's clock: run a time service such as chrony."
    if seconds > CLOCK_SKEW.total_seconds():
        yield required("clock", False, found, fix)
    else:
        yield advised("clock", seconds <= UNNOTICED_SKEW_S, found, fix)
