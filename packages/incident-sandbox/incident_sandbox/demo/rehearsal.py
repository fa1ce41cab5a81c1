"""The environment of ``airflow incident drill --sandbox``, found by its entry point."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from airflow_incident_provider.cli.airflow_api import AirflowApi
from incident_sandbox.demo.environment import FINDABLE, demo_environment
from incident_sandbox.demo.local_airflow import LocalAirflow


@contextmanager
def rehearsal(
    *,
    home: Path,
    dags: Path,
    dag_id: str,
    rules: Sequence[Mapping[str, Any]],
    progress: Callable[[str], None],
) -> Iterator[AirflowApi]:
    """Start the sandbox, the broken service and an Airflow; yield a client of it once the DAG can run."""
    # SIGTERM cleans up, as Ctrl-C does.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    home.mkdir(parents=True, exist_ok=True)
    with demo_environment(home, sandbox_port=0, progress=progress) as environment:
        table = json.loads(environment.routing_table.read_text(encoding="utf-8"))
        # A drill passes if everything works: it is no place for the misspelled names of the demo.
        known = [{**rule, "responders": list(FINDABLE)} for rule in table["rules"]]
        table["rules"] = [*rules, *known]
        environment.routing_table.write_text(json.dumps(table), encoding="utf-8")
        with LocalAirflow(
            home / "airflow",
            dags,
            connections=environment.connections,
            environment=environment.environment,
            progress=progress,
        ) as airflow:
            airflow.wait_for_dag(dag_id)
            airflow.warm_up()
            yield airflow.api
