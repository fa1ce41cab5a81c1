"""Slack's rate limits: a number of calls a minute for each method, by tier.

Limits hold per app and method in a sliding minute, as Slack documents them ("20+ per minute"); the
sandbox grants exactly the documented floor. ``chat.postMessage`` has one message a second and channel
beside it. Source: https://docs.slack.dev/apis/web-api/rate-limits
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum

MINUTE = 60.0


class Tier(Enum):
    """Calls a minute that a method grants; SPECIAL stands for the lenient limits of a few methods."""

    TIER_1 = 1
    TIER_2 = 20
    TIER_3 = 50
    TIER_4 = 100
    SPECIAL = 600


@dataclass(frozen=True)
class Quota:
    """At most ``calls`` in ``seconds``."""

    calls: int
    seconds: float


POST_PER_CHANNEL = Quota(calls=1, seconds=1.0)


@dataclass
class RateLimiter:
    """Sliding windows by key. ``clock`` gives seconds and only ever goes forward."""

    clock: Callable[[], float]
    _windows: dict[tuple[str, ...], deque[float]] = field(default_factory=dict)

    def admit(self, demands: Mapping[tuple[str, ...], Quota]) -> int:
        """Count a call against every key.

        :return: 0 when admitted; else the whole seconds to wait, and nothing is counted.
        """
        now = self.clock()
        wait = max((self._wait(key, quota, now) for key, quota in demands.items()), default=0.0)
        if wait > 0:
            return max(1, math.ceil(wait))
        for key in demands:
            self._windows.setdefault(key, deque()).append(now)
        return 0

    def _wait(self, key: tuple[str, ...], quota: Quota, now: float) -> float:
        window = self._windows.get(key)
        if window is None:
            return 0.0
        while window and window[0] <= now - quota.seconds:
            window.popleft()
        return 0.0 if len(window) < quota.calls else window[0] + quota.seconds - now
