"""The environment of ``airflow incident drill --sandbox``, found by its entry point."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from airflow_incident_provider.cli.airflow_api import AirflowApi
from incident_sandbox.datadog.payload import alert_payload
from incident_sandbox.datadog.story import load_story
from incident_sandbox.datadog.world import World
from incident_sandbox.demo.environment import FINDABLE, STORY, demo_environment
from incident_sandbox.demo.local_airflow import LocalAirflow


class SandboxRehearsal:
    """The sandbox, the broken service and an Airflow, for the length of a ``with`` block."""

    def story_alert(self, name: str) -> dict[str, Any]:
        """Return the alert of a story, as the webhook sends it.

        :raises ValueError: there is no such story; the message names those that there are.
        """
        return alert_payload(World(load_story(name), time.time()))

    @contextmanager
    def __call__(
        self,
        *,
        home: Path,
        dags: Path,
        dag_id: str,
        rules: Sequence[Mapping[str, Any]],
        progress: Callable[[str], None],
        story: str | None = None,
    ) -> Iterator[AirflowApi]:
        """Start everything; yield a client of the Airflow once the DAG can run."""
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
                environment.play(story or STORY)
                yield airflow.api


rehearsal = SandboxRehearsal()
