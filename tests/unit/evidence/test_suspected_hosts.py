"""Suspect a host that differs from the others, even if it no longer reports."""

from __future__ import annotations

from pathlib import Path

import pytest
from incident_sandbox import SandboxServer
from incident_sandbox.datadog.story import Alert, Effect, Lost, Service, load_story

from airflow_incident_provider.evidence.model import Cause

from .story_play import play

FAILS = Effect(service="checkout", metric="error_share", to=0.8, hosts=(2,), until=6)
SLOW = Effect(service="checkout", metric="latency", to=2, hosts=(2,), until=6)


@pytest.mark.parametrize(
    ("alert", "effect", "gone_at"),
    [
        (Alert(kind="error_rate", threshold=0.02), FAILS, 6),
        (Alert(kind="error_count", threshold=20), FAILS, 5),
        (Alert(kind="latency", threshold=0.3), SLOW, 6),
    ],
)
def test_host_that_fails_until_removed_is_the_suspect(
    alert: Alert, effect: Effect, gone_at: float, datadog: SandboxServer, tmp_path: Path
) -> None:
    story = load_story("one_host").model_copy(
        update={
            "onset": 14,
            "alert": alert,
            "services": {"checkout": Service(hosts=5, version="2.13.9")},
            "effects": (effect,),
            "lost": (Lost(service="checkout", at=gone_at, hosts=(2,)),),
        }
    )
    result = play(datadog, tmp_path, story)
    assert [(each.cause, each.subject) for each in result.evidence.hypotheses] == [(Cause.HOST, "checkout-03")]
    summary = result.finding("groups").summary
    assert "1 of 5 hosts is abnormal: checkout-03; checkout-03 reports nothing since" in summary


def test_removed_host_without_failures_is_not_suspected(datadog: SandboxServer, tmp_path: Path) -> None:
    story = load_story("one_host").model_copy(
        update={
            "services": {"checkout": Service(hosts=5, version="2.13.9")},
            "effects": (Effect(service="checkout", metric="error_share", to=0.1),),
            "lost": (Lost(service="checkout", at=2, hosts=(2,)),),
        }
    )
    result = play(datadog, tmp_path, story)
    assert [each for each in result.evidence.hypotheses if each.cause is Cause.HOST] == []


@pytest.mark.parametrize("level", [0.45, 0.5, 0.55, 0.6])
def test_host_at_the_level_of_the_others_is_not_suspected(
    level: float, datadog: SandboxServer, tmp_path: Path
) -> None:
    bursts = ((-55, -45), (-15, -5))
    effects = tuple(Effect(service="checkout", metric="latency", to=level, at=at, until=end) for at, end in bursts)
    story = load_story("healthy").model_copy(
        update={"onset": 0, "alert": Alert(kind="latency", threshold=0.1), "effects": effects}
    )
    assert play(datadog, tmp_path, story).evidence.hypotheses == ()
