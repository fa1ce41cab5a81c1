"""Late alerts: the onset precedes the window, which must not count as the normal range."""

from __future__ import annotations

from pathlib import Path

import pytest
from incident_sandbox import SandboxServer
from incident_sandbox.datadog.story import Alert, Effect, Story, load_story

from airflow_incident_provider.evidence.model import Cause
from airflow_incident_provider.models import Verdict

from .story_play import play


def _late(name: str, onset: float) -> Story:
    return load_story(name).model_copy(update={"onset": onset})


@pytest.mark.parametrize(
    ("name", "onset", "expected"),
    [
        ("bad_deploy", 45, (Cause.DEPLOYMENT, "checkout")),
        ("bad_deploy", 100, (Cause.DEPLOYMENT, "checkout")),
        ("feature_flag", 70, (Cause.FEATURE_FLAG, "checkout")),
        ("terraform_apply", 55, (Cause.CONFIGURATION, "checkout")),
        ("slow_dependency", 50, (Cause.DEPENDENCY, "catalog")),
        ("slo_burn", 48, (Cause.DEPENDENCY, "payments")),
        ("success_rate_falls", 65, (Cause.DEPLOYMENT, "checkout")),
    ],
)
def test_onset_before_the_window_is_found(
    name: str, onset: float, expected: tuple[Cause, str], datadog: SandboxServer, tmp_path: Path
) -> None:
    result = play(datadog, tmp_path, _late(name, onset))
    metric = result.finding("metric")
    assert metric.verdict is Verdict.FAIL
    assert "within its normal range" not in metric.summary
    first = result.evidence.hypotheses[0]
    assert (first.cause, first.subject) == expected


@pytest.mark.parametrize(
    "effects",
    [
        (Effect(service="checkout", metric="latency", growth=0.0004, at=-100),),
        (
            Effect(service="checkout", metric="latency", to=0.5, at=-95, until=-85),
            Effect(service="checkout", metric="latency", to=0.5, at=-55, until=-45),
        ),
        (Effect(service="checkout", metric="latency", factor=1.1, at=-50),),
    ],
)
def test_slow_growth_and_ended_excursions_yield_no_hypothesis(
    effects: tuple[Effect, ...], datadog: SandboxServer, tmp_path: Path
) -> None:
    story = load_story("healthy").model_copy(
        update={"onset": 0, "alert": Alert(kind="latency", threshold=0.1), "effects": effects}
    )
    assert play(datadog, tmp_path, story).evidence.hypotheses == ()
