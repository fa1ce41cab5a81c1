"""The process of a task is killed (kill -9) at every call to Slack that an action of a person leads to.

The task is run again, as Airflow does. The room must then be as if nothing had happened: nothing doubled, lost or
claimed falsely.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from incident_sandbox import SandboxClient, SandboxServer
from incident_sandbox.faults import FaultScript, When
from incident_sandbox.interactivity import SIGNING_SECRET

from airflow_incident_provider.lifecycle.coordination import ActionKind, Person, Role
from airflow_incident_provider.lifecycle.records import RunRequest
from airflow_incident_provider.models import Severity

from ..unit.operators.lifecycle_harness import BOT, BROKEN, DANA, LifecycleHarness, Monitor  # noqa: TID252  # isort: skip
from .forked_steps import ForkedSteps  # isort: skip
from .kills import KillAtCall  # isort: skip
from .running import Room, rooms_in  # isort: skip

ANNOUNCEMENTS = "stakeholders"
TABLE = """
version: 1
rules:
  - {name: checkout, match: {service: checkout}, responders: [alice.ng@acme.example], targets: [shop.example.com]}
  - {name: worst, match: {severity: critical}, responders: [José García, nobody@acme.example]}
announce: "#stakeholders"
reminders: {medium: {commander: 5m}}
"""
START = datetime.now(UTC) - timedelta(minutes=10)
"""All incidents start at the same time."""

_TIMES = re.compile(
    r"/p\d{16}\b|<!date\^[^>]*>|\b\d{1,2}:\d{2}(?::\d{2})?\b|\b[\d.,]+ (?:ms|s|min|h)\b(?: \d+ (?:s|min)\b)?"
    r'|"block_id": "[^"]*"'
)


@dataclass(frozen=True)
class Act:
    """An action with its arguments, and the actions before it."""

    kind: ActionKind | None
    arguments: dict[str, Any] = field(default_factory=dict)
    after: tuple[Act, ...] = ()


LEAD, RESOLVE = Act(ActionKind.LEAD), Act(ActionKind.RESOLVE)
ACTS = {
    "take command": LEAD,
    "hand over": Act(ActionKind.LEAD, {"person": Person(name="dana.reyes", slack_id=DANA)}, after=(LEAD,)),
    "take a role": Act(ActionKind.ROLE, {"role": Role.SCRIBE}),
    "raise the severity": Act(ActionKind.SEVERITY, {"severity": Severity.CRITICAL}),
    "lower the severity": Act(ActionKind.SEVERITY, {"severity": Severity.LOW}),
    "post an update": Act(ActionKind.UPDATE, {"text": "We roll back", "minutes": 15}),
    "check again": Act(ActionKind.CHECK),
    "invite": Act(ActionKind.INVITE, {"names": ("@sre-oncall", DANA, "nobody")}),
    "resolve": RESOLVE,
    "reopen": Act(ActionKind.REOPEN, after=(RESOLVE,)),
    "add an action item": Act(ActionKind.ITEM, {"text": "Alert on the queue"}),
    "remind": Act(None),
}
WITHOUT_CALLS = {ActionKind.SNOOZE: {"minutes": 30}, ActionKind.FEEDBACK: {"finding": "http x", "useful": True}}
SELECTION = (("raise the severity", 3), ("invite", 4), ("resolve", 5), ("post an update", 2))
"""What every run of the suite tries: the action and the call."""


@dataclass(frozen=True)
class Seen:
    """What people find in Slack after an action."""

    rooms: tuple[Room, ...]
    announced: tuple[str, ...]
    tries: int


class ActionBench:
    """Does actions in incidents that are as good as new."""

    def __init__(
        self,
        slack: SandboxServer,
        payload: Callable[[str], dict[str, Any]],
        monkeypatch: pytest.MonkeyPatch,
        directory: Path,
    ) -> None:
        self._slack, self._payload, self._monkeypatch = slack, payload, monkeypatch
        self._control = SandboxClient(slack.url)
        self._directory = directory
        self._calls_before = 0

    def do(self, act: Act, nth: int = 0, when: When = When.AFTER) -> tuple[Seen, list[str]]:
        """Do an action in a new incident; kill the task's process at its ``nth`` call to Slack, if that is given.

        :returns: the outcome, and the methods at which a process was killed.
        """
        self._slack.workspace.reset()
        self._control.add_channel(ANNOUNCEMENTS, members=[BOT])
        shutil.rmtree(self._directory, ignore_errors=True)
        lifecycle = LifecycleHarness(TABLE)
        lifecycle.now = START
        findings = [finding.model_copy(update={"started_at": datetime.now(UTC)}) for finding in BROKEN]
        lifecycle.run_response(Monitor(lifecycle, self._payload("01"))("Triggered"), findings)
        steps = ForkedSteps(lifecycle, findings, self._monkeypatch)
        for before in act.after:
            self._do(lifecycle, steps, before)
        script = KillAtCall(steps.processes, nth, when) if nth else FaultScript()
        self._slack.workspace.faults = script
        self._calls_before, steps.tries = len(self._control.calls()), 0
        self._do(lifecycle, steps, act)
        return self._seen(steps), getattr(script, "killed", [])

    def calls(self) -> int:
        """Return how many calls the last action made."""
        return len(self._control.calls()) - self._calls_before

    @staticmethod
    def _do(lifecycle: LifecycleHarness, steps: ForkedSteps, act: Act) -> None:
        if act.kind is None:
            lifecycle.schedule("look.1")
            dag_id, run_id, conf, lifecycle.now = lifecycle.requested.pop()
            steps.run(RunRequest(dag_id=dag_id, run_id=run_id, conf=conf))
            return
        lifecycle.advance_time(minutes=1)
        for request in lifecycle.act(act.kind, **act.arguments):
            steps.run(request)

    def _seen(self, steps: ForkedSteps) -> Seen:
        channels = self._control.state()["channels"]
        [place] = [channel["id"] for channel in channels if channel["name"] == ANNOUNCEMENTS]
        announced = [_timeless(json.dumps(m.get("blocks"))) for m in self._control.channel(place)["messages"]]
        return Seen(tuple(rooms_in(self._control, [])), tuple(announced), steps.tries)


def violations(seen: Seen, clean: Seen) -> list[str]:
    """Return how an outcome differs from the clean one."""
    if len(seen.rooms) != len(clean.rooms):
        return [f"{len(seen.rooms)} rooms"]
    found = [] if seen.announced == clean.announced else [f"announced: {seen.announced}, not {clean.announced}"]
    for room, model in zip(seen.rooms, clean.rooms, strict=True):
        found += [
            f"{name}: {getattr(room, name)} is not {getattr(model, name)}"
            for name in ("name", "topic", "purpose", "members", "bookmarks", "pinned", "messages")
            if getattr(room, name) != getattr(model, name)
        ]
        found += [
            f"{key}: {_difference(text, model.texts.get(key, ''))}"
            for key, text in room.texts.items()
            if _timeless(text) != _timeless(model.texts.get(key, ""))
        ]
    return found


def _difference(text: str, wanted: str) -> str:
    pairs = zip(_timeless(text), _timeless(wanted), strict=False)
    start = next((place for place, (one, other) in enumerate(pairs) if one != other), 0)
    return f"{_timeless(text)[start:][:300]!r} is not {_timeless(wanted)[start:][:300]!r}"


def _timeless(text: str) -> str:
    return _TIMES.sub("T", text)


@pytest.fixture
def acting(
    slack: SandboxServer,
    connect: Callable[..., Any],
    payload: Callable[[str], dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> ActionBench:
    connect(signing_secret=SIGNING_SECRET)
    (tmp_path / "routing.yaml").write_text(TABLE, encoding="utf-8")
    monkeypatch.setenv("AIRFLOW__INCIDENT__ROUTING_TABLE", str(tmp_path / "routing.yaml"))
    monkeypatch.setenv("AIRFLOW__INCIDENT__ROOM_DEADLINE_SECONDS", "0")
    return ActionBench(slack, payload, monkeypatch, Path(os.environ["AIRFLOW__INCIDENT__DIRECTORY_FOLDER"]))


@pytest.mark.parametrize(("name", "nth"), SELECTION)
def test_some_calls(acting: ActionBench, name: str, nth: int) -> None:
    clean, _ = acting.do(ACTS[name])
    assert acting.calls() >= nth
    for when in When:
        seen, killed = acting.do(ACTS[name], nth, when)
        assert killed, "nobody was killed"
        assert violations(seen, clean) == []
        assert seen.tries == clean.tries + 1


@pytest.mark.parametrize("kind", WITHOUT_CALLS)
def test_an_action_of_the_record_alone_calls_nobody(acting: ActionBench, kind: ActionKind) -> None:
    acting.do(Act(kind, WITHOUT_CALLS[kind]))
    assert acting.calls() == 0


@pytest.mark.whole_suite
@pytest.mark.parametrize("name", ACTS)
def test_every_call(acting: ActionBench, counted: Callable[[str], None], name: str) -> None:
    clean, _ = acting.do(ACTS[name])
    calls = acting.calls()
    assert calls
    wrong: dict[str, list[str]] = {}
    struck: list[str] = []
    for nth in range(1, calls + 1):
        for when in When:
            seen, killed = acting.do(ACTS[name], nth, when)
            struck += killed
            found = violations(seen, clean) + ([] if killed else ["nobody was killed"])
            if found:
                wrong[f"{nth}, {when}: {killed}"] = found
    counted(
        f"{name}: kill -9 at each of {calls} calls, before and after: {len(struck)} processes killed, "
        f"{len(wrong)} outcomes with something wrong; methods: {', '.join(sorted(set(struck)))}"
    )
    assert wrong == {}


def test_every_action_is_tried() -> None:
    assert {act.kind for act in ACTS.values()} | WITHOUT_CALLS.keys() == {*ActionKind, None}
