"""Test the progress in the brief: what it shows, which tasks refresh it, and concurrent writers."""

from __future__ import annotations

import pytest
from greenlet import greenlet
from hypothesis import given
from hypothesis import strategies as st

from airflow_incident_provider.config import STEPS
from airflow_incident_provider.messages.progress import StepState
from airflow_incident_provider.room.brief import (
    SHOWN_PARTS,
    SLOW_PROBE_SECONDS,
    TaskStates,
    is_shown,
    may_be_shown,
    write_until_settled,
)
from airflow_incident_provider.room.progress import steps_so_far

BEFORE_ROOM = ("parse_incident_event", "setup_slack_integration", "resolve_slack_users")


def task_states(probes: int = 5, done: int = 0, **overrides: str | None) -> dict[str, str | None]:
    """Return the task states of a run with an open room and ``probes`` probes, of which ``done`` have ended."""
    states: dict[str, str | None] = dict.fromkeys(BEFORE_ROOM, "success")
    states |= {"create_war_room": "success", "plan_investigation": "success"}
    states |= {f"investigate_{index}": "success" if index < done else "running" for index in range(probes)}
    return states | {"post_investigation_updates": None, "final_summary": None} | overrides


def step_progress(states: TaskStates) -> dict[str, tuple[StepState, int | None, int | None]]:
    return {step.step: (step.state, step.done, step.total) for step in steps_so_far(states)}


def test_first_unfinished_step_is_running() -> None:
    steps = step_progress(task_states(done=3))

    assert steps["create_war_room"] == (StepState.DONE, None, None)
    assert steps["investigate"] == (StepState.RUNNING, 3, 5)
    assert steps["post_investigation_updates"] == (StepState.TO_COME, None, None)
    assert tuple(steps) == STEPS


def test_unplanned_probes_have_no_count() -> None:
    states = task_states(probes=0) | {"investigate": None}

    assert step_progress(states)["investigate"] == (StepState.RUNNING, None, None)


def test_step_with_failed_probe_is_failed() -> None:
    assert step_progress(task_states(done=5, investigate_2="failed"))["investigate"] == (StepState.FAILED, 5, 5)


def test_missing_step_is_left_out() -> None:
    assert set(step_progress({"create_war_room": "success", "backfill": "running"})) == {"create_war_room"}


@pytest.mark.parametrize("task", [*BEFORE_ROOM, "create_war_room", "plan_investigation", "backfill"])
def test_steps_up_to_the_brief_do_not_refresh_it(task: str) -> None:
    assert not may_be_shown(task, "success", duration_s=60)


def test_posted_findings_refresh_the_brief_only_on_failure() -> None:
    assert not may_be_shown("post_investigation_updates", "success", duration_s=60)
    assert may_be_shown("post_investigation_updates", "failed", duration_s=0.1)
    assert may_be_shown("final_summary", "success", duration_s=0.1)


def test_only_slow_probes_refresh_the_brief() -> None:
    assert not may_be_shown("investigate", "success", duration_s=SLOW_PROBE_SECONDS - 1)
    assert may_be_shown("investigate", "success", duration_s=SLOW_PROBE_SECONDS)


@given(st.integers(1, 60))
def test_number_of_refreshes_by_probes_is_bounded(probes: int) -> None:
    steps = [done for done in range(1, probes + 1) if is_shown("investigate", task_states(probes, done))]

    assert len(steps) == min(probes, SHOWN_PARTS) - 1
    assert probes not in steps


class InterleavedWriters:
    """Interleave tasks that write the brief: each pauses before every read and every write."""

    def __init__(self, history: list[TaskStates]) -> None:
        self.history = history
        self.position = 0
        self.written: TaskStates = {}
        self.writers: list[greenlet] = []

    def advance(self) -> None:
        """Advance the run by one state and start a writer for it."""
        self.position += 1
        self.start_writer()

    def start_writer(self) -> None:
        writer = greenlet(self._write)
        self.writers.append(writer)
        writer.switch()

    def resume(self, index: int) -> None:
        self.writers[index].switch()
        if self.writers[index].dead:
            self.writers.pop(index)

    def _write(self) -> None:
        pause = greenlet.getcurrent().parent.switch

        def read() -> TaskStates:
            pause()
            return self.history[self.position]

        def write(states: TaskStates) -> None:
            pause()
            self.written = states

        write_until_settled(self.history[self.position], read=read, write=write)


@given(st.data())
def test_concurrent_writers_leave_the_latest_state(data: st.DataObject) -> None:
    history: list[TaskStates] = [task_states(3, done) for done in range(4)]
    history += [task_states(3, 3, post_investigation_updates="success")]
    history += [task_states(3, 3, post_investigation_updates="success", final_summary="success")]
    writers = InterleavedWriters(history)
    writers.start_writer()
    while writers.writers or writers.position < len(history) - 1:
        can_advance = writers.position < len(history) - 1
        if can_advance and (not writers.writers or data.draw(st.booleans())):
            writers.advance()
        else:
            writers.resume(data.draw(st.integers(0, len(writers.writers) - 1)))

    assert steps_so_far(writers.written) == steps_so_far(history[-1])
