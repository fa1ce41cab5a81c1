"""Attribute a deployment by the version that served at the onset."""

from __future__ import annotations

from pathlib import Path

import pytest
from incident_sandbox import SandboxServer
from incident_sandbox.datadog.story import Alert, Effect, Event, Rollout, Story, load_story

from airflow_incident_provider.evidence.model import Cause

from .story_play import play

SLOW = (
    Effect(service="checkout", metric="latency", to=0.4, version="2.14.0"),
    Effect(service="checkout", metric="latency", to=0.9, version="2.14.1"),
)
FAILING = (
    Effect(service="checkout", metric="error_share", to=0.06, version="2.14.0"),
    Effect(service="checkout", metric="error_share", to=0.3, version="2.14.1"),
)
EQUALLY_BAD = (
    Effect(service="checkout", metric="error_share", to=0.1, version="2.14.0"),
    Effect(service="checkout", metric="error_share", to=0.1, version="2.14.1"),
)


def _story(**changes: object) -> Story:
    return load_story("bad_deploy").model_copy(update={"onset": 18, "issues": (), "logs": (), **changes})


@pytest.mark.parametrize("effects", [FAILING, EQUALLY_BAD, SLOW])
def test_equally_bad_later_version_does_not_clear_the_first(
    effects: tuple[Effect, ...], datadog: SandboxServer, tmp_path: Path
) -> None:
    rollouts = (
        Rollout(service="checkout", version="2.14.0", at=-2),
        Rollout(service="checkout", version="2.14.1", at=8),
    )
    alert = Alert(kind="latency" if effects is SLOW else "error_rate", threshold=0.02)
    result = play(datadog, tmp_path, _story(alert=alert, rollouts=rollouts, effects=effects))
    first = result.evidence.hypotheses[0]
    assert first.cause is Cause.DEPLOYMENT
    assert "2.14.0" in first.text


@pytest.mark.parametrize(
    "title",
    [
        "Deployed checkout 2.14.0",
        "Rollout of checkout v2.14.0 to prod",
        "checkout: release 2.14.0 went to production",
    ],
)
def test_version_first_seen_after_the_onset_is_not_the_cause(
    title: str, datadog: SandboxServer, tmp_path: Path
) -> None:
    result = play(
        datadog,
        tmp_path,
        _story(
            rollouts=(Rollout(service="checkout", version="2.14.0", at=6, reported="none"),),
            events=(Event(service="checkout", title=title, at=-3),),
            effects=(Effect(service="checkout", metric="error_share", to=0.1),),
        ),
    )
    assert "first seen" in result.finding("versions").summary
    assert result.evidence.hypotheses == ()
