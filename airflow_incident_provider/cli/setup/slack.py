"""``airflow incident setup slack``: the manifest of the Slack app."""

from __future__ import annotations

import json
from argparse import Namespace
from typing import Any

import yaml

from airflow_incident_provider.cli.run import ExitCode, UsageError, command
from airflow_incident_provider.slack.access import SCOPES
from airflow_incident_provider.text import one_line

MAX_NAME = 35
"""Characters that Slack allows in an app's name."""


@command
def setup_slack(args: Namespace) -> ExitCode:
    """Print the manifest."""
    name = one_line(args.app_name)
    if not 1 <= len(name) <= MAX_NAME:
        raise UsageError(f"--app-name has {len(name)} characters; Slack allows 1 to {MAX_NAME}.")
    content = manifest(name)
    text = json.dumps(content, indent=2) if args.output == "json" else yaml.safe_dump(content, sort_keys=False)
    print(text.rstrip())
    return ExitCode.OK


def manifest(name: str) -> dict[str, Any]:
    """Return the manifest of an app with exactly the scopes that are used."""
    return {
        "display_information": {"name": name},
        "features": {"bot_user": {"display_name": name, "always_online": True}},
        "oauth_config": {"scopes": {"bot": list(SCOPES)}},
        "settings": {
            "org_deploy_enabled": False,
            "socket_mode_enabled": False,
            "token_rotation_enabled": False,
        },
    }
