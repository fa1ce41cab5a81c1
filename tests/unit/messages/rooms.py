"""A realistic incident with its brief, findings and summary."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

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

OCCURRED = datetime(2026, 11, 23, 9, 35, tzinfo=UTC)
RUN_URL = "https://airflow.example.com/dags/incident_response/runs/dd.148275309.7716548234011230001"
MISSING_TOPIC_SCOPE = Problem(
    step="create_war_room",
    what="topic not set",
    error="Slack returned missing_scope",
    fix="needs channels:write.topic",
)


def after(seconds: float) -> datetime:
    """Return the time ``seconds`` after the alert."""
    return OCCURRED + timedelta(seconds=seconds)


def checkout_incident() -> Incident:
    return Incident(
        key="dd.148275309.7716548234011230001",
        id="148275309",
        source=Source.DATADOG_ALERT,
        title="Checkout 5xx ratio above 2%",
        severity=Severity.CRITICAL,
        occurred_at=OCCURRED,
        received_at=after(38.9),
        description="Too many <b>errors</b> & timeouts.\nSee the *runbook* first.",
        env="prod",
        services=("checkout",),
        hosts=("web-03", "web-07", "web-08", "web-11", "web-12", "web-19"),
        teams=("payments",),
        metrics=(
            Measurement(
                metric="trace.http.request.errors",
                value="ratio 0.081",
                comparison=">",
                threshold="0.02",
                window="5 min",
            ),
        ),
        links=(
            Link(kind=LinkKind.RUNBOOK, label="Runbook rb-117", url="https://wiki.example.com/rb-117"),
            Link(kind=LinkKind.MONITOR, label="Monitor 148275309", url="https://dd.example.com/monitors/148275309"),
            Link(kind=LinkKind.EVENT, label="Event", url="https://dd.example.com/event/event?id=1&ts=2"),
            Link(kind=LinkKind.DASHBOARD, label="Dashboard", url="https://dd.example.com/dash/abc"),
        ),
        snapshot_url="https://dd.example.com/snapshot/1.png",
        flags=(ParseWarning(field="severity", value="purple", note="was not understood: treated as high"),),
    )


def user(user_id: str, name: str) -> SlackUser:
    return SlackUser(id=user_id, name=name.lower().replace(" ", "."), real_name=name)


def invitations() -> tuple[Invitation, ...]:
    group = [
        Invitation(user=user(f"U00G{n}", f"Oncall {n}"), query="@sre-oncall", method=MatchMethod.USERGROUP)
        for n in range(3)
    ]
    return (
        *group,
        Invitation(user=user("U00JOSE", "José García"), query="josé garcía", method=MatchMethod.DISPLAY_NAME),
        Invitation(user=user("U00ALICE", "Alice Ng"), query="alice@example.com", method=MatchMethod.EMAIL),
    )


def checkout_brief() -> BriefState:
    return BriefState(
        incident=checkout_incident(),
        workspace=SlackWorkspace(
            mode=Mode.LIVE, scopes_missing=(MissingScope(scope="pins:write", costs="the brief is not pinned"),)
        ),
        opened_at=after(41),
        invited=invitations(),
        not_invited=(
            NotInvited(
                query="jon smiht", reason="no sure match", suggestion="Jon Smith", suggested={"U00JON": "Jon Smith"}
            ),
            NotInvited(query="dave@example.com", reason="deactivated in Slack"),
        ),
        steps=(
            StepProgress(step="parse_incident_event", state=StepState.DONE, duration_ms=200),
            StepProgress(step="setup_slack_integration", state=StepState.DONE, duration_ms=300),
            StepProgress(step="resolve_slack_users", state=StepState.DONE, duration_ms=400),
            StepProgress(step="create_war_room", state=StepState.DONE, duration_ms=800),
            StepProgress(step="investigate", state=StepState.RUNNING, done=3, total=5),
            StepProgress(step="final_summary"),
        ),
        problems=(MISSING_TOPIC_SCOPE,),
        findings=checkout_findings(),
        investigated=True,
        repeats=1,
        run_url=RUN_URL,
    )


def _finding(probe: str, target: str, verdict: Verdict, summary: str, **fields: object) -> Finding:
    values = {"probe": probe, "target": target, "verdict": verdict, "summary": summary, "host": "worker-1"}
    return Finding.model_validate({"started_at": after(44), **values, **fields})


def checkout_findings() -> tuple[Finding, ...]:
    shop = "checkout.example.com"
    expiry = "certificate expires in 6 days (2026-11-29, CN=checkout.example.com)"
    answer = "HTTP 503 after 212 ms (name 2, connect 3, TLS 9, first byte 198)"
    return (
        _finding("dns", shop, Verdict.OK, "2 addresses, 2 ms", duration_ms=900),
        _finding("tcp", f"{shop}:443", Verdict.OK, "443 open, median 3 ms of 5", duration_ms=1100),
        _finding("control", "our own side", Verdict.OK, "our own network is fine", duration_ms=700),
        _finding(
            *("tls", f"{shop}:443", Verdict.WARN, expiry),
            command=("openssl", "s_client", "-connect", f"{shop}:443"),
            exit_code=0,
            evidence="notAfter=Nov 29 12:00:00 2026 GMT\n",
        ),
        _finding(
            *("http", f"https://{shop}/healthz", Verdict.FAIL, answer),
            started_at=after(45.5),
            duration_ms=1300,
            command=("curl", "--silent", "--max-time", "5", f"https://{shop}/healthz?a=1&b=2"),
            exit_code=22,
            evidence="HTTP/2 503\nserver: envoy\n\n<html><!-- `upstream` & <!channel> --></html>\n",
        ),
        _finding("metrics", "", Verdict.SKIPPED, "no Datadog connection is configured"),
        _finding("ping", shop, Verdict.UNKNOWN, "the container engine did not answer"),
    )


def checkout_summary(outcome: RunOutcome = RunOutcome.COMPLETE) -> IncidentSummary:
    return IncidentSummary(
        key="dd.148275309.7716548234011230001",
        title="Checkout 5xx ratio above 2%",
        severity=Severity.CRITICAL,
        outcome=outcome,
        mode=Mode.LIVE,
        room_url="https://example.slack.com/archives/C1",
        channel_name="inc-20261123-checkout-5xx-ratio-above-2-148275309",
        steps=(
            StepReport(task_id="parse_incident_event", state="success"),
            StepReport(task_id="create_war_room", state="success", problem=MISSING_TOPIC_SCOPE),
        ),
        timeline=(
            TimelineEntry(at=after(50), what="summary"),
            TimelineEntry(at=OCCURRED, what="alert"),
            TimelineEntry(at=after(41), what="received"),
            TimelineEntry(at=after(43), what="room"),
            TimelineEntry(at=after(46), what="first finding"),
        ),
        findings={Verdict.FAIL: 1, Verdict.WARN: 1, Verdict.OK: 3},
        known=(
            Statement(
                text="https://checkout.example.com/healthz: HTTP 503 in 212 ms; in order: name, connection, TLS",
                probes=("http", "dns", "tcp", "tls"),
            ),
        ),
        unknown=("whether a deploy preceded it (not checked: no Datadog connection)",),
        invited=5,
        here=4,
        not_invited=(NotInvited(query="dave@example.com", reason="deactivated in Slack"),),
        problems=(MISSING_TOPIC_SCOPE,),
        total_ms=9400,
        time_to_room_ms=2100,
        time_to_first_evidence_ms=5300,
    )
