"""Play a story on a sandbox over HTTP, and collect its evidence with the real client."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from incident_sandbox import SandboxServer
from incident_sandbox.datadog.payload import alert_payload
from incident_sandbox.datadog.playing import play_story
from incident_sandbox.datadog.story import Story, load_story

from airflow_incident_provider.datadog.access import DatadogAccess
from airflow_incident_provider.datadog.client import DatadogClient
from airflow_incident_provider.evidence.calls import Answer, Call
from airflow_incident_provider.evidence.collection import collect, observe
from airflow_incident_provider.evidence.late_alert import covering_onset
from airflow_incident_provider.evidence.model import Evidence
from airflow_incident_provider.evidence.observations import Observations
from airflow_incident_provider.evidence.request import EvidenceRequest, request_for
from airflow_incident_provider.intake import RoutingTable, read_incident
from airflow_incident_provider.models import Finding


@dataclass(frozen=True)
class PlayedStory:
    """The evidence of a played story, with the answers it was derived from."""

    story: Story
    request: EvidenceRequest
    evidence: Evidence
    answers: dict[str, Answer]

    def finding(self, check: str) -> Finding:
        """Return the finding of a check."""
        return next(each for each in self.evidence.findings if each.probe == check)

    @property
    def observations(self) -> Observations:
        """Return the observations of the checks."""
        return observe(covering_onset(self.request, self.answers), self.answers)


def play(
    sandbox: SandboxServer,
    state: Path,
    story: Story | str,
    *,
    keys: dict[str, str] | None = None,
    prepare: Callable[[SandboxServer], None] | None = None,
) -> PlayedStory:
    """Play a story on a fresh workspace.

    :param keys: overrides for the keys in the connection's extra.
    :param prepare: called with the sandbox before the evidence is collected.
    """
    loaded = load_story(story) if isinstance(story, str) else story
    sandbox.workspace.reset()
    now = math.floor(time.time())
    datadog = sandbox.workspace.datadog
    world = play_story(sandbox.workspace, loaded, alerted_at=now - 41)
    if prepare is not None:
        prepare(sandbox)
    extra = {
        "api_key": datadog.api_key,
        "app_key": datadog.app_key,
        "api_host": sandbox.datadog_url,
        **(keys or {}),
    }
    # Generous timeouts: these tests check the evidence, not the latency of a busy machine.
    client = DatadogClient(DatadogAccess.from_extra(extra), state, deadline_s=120, call_timeout_s=60)
    moment = datetime.fromtimestamp(now, tz=UTC)
    incident = read_incident({"datadog": alert_payload(world)}, received_at=moment, routing=RoutingTable())
    request = request_for(incident, now=moment)
    answers: dict[str, Answer] = {}

    def fetch(calls: Sequence[Call]) -> Sequence[Answer]:
        fetched = client.fetch(calls)
        answers.update({call.name: answer for call, answer in zip(calls, fetched, strict=True)})
        return fetched

    return PlayedStory(loaded, request, collect(request, fetch), answers)
