"""
What the webhook answers under load, and how fast: twenty copies, fifty alerts of a service, a storm of 200.

Starts an Airflow with PostgreSQL and two API server workers on this machine. Its runs do nothing: what is timed is
the webhook. Every alert is looked for afterwards, in the records that it left.
"""

from __future__ import annotations

import asyncio
import copy
import json
import os
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
from incident_sandbox.demo.local_airflow import LocalAirflow
from sqlalchemy import create_engine
from sqlalchemy.orm import Session

from airflow_incident_provider.config import DEFAULT_WEBHOOK_CONN_ID
from airflow_incident_provider.lifecycle.records import IncidentRecord
from airflow_incident_provider.plugins.webhook.authentication import SECRET_HEADER
from airflow_incident_provider.registry.transaction import opened

SECRET = "a-secret-of-this-benchmark"
PAYLOAD = Path(__file__).parents[1] / "tests" / "payloads" / "01_metric_triggered.json"
DAG = """
from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG

from airflow_incident_provider.registry.keys import REGISTRY

with DAG("{dag_id}", schedule=None, max_active_runs=100):
    EmptyOperator(task_id="nothing")

with DAG("{dag_id}_registry", schedule=None):
    EmptyOperator(task_id="nothing", inlets=[REGISTRY])
"""
DAG_IDS = ("incident_response", "incident_update")


def alert(monitor: int, service: str) -> dict[str, Any]:
    """Return what Datadog sends when a monitor triggers for a service, just now."""
    payload: dict[str, Any] = copy.deepcopy(json.loads(PAYLOAD.read_text()))
    payload |= {"id": f"9{monitor}", "tags": f"env:prod,service:{service}", "date": str(int(time.time() * 1000))}
    payload["alert"] |= {
        "id": str(monitor),
        "cycle_key": f"77{monitor}",
        "scope": f"env:prod,service:{service}",
        "title": f"[P1] [Triggered] {service} is broken, says monitor {monitor}",
    }
    return payload


async def post_all(url: str, payloads: Sequence[dict[str, Any]], over_seconds: float) -> list[httpx.Response]:
    """Post all at once, or evenly over some seconds."""
    limits = httpx.Limits(max_connections=None)
    headers = {SECRET_HEADER: SECRET}
    async with httpx.AsyncClient(
        base_url=url, limits=limits, headers=headers, timeout=30, trust_env=False
    ) as client:

        async def post(place: int, payload: dict[str, Any]) -> httpx.Response:
            await asyncio.sleep(over_seconds * place / len(payloads))
            return await client.post("/incidents/webhook/datadog", json=payload)

        return await asyncio.gather(*(post(place, payload) for place, payload in enumerate(payloads)))


def records(airflow: LocalAirflow) -> list[IncidentRecord]:
    """Return the records as they are in the database."""
    engine = create_engine(airflow.environment["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"])
    try:
        with Session(engine) as session:
            return [incident.record for incident in opened(session).incidents().values()]
    finally:
        engine.dispose()


def measure(airflow: LocalAirflow, name: str, payloads: Sequence[dict[str, Any]], over_seconds: float = 0) -> None:
    """Post, and print the answers, their times, and the records that they left."""
    before = records(airflow)
    answers = asyncio.run(post_all(airflow.url, payloads, over_seconds))
    times = sorted(answer.elapsed.total_seconds() for answer in answers)
    after = records(airflow)
    alerts = sum(record.alert_count for record in after) - sum(record.alert_count for record in before)
    decisions = Counter(f"{answer.status_code} {answer.json().get('decision')}" for answer in answers)
    p95 = times[int(len(times) * 0.95)]
    print(f"\n{name}")
    print(f"  answers    {', '.join(f'{count} x {what}' for what, count in decisions.items())}")
    print(f"  seconds    median {statistics.median(times):.3f}, p95 {p95:.3f}, most {times[-1]:.3f}")
    print(f"  records    {len(after) - len(before)} incidents more, {alerts} alerts more")


def prepare(airflow: LocalAirflow) -> None:
    """Wait for the DAGs, and have each worker answer once: the first request to it takes seconds."""
    for dag_id in DAG_IDS:
        airflow.wait_for_dag(dag_id)
    paths = ["/execution/health", "/incidents/health"] * 8
    with ThreadPoolExecutor(len(paths)) as threads:
        list(threads.map(lambda path: httpx.get(airflow.url + path, timeout=60), paths))
    asyncio.run(post_all(airflow.url, [alert(number, "warm-up") for number in range(1, 9)], 0))


def main() -> None:
    """Start Airflow and measure."""
    connection = {"conn_type": "generic", "password": SECRET}
    with tempfile.TemporaryDirectory() as folder:
        dags = Path(folder, "dags")
        dags.mkdir()
        for dag_id in DAG_IDS:
            (dags / f"{dag_id}.py").write_text(DAG.format(dag_id=dag_id))
        with LocalAirflow(
            Path(folder, "airflow"),
            dags,
            connections={DEFAULT_WEBHOOK_CONN_ID: connection},
            api_workers=2,
            progress=print,
        ) as airflow:
            prepare(airflow)
            print(f"\n{os.cpu_count()} processors, load before: {os.getloadavg()[0]:.1f}")
            measure(airflow, "20 copies of an alert at once", [alert(100, "copied")] * 20)
            measure(airflow, "50 alerts of one service at once", [alert(200 + n, "fifty") for n in range(50)])
            storm = [alert(1000 + number, f"storm-{number % 40}") for number in range(200)]
            measure(airflow, "200 alerts of 40 services in 10 s", storm, over_seconds=10)


if __name__ == "__main__":
    main()
