"""
``airflow incident ...``: what the commands are called and what they take.

Airflow imports this at every start of its command line, so it imports nothing of ours but these descriptions; each
command's body is loaded when it is run.
"""

from __future__ import annotations

from airflow.cli.cli_config import GroupCommand

from airflow_incident_provider.cli import incidents, operations, trying_out

_DESCRIPTION = (
    "From an alert to a staffed Slack war room: start incidents, follow them, rehearse them, and check the set-up."
)
_EPILOG = (
    "Exit codes: 0 all is well; 1 what was asked about is not (a failed run, a failed check); 2 wrong arguments or"
    "\npayload; 3 Airflow, Slack or Datadog did not do it; 130 interrupted."
)


def get_cli_commands() -> list[GroupCommand]:
    """Return the command group ``incident``."""
    return [
        GroupCommand(
            name="incident",
            help="Run, rehearse and look at incident response",
            description=_DESCRIPTION,
            epilog=_EPILOG,
            subcommands=(*incidents.commands(), *operations.commands(), *trying_out.commands()),
        )
    ]
