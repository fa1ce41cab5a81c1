"""
The XCom values of the incident DAG.

Each is one of these models, dumped with ``model_dump(mode="json")``: readable in Airflow's UI, usable in any DAG,
and versioned. None of them contains a token, a secret or an e-mail address from Slack.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any, Self

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints

from airflow_incident_provider.config import DRILL_TAG

SCHEMA_VERSION = 1

UtcDatetime = Annotated[AwareDatetime, AfterValidator(lambda at: at.astimezone(UTC))]
"""An aware datetime, converted to UTC. A naive one is rejected, because it is ambiguous."""

IncidentKey = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.~:+-]{1,200}$")]
"""An incident's key. It only has characters that Airflow allows in a run id."""


class Severity(StrEnum):
    """Severity of an incident, worst first."""

    CRITICAL = "critical"
    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"


class Source(StrEnum):
    """The kind of payload that an incident was parsed from."""

    DATADOG_ALERT = "datadog_alert"
    DATADOG_INCIDENT = "datadog_incident"
    ALERT = "alert"
    """Another monitoring or paging system: Grafana, Alertmanager, PagerDuty, Opsgenie."""
    MANUAL = "manual"


class Verdict(StrEnum):
    """Result of a probe. ``UNKNOWN`` means that the probe could not run; it never counts as ``OK``."""

    FAIL = "fail"
    WARN = "warn"
    UNKNOWN = "unknown"
    SKIPPED = "skipped"
    OK = "ok"


class Mode(StrEnum):
    """Whether messages are posted to Slack, or only shown."""

    LIVE = "live"
    DRY_RUN = "dry_run"


class LinkKind(StrEnum):
    """The kind of page that a link opens; it selects and orders bookmarks and the links of the brief."""

    MONITOR = "monitor"
    INCIDENT = "incident"
    EVENT = "event"
    DASHBOARD = "dashboard"
    RUNBOOK = "runbook"
    OTHER = "other"


class Model(BaseModel):
    """Base class of values: immutable; unknown fields are ignored, so that newer values can be read."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Timing(Model):
    """Start time and duration."""

    started_at: UtcDatetime
    duration_ms: Annotated[int, Field(ge=0)]

    @property
    def finished_at(self) -> datetime:
        """End time."""
        return datetime.fromtimestamp(self.started_at.timestamp() + self.duration_ms / 1000, tz=UTC)


class XComValue(Model):
    """Base class of step results: a model with a schema version and the step's timing."""

    schema_version: int = SCHEMA_VERSION
    timing: Timing | None = None

    def to_xcom(self) -> dict[str, Any]:
        """Return the JSON form that is pushed to XCom."""
        return self.model_dump(mode="json")

    def timed(self, timing: Timing) -> Self:
        """Return a copy with a timing."""
        return self.model_copy(update={"timing": timing})


class ProblemCode(StrEnum):
    """What did not work, for code that acts on it: the wording of a :class:`Problem` may change."""

    LOOKUP = "lookup"
    INVITATIONS = "invitations"
    DESCRIPTION = "description"
    TOPIC = "topic"
    PIN = "pin"
    BOOKMARKS = "bookmarks"
    MEMBERS = "members"
    PERMALINK = "permalink"
    BRIEF = "brief"
    SUMMARY = "summary"
    ANNOUNCEMENT = "announcement"
    OWN_CHANNEL = "own_channel"
    LATE_ROOM = "late_room"
    NO_ROOM = "no_room"


class Problem(Model):
    """Something that did not work, as text for the room: what, the error, and the fix.

    ``code`` is what code compares; it is absent where nothing acts on the problem.
    """

    step: str
    what: str
    error: str | None = None
    fix: str | None = None
    code: ProblemCode | None = None

    def log_line(self) -> str:
        """Return the problem on one line for a log, with its fix or else its error where it has one."""
        detail = self.fix or self.error
        return f"{self.what} ({detail})" if detail else self.what


# --- 1. parse_incident_event ------------------------------------------------------------------------


class ParseWarning(Model):
    """A field of the payload with an unexpected value, and how it was handled."""

    field: str
    value: str
    note: str


class Link(Model):
    """A link to a web page (http or https)."""

    kind: LinkKind
    label: str
    url: str


class Measurement(Model):
    """The monitor's measurement, as far as the payload has it."""

    metric: str
    query: str | None = None
    value: str | None = None
    comparison: str | None = None
    threshold: str | None = None
    window: str | None = None


class Expectation(Model):
    """What a healthy target does, as the routing table defines it. Empty fields keep the probes' defaults.

    :param statuses: HTTP statuses that are healthy: ``204``, ``2xx`` or ``200-299``.
    :param follow_redirects: whether redirects are followed, each with the safety checks of the target itself.
    :param headers: request headers, as name and value. They are shown to people: never put a secret here.
    :param client_certificate: id of the Airflow connection that holds a client certificate and its key.
    :param body: regular expression that the beginning of the body (32 KB) has to match.
    :param slow_ms: milliseconds from which on an answer is slow.
    """

    statuses: tuple[str, ...] = ()
    follow_redirects: bool = False
    headers: tuple[tuple[str, str], ...] = ()
    client_certificate: str | None = None
    body: str | None = None
    slow_ms: Annotated[int, Field(ge=1)] | None = None


class Target(Model):
    """Something to probe: exactly one of a URL, or a host with or without a port.

    ``trusted`` is true only for what the routing table names: targets that an alert brought are checked
    against private ranges; link-local and metadata addresses are refused for both. A URL is ``http``, ``https``,
    ``grpc``, ``grpcs``, ``tls`` or ``tcp``. ``expect`` comes from the routing table only.
    """

    url: str | None = None
    host: str | None = None
    port: Annotated[int, Field(ge=1, le=65535)] | None = None
    trusted: bool = False
    expect: Expectation | None = None

    def __str__(self) -> str:
        """Return the target in its usual notation."""
        if self.url is not None:
            return self.url
        if self.port is None:
            return str(self.host)
        host = f"[{self.host}]" if ":" in (self.host or "") else self.host
        return f"{host}:{self.port}"


class Route(Model):
    """The routing table's result for an incident: responders, channel, probes, targets and DAG."""

    matched: tuple[str, ...] = ()
    responders: tuple[str, ...] = ()
    channel_prefix: str = "inc"
    private: bool = False
    runbook: str | None = None
    dag_id: str | None = None
    probes: tuple[str, ...] = ()
    targets: tuple[Target, ...] = ()
    allowed_networks: tuple[str, ...] = ()


class Incident(XComValue):
    """An incident, whatever its source. The value of ``parse_incident_event``.

    ``key`` identifies it for good: the run id, the channel and every message derive from it. ``id`` is what
    people call it (the monitor's id, the Datadog incident's number, or the id that a person gave). ``occurred_at``
    is when the trouble began, as far as the payload states it; ``event_at`` is when this notification of it was
    sent (absent in values of version 0.1.0).
    """

    key: IncidentKey
    id: str
    source: Source
    title: str
    severity: Severity
    occurred_at: UtcDatetime
    event_at: UtcDatetime | None = None
    received_at: UtcDatetime
    description: str | None = None
    transition: str | None = None
    status: str | None = None
    env: str | None = None
    services: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()
    teams: tuple[str, ...] = ()
    monitor_ids: tuple[str, ...] = ()
    metrics: tuple[Measurement, ...] = ()
    scope: str | None = None
    tags: tuple[str, ...] = ()
    fields: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    links: tuple[Link, ...] = ()
    snapshot_url: str | None = None
    commander: str | None = None
    reporter: str | None = None
    responders: tuple[str, ...] = ()
    slack_channel_id: str | None = None
    targets: tuple[Target, ...] = ()
    route: Route = Route()
    flags: tuple[ParseWarning, ...] = ()

    @property
    def is_drill(self) -> bool:
        """Whether it is a drill (``airflow incident drill``)."""
        return DRILL_TAG in self.tags

    @property
    def labels(self) -> tuple[str, ...]:
        """The tags, with those of the monitor's group, which a sender may leave out of the tags."""
        parts = (part.strip() for part in (self.scope or "").split(","))
        return (*self.tags, *(part for part in parts if ":" in part))

    @property
    def notified_at(self) -> datetime:
        """The time that orders the notifications of one alert."""
        return self.event_at or self.occurred_at

    def link(self, kind: LinkKind) -> Link | None:
        """Return the first link of this kind, if there is one."""
        return next((link for link in self.links if link.kind is kind), None)


# --- 2. setup_slack_integration ---------------------------------------------------------------------


class MissingScope(Model):
    """A scope that the Slack app lacks, and what does not work without it."""

    scope: str
    costs: str


class SlackWorkspace(XComValue):
    """The Slack workspace of a run, or why there is none. The value of ``setup_slack_integration``.

    ``conn_id`` is the Airflow connection; later tasks use the same one.
    ``interactive`` is whether the app's signing secret is configured, so that buttons can be used.
    ``dry_run_requested`` distinguishes a requested dry run from one without a connection.
    """

    mode: Mode
    reason: str | None = None
    dry_run_requested: bool = False
    conn_id: str | None = None
    team: str | None = None
    team_id: str | None = None
    url: str | None = None
    bot_user_id: str | None = None
    interactive: bool = False
    scopes_granted: tuple[str, ...] = ()
    scopes_missing: tuple[MissingScope, ...] = ()

    @property
    def dry_run(self) -> bool:
        """Whether nothing is posted."""
        return self.mode is Mode.DRY_RUN

    def has_scope(self, scope: str) -> bool:
        """Return whether the app has a scope; if the scopes are unknown, it is assumed to."""
        return not self.scopes_granted or scope in self.scopes_granted


# --- 3. resolve_slack_users -------------------------------------------------------------------------


class ResolutionOutcome(StrEnum):
    """Result of a query for a person."""

    RESOLVED = "resolved"
    AMBIGUOUS = "ambiguous"
    NOT_FOUND = "not_found"
    DEACTIVATED = "deactivated"
    NOT_ALLOWED = "not_allowed"


class MatchMethod(StrEnum):
    """How a person was found, most reliable first."""

    ID = "id"
    EMAIL = "email"
    USERGROUP = "usergroup"
    DISPLAY_NAME = "display_name"
    USERNAME = "username"
    FUZZY = "fuzzy"


class SlackUser(Model):
    """A member of the workspace."""

    id: str
    name: str
    real_name: str = ""
    display_name: str = ""

    @property
    def label(self) -> str:
        """The name that Slack shows: the display name, else the real name, else the username."""
        return self.display_name or self.real_name or self.name


class Resolution(Model):
    """The result of one query.

    ``users`` are the people found: one, or the members of a user group. ``candidates`` are possible matches, most
    likely first; they are suggested and never invited. ``confidence`` is 0 to 100. ``group_id`` is the Slack id
    of the user group that was asked for.
    """

    query: str
    outcome: ResolutionOutcome
    method: MatchMethod | None = None
    confidence: float = 0.0
    users: tuple[SlackUser, ...] = ()
    candidates: tuple[SlackUser, ...] = ()
    reason: str | None = None
    group_id: str | None = None


class UserResolution(XComValue):
    """The results of all queries for people. The value of ``resolve_slack_users``.

    ``unanswered`` are the queries without a response in time, each with its problem, which is also in
    ``problems``; they are repeated later.
    """

    resolutions: tuple[Resolution, ...] = ()
    problems: tuple[Problem, ...] = ()
    unanswered: Mapping[str, Problem] = {}

    @property
    def resolved(self) -> tuple[Resolution, ...]:
        """Queries with a result."""
        return tuple(r for r in self.resolutions if r.outcome is ResolutionOutcome.RESOLVED)

    @property
    def unresolved(self) -> tuple[Resolution, ...]:
        """Queries without a unique result."""
        return tuple(r for r in self.resolutions if r.outcome is not ResolutionOutcome.RESOLVED)


# --- 4. create_war_room -----------------------------------------------------------------------------


class Invitation(Model):
    """A person who was invited, and how they were found; ``group_id`` is the Slack id of their user group."""

    user: SlackUser
    query: str
    method: MatchMethod
    group_id: str | None = None


class NotInvited(Model):
    """A person who was not invited, and why.

    ``suggestion`` names the closest matches, for a person to decide on; ``suggested`` holds the same names by Slack
    user id. ``user_id`` identifies a user who was found but could not be invited; two people may share a name.
    """

    query: str
    reason: str
    suggestion: str | None = None
    suggested: Mapping[str, str] = {}
    user_id: str | None = None


class WarRoom(XComValue):
    """The war room. The value of ``create_war_room``.

    In a dry run ``channel_id`` and ``brief_ts`` are absent and ``would_post`` holds the texts. ``picture`` is false
    if Slack could not fetch the alert's graph; the brief then links to it.
    """

    mode: Mode
    channel_name: str
    channel_id: str | None = None
    url: str | None = None
    private: bool = False
    created: bool = False
    opened_at: UtcDatetime
    brief_ts: str | None = None
    brief_url: str | None = None
    picture: bool = True
    invited: tuple[Invitation, ...] = ()
    not_invited: tuple[NotInvited, ...] = ()
    problems: tuple[Problem, ...] = ()
    would_post: tuple[str, ...] = ()


# --- 5. investigate ---------------------------------------------------------------------------------


class ProbeRun(XComValue):
    """One probe against one target, as ``plan_investigation`` decided it; each becomes one container.

    ``refused`` is why the target must not be probed; such a probe is reported as skipped.
    ``identifier`` marks a host name that only came with the alert: monitoring systems make up names that no
    resolver knows, so a name that does not exist is not a failure.
    """

    probe: str
    target: Target | None = None
    allowed_networks: tuple[str, ...] = ()
    refused: str | None = None
    identifier: bool = False


class StageName(StrEnum):
    """The stages of a check, in the order in which a client goes through them."""

    NAME = "name"
    CONNECTION = "connection"
    TLS = "TLS"
    REQUEST = "request"


class Stage(Model):
    """What one stage of a check showed; ``SKIPPED`` when an earlier stage kept it from being reached."""

    name: StageName
    verdict: Verdict
    summary: str
    duration_ms: Annotated[int, Field(ge=0)] | None = None


class Vantage(Model):
    """Where a check was made from: the container's network, addresses, resolvers and usable address families."""

    network: str | None = None
    addresses: tuple[str, ...] = ()
    resolvers: tuple[str, ...] = ()
    families: tuple[str, ...] = ()


CONTROL_PROBES = frozenset({"control", "host_facts"})
"""The probe that checks our own side; version 0.1.0 called it ``host_facts``."""


class Finding(XComValue):
    """The result of one check. The value of each ``investigate`` task.

    ``facts`` are machine-readable (text, numbers, booleans); ``evidence`` is the redacted output of
    the container, at most 4 KB; ``summary`` is one plain line that claims no more than the facts show.
    ``command`` repeats the check on a command line; ``exit_code`` is that of a custom image.
    ``calls`` are the ids of the recorded API calls that a finding of the monitoring follows from.
    ``redirect`` is where an answer leads, for the check that follows it: it may hold a secret, and is in no XCom.
    """

    probe: str
    target: str
    verdict: Verdict
    summary: str
    stages: tuple[Stage, ...] = ()
    facts: dict[str, str | int | float | bool] = Field(default_factory=dict)
    evidence: str = ""
    command: tuple[str, ...] = ()
    exit_code: int | None = None
    started_at: UtcDatetime
    duration_ms: Annotated[int, Field(ge=0)] = 0
    image: str | None = None
    image_digest: str | None = None
    host: str | None = None
    calls: tuple[str, ...] = ()
    vantage: Vantage | None = None
    redirect: str | None = Field(default=None, exclude=True, repr=False)

    @property
    def is_control(self) -> bool:
        """Whether it is about our own network, and so not evidence about a target."""
        return self.probe in CONTROL_PROBES


# --- 6. post_investigation_updates ------------------------------------------------------------------


class PostedMessage(Model):
    """A message in the room: its unique key and Slack's timestamp."""

    key: str
    ts: str


class ThreadUpdates(XComValue):
    """What was posted under the brief. The value of ``post_investigation_updates``."""

    mode: Mode
    channel_id: str | None = None
    thread_ts: str | None = None
    messages: tuple[PostedMessage, ...] = ()
    counts: dict[Verdict, int] = Field(default_factory=dict)
    problems: tuple[Problem, ...] = ()
    would_post: tuple[str, ...] = ()


# --- 7. final_summary -------------------------------------------------------------------------------


class RunOutcome(StrEnum):
    """How the run ended: ``NOT_RAISED`` when the payload was no new incident (a recovery, say)."""

    COMPLETE = "complete"
    DEGRADED = "degraded"
    FAILED = "failed"
    NOT_RAISED = "not_raised"


class StepReport(Model):
    """The result of one step: Airflow's state and the step's own timing."""

    task_id: str
    state: str
    timing: Timing | None = None
    problem: Problem | None = None


class TimelineEntry(Model):
    """A moment of the incident that we can prove."""

    at: UtcDatetime
    what: str


class Statement(Model):
    """A sentence that restates findings, with the probes and targets of the findings that it cites."""

    text: str
    probes: tuple[str, ...]
    targets: tuple[str, ...] = ()
    verdict: Verdict | None = None


class IncidentSummary(XComValue):
    """The result of the first minutes. The value of ``final_summary``. Durations are in milliseconds.

    ``status`` and ``time_to_recovery_ms`` come later: what became of the incident since, such as ``resolved``.
    ``invited_later`` are those of the ``invited`` who could not be invited when the room was opened;
    ``unanswered`` the queries for people that Slack has not answered until then: they are tried again.
    """

    key: str | None
    title: str | None
    severity: Severity | None
    outcome: RunOutcome
    mode: Mode
    room_url: str | None = None
    channel_name: str | None = None
    steps: tuple[StepReport, ...] = ()
    timeline: tuple[TimelineEntry, ...] = ()
    findings: dict[Verdict, int] = Field(default_factory=dict)
    known: tuple[Statement, ...] = ()
    unknown: tuple[str, ...] = ()
    hypotheses: tuple[Statement, ...] = ()
    invited: int = 0
    invited_later: tuple[Invitation, ...] = ()
    unanswered: tuple[str, ...] = ()
    here: int | None = None
    not_invited: tuple[NotInvited, ...] = ()
    problems: tuple[Problem, ...] = ()
    total_ms: int | None = None
    time_to_room_ms: int | None = None
    time_to_first_evidence_ms: int | None = None
    time_to_recovery_ms: int | None = None
    status: str | None = None
    posted_ts: str | None = None
    would_post: tuple[str, ...] = ()
