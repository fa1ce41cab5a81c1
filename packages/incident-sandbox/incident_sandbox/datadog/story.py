"""A story: one file that says what happened to a service. All Datadog endpoints of the sandbox are seeded from it.

Times are minutes: those before the alert are negative, those called ``at`` count from the onset.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Annotated, Literal, Self, get_args

import yaml
from pydantic import BaseModel, ConfigDict, Field, model_validator

Metric = Literal[
    "hits",
    "error_share",
    "latency",
    "memory",
    "cpu",
    "throttled",
    "restarts",
    "pool_pending",
    "db_connections",
    "bytes_rcvd",
    "bytes_sent",
    "retransmits",
]
"""What a service is measured by: the sandbox turns each into Datadog's metrics."""

AlertKind = Literal["error_rate", "error_count", "latency", "memory", "cpu", "network", "logs", "gauge"]


class Part(BaseModel):
    """A part of a story; unknown members are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Service(Part):
    """A service in its normal state.

    :param hits: requests a minute, over all hosts.
    :param latency: seconds.
    :param memory: bytes a host; ``cpu`` in percent.
    :param operation: its trace operation.
    :param kind: what the catalog says it is, such as ``external``.
    :param traced: whether it reports traces under its own name.
    """

    hits: float = 600
    error_share: float = 0.002
    latency: float = 0.12
    memory: float = 4e8
    cpu: float = 35
    hosts: int = 4
    version: str | None = "1.0.0"
    operation: str = "http.request"
    kind: str = "web"
    depends_on: tuple[str, ...] = ()
    owner: str | None = None
    runbook: str | None = None
    contact: str | None = None
    traced: bool = True


class Gauge(Part):
    """A metric of a service's own, such as the length of a queue; one value a host.

    :param name: in Datadog.
    """

    service: str
    name: str
    normal: float
    unit: str | None = None


class Effect(Part):
    """What happens to a metric: it takes a value, a factor, or grows by a value a minute.

    :param metric: a :data:`Metric`, or the name of a gauge.
    :param at: when it begins, in minutes from the onset; ``until`` when it ends.
    :param hosts: indexes of the hosts it happens on; all by default.
    :param version: only requests of this version.
    :param env: where it happens, if not in the story's own.
    """

    service: str
    metric: str
    env: str | None = None
    to: float | None = None
    factor: float | None = None
    growth: float | None = None
    at: float = 0
    until: float | None = None
    hosts: tuple[int, ...] | None = None
    version: str | None = None


class Rollout(Part):
    """A version that begins to serve.

    :param share: of the requests.
    :param reported: where Datadog knows it from, beside the ``version`` tag.
    """

    service: str
    version: str
    at: float
    share: float = 1.0
    hosts: tuple[int, ...] | None = None
    reported: Literal["deployment", "event", "none"] = "deployment"
    finished: bool = True
    env: str | None = None


class Event(Part):
    """An event of the stream, such as a feature flag.

    :param change: ``feature_flag`` or ``configuration`` for change events.
    :param repeat: how often it comes, ``every`` so many minutes from ``at``.
    """

    service: str
    title: str
    at: float
    change: Literal["feature_flag", "configuration"] | None = None
    name: str = ""
    author: str | None = None
    source: str = "custom"
    text: str = ""
    env: str | None = None
    repeat: int = 1
    every: float = 1


class Logs(Part):
    """Error logs; ``before`` and ``after`` are messages a minute. ``{n}`` in a message is a running number."""

    service: str
    message: str
    before: float = 0
    after: float = 0
    at: float = 0


class Issue(Part):
    """An issue of error tracking; ``first_seen`` in minutes from the onset."""

    service: str
    type: str
    message: str
    first_seen: float
    version: str | None = None
    count: int = 100
    regressed: float | None = None


class Monitor(Part):
    """Another monitor; ``triggered`` in minutes from the onset."""

    id: int
    name: str
    service: str
    status: Literal["Alert", "Warn", "No Data", "OK"] = "Alert"
    triggered: float = 0
    env: str | None = None


class Downtime(Part):
    """A planned downtime; minutes from the alert."""

    scope: str
    start: float = -30
    end: float | None = 60
    groups: tuple[str, ...] = ()


class Lost(Part):
    """A metric that is not reported, on some hosts or all.

    :param metric: a kind of metrics, or the name of a gauge.
    :param keep_every: one point of so many is reported all the same.
    """

    service: str
    metric: str = "all"
    at: float = 0
    until: float | None = None
    keep_every: int | None = None
    hosts: tuple[int, ...] | None = None


class Limits(Part):
    """What goes wrong with the API itself; keys are the sandbox's names of endpoints, such as ``logs.search``.

    :param remaining: calls left in the hour.
    :param late: the newest minutes that series do not have yet.
    """

    forbidden: tuple[str, ...] = ()
    partial: tuple[str, ...] = ()
    empty: tuple[str, ...] = ()
    failing: tuple[str, ...] = ()
    remaining: dict[str, int] = {}
    delay_ms: dict[str, int] = {}
    late: float = 1


class Alert(Part):
    """The monitor that alerts.

    :param query: of its own; by default one that fits the kind.
    :param type: of the monitor, by default one that fits the kind.
    :param host: index of the host, for a monitor by host.
    """

    kind: AlertKind
    threshold: float
    id: int = 148_275_309
    title: str = ""
    query: str | None = None
    type: str = ""
    host: int | None = None
    transition: str = "Triggered"


class Cause(Part):
    """What is behind it: a class of causes and the service (or host) at fault."""

    cause: str
    subject: str
    path: tuple[str, ...] = ()


class Expectation(Part):
    """What has to be found: verdicts by check, and words of their summaries."""

    verdicts: dict[str, str] = {}
    says: dict[str, tuple[str, ...]] = {}
    never_says: tuple[str, ...] = ()


class Story(Part):
    """What happened.

    :param onset: minutes before the alert.
    :param cause: absent for healthy services and decoys, about which nothing may be claimed.
    :param tuned: whether thresholds may be set by it.
    """

    description: str
    service: str = "checkout"
    env: str = "prod"
    onset: Annotated[float, Field(ge=0, le=170)] = 12
    alert: Alert
    cause: Cause | None = None
    healthy: bool = False
    tuned: bool = True
    services: dict[str, Service] = {}
    gauges: tuple[Gauge, ...] = ()
    effects: tuple[Effect, ...] = ()
    rollouts: tuple[Rollout, ...] = ()
    events: tuple[Event, ...] = ()
    logs: tuple[Logs, ...] = ()
    issues: tuple[Issue, ...] = ()
    monitors: tuple[Monitor, ...] = ()
    downtimes: tuple[Downtime, ...] = ()
    lost: tuple[Lost, ...] = ()
    limits: Limits = Limits()
    expect: Expectation = Expectation()

    @model_validator(mode="after")
    def _metrics_are_known(self) -> Self:
        known = {*get_args(Metric), *(gauge.name for gauge in self.gauges)}
        unknown = {effect.metric for effect in self.effects} - known
        if unknown:
            raise ValueError(f"effects on metrics that are neither known nor a gauge: {', '.join(sorted(unknown))}")
        return self


def story_names() -> list[str]:
    """Return the names of the stories that come with the sandbox."""
    folder = files("incident_sandbox.datadog").joinpath("stories")
    return sorted(entry.name.removesuffix(".yaml") for entry in folder.iterdir() if entry.name.endswith(".yaml"))


@cache
def load_story(name: str) -> Story:
    """Return a story by its name.

    :raises ValueError: there is none, or its file is wrong.
    """
    if name not in story_names():
        raise ValueError(f"there is no story {name!r}; there are {', '.join(story_names())}")
    text = files("incident_sandbox.datadog").joinpath("stories", f"{name}.yaml").read_text(encoding="utf-8")
    return read_story(text)


def read_story(text: str) -> Story:
    """Return the story that a YAML text holds.

    :raises ValueError: it is not one.
    """
    return Story.model_validate(yaml.safe_load(text))
