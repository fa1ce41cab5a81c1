"""Hypothesis strategies for hostile incidents: injected markup, broken templates, very long texts."""

from __future__ import annotations

from datetime import UTC, datetime

from hypothesis import strategies as st

from airflow_incident_provider.messages.brief import BriefState
from airflow_incident_provider.messages.progress import StepProgress, StepState
from airflow_incident_provider.models import (
    Finding,
    Incident,
    IncidentSummary,
    Invitation,
    Link,
    LinkKind,
    MatchMethod,
    Measurement,
    MissingScope,
    Mode,
    NotInvited,
    ParseWarning,
    Problem,
    Route,
    RunOutcome,
    Severity,
    SlackUser,
    SlackWorkspace,
    Source,
    Statement,
    StepReport,
    TimelineEntry,
    Verdict,
)

INJECTIONS = (
    "<!channel>",
    "<!here|x>",
    "<!everyone>",
    "<!subteam^S01>",
    "<@U12345678>",
    "<#C12345678|general>",
    "<https://evil.example|https://good.example>",
    "<http://evil.example>",
    "<mailto:a@b.example|c>",
    "&lt;!channel&gt;",
    "&amp;lt;",
    "```\n<!channel>\n```",
    "`*_~bold~_*`",
    "\n> quoted\n",
    "@channel @here @everyone",
    "<!date^0^{date}|x>",
    "\u202egnp.exe",
    "\x1b[31mred\x1b[0m\x00",
    "\u2028\r\n\x0b",
    "👩‍👩‍👧‍👦🇩🇪👍🏽e\u0301",
    "&" * 400,
    "<" * 4000,
    "é" * 5000,
    " ",
    "",
)
URLS = (
    "https://dd.example.com/monitors/1?a=1&b=2",
    "http://dd.example.com/x",
    "https://evil.example/|https://good.example",
    "https://evil.example/> <!channel>",
    "javascript:alert(1)",
    "https://[::1",
    "https://",
    "https://a.example/\u202e\ud800",
    "https://long.example/" + "a&" * 600,
    "https://longer.example/" + "a" * 1950,
    "",
)

texts = st.lists(
    st.sampled_from(INJECTIONS) | st.text(max_size=30) | st.text(alphabet="<>&`*_~|!@#\ud800\n ", max_size=30),
    max_size=4,
).map("".join)
urls = st.sampled_from(URLS) | texts
text_tuples = st.lists(texts, max_size=40).map(tuple) | st.just(("<!channel>" * 30,) * 200)
datetimes = st.integers(946_684_800, 4_102_444_800).map(lambda epoch: datetime.fromtimestamp(epoch, UTC))
optional_texts = st.none() | texts
milliseconds = st.integers(0, 10**10)


def tuples(elements: st.SearchStrategy, max_size: int = 12) -> st.SearchStrategy:
    return st.lists(elements, max_size=max_size).map(tuple)


keys = st.from_regex(r"[A-Za-z0-9_.~:+-]{1,200}", fullmatch=True)
users = st.builds(
    SlackUser,
    id=st.sampled_from(["U0123ABCD", "W0123ABCD", "!channel", "U1|x>"]) | texts,
    name=texts,
    real_name=texts,
)
problems = st.builds(Problem, step=texts, what=texts, error=optional_texts, fix=optional_texts)
invitations = st.builds(Invitation, user=users, query=texts, method=st.sampled_from(MatchMethod))
user_ids = st.from_regex(r"[UW][A-Z0-9]{8,20}", fullmatch=True)
not_invited = st.builds(
    NotInvited,
    query=texts,
    reason=texts,
    suggestion=optional_texts,
    suggested=st.dictionaries(user_ids, texts, max_size=3),
)
measurements = st.builds(
    Measurement,
    metric=texts,
    query=optional_texts,
    value=optional_texts,
    comparison=optional_texts,
    threshold=optional_texts,
    window=optional_texts,
)
incidents = st.builds(
    Incident,
    key=keys,
    id=texts,
    source=st.sampled_from(Source),
    title=texts,
    severity=st.sampled_from(Severity),
    occurred_at=datetimes,
    received_at=datetimes,
    description=optional_texts,
    env=optional_texts,
    services=text_tuples,
    hosts=text_tuples,
    teams=text_tuples,
    metrics=tuples(measurements, 3),
    scope=optional_texts,
    links=tuples(st.builds(Link, kind=st.sampled_from(LinkKind), label=texts, url=urls)),
    snapshot_url=st.none() | urls,
    commander=optional_texts,
    route=st.builds(Route, channel_prefix=texts, runbook=st.none() | urls),
    flags=tuples(st.builds(ParseWarning, field=texts, value=texts, note=texts)),
)
steps = st.builds(
    StepProgress,
    step=texts | st.just("investigate"),
    state=st.sampled_from(StepState),
    duration_ms=st.none() | milliseconds,
    done=st.none() | st.integers(0, 99),
    total=st.none() | st.integers(0, 99),
)
findings = st.builds(
    Finding,
    probe=texts,
    target=texts,
    verdict=st.sampled_from(Verdict),
    summary=texts,
    evidence=texts,
    command=text_tuples,
    exit_code=st.none() | st.integers(0, 255),
    started_at=datetimes,
    duration_ms=milliseconds,
    host=optional_texts,
)
brief_states = st.builds(
    BriefState,
    incident=incidents,
    workspace=st.none()
    | st.builds(
        SlackWorkspace,
        mode=st.sampled_from(Mode),
        scopes_missing=tuples(st.builds(MissingScope, scope=texts, costs=texts)),
    ),
    opened_at=st.none() | datetimes,
    invited=tuples(invitations, 30),
    pending=tuples(invitations, 30),
    not_invited=tuples(not_invited, 30),
    steps=tuples(steps),
    problems=tuples(problems),
    status=texts,
    commander=optional_texts,
    repeats=st.integers(0, 99),
    findings=tuples(findings, 4),
    investigated=st.booleans(),
    recovered_at=st.none() | datetimes,
    run_url=st.none() | urls,
    with_picture=st.booleans(),
    interactive=st.booleans(),
    closed=st.booleans(),
)
summaries = st.builds(
    IncidentSummary,
    key=st.none() | keys,
    title=optional_texts,
    severity=st.none() | st.sampled_from(Severity),
    outcome=st.sampled_from(RunOutcome),
    mode=st.sampled_from(Mode),
    room_url=st.none() | urls,
    channel_name=optional_texts,
    steps=tuples(
        st.builds(
            StepReport,
            task_id=texts,
            state=st.sampled_from(["success", "failed", "upstream_failed"]),
            problem=st.none() | problems,
        )
    ),
    timeline=tuples(st.builds(TimelineEntry, at=datetimes, what=texts), 60),
    findings=st.dictionaries(st.sampled_from(Verdict), st.integers(0, 50)),
    known=tuples(st.builds(Statement, text=texts, probes=text_tuples)),
    unknown=text_tuples,
    invited=st.integers(0, 99),
    here=st.none() | st.integers(0, 99),
    not_invited=tuples(not_invited, 60),
    problems=tuples(problems, 60),
    total_ms=st.none() | milliseconds,
    time_to_room_ms=st.none() | milliseconds,
    time_to_first_evidence_ms=st.none() | milliseconds,
)
