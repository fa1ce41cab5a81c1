"""Describe dependencies only by the metric that was compared."""

from __future__ import annotations

from pathlib import Path

import pytest
from incident_sandbox import SandboxServer
from incident_sandbox.datadog.story import Alert, Effect, Story, load_story

from .story_play import play

FAILS = Effect(service="checkout", metric="error_share", to=0.1)
SLOW = Effect(service="checkout", metric="latency", to=0.6)


def _story(kind: str, *effects: Effect) -> Story:
    alert = Alert.model_validate({"kind": kind, "threshold": 0.02})
    return load_story("bad_deploy").model_copy(
        update={"onset": 13, "alert": alert, "effects": effects, "rollouts": (), "issues": (), "logs": ()}
    )


@pytest.mark.parametrize(
    ("kind", "effects", "expected"),
    [
        ("error_rate", (FAILS,), "fail no more requests than in the hours before"),
        (
            "error_rate",
            (FAILS, Effect(service="catalog", metric="latency", to=0.4, at=-60)),
            "fail no more requests than in the hours before",
        ),
        ("latency", (SLOW,), "are no slower than in the hours before"),
        (
            "latency",
            (SLOW, Effect(service="payments", metric="error_share", to=0.2, at=-70)),
            "are no slower than in the hours before",
        ),
    ],
)
def test_dependencies_are_unchanged_only_in_the_compared_metric(
    kind: str, effects: tuple[Effect, ...], expected: str, datadog: SandboxServer, tmp_path: Path
) -> None:
    summary = play(datadog, tmp_path, _story(kind, *effects)).finding("dependencies").summary
    assert summary == f"catalog, payments {expected}"


@pytest.mark.parametrize(("kind", "effect"), [("latency", FAILS), ("cpu", FAILS), ("error_rate", SLOW)])
def test_service_abnormal_in_another_metric_is_not_reported_normal(
    kind: str, effect: Effect, datadog: SandboxServer, tmp_path: Path
) -> None:
    summary = play(datadog, tmp_path, _story(kind, effect)).finding("dependencies").summary
    assert "within its normal range" not in summary
    assert "than in the hours before" in summary
