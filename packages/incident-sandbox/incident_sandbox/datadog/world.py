"""The series, events, logs and monitors of a story at a moment: what Datadog would hold about it."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

from incident_sandbox.datadog.story import Effect, Lost, Rollout, Service, Story

MINUTES = 240
"""How many minutes before the alert there is data for."""

_SHARED = {
    "payments": Service(hits=450, latency=0.08, version="3.2.0", depends_on=("payments-db",)),
    "payments-db": Service(hits=900, latency=0.01, version=None, kind="datastore", hosts=2),
    "catalog": Service(hits=800, latency=0.05, version="5.1.0"),
}
_DEFAULT = Service(
    hits=600,
    error_share=0.004,
    version="2.13.9",
    depends_on=("payments", "catalog"),
    owner="team-payments",
    runbook="https://runbooks.example.com/checkout",
    contact="#payments",
)

_NOISE: Mapping[str, float] = {"hits": 0.05, "error_share": 0.15, "latency": 0.05, "memory": 0.02, "cpu": 0.06}

DATADOG_NAMES: Mapping[str, str] = {
    "memory": "container.memory.usage",
    "cpu": "container.cpu.usage",
    "throttled": "container.cpu.throttled",
    "restarts": "kubernetes.containers.restarts",
    "pool_pending": "hikaricp.connections.pending",
    "db_connections": "postgresql.percent_usage_connections",
    "bytes_rcvd": "system.net.bytes_rcvd",
    "bytes_sent": "system.net.bytes_sent",
    "retransmits": "system.net.tcp.retrans_segs",
}
_NORMAL: Mapping[str, float] = {
    "throttled": 2.0,
    "restarts": 0.0,
    "pool_pending": 1.0,
    "db_connections": 40.0,
    "bytes_rcvd": 5e6,
    "bytes_sent": 7e6,
    "retransmits": 12.0,
}


_MINUTES = range(MINUTES + 10)


@lru_cache(maxsize=4096)
def _random(before: str, after: str = "") -> tuple[float, ...]:
    """Return a number between -1 and 1 for each minute that only depends on what it is for.

    :param before: what it is for.
    :param after: what it is for besides; the minute stands between the two.
    """
    suffix = f"/{after}" if after else ""
    seeds = (hashlib.blake2b(f"{before}/{minute}{suffix}".encode(), digest_size=8).digest() for minute in _MINUTES)
    return tuple(int.from_bytes(seed, "big") / 2**63 - 1 for seed in seeds)


@lru_cache(maxsize=4096)
def _noisy(base: float, noise: float, what: str) -> tuple[float, ...]:
    """Return a value for each minute: the base, and up to the noise's share of it more or less."""
    return tuple(max(base * (1 + noise * chance), 0.0) for chance in _random(what))


def _whole(value: float, chance: float) -> int:
    """Return a count: the whole part, and one more as often as the rest says."""
    return math.floor(value) + (chance < 2 * (value % 1) - 1)


@dataclass(frozen=True)
class StoredSeries:
    """One series: a metric with its tags; ``values`` start at the world's first minute, a gap is ``None``."""

    metric: str
    tags: Mapping[str, str]
    values: tuple[float | None, ...]


@dataclass
class World:
    """A story at a moment.

    :param alerted_at: Unix seconds of the alert.
    """

    story: Story
    alerted_at: float

    @property
    def first_minute(self) -> int:
        """Unix seconds of the first minute that has data."""
        return (math.floor(self.alerted_at / 60) - MINUTES) * 60

    @property
    def onset(self) -> float:
        """Unix seconds of the onset, on a full minute."""
        return math.floor((self.alerted_at - self.story.onset * 60) / 60) * 60

    def at(self, minutes: float) -> float:
        """Return Unix seconds of a moment in minutes from the onset."""
        return self.onset + minutes * 60

    @cached_property
    def services(self) -> dict[str, Service]:
        """All services: the story's own, and those that are always there."""
        return {self.story.service: _DEFAULT, **_SHARED, **self.story.services}

    def host(self, service: str, index: int) -> str:
        """Return the name of a host."""
        return f"{service}-{index + 1:02d}"

    @cached_property
    def _normal(self) -> Mapping[str, float]:
        return {**_NORMAL, **{gauge.name: gauge.normal for gauge in self.story.gauges}}

    @cached_property
    def series(self) -> tuple[StoredSeries, ...]:
        """All series."""
        found: list[StoredSeries] = []
        others = {effect.env for effect in self.story.effects if effect.env}
        for name, service in self.services.items():
            for index in range(service.hosts):
                found += self._host_series(name, service, index)
        for env in sorted(others - {self.story.env}):
            found += self.in_environment(env).series
        return tuple(found)

    def in_environment(self, env: str) -> World:
        """Return the same services in another environment, where only its own effects happen."""
        effects = tuple(
            effect.model_copy(update={"env": None}) for effect in self.story.effects if effect.env == env
        )
        rollouts = tuple(
            rollout.model_copy(update={"env": None}) for rollout in self.story.rollouts if rollout.env == env
        )
        story = self.story.model_copy(update={"env": env, "effects": effects, "rollouts": rollouts, "lost": ()})
        return World(story, self.alerted_at)

    def _host_series(self, name: str, service: Service, index: int) -> Iterator[StoredSeries]:
        tags = {"service": name, "env": self.story.env, "host": self.host(name, index)}
        yield from self._traces(name, service, index, tags)
        for gauge in self.story.gauges:
            if gauge.service == name:
                values = self._values(name, service, index, gauge.name)
                yield StoredSeries(gauge.name, tags, self._cut(name, index, gauge.name, values))
        for metric, datadog in DATADOG_NAMES.items():
            if metric in {"pool_pending", "db_connections"} and name != self.story.service:
                continue
            values = self._values(name, service, index, metric)
            yield StoredSeries(datadog, tags, self._cut(name, index, "containers", values))

    def _traces(self, name: str, service: Service, index: int, tags: Mapping[str, str]) -> Iterator[StoredSeries]:
        if not service.traced:
            return
        operation = f"trace.{service.operation}"
        rollouts = [each for each in self.story.rollouts if each.service == name and each.env is None]
        for version in dict.fromkeys((service.version, *(each.version for each in rollouts))):
            labelled = {**tags, "version": version} if version else dict(tags)
            requested, shares, latencies = (
                self._values(name, service, index, metric, version) for metric in ("hits", "error_share", "latency")
            )
            served = [self._version_share(service, rollouts, version, index, minute) for minute in _MINUTES]
            requests = [round(value * share) for value, share in zip(requested, served, strict=True)]
            failed = [
                _whole(count * share, chance)
                for count, share, chance in zip(
                    requests, shares, _random(f"count/{name}/{index}", str(version)), strict=True
                )
            ]
            hits = [float(count) if count else None for count in requests]
            errors = [float(bad) if bad and count else None for bad, count in zip(failed, requests, strict=True)]
            durations = [value if count else None for value, count in zip(latencies, requests, strict=True)]
            yield StoredSeries(f"{operation}.hits", labelled, self._cut(name, index, "traces", hits))
            yield StoredSeries(f"{operation}.errors", labelled, self._cut(name, index, "traces", errors))
            yield StoredSeries(operation, labelled, self._cut(name, index, "traces", durations))

    def _version_share(
        self, service: Service, rollouts: list[Rollout], version: str | None, index: int, minute: int
    ) -> float:
        """Return which share of a host's requests a version serves in a minute."""
        left = 1.0
        shares: dict[str, float] = {}
        for rollout in reversed(rollouts):
            here = rollout.hosts is None or index in rollout.hosts
            if here and self._second(minute) >= self.at(rollout.at):
                shares[rollout.version] = shares.get(rollout.version, 0.0) + left * rollout.share
                left *= 1 - rollout.share
        served = shares.get(version or "", 0.0)
        return served + left if version == service.version else served

    def _second(self, minute: int) -> int:
        return self.first_minute + minute * 60

    def _values(
        self, name: str, service: Service, index: int, metric: str, version: str | None = None
    ) -> Sequence[float]:
        """Return the value of a metric of a host in each minute."""
        normal = getattr(service, metric, None)
        base = float(normal if normal is not None else self._normal[metric])
        hosts = service.hosts if metric == "hits" else 1
        base /= hosts
        values: Sequence[float] = _noisy(base, _NOISE.get(metric, 0.04), f"{name}/{index}/{metric}")
        for effect in self.story.effects:
            if self._applies(effect, name, index, metric, version):
                values = [
                    max(self._changed(effect, value, base, minute, hosts), 0.0)
                    if self._is_in_time(effect, minute)
                    else value
                    for minute, value in enumerate(values)
                ]
        return values

    def _applies(self, effect: Effect, name: str, index: int, metric: str, version: str | None) -> bool:
        if effect.service != name or effect.metric != metric or effect.env not in {None, self.story.env}:
            return False
        here = effect.hosts is None or index in effect.hosts
        return here and (effect.version is None or effect.version == version)

    def _is_in_time(self, change: Effect | Lost, minute: int) -> bool:
        second = self._second(minute)
        return self.at(change.at) <= second and (change.until is None or second < self.at(change.until))

    def _changed(self, effect: Effect, value: float, base: float, minute: int, hosts: int) -> float:
        if effect.to is not None:
            return effect.to / hosts * (value / base if base else 1.0)
        if effect.factor is not None:
            return value * effect.factor
        return value + (effect.growth or 0.0) * (self._second(minute) - self.at(effect.at)) / 60

    def _cut(self, name: str, index: int, what: str, values: Sequence[float | None]) -> tuple[float | None, ...]:
        """Return the values without those of minutes in which nothing reports them any more."""
        for lost in self.story.lost:
            if (
                lost.service == name
                and lost.metric in {"all", what}
                and (lost.hosts is None or index in lost.hosts)
            ):
                values = [None if self._is_lost(lost, minute) else value for minute, value in enumerate(values)]
        return tuple(values)

    def _is_lost(self, lost: Lost, minute: int) -> bool:
        return self._is_in_time(lost, minute) and not (lost.keep_every and minute % lost.keep_every == 0)

    # --- the alert --------------------------------------------------------------------------------------

    @property
    def scope(self) -> str:
        """The tags of the group that alerts, as Datadog writes them."""
        tags = [f"env:{self.story.env}", f"service:{self.story.service}"]
        if self.story.alert.host is not None:
            tags.append(f"host:{self.host(self.story.service, self.story.alert.host)}")
        return ",".join(sorted(tags))

    @property
    def monitor_query(self) -> str:
        """The monitor's query."""
        alert = self.story.alert
        if alert.query is not None:
            return alert.query
        scope = f"{{env:{self.story.env},service:{self.story.service}}}"
        by = " by {host}" if alert.host is not None else ""
        operation = self.services[self.story.service].operation
        trace = f"trace.{operation}"
        gauge = next((each.name for each in self.story.gauges), "")
        expression = {
            "gauge": f"avg:{gauge}{scope}{by}",
            "error_rate": f"sum:{trace}.errors{scope}{by}.as_rate() / sum:{trace}.hits{scope}{by}.as_rate()",
            "error_count": f"sum:{trace}.errors{scope}{by}.as_count()",
            "latency": f"avg:{trace}{scope}{by}",
            "memory": f"avg:container.memory.usage{scope}{by}",
            "cpu": f"avg:container.cpu.usage{scope}{by}",
            "network": f"sum:system.net.tcp.retrans_segs{scope}{by}",
            "logs": f'logs("service:{self.story.service} status:error").index("*").rollup("count").last("5m")',
        }[alert.kind]
        if alert.kind == "logs":
            return f"{expression} > {alert.threshold:.12g}"
        return f"avg(last_5m):{expression} > {alert.threshold:.12g}"

    @property
    def title(self) -> str:
        """The monitor's name."""
        return self.story.alert.title or f"{self.story.service} {self.story.alert.kind.replace('_', ' ')} is high"
