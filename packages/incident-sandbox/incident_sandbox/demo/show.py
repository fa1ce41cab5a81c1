"""The demo: set the scene, start Airflow, post the alert, and watch the room fill up."""

from __future__ import annotations

import statistics
import threading
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from airflow_incident_provider.messages.times import duration
from airflow_incident_provider.models import IncidentSummary, RunOutcome, Verdict
from incident_sandbox.demo.alert import alert
from incident_sandbox.demo.local_airflow import LocalAirflow
from incident_sandbox.demo.processes import LocalProcessError
from incident_sandbox.demo.scene import Scene, scene

DAG_ID = "incident_response"
RUN_TIMEOUT_S = 120
POLL_S = 0.1

_DONE = frozenset({"success", "failed", "skipped", "upstream_failed"})


@dataclass(frozen=True)
class Shown:
    """How one incident went: seconds from the REST call to the brief and to the summary in the room."""

    run_id: str
    summary: IncidentSummary
    to_brief_s: float | None
    to_summary_s: float | None

    @property
    def went_well(self) -> bool:
        """Whether the room stands with brief and summary in it, and no step failed."""
        complete = self.summary.outcome in (RunOutcome.COMPLETE, RunOutcome.DEGRADED)
        return complete and self.to_brief_s is not None and self.to_summary_s is not None


class Demo:
    """The whole demo, in one folder.

    :param home: where everything is kept; a second run reuses it.
    :param dags_folder: where ``incident_response.py`` is.
    """

    def __init__(
        self, *, home: Path, dags_folder: Path, airflow_port: int | None = None, sandbox_port: int = 0
    ) -> None:
        self._home = home.resolve()
        self._dags_folder = dags_folder.resolve()
        self._airflow_port = airflow_port
        self._sandbox_port = sandbox_port

    def run(self, *, runs: int, stay: bool) -> bool:
        """Show so many incidents, one after another, and return whether all went well.

        :param stay: whether to stay up afterwards, until Ctrl-C.
        """
        if not (self._dags_folder / f"{DAG_ID}.py").is_file():
            raise LocalProcessError(
                f"{self._dags_folder} has no {DAG_ID}.py.",
                fix="Run this in a clone, or name its folder with --dags.",
            )
        self._home.mkdir(parents=True, exist_ok=True)
        began = time.monotonic()
        with ExitStack() as standing:
            there = standing.enter_context(scene(self._home, sandbox_port=self._sandbox_port, progress=_say))
            airflow = standing.enter_context(
                LocalAirflow(
                    self._home / "airflow",
                    self._dags_folder,
                    connections=there.connections,
                    environment=there.environment,
                    port=self._airflow_port,
                    progress=_say,
                )
            )
            airflow.wait_for_dag(DAG_ID)
            airflow.warm_up()
            shown = [self._show(airflow) for _ in range(runs)]
            self._tell(airflow, there, shown, time.monotonic() - began)
            if stay:
                _say("Everything stays up until Ctrl-C.")
                threading.Event().wait()
            return all(one.went_well for one in shown)

    def _show(self, airflow: LocalAirflow) -> Shown:
        """Post one alert to Airflow's REST API and watch its run."""
        payload = alert()
        run_id = f"dd.{payload['alert']['id']}.{payload['alert']['cycle_key']}"
        _say(f"Posting the Datadog alert to {airflow.url}/api/v2/dags/{DAG_ID}/dagRuns")
        posted_at = time.time()
        airflow.api.trigger(DAG_ID, {"datadog": payload}, run_id=run_id)
        self._watch(airflow, run_id)
        summary = IncidentSummary.model_validate(airflow.api.xcom(DAG_ID, run_id, "final_summary"))
        room = airflow.api.xcom(DAG_ID, run_id, "create_war_room")
        return Shown(
            run_id=run_id,
            summary=summary,
            to_brief_s=_after(posted_at, room.get("brief_ts")),
            to_summary_s=_after(posted_at, summary.posted_ts),
        )

    def _watch(self, airflow: LocalAirflow, run_id: str) -> None:
        """Print each step as it ends, until the run does."""
        seen: set[tuple[str, int]] = set()
        deadline = time.monotonic() + RUN_TIMEOUT_S
        while time.monotonic() < deadline:
            run = airflow.api.run(DAG_ID, run_id)
            for task in sorted(airflow.api.task_instances(DAG_ID, run_id), key=lambda task: task["end_date"] or ""):
                name = (task["task_id"], task["map_index"])
                if task["state"] in _DONE and name not in seen:
                    seen.add(name)
                    _say(f"  {_step(task)}")
            if run["state"] in ("success", "failed"):
                return
            time.sleep(POLL_S)
        raise LocalProcessError(f"The run {run_id} did not end within {RUN_TIMEOUT_S} s.", fix=f"See {self._home}.")

    def _tell(self, airflow: LocalAirflow, there: Scene, shown: list[Shown], total_s: float) -> None:
        last = shown[-1].summary
        findings = ", ".join(
            f"{last.findings[verdict]} {verdict}" for verdict in Verdict if verdict in last.findings
        )
        _say("")
        _say(f"The room     {there.sandbox.url}  (#{last.channel_name})")
        user, password = airflow.credentials
        _say(f"Airflow      {airflow.url}  (user {user}, password {password})")
        _say(f"Outcome      {last.outcome}: {last.here} of {last.invited} people here; {findings}")
        for problem in last.problems:
            _say(f"             {problem.what}: {problem.error}")
        _say(
            "Timeline     "
            + " · ".join(f"{entry.at:%H:%M:%S.%f}"[:-5] + f" {entry.what}" for entry in last.timeline)
        )
        _say(f"REST call to brief    {_spread([one.to_brief_s for one in shown])}")
        _say(f"REST call to summary  {_spread([one.to_summary_s for one in shown])}")
        _say(f"All of this took {duration(round(total_s * 1000))}.")


def _step(task: dict[str, Any]) -> str:
    label = task["rendered_map_index"] or ""
    took = f"{task['duration']:.1f} s" if task["duration"] is not None else ""
    return f"{task['state']:<16}{task['task_id']:<28}{label:<60}{took}".rstrip()


def _after(posted_at: float, ts: str | None) -> float | None:
    """Return how long after the call Slack says that a message was posted."""
    return float(ts) - posted_at if ts else None


def _spread(seconds: list[float | None]) -> str:
    """Return the median, and the extremes where there are several."""
    known = [value for value in seconds if value is not None]
    if not known:
        return "never"
    median = f"{statistics.median(known):.1f} s"
    return median if len(known) == 1 else f"median {median} of {len(known)}, {min(known):.1f} to {max(known):.1f} s"


def _say(line: str) -> None:
    print(line, flush=True)
