"""Run a scenario with a fault and return the resulting state of Slack."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import requests
from incident_sandbox import Fault, SandboxClient, SandboxServer

from ..dags.conftest import BOT, Run
from .cases import EXISTING_CHANNEL, FIRST, REPEATED, Case

RETRIES = 3
LATE_CALL_TIMEOUT_S = 10.0
RESPONDERS = ["alice.ng@acme.example", "José García", "@sre-oncall", "nobody@acme.example"]
ROUTING = {
    "defaults": {
        "probes": ["control"],
        "responders": RESPONDERS,
        "runbook": "https://wiki.acme.example/runbooks/first-steps",
    }
}
PAYLOADS = {FIRST: "01_metric_triggered", REPEATED: "01_metric_triggered", EXISTING_CHANNEL: "06_incident_created"}
DANA = "U0DANAREYES"


@dataclass(frozen=True)
class Room:
    """The state of a room, with the IDs of runs replaced by their order.

    :param messages: how often the app posted each key.
    :param texts: the blocks of the app's messages by key, as JSON.
    """

    name: str
    topic: str
    purpose: str
    members: frozenset[str]
    bookmarks: Counter[str]
    pinned: tuple[str, ...]
    messages: Counter[str]
    texts: dict[str, str]


@dataclass(frozen=True)
class Outcome:
    """The result of a scenario: the rooms of the app, the last run, and the calls of each method in it."""

    rooms: tuple[Room, ...]
    run: Run
    calls: Counter[str]


class ScenarioRunner:
    """Runs scenarios in a new workspace, in this process with ``dag.test()``."""

    def __init__(
        self,
        *,
        run_dag: Callable[..., Run],
        slack: SandboxServer,
        control: SandboxClient,
        connect: Callable[..., Any],
        use_routing: Callable[[dict[str, Any]], None],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        self._run_dag = run_dag
        self._slack = slack
        self._control = control
        self._connect = connect
        use_routing(ROUTING)
        # The findings contain the path of the missing engine, so it must be the same in every test.
        monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere/no-engine.sock")
        # Without a deadline: whether a room is late depends on the machine.
        monkeypatch.setenv("AIRFLOW__INCIDENT__ROOM_DEADLINE_SECONDS", "0")
        # Skips the validation of the trigger form, which takes half of the time of a case.
        monkeypatch.setenv("_AIRFLOW_PARSING_CONTEXT_TASK_ID", "create_war_room")
        step = "airflow_incident_provider.operators.base"
        monkeypatch.setattr(f"{step}.RETRY_DELAY_AFTER_TIMEOUT_S", 1.5)
        monkeypatch.setattr(f"{step}.MAX_RETRY_DELAY_S", 0.1)

    def clean(self, scenario: str) -> Outcome:
        """Return the outcome of a scenario without faults, which is run once per session."""
        if scenario not in _CLEAN:
            _CLEAN[scenario] = self.run(scenario)
        return _CLEAN[scenario]

    def run_case(self, case: Case) -> Outcome:
        """Run a case and return its outcome. Check that the fault was injected."""
        outcome = self.run(case.scenario, case.sandbox_fault, timeout_s=case.fault.timeout_s)
        assert [entry["consumed"] for entry in self._control.faults()] == [1], "the fault was not injected"
        return outcome

    def run(self, scenario: str, *faults: Fault, timeout_s: int | None = None, retries: int = RETRIES) -> Outcome:
        """Run a scenario with these faults in its last run and return its outcome."""
        self._slack.workspace.reset()
        self._connect(**({"timeout": timeout_s} if timeout_s else {}))
        run_ids = list(self._prepare(scenario))
        calls_before = len(self._control.calls())
        for fault in faults:
            self._control.add_fault(fault)
        run = self._run_dag(_conf(scenario), retries=retries)
        calls = self._completed_calls()[calls_before:]
        run_ids.append(run.run_id)
        return Outcome(tuple(rooms_in(self._control, run_ids)), run, Counter(call["method"] for call in calls))

    def _prepare(self, scenario: str) -> Iterator[str]:
        """Prepare the last run of a scenario, and yield the IDs of the earlier runs."""
        if scenario == EXISTING_CHANNEL:
            self._control.add_channel("incident-118", id="C0ABC118", members=[DANA])
        if scenario == REPEATED:
            yield self._run_dag(_conf(scenario)).run_id

    def _completed_calls(self) -> list[dict[str, Any]]:
        """Wait until all calls are completed and return them. A late call may outlive the run."""
        requests.post(f"{self._slack.slack_base_url}api.test", timeout=LATE_CALL_TIMEOUT_S)
        deadline = time.monotonic() + LATE_CALL_TIMEOUT_S
        while (calls := self._control.calls()) and len(calls) < calls[-1]["seq"]:
            assert time.monotonic() < deadline, "a call did not end"
        return [call for call in calls if call["method"] != "api.test"]


_CLEAN: dict[str, Outcome] = {}


def _conf(scenario: str) -> dict[str, Any]:
    path = Path(__file__).parents[1] / "payloads" / f"{PAYLOADS[scenario]}.json"
    return {"datadog": json.loads(path.read_text(encoding="utf-8"))}


def rooms_in(control: SandboxClient, run_ids: list[str]) -> Iterator[Room]:
    """Yield the rooms that the app created, and the existing channel that it joined."""
    for channel in control.state()["channels"]:
        if BOT in channel["members"] and (channel["creator"] == BOT or channel["id"] == "C0ABC118"):
            yield _room(control.channel(channel["id"]), run_ids)


def _room(channel: dict[str, Any], run_ids: list[str]) -> Room:
    top = channel["messages"]
    messages = [*top, *(reply for each in top for reply in each["replies"]), *channel["orphans"]]
    app_messages = [each for each in messages if each["user"] == BOT and each.get("subtype") is None]
    key_of = {
        each["ts"]: _without_run_ids(each["metadata"]["event_payload"]["key"], run_ids) for each in app_messages
    }
    return Room(
        name=channel["name"],
        topic=channel["topic"],
        purpose=channel["purpose"],
        members=frozenset(channel["members"]),
        bookmarks=Counter(_without_run_ids(mark["link"], run_ids) for mark in channel["bookmarks"]),
        pinned=tuple(key_of.get(ts, ts) for ts in channel["pins"]),
        messages=Counter(key_of.values()),
        texts={
            key_of[each["ts"]]: _without_run_ids(json.dumps(each["blocks"], ensure_ascii=False), run_ids)
            for each in app_messages
        },
    )


def _without_run_ids(text: str, run_ids: list[str]) -> str:
    """Return a text with the IDs of runs, also those in URLs, replaced by their order."""
    for number, run_id in enumerate(run_ids, start=1):
        for written in (run_id, quote(run_id, safe="")):
            text = text.replace(written, f"RUN-{number}")
    return text
