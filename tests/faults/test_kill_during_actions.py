"""Kill the task's process with SIGKILL at each call to Slack of a user's action.

The task is retried, as in Airflow. The room must then be the same as without the kill: nothing is duplicated, lost
or falsely reported.
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

from ..unit.operators.lifecycle_harness import BOT, BROKEN, DANA, LifecycleHarness, Monitor
from .forked_steps import ForkedSteps
from .kills import KillAtCall
from .scenarios import Room, rooms_in

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
"""The start time of all incidents."""

_TIMES = re.compile(
    r"/p\d{16}\b|<!date\^[^>]*>|\b\d{1,2}:\d{2}(?::\d{2})?\b|\b[\d.,]+ (?:ms|s|min|h)\b(?: \d+ (?:s|min)\b)?"
    r'|"block_id": "[^"]*"'
)


@dataclass(frozen=True)
class ActionCase:
    """An action with its arguments, and the preceding actions."""

    kind: ActionKind | None
    arguments: dict[str, Any] = field(default_factory=dict)
    after: tuple[ActionCase, ...] = ()


LEAD, RESOLVE = ActionCase(ActionKind.LEAD), ActionCase(ActionKind.RESOLVE)
ACTIONS = {
    "take command": LEAD,
    "hand over": ActionCase(ActionKind.LEAD, {"person": Person(name="dana.reyes", slack_id=DANA)}, after=(LEAD,)),
    "take a role": ActionCase(ActionKind.ROLE, {"role": Role.SCRIBE}),
    "raise the severity": ActionCase(ActionKind.SEVERITY, {"severity": Severity.CRITICAL}),
    "lower the severity": ActionCase(ActionKind.SEVERITY, {"severity": Severity.LOW}),
    "post an update": ActionCase(ActionKind.UPDATE, {"text": "We roll back", "minutes": 15}),
    "check again": ActionCase(ActionKind.CHECK),
    "invite": ActionCase(ActionKind.INVITE, {"names": ("@sre-oncall", DANA, "nobody")}),
    "resolve": RESOLVE,
    "reopen": ActionCase(ActionKind.REOPEN, after=(RESOLVE,)),
    "add an action item": ActionCase(ActionKind.ITEM, {"text": "Alert on the queue"}),
    "remind": ActionCase(None),
}
ACTIONS_WITHOUT_CALLS = {
    ActionKind.SNOOZE: {"minutes": 30},
    ActionKind.FEEDBACK: {"finding": "http x", "useful": True},
}
SELECTION = (("raise the severity", 3), ("invite", 4), ("resolve", 5), ("post an update", 2))
"""The actions and calls of the selection in `make test`."""


@dataclass(frozen=True)
class SlackState:
    """The state of Slack after an action."""

    rooms: tuple[Room, ...]
    announcements: tuple[str, ...]
    tries: int


class ActionRunner:
    """Runs actions in new incidents."""

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

    def run(self, action: ActionCase, nth: int = 0, when: When = When.AFTER) -> tuple[SlackState, list[str]]:
        """Run an action in a new incident; kill the task's process at its ``nth`` call to Slack, if given.

        :returns: the state of Slack, and the methods at which a process was killed.
        """
        self._slack.workspace.reset()
        self._control.add_channel(ANNOUNCEMENTS, members=[BOT])
        shutil.rmtree(self._directory, ignore_errors=True)
        lifecycle = LifecycleHarness(TABLE)
        lifecycle.now = START
        findings = [finding.model_copy(update={"started_at": datetime.now(UTC)}) for finding in BROKEN]
        lifecycle.run_response(Monitor(lifecycle, self._payload("01"))("Triggered"), findings)
        steps = ForkedSteps(lifecycle, findings, self._monkeypatch)
        for before in action.after:
            self._run_action(lifecycle, steps, before)
        script = KillAtCall(steps.processes, nth, when) if nth else FaultScript()
        self._slack.workspace.faults = script
        self._calls_before, steps.tries = len(self._control.calls()), 0
        self._run_action(lifecycle, steps, action)
        return self._state(steps), getattr(script, "killed", [])

    def calls(self) -> int:
        """Return the number of calls of the last action."""
        return len(self._control.calls()) - self._calls_before

    @staticmethod
    def _run_action(lifecycle: LifecycleHarness, steps: ForkedSteps, action: ActionCase) -> None:
        if action.kind is None:
            lifecycle.schedule("look.1")
            dag_id, run_id, conf, lifecycle.now = lifecycle.requested.pop()
            steps.run(RunRequest(dag_id=dag_id, run_id=run_id, conf=conf))
            return
        lifecycle.advance_time(minutes=1)
        for request in lifecycle.act(action.kind, **action.arguments):
            steps.run(request)

    def _state(self, steps: ForkedSteps) -> SlackState:
        channels = self._control.state()["channels"]
        [channel_id] = [channel["id"] for channel in channels if channel["name"] == ANNOUNCEMENTS]
        announcements = [
            _without_times(json.dumps(m.get("blocks"))) for m in self._control.channel(channel_id)["messages"]
        ]
        return SlackState(tuple(rooms_in(self._control, [])), tuple(announcements), steps.tries)


def violations(actual: SlackState, clean: SlackState) -> list[str]:
    """Return the differences between a state and the clean one."""
    if len(actual.rooms) != len(clean.rooms):
        return [f"{len(actual.rooms)} rooms"]
    found = (
        []
        if actual.announcements == clean.announcements
        else [f"announcements: {actual.announcements}, not {clean.announcements}"]
    )
    for room, expected in zip(actual.rooms, clean.rooms, strict=True):
        found += [
            f"{name}: {getattr(room, name)} is not {getattr(expected, name)}"
            for name in ("name", "topic", "purpose", "members", "bookmarks", "pinned", "messages")
            if getattr(room, name) != getattr(expected, name)
        ]
        found += [
            f"{key}: {_difference(text, expected.texts.get(key, ''))}"
            for key, text in room.texts.items()
            if _without_times(text) != _without_times(expected.texts.get(key, ""))
        ]
    return found


def _difference(text: str, expected: str) -> str:
    pairs = zip(_without_times(text), _without_times(expected), strict=False)
    start = next((position for position, (one, other) in enumerate(pairs) if one != other), 0)
    return f"{_without_times(text)[start:][:300]!r} is not {_without_times(expected)[start:][:300]!r}"


def _without_times(text: str) -> str:
    return _TIMES.sub("T", text)


@pytest.fixture
def action_runner(
    slack: SandboxServer,
    connect: Callable[..., Any],
    payload: Callable[[str], dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> ActionRunner:
    connect(signing_secret=SIGNING_SECRET)
    (tmp_path / "routing.yaml").write_text(TABLE, encoding="utf-8")
    monkeypatch.setenv("AIRFLOW__INCIDENT__ROUTING_TABLE", str(tmp_path / "routing.yaml"))
    monkeypatch.setenv("AIRFLOW__INCIDENT__ROOM_DEADLINE_SECONDS", "0")
    return ActionRunner(slack, payload, monkeypatch, Path(os.environ["AIRFLOW__INCIDENT__DIRECTORY_FOLDER"]))


@pytest.mark.parametrize(("name", "nth"), SELECTION)
def test_kill_at_selected_call(action_runner: ActionRunner, name: str, nth: int) -> None:
    clean, _ = action_runner.run(ACTIONS[name])
    assert action_runner.calls() >= nth
    for when in When:
        actual, killed = action_runner.run(ACTIONS[name], nth, when)
        assert killed, "no process was killed"
        assert violations(actual, clean) == []
        assert actual.tries == clean.tries + 1


@pytest.mark.parametrize("kind", ACTIONS_WITHOUT_CALLS)
def test_record_only_action_makes_no_calls(action_runner: ActionRunner, kind: ActionKind) -> None:
    action_runner.run(ActionCase(kind, ACTIONS_WITHOUT_CALLS[kind]))
    assert action_runner.calls() == 0


@pytest.mark.whole_suite
@pytest.mark.parametrize("name", ACTIONS)
def test_kill_at_every_call(action_runner: ActionRunner, report: Callable[[str], None], name: str) -> None:
    clean, _ = action_runner.run(ACTIONS[name])
    calls = action_runner.calls()
    assert calls
    failures: dict[str, list[str]] = {}
    killed_methods: list[str] = []
    for nth in range(1, calls + 1):
        for when in When:
            actual, killed = action_runner.run(ACTIONS[name], nth, when)
            killed_methods += killed
            found = violations(actual, clean) + ([] if killed else ["no process was killed"])
            if found:
                failures[f"{nth}, {when}: {killed}"] = found
    report(
        f"{name}: kill -9 at each of {calls} calls, before and after: {len(killed_methods)} processes killed, "
        f"{len(failures)} outcomes with violations; methods: {', '.join(sorted(set(killed_methods)))}"
    )
    assert failures == {}


def test_every_action_has_a_case() -> None:
    assert {action.kind for action in ACTIONS.values()} | ACTIONS_WITHOUT_CALLS.keys() == {*ActionKind, None}
