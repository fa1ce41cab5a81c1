"""The brief while a run goes on: what it shows, who writes it, and that the last word is right."""

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


def run(parts: int = 5, done: int = 0, **states: str | None) -> dict[str, str | None]:
    """A run whose room is open, with so many probes, so many of which have ended."""
    known: dict[str, str | None] = dict.fromkeys(BEFORE_ROOM, "success")
    known |= {"create_war_room": "success", "plan_investigation": "success"}
    known |= {f"investigate_{index}": "success" if index < done else "running" for index in range(parts)}
    return known | {"post_investigation_updates": None, "final_summary": None} | states


def shown(states: TaskStates) -> dict[str, tuple[StepState, int | None, int | None]]:
    return {step.step: (step.state, step.done, step.total) for step in steps_so_far(states)}


def test_the_first_step_that_has_not_ended_is_under_way() -> None:
    steps = shown(run(done=3))

    assert steps["create_war_room"] == (StepState.DONE, None, None)
    assert steps["investigate"] == (StepState.RUNNING, 3, 5)
    assert steps["post_investigation_updates"] == (StepState.TO_COME, None, None)
    assert tuple(steps) == STEPS


def test_probes_that_are_not_planned_yet_have_no_number() -> None:
    states = run(parts=0) | {"investigate": None}

    assert shown(states)["investigate"] == (StepState.RUNNING, None, None)


def test_a_step_of_which_a_part_failed_has_failed() -> None:
    assert shown(run(done=5, investigate_2="failed"))["investigate"] == (StepState.FAILED, 5, 5)


def test_a_step_that_this_dag_has_not_got_is_left_out() -> None:
    assert set(shown({"create_war_room": "success", "backfill": "running"})) == {"create_war_room"}


@pytest.mark.parametrize("task", [*BEFORE_ROOM, "create_war_room", "plan_investigation", "backfill"])
def test_steps_without_a_brief_and_the_one_that_writes_it_refresh_nothing(task: str) -> None:
    assert not may_be_shown(task, "success", duration_s=60)


def test_findings_are_reported_by_the_summary_unless_they_failed() -> None:
    assert not may_be_shown("post_investigation_updates", "success", duration_s=60)
    assert may_be_shown("post_investigation_updates", "failed", duration_s=0.1)
    assert may_be_shown("final_summary", "success", duration_s=0.1)


def test_quick_probes_are_reported_by_the_findings() -> None:
    assert not may_be_shown("investigate", "success", duration_s=SLOW_PROBE_SECONDS - 1)
    assert may_be_shown("investigate", "success", duration_s=SLOW_PROBE_SECONDS)


@given(st.integers(1, 60))
def test_probes_that_end_one_by_one_refresh_the_brief_a_few_times(parts: int) -> None:
    steps = [done for done in range(1, parts + 1) if is_shown("investigate", run(parts, done))]

    assert len(steps) == min(parts, SHOWN_PARTS) - 1
    assert parts not in steps


class Stage:
    """A run that moves on, and tasks that report it in turns: each stops before every read and every write."""

    def __init__(self, moments: list[TaskStates]) -> None:
        self.moments = moments
        self.now = 0
        self.written: TaskStates = {}
        self.writers: list[greenlet] = []

    def move_on(self) -> None:
        """A task ends, and begins to tell."""
        self.now += 1
        self.begin()

    def begin(self) -> None:
        writer = greenlet(self._tell)
        self.writers.append(writer)
        writer.switch()

    def take_a_turn(self, index: int) -> None:
        self.writers[index].switch()
        if self.writers[index].dead:
            self.writers.pop(index)

    def _tell(self) -> None:
        pause = greenlet.getcurrent().parent.switch

        def read() -> TaskStates:
            pause()
            return self.moments[self.now]

        def write(states: TaskStates) -> None:
            pause()
            self.written = states

        write_until_settled(self.moments[self.now], read=read, write=write)


@given(st.data())
def test_in_whatever_order_tasks_write_the_last_word_is_right(data: st.DataObject) -> None:
    moments: list[TaskStates] = [run(3, done) for done in range(4)]
    moments += [run(3, 3, post_investigation_updates="success")]
    moments += [run(3, 3, post_investigation_updates="success", final_summary="success")]
    stage = Stage(moments)
    stage.begin()
    while stage.writers or stage.now < len(moments) - 1:
        may_move = stage.now < len(moments) - 1
        if may_move and (not stage.writers or data.draw(st.booleans())):
            stage.move_on()
        else:
            stage.take_a_turn(data.draw(st.integers(0, len(stage.writers) - 1)))

    assert steps_so_far(stage.written) == steps_so_far(moments[-1])
