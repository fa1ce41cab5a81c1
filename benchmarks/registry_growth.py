"""
What an alert and a poll of the incidents page cost, depending on how many incidents are stored.

Starts an Airflow with PostgreSQL on this machine. Its runs do nothing: what is timed is the webhook and the page.
For each size the registry is filled with incidents as version 0.1.0 stored them; then alerts are posted one after
the other (new ones, repetitions and recoveries), the page is polled, and at last 200 alerts of 40 services are
posted within 10 s.

    python -m benchmarks.registry_growth --sizes 100 10000 100000
"""

from __future__ import annotations

import argparse
import asyncio
import copy
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
from incident_sandbox.demo.local_airflow import LocalAirflow
from sqlalchemy import create_engine, text

CONNECTION = "incident_webhook"
HEADER = "X-Incident-Secret"
SECRET = "a-secret-of-this-benchmark"
PAYLOAD = Path(__file__).parents[1] / "tests" / "payloads" / "01_metric_triggered.json"
ASSET = "incident_registry"
OPEN = 1_000
"""How many of the stored incidents are open, at most."""

ALERTS = 150
POLLS = 30
DAG = """
from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG

from airflow_incident_provider.incident_dag import REGISTRY

with DAG("{dag_id}", schedule=None, max_active_runs=100, tags=["incident"]):
    EmptyOperator(task_id="nothing")

with DAG("{dag_id}_registry", schedule=None):
    EmptyOperator(task_id="nothing", inlets=[REGISTRY])
"""
DAG_IDS = ("incident_response", "incident_update")


def alert(monitor: int, service: str, transition: str = "Triggered") -> dict[str, Any]:
    """Return what Datadog sends for a monitor and a service, just now."""
    payload: dict[str, Any] = copy.deepcopy(json.loads(PAYLOAD.read_text()))
    now = str(int(time.time() * 1000))
    payload |= {"id": f"{monitor}{now}", "tags": f"env:prod,service:{service}", "date": now}
    payload["alert"] |= {
        "id": str(monitor),
        "cycle_key": f"77{monitor}",
        "scope": f"env:prod,service:{service}",
        "transition": transition,
        "type": "success" if transition == "Recovered" else "error",
        "title": f"[P1] [{transition}] {service} is broken, says monitor {monitor}",
    }
    return payload


def stored_incident(number: int, now: datetime, *, is_open: bool) -> tuple[str, dict[str, Any]]:
    """Return the key and the stored form of an incident as version 0.1.0 wrote it."""
    key, service = f"dd.5{number}.1", f"stored-{number}"
    at = (now - timedelta(hours=1 if is_open else 72, seconds=number % 3000)).isoformat()
    alert_state = {
        "key": key,
        "group": f"dd.5{number}",
        "title": f"{service} is broken",
        "severity": "high",
        "firing": is_open,
        "monitor_id": f"5{number}",
        "scope": f"env:prod,service:{service}",
        "transition": "Triggered",
        "first_at": at,
        "last_at": at,
    }
    record = {
        "schema_version": 1,
        "key": key,
        "run_id": key,
        "source": "datadog_alert",
        "opened_by": key,
        "title": f"{service} is broken",
        "severity": "high",
        "services": [service],
        "env": "prod",
        "correlation_keys": [json.dumps({"service": [service], "env": ["prod"]})],
        "opened_at": at,
        "last_signal_at": at,
        "alerts": {key: alert_state},
        "deliveries": [f"{number:012x}"],
    }
    if not is_open:
        record |= {"status": "archived", "recovered_at": at, "resolved_at": at, "archived_at": at}
    return key, {"version": 1, "record": record}


def fill(airflow: LocalAirflow, size: int) -> None:
    """Replace what the registry holds by so many incidents."""
    engine = create_engine(airflow.environment["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"])
    now = datetime.now(UTC)
    insert = text(
        "INSERT INTO asset_state_store (asset_id, key, value, updated_at) VALUES (:asset, :key, :value, :at)"
    )
    with engine.begin() as connection:
        asset = connection.scalar(text("SELECT id FROM asset WHERE name = :name"), {"name": ASSET})
        connection.execute(text("DELETE FROM asset_state_store"))
        rows = []
        for number in range(size):
            is_open = number < min(OPEN, size)
            key, value = stored_incident(number, now, is_open=is_open)
            rows.append({"key": f"{'record' if is_open else 'archive'}/{key}", "value": json.dumps(value)})
            if is_open:
                rows.append({"key": f"transition/{key}", "value": json.dumps({"as_of": 0, "status": "open"})})
            rows.append({"key": f"updates/upd.{key}", "value": json.dumps({"incident": key})})
        for start in range(0, len(rows), 5000):
            connection.execute(insert, [{"asset": asset, "at": now, **row} for row in rows[start : start + 5000]])
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM ANALYZE asset_state_store"))
    engine.dispose()


def timed(work: Callable[[], httpx.Response], expected: Sequence[int]) -> float:
    """Return the seconds that a request took."""
    began = time.perf_counter()
    answer = work()
    if answer.status_code not in expected:
        raise RuntimeError(f"HTTP {answer.status_code}: {answer.text[:300]}")
    return time.perf_counter() - began


def post_alerts(client: httpx.Client, size: int) -> list[float]:
    """Post alerts one after the other: new incidents, repetitions, and recoveries."""
    seconds = []
    for number in range(ALERTS):
        monitor = 10_000_000 + size * 10 + number // 3
        transition = ("Triggered", "Re-Triggered", "Recovered")[number % 3]
        payload = alert(monitor, f"fresh-{size}-{number // 3}", transition)
        seconds.append(timed(lambda p=payload: client.post("/incidents/webhook/datadog", json=p), (200, 202)))  # type: ignore[misc]
    return seconds


async def post_storm(url: str, size: int) -> list[float]:
    """Post 200 alerts of 40 services within 10 s."""
    async with httpx.AsyncClient(base_url=url, headers={HEADER: SECRET}, timeout=30, trust_env=False) as client:

        async def post(place: int) -> float:
            await asyncio.sleep(10 * place / 200)
            answer = await client.post(
                "/incidents/webhook/datadog",
                json=alert(20_000_000 + size * 10 + place, f"storm-{size}-{place % 40}"),
            )
            if answer.status_code not in (200, 202):
                raise RuntimeError(f"HTTP {answer.status_code}: {answer.text[:300]}")
            return answer.elapsed.total_seconds()

        return await asyncio.gather(*(post(place) for place in range(200)))


def line(name: str, seconds: Sequence[float]) -> str:
    """Return the figures of a measurement, in milliseconds."""
    ordered = sorted(seconds)
    p50, p95 = statistics.median(ordered), ordered[int(len(ordered) * 0.95)]
    return f"  {name:<28} p50 {p50 * 1000:8.1f} ms   p95 {p95 * 1000:8.1f} ms   max {ordered[-1] * 1000:8.1f} ms"


def measure(airflow: LocalAirflow, size: int, token: str) -> None:
    """Fill the registry, and print the figures."""
    fill(airflow, size)
    with httpx.Client(base_url=airflow.url, headers={HEADER: SECRET}, timeout=60, trust_env=False) as client:
        bearer = {"Authorization": f"Bearer {token}"}
        first = timed(
            lambda: client.post("/incidents/webhook/datadog", json=alert(30_000_000 + size, f"first-{size}")),
            (200, 202),
        )
        polls = [
            timed(lambda: client.get("/incidents/api/incidents", headers=bearer), (200,)) for _ in range(POLLS)
        ]
        alerts = post_alerts(client, size)
        storm = asyncio.run(post_storm(airflow.url, size))
    print(f"\n{size:,} incidents stored, {min(OPEN, size):,} open; the first alert took {first * 1000:.0f} ms")
    print(line("one alert after the other", alerts))
    print(line("a poll of the page", polls))
    print(line("200 alerts within 10 s", storm))


def main() -> None:
    """Start Airflow and measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[100, 10_000, 100_000])
    sizes = parser.parse_args().sizes
    with tempfile.TemporaryDirectory() as folder:
        dags = Path(folder, "dags")
        dags.mkdir()
        for dag_id in DAG_IDS:
            (dags / f"{dag_id}.py").write_text(DAG.format(dag_id=dag_id))
        connections = {CONNECTION: {"conn_type": "generic", "password": SECRET}}
        with LocalAirflow(Path(folder, "airflow"), dags, connections=connections, progress=print) as airflow:
            for dag_id in DAG_IDS:
                airflow.wait_for_dag(dag_id)
            name, password = airflow.credentials
            answer = httpx.post(
                f"{airflow.url}/auth/token", json={"username": name, "password": password}, timeout=60
            )
            token = answer.raise_for_status().json()["access_token"]
            print(f"\n{os.cpu_count()} processors, load before: {os.getloadavg()[0]:.1f}")
            for size in sizes:
                measure(airflow, size, token)


if __name__ == "__main__":
    main()
