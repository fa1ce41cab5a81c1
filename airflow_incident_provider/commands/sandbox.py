"""``airflow incident sandbox``."""

from __future__ import annotations

from argparse import Namespace


def sandbox(args: Namespace) -> None:
    """Serve the sandbox until it is interrupted."""
    from incident_sandbox.server import serve

    serve(args.host, args.port)
