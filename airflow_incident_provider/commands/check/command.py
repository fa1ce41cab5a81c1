"""``airflow incident check``."""

from __future__ import annotations

from argparse import Namespace
from collections import Counter

from airflow_incident_provider.commands.check.results import Outcome
from airflow_incident_provider.commands.check.site import Site
from airflow_incident_provider.commands.check.table import AREAS, run_checks
from airflow_incident_provider.commands.output import print_rows, print_text
from airflow_incident_provider.commands.running import ExitCode, UsageError, command


@command
def check(args: Namespace) -> ExitCode:
    """Check the set-up; exit with 1 if anything fails."""
    lines = list(run_checks(Site(args.dag_id, may_write=args.write), _areas(args.only)))
    rows = [
        {"area": area, "check": line.subject, "result": line.outcome.value, "found": line.found, "fix": line.fix}
        for area, line in lines
    ]
    print_rows(rows, args.output)
    counted = Counter(line.outcome for _, line in lines)
    if args.output in ("table", "plain"):
        print_text(", ".join(f"{counted[outcome]} {outcome}" for outcome in Outcome if counted[outcome]))
    return ExitCode.NOT_WELL if counted[Outcome.FAIL] else ExitCode.OK


def _areas(only: str | None) -> tuple[str, ...]:
    """Return the areas that are asked for.

    :raises UsageError: there is no such area.
    """
    if only is None:
        return AREAS
    wanted = tuple(part.strip() for part in only.split(",") if part.strip())
    unknown = [area for area in wanted if area not in AREAS]
    if unknown or not wanted:
        raise UsageError(
            f"--only {only}: there is no area {', '.join(unknown)}.", fix=f"There are {', '.join(AREAS)}."
        )
    return wanted
