"""The task's process is killed (kill -9) at every call that it makes to Slack, before and after the effect."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from incident_sandbox.faults import FaultScript, When

from .invariants import reported, violations  # isort: skip
from .kills import KillAtCall  # isort: skip
from .real_airflow import RealAirflow  # isort: skip
from .running import Outcome  # isort: skip

pytestmark = [pytest.mark.e2e, pytest.mark.docker, pytest.mark.whole_suite]


def run(real: RealAirflow, script: FaultScript) -> Outcome:
    real.slack.workspace.reset()
    real.slack.workspace.faults = script
    return real.finish(real.start())


@pytest.mark.parametrize("when", list(When))
def test_every_call(real: RealAirflow, counted: Callable[[str], None], when: When) -> None:
    clean = run(real, FaultScript())
    calls = clean.calls.total()
    wrong: dict[str, list[str]] = {}
    struck: list[str] = []
    for nth in range(1, calls + 1):
        script = KillAtCall(real.callers, nth, when)
        seen = run(real, script)
        struck += script.killed
        found = violations(seen, clean)
        found += [f"it is said: {what}" for what in reported(seen) - reported(clean)]
        found += [] if script.killed else ["nobody was killed"]
        if found:
            wrong[f"{nth}: {script.killed}"] = found
    counted(
        f"kill -9 at each of {calls} calls, {when} the effect: {len(struck)} processes killed, "
        f"{len(wrong)} runs with something wrong; methods: {', '.join(sorted(set(struck)))}"
    )
    assert wrong == {}
