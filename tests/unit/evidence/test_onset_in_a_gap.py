"""Gaps in the metric: events within a gap are neither before nor after the unknown onset."""

from __future__ import annotations

from pathlib import Path

import pytest
from incident_sandbox import SandboxServer
from incident_sandbox.datadog.story import Effect, Event, Lost, Rollout, Service, Story, load_story

from airflow_incident_provider.evidence.model import Cause
from airflow_incident_provider.messages.evidence import evidence_messages
from airflow_incident_provider.models import Verdict

from .story_play import play

CHECKOUT = Service(error_share=0.004, version=None, depends_on=("payments", "catalog"))


def _story(**changes: object) -> Story:
    story = load_story("bad_deploy")
    update = {
        "onset": 18,
        "services": {"checkout": CHECKOUT},
        "effects": (Effect(service="checkout", metric="error_share", to=0.12),),
        "lost": (Lost(service="checkout", at=-24, until=6),),
        "rollouts": (),
        "issues": (),
        "logs": (),
        **changes,
    }
    return story.model_copy(update=update)


@pytest.mark.parametrize(
    "event",
    [
        Event(service="checkout", title="Deployed checkout 2.14.0", at=4),
        Event(service="checkout", title="Flag on", at=-3, change="feature_flag", name="new-cart"),
        Event(service="checkout", title="Config changed", at=-20, change="configuration", name="timeout"),
    ],
)
def test_change_within_the_gap_is_neither_cause_nor_before_the_onset(
    event: Event, datadog: SandboxServer, tmp_path: Path
) -> None:
    result = play(datadog, tmp_path, _story(events=(event,)))
    changes = result.finding("changes")
    assert "while the metric was not reported: whether it came first is not known" in changes.summary
    assert "before the onset" not in changes.summary
    assert changes.verdict is Verdict.WARN
    assert result.evidence.hypotheses == ()
    assert "or earlier" in result.finding("metric").summary
    assert "or earlier" in str(evidence_messages(result.evidence)[0].blocks)


def test_time_since_a_change_before_the_gap_is_a_lower_bound(datadog: SandboxServer, tmp_path: Path) -> None:
    event = Event(service="checkout", title="Deployed checkout 2.14.0", at=-27)
    summary = play(datadog, tmp_path, _story(events=(event,))).finding("changes").summary
    assert "at least 3 min before the onset" in summary


def test_version_first_seen_after_the_gap_is_not_the_cause(datadog: SandboxServer, tmp_path: Path) -> None:
    services = {"checkout": CHECKOUT.model_copy(update={"version": "2.13.9"})}
    rollouts = (Rollout(service="checkout", version="2.14.0", at=2, reported="none"),)
    result = play(datadog, tmp_path, _story(services=services, rollouts=rollouts))
    assert "the onset" not in result.finding("versions").summary
    assert result.evidence.hypotheses == ()


def test_gap_before_the_onset_is_ignored(datadog: SandboxServer, tmp_path: Path) -> None:
    lost = (Lost(service="checkout", at=-24, until=-4),)
    event = Event(service="checkout", title="Deployed checkout 2.14.0", at=-1)
    result = play(datadog, tmp_path, _story(events=(event,), lost=lost))
    assert [each.cause for each in result.evidence.hypotheses] == [Cause.DEPLOYMENT]
    assert "1 min before the onset" in result.finding("changes").summary
