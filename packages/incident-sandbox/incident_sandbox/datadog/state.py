"""What the Datadog stand-in holds: its keys, everything it received, and what its queries answer."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass
class DatadogState:
    """The state of the stand-in for Datadog. ``queries`` maps a query, or ``*``, to the series it answers."""

    api_key: str = "sandbox-datadog-api-key"
    app_key: str = "sandbox-datadog-app-key"
    series: list[dict[str, Any]] = field(default_factory=list)
    events: dict[int, dict[str, Any]] = field(default_factory=dict)
    queries: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    webhooks: dict[str, dict[str, Any]] = field(default_factory=dict)
    custom_variables: dict[str, dict[str, Any]] = field(default_factory=dict)
    _last_event: int = 7_716_548_234_011_230_000

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
