"""What the Datadog stand-in holds: its keys, everything it received, and what its queries answer."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from incident_sandbox.datadog.limits import DatadogLimits
from incident_sandbox.datadog.story import Story
from incident_sandbox.datadog.world import World


@dataclass
class DatadogState:
    """The state of the stand-in for Datadog.

    :param queries: maps a query, or ``*``, to the series it answers.
    :param scoped_app_keys: further application keys, each with the scopes that it has; ``app_key`` has all.
    """

    api_key: str = "sandbox-datadog-api-key"
    app_key: str = "sandbox-datadog-app-key"
    scoped_app_keys: dict[str, frozenset[str]] = field(default_factory=dict)
    series: list[dict[str, Any]] = field(default_factory=list)
    events: dict[int, dict[str, Any]] = field(default_factory=dict)
    queries: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    webhooks: dict[str, dict[str, Any]] = field(default_factory=dict)
    custom_variables: dict[str, dict[str, Any]] = field(default_factory=dict)
    limits: DatadogLimits = field(default_factory=DatadogLimits)
    world: World | None = None
    forbidden: frozenset[str] = frozenset()
    partial: frozenset[str] = frozenset()
    empty: frozenset[str] = frozenset()
    now: float = 0.0
    _last_event: int = 7_716_548_234_011_230_000

    def play(self, story: Story, alerted_at: float) -> World:
        """Let every endpoint answer from a story, whose alert is at this moment."""
        self.world = World(story, alerted_at)
        self.forbidden = frozenset(story.limits.forbidden)
        self.partial = frozenset(story.limits.partial)
        self.empty = frozenset(story.limits.empty)
        self.limits = DatadogLimits(dict(story.limits.remaining))
        return self.world

    def add_event(self, event: dict[str, Any]) -> dict[str, Any]:
        """Keep an event and return it with its new id."""
        self._last_event += 1
        stored = {"id": self._last_event, **event}
        self.events[self._last_event] = stored
        return stored

    def snapshot(self) -> dict[str, Any]:
        """Return everything received; the values of secret variables are masked."""
        variables = {
            name: {**variable, "value": "********"} if variable.get("is_secret") else variable
            for name, variable in self.custom_variables.items()
        }
        return {
            "series": self.series,
            "events": list(self.events.values()),
            "queries": self.queries,
            "webhooks": self.webhooks,
            "custom_variables": variables,
        }
