"""Low traffic: a single failed request is a large share but not significant."""

from __future__ import annotations

from pathlib import Path

import pytest
from incident_sandbox import SandboxServer
from incident_sandbox.datadog.story import Alert, Effect, Service, load_story

from airflow_incident_provider.models import Verdict

from .story_play import play


# At most one request fails in each of two minutes.
@pytest.mark.parametrize(("requests", "growth"), [(60, 0.0083), (20, 0.025)])
@pytest.mark.parametrize("at", [7, 8, 9, 10])
def test_one_or_two_failed_requests_are_not_a_rise(
    at: int, requests: float, growth: float, datadog: SandboxServer, tmp_path: Path
) -> None:
    services = {"checkout": Service(hits=requests, error_share=0.0, version="2.13.9", hosts=1)}
    effects = (Effect(service="checkout", metric="error_share", growth=growth, at=at - 1, until=at + 2),)
    alert = Alert(kind="latency", threshold=0.1)
    story = load_story("healthy").model_copy(
        update={"onset": 12, "alert": alert, "services": services, "effects": effects}
    )
    result = play(datadog, tmp_path, story)
    assert result.finding("traffic").verdict is Verdict.OK
    assert "rose" not in result.finding("traffic").summary
