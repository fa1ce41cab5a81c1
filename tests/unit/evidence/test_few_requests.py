"""Of few requests, one that fails is a large share, but no sign of anything."""

from __future__ import annotations

from pathlib import Path

import pytest
from incident_sandbox import SandboxServer
from incident_sandbox.datadog.story import Alert, Effect, Service, load_story

from airflow_incident_provider.models import Verdict

from .story_play import play  # isort: skip


@pytest.mark.parametrize(
    ("requests", "growth", "at"), [(60, 0.02, 11), (60, 0.01, 10), (20, 0.03, 10), (20, 0.02, 9)]
)
def test_one_or_two_failed_requests_are_no_rise(
    requests: float, growth: float, at: int, datadog: SandboxServer, tmp_path: Path
) -> None:
    services = {"checkout": Service(hits=requests, error_share=0.0, version="2.13.9", hosts=1)}
    effects = (Effect(service="checkout", metric="error_share", growth=growth, at=at - 1, until=at + 2),)
    alert = Alert(kind="latency", threshold=0.1)
    story = load_story("healthy").model_copy(
        update={"onset": 12, "alert": alert, "services": services, "effects": effects}
    )
    found = play(datadog, tmp_path, story)
    assert found.finding("traffic").verdict is Verdict.OK
    assert "rose" not in found.finding("traffic").summary
