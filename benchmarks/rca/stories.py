"""Play the sandbox's stories over HTTP, collect the evidence of each, and score it."""

from __future__ import annotations

import math
import tempfile
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from incident_sandbox import SandboxServer
from incident_sandbox.datadog.payload import alert_payload
from incident_sandbox.datadog.playing import ALERTED_BEFORE_S, play_story
from incident_sandbox.datadog.story import Story, load_story, story_names
from incident_sandbox.datadog.world import World

from airflow_incident_provider.datadog.access import DatadogAccess
from airflow_incident_provider.datadog.client import DatadogClient
from airflow_incident_provider.evidence.collection import collect
from airflow_incident_provider.evidence.model import Evidence
from airflow_incident_provider.evidence.request import EvidenceRequest, request_for
from airflow_incident_provider.intake import RoutingTable, read_incident
from airflow_incident_provider.models import Verdict

ATTENTION = frozenset({Verdict.FAIL, Verdict.WARN})


@dataclass(frozen=True)
class Played:
    """A story with the evidence that was collected about it."""

    name: str
    story: Story
    evidence: Evidence
    seconds: float = 0.0

    @property
    def mistakes(self) -> list[str]:
        """What is not as the story expects it: verdicts, words, statements that are wrong."""
        found = {finding.probe: finding for finding in self.evidence.findings}
        expect, wrong = self.story.expect, []
        for check, verdict in expect.verdicts.items():
            if check not in found or found[check].verdict != verdict:
                wrong.append(f"{check} is {found[check].verdict if check in found else 'absent'}, not {verdict}")
        for check, words in expect.says.items():
            wrong += [f"{check} does not say {word!r}" for word in words if word not in found[check].summary]
        return wrong

    @property
    def wrong_statements(self) -> list[str]:
        """Sentences that the story says must never be said."""
        said = [finding.summary for finding in self.evidence.findings]
        said += [hypothesis.text for hypothesis in self.evidence.hypotheses]
        return [f"{text!r}" for text in said for word in self.story.expect.never_says if word in text]

    @property
    def loud(self) -> list[str]:
        """Of a healthy story, the findings that ask for attention."""
        return [f.probe for f in self.evidence.findings if self.story.healthy and f.verdict in ATTENTION]

    @property
    def first_is_right(self) -> bool | None:
        """Whether the first hypothesis is of the right class, about the right subject, along the right path."""
        cause = self.story.cause
        if cause is None:
            return None
        first = next(iter(self.evidence.hypotheses), None)
        named = first is not None and first.cause == cause.cause and cause.subject in first.subject.split(", ")
        return named and first is not None and (not cause.path or first.path == cause.path)


def play(name: str, story: Story | None = None) -> Played:
    """Play one story on a sandbox of its own."""
    story = story or load_story(name)
    now = math.floor(time.time())
    with SandboxServer() as sandbox, tempfile.TemporaryDirectory() as state:
        world = play_story(sandbox.workspace, story, alerted_at=now - ALERTED_BEFORE_S)
        access = DatadogAccess.from_extra(
            {
                "api_key": sandbox.workspace.datadog.api_key,
                "app_key": sandbox.workspace.datadog.app_key,
                "api_host": sandbox.datadog_url,
            }
        )
        client = DatadogClient(access, Path(state))
        started = time.monotonic()
        evidence = collect(request_of(world, now), client.fetch)
        seconds = time.monotonic() - started
    return Played(name, story, evidence, seconds)


def request_of(world: World, now: float) -> EvidenceRequest:
    """Return the request for the alert of a story, as the incident DAG makes it."""
    moment = datetime.fromtimestamp(now, tz=UTC)
    incident = read_incident({"datadog": alert_payload(world)}, received_at=moment, routing=RoutingTable())
    return request_for(incident, now=moment)


def played_stories() -> list[Played]:
    """Play all stories."""
    return [play(name) for name in story_names()]


def story_table(played: list[Played]) -> str:
    """Return how often the findings and the first hypothesis are right, by half, in Markdown."""
    lines = [
        "| stories | n | findings right | wrong statements | cause named first | hypotheses without a cause |",
        "| --- | --: | --: | --: | --: | --: |",
    ]
    for half, chosen in (
        ("tuned", [each for each in played if each.story.tuned]),
        ("untouched", [each for each in played if not each.story.tuned]),
    ):
        with_cause = [each for each in chosen if each.first_is_right is not None]
        right = sum(not each.mistakes and not each.loud for each in chosen)
        wrong = sum(len(each.wrong_statements) for each in chosen)
        first = sum(bool(each.first_is_right) for each in with_cause)
        loud = sum(len(each.evidence.hypotheses) for each in chosen if each.first_is_right is None)
        without = len(chosen) - len(with_cause)
        lines.append(
            f"| {half} | {len(chosen)} | {right} | {wrong} | {first} of {len(with_cause)} | {loud} in {without} |"
        )
    return "\n".join(lines)
