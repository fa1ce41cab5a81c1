"""Kill the task's process with SIGKILL at each of its calls to Slack, before and after the effect."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from incident_sandbox.faults import FaultScript, When

from .deployment import Deployment
from .invariants import reported, violations
from .kills import KillAtCall
from .scenarios import Outcome

pytestmark = [pytest.mark.e2e, pytest.mark.docker, pytest.mark.whole_suite]


def run_incident(deployment: Deployment, script: FaultScript) -> Outcome:
    deployment.slack.workspace.reset()
    deployment.slack.workspace.faults = script
    return deployment.wait_for_run(deployment.start())


@pytest.mark.parametrize("when", list(When))
def test_kill_at_every_call(deployment: Deployment, report: Callable[[str], None], when: When) -> None:
    clean = run_incident(deployment, FaultScript())
    calls = clean.calls.total()
    failures: dict[str, list[str]] = {}
    killed_methods: list[str] = []
    for nth in range(1, calls + 1):
        script = KillAtCall(deployment.connected_processes, nth, when)
        actual = run_incident(deployment, script)
        killed_methods += script.killed
        found = violations(actual, clean)
        found += [f"reported: {what}" for what in reported(actual) - reported(clean)]
        found += [] if script.killed else ["no process was killed"]
        if found:
            failures[f"{nth}: {script.killed}"] = found
    report(
        f"kill -9 at each of {calls} calls, {when} the effect: {len(killed_methods)} processes killed, "
        f"{len(failures)} runs with violations; methods: {', '.join(sorted(set(killed_methods)))}"
    )
    assert failures == {}
