"""Excursions of a metric that ended with an earlier change."""

from __future__ import annotations

from pathlib import Path

import pytest
from incident_sandbox import SandboxServer
from incident_sandbox.datadog.story import Effect, Event, load_story

from .story_play import play


@pytest.mark.parametrize(
    "change",
    [
        Event(service="checkout", title="Flag wallet off", at=-13, change="feature_flag", name="wallet"),
        Event(service="checkout", title="timeout raised", at=-11, change="configuration", name="timeout"),
        Event(service="checkout", title="Rolled back checkout to 2.13.8", at=-14),
    ],
)
def test_change_that_ended_an_excursion_does_not_cause_the_next(
    change: Event, datadog: SandboxServer, tmp_path: Path
) -> None:
    effects = (
        Effect(service="checkout", metric="error_share", to=0.1, at=-17, until=change.at),
        Effect(service="checkout", metric="error_share", to=0.12),
    )
    story = load_story("bad_deploy").model_copy(
        update={"onset": 9, "effects": effects, "events": (change,), "rollouts": (), "issues": (), "logs": ()}
    )
    assert play(datadog, tmp_path, story).evidence.hypotheses == ()
