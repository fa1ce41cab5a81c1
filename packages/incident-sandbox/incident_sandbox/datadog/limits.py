"""Datadog's rate limits: windows aligned with the calendar, and the five headers on every answer."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

HOUR_S = 3600
DEFAULT_LIMIT = 6000
LIMITS = {"logs.search": 300, "metrics.list": 100, "query": 1600, "timeseries": 1600}
"""Calls an hour, by the sandbox's names of endpoints."""


@dataclass
class DatadogLimits:
    """How many calls of each endpoint were made in this hour.

    :param left: what an endpoint has left at the beginning of any window, instead of its limit.
    """

    left: dict[str, int] = field(default_factory=dict)
    _used: dict[tuple[str, int], int] = field(default_factory=dict)

    def take(self, endpoint: str, now: float) -> tuple[bool, dict[str, str]]:
        """Count a call; return whether it is within the limit, and the headers of its answer."""
        limit = LIMITS.get(endpoint, DEFAULT_LIMIT)
        window = math.floor(now / HOUR_S)
        used = self._used.get((endpoint, window), 0)
        available = self.left.get(endpoint, limit)
        allowed = used < available
        if allowed:
            self._used[endpoint, window] = used + 1
        headers = {
            "X-RateLimit-Limit": str(limit),
            "X-RateLimit-Period": str(HOUR_S),
            "X-RateLimit-Remaining": str(max(available - used - 1, 0)),
            "X-RateLimit-Reset": str(math.ceil((window + 1) * HOUR_S - now)),
            "X-RateLimit-Name": endpoint.replace(".", "_"),
        }
        return allowed, headers
