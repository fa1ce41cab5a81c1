"""Runs a scenario with a fault in it, and takes down what came of it as people find it in Slack."""

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

from ..dags.conftest import BOT, Run  # noqa: TID252 - tests are no package  # isort: skip
from .cases import AGAIN, FIRST, THEIRS, Case  # isort: skip

RETRIES = 3
SETTLE_SECONDS = 10.0
RESPONDERS = ["alice.ng@acme.example", "José García", "@sre-oncall", "nobody@acme.example"]
ROUTING = {
    "defaults": {
        "probes": ["control"],
        "responders": RESPONDERS,
        "runbook": "https://wiki.acme.example/runbooks/first-steps",
    }
}
PAYLOADS = {FIRST: "01_metric_triggered", AGAIN: "01_metric_triggered", THEIRS: "06_incident_created"}
DANA = "U0DANAREYES"


@dataclass(frozen=True)
class Room:
    """A room as people find it, with the ids of runs replaced by their order.

    :param messages: how often each key was posted by us.
    :param texts: the blocks of our messages by key, as JSON.
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
    """What a scenario came to: the rooms that we are in, its last run, and what that called how often."""

    rooms: tuple[Room, ...]
    run: Run
    calls: Counter[str]


class Bench:
    """Runs scenarios in a workspace as good as new, each in this process by ``dag.test()``."""

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
        # The path of the engine that is not there stands in the findings, so it is the same in every test.
        monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere/no-engine.sock")
        # No room is promised: how long a case takes depends on the machine, and a late room says so.
        monkeypatch.setenv("AIRFLOW__INCIDENT__ROOM_DEADLINE_SECONDS", "0")
        # Half of a case's time would go into the trigger form, which Airflow validates again and again.
        monkeypatch.setenv("_AIRFLOW_PARSING_CONTEXT_TASK_ID", "create_war_room")
        step = "airflow_incident_provider.operators.base"
        monkeypatch.setattr(f"{step}.RETRY_DELAY_AFTER_TIMEOUT_S", 1.5)
        monkeypatch.setattr(f"{step}.MAX_RETRY_DELAY_S", 0.1)

    def clean(self, scenario: str) -> Outcome:
        """Return what the scenario comes to when nothing goes wrong; it is run once a session."""
        if scenario not in _CLEAN:
            _CLEAN[scenario] = self.run(scenario)
        return _CLEAN[scenario]

    def run_case(self, case: Case) -> Outcome:
        """Return what the case comes to; its fault must have struck."""
        outcome = self.run(case.scenario, case.scripted, patience_s=case.fault.patience_s)
        assert [entry["consumed"] for entry in self._control.faults()] == [1], "the fault did not strike"
        return outcome

    def run(self, scenario: str, *faults: Fault, patience_s: int | None = None, retries: int = RETRIES) -> Outcome:
        """Return what a scenario comes to with these faults in its last run."""
        self._slack.workspace.reset()
        self._connect(**({"timeout": patience_s} if patience_s else {}))
        run_ids = list(self._prepare(scenario))
        calls_before = len(self._control.calls())
        for fault in faults:
            self._control.add_fault(fault)
        run = self._run_dag(_conf(scenario), retries=retries)
        calls = self._all_answered()[calls_before:]
        run_ids.append(run.run_id)
        return Outcome(tuple(rooms_in(self._control, run_ids)), run, Counter(call["method"] for call in calls))

    def _prepare(self, scenario: str) -> Iterator[str]:
        """Do what comes before the run in question, and return the ids of the runs that were needed for it."""
        if scenario == THEIRS:
            self._control.add_channel("incident-118", id="C0ABC118", members=[DANA])
        if scenario == AGAIN:
            yield self._run_dag(_conf(scenario)).run_id

    def _all_answered(self) -> list[dict[str, Any]]:
        """Return the calls once none is under way: a late one may outlive the run."""
        requests.post(f"{self._slack.slack_base_url}api.test", timeout=SETTLE_SECONDS)
        deadline = time.monotonic() + SETTLE_SECONDS
        while (calls := self._control.calls()) and len(calls) < calls[-1]["seq"]:
            assert time.monotonic() < deadline, "a call was never answered"
        return [call for call in calls if call["method"] != "api.test"]


_CLEAN: dict[str, Outcome] = {}


def _conf(scenario: str) -> dict[str, Any]:
    path = Path(__file__).parents[1] / "payloads" / f"{PAYLOADS[scenario]}.json"
    return {"datadog": json.loads(path.read_text(encoding="utf-8"))}


def rooms_in(control: SandboxClient, run_ids: list[str]) -> Iterator[Room]:
    """Yield the rooms that we made, or joined in the scenario that is about that."""
    for channel in control.state()["channels"]:
        if BOT in channel["members"] and (channel["creator"] == BOT or channel["id"] == "C0ABC118"):
            yield _room(control.channel(channel["id"]), run_ids)


def _room(channel: dict[str, Any], run_ids: list[str]) -> Room:
    top = channel["messages"]
    messages = [*top, *(reply for each in top for reply in each["replies"]), *channel["orphans"]]
    ours = [each for each in messages if each["user"] == BOT and each.get("subtype") is None]
    key_of = {each["ts"]: _without_run_ids(each["metadata"]["event_payload"]["key"], run_ids) for each in ours}
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
            for each in ours
        },
    )


def _without_run_ids(text: str, run_ids: list[str]) -> str:
    """Return a text with the ids of runs, also those in addresses, replaced by their order."""
    for number, run_id in enumerate(run_ids, start=1):
        for written in (run_id, quote(run_id, safe="")):
            text = text.replace(written, f"RUN-{number}")
    return text
