"""``airflow incident setup slack``: the manifest of the Slack app."""

from __future__ import annotations

import json
from argparse import Namespace
from typing import Any
from urllib.parse import urlsplit

import yaml

from airflow_incident_provider.cli.run import ExitCode, UsageError, command
from airflow_incident_provider.config import airflow_base_url
from airflow_incident_provider.slack.access import OPTIONAL, SCOPES
from airflow_incident_provider.text import one_line

MAX_NAME = 35
"""Characters that Slack allows in an app's name."""


@command
def setup_slack(args: Namespace) -> ExitCode:
    """Print the manifest."""
    name = one_line(args.app_name)
    if not 1 <= len(name) <= MAX_NAME:
        raise UsageError(f"--app-name has {len(name)} characters; Slack allows 1 to {MAX_NAME}.")
    content = manifest(name, base_url=public_base_url(), socket_mode=args.socket_mode)
    text = json.dumps(content, indent=2) if args.output == "json" else yaml.safe_dump(content, sort_keys=False)
    print(text.rstrip())
    return ExitCode.OK


def manifest(name: str, *, base_url: str | None = None, socket_mode: bool = False) -> dict[str, Any]:
    """Return the manifest of an app with exactly the scopes that are used.

    :param base_url: Airflow's public address: with it the app has buttons and the command ``/incident``.
    :param socket_mode: whether the app has them by Socket Mode, which needs no address.
    """
    content: dict[str, Any] = {
        "display_information": {"name": name},
        "features": {"bot_user": {"display_name": name, "always_online": True}},
        "oauth_config": {"scopes": {"bot": [*SCOPES, *OPTIONAL]}},
        "settings": {
            "org_deploy_enabled": False,
            "socket_mode_enabled": socket_mode,
            "token_rotation_enabled": False,
        },
    }
    if not socket_mode and base_url is None:
        return content
    command: dict[str, Any] = {
        "command": "/incident",
        "description": "Act on the incident of this room",
        "usage_hint": "lead | severity critical | update ... | resolve | help",
        "should_escape": True,
    }
    interactivity: dict[str, Any] = {"is_enabled": True}
    if not socket_mode:
        # Request URLs belong to an app without Socket Mode only.
        command["url"] = f"{base_url}/incidents/slack/commands"
        interactivity["request_url"] = f"{base_url}/incidents/slack/actions"
    content["features"]["slash_commands"] = [command]
    content["oauth_config"]["scopes"]["bot"].append("commands")
    content["settings"]["interactivity"] = interactivity
    return content


def public_base_url() -> str | None:
    """Return ``[api] base_url`` if Slack can reach it: HTTPS, and not this machine."""
    base = airflow_base_url()
    if base is None or not base.startswith("https://"):
        return None
    host = urlsplit(base).hostname or ""
    return None if host == "localhost" or host.startswith("127.") else base
