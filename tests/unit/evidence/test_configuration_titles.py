"""Detect configuration changes from event titles, without false positives."""

from __future__ import annotations

from pathlib import Path

import pytest
from incident_sandbox import SandboxServer
from incident_sandbox.datadog.story import Event, Story, load_story

from airflow_incident_provider.evidence.model import Cause
from airflow_incident_provider.models import Verdict

from .story_play import play


def _story(title: str, source: str = "audit") -> Story:
    events = (Event(service="checkout", title=title, at=-2, source=source),)
    return load_story("configuration").model_copy(update={"events": events})


@pytest.mark.parametrize(
    "title",
    [
        "Configuration pushed: checkout payments.timeout_ms 3000 -> 300",
        "Config of checkout rolled out to all hosts",
        "dana updated the ConfigMap checkout-env",
        "Applied new config to checkout (42 keys)",
        "Secret checkout/postgres was rotated",
        "Vault rotated the database credentials of checkout",
        "Terraform apply complete! Resources: 0 added, 1 changed, 0 destroyed.",
    ],
)
def test_title_reporting_a_configuration_change_is_a_change(
    title: str, datadog: SandboxServer, tmp_path: Path
) -> None:
    result = play(datadog, tmp_path, _story(title))
    assert result.finding("changes").verdict is Verdict.WARN
    assert [each.cause for each in result.evidence.hypotheses] == [Cause.CONFIGURATION]


@pytest.mark.parametrize(
    "title",
    [
        "Configuration of the monitor checkout latency changed: threshold 0.5 -> 0.1",
        "Config dashboard updated",
        "Configuration review of checkout",
        "Config push of checkout failed",
        "Config of checkout will be updated at noon",
        "Config of checkout applied: no changes",
        "Terraform apply complete! Resources: 0 added, 0 changed, 0 destroyed.",
        "Rotation of the on-call schedule",
        "Keys of the office handed over",
    ],
)
def test_title_mentioning_configuration_is_not_a_change(title: str, datadog: SandboxServer, tmp_path: Path) -> None:
    result = play(datadog, tmp_path, _story(title))
    assert result.finding("changes").verdict is Verdict.OK
    assert result.evidence.hypotheses == ()


def test_version_with_configuration_is_a_deployment(datadog: SandboxServer, tmp_path: Path) -> None:
    result = play(datadog, tmp_path, _story("Deployed checkout 2.14.0 with changed config", "github"))
    assert [each.cause for each in result.evidence.hypotheses] == [Cause.DEPLOYMENT]
