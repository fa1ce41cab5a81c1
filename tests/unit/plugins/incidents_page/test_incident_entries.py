"""Test the rows of the incidents page, made from runs and records."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from airflow_incident_provider.lifecycle.coordination import ActionEntry, ActionKind, Coordination, Person, Role
from airflow_incident_provider.lifecycle.records import (
    AlertState,
    IncidentRecord,
    Room,
    Status,
    TimelineEvent,
    UpdateKind,
    Visibility,
)
from airflow_incident_provider.models import (
    Finding,
    Incident,
    IncidentSummary,
    Mode,
    Problem,
    Route,
    RunOutcome,
    Severity,
    Source,
    Statement,
    Verdict,
    WarRoom,
)
from airflow_incident_provider.plugins.incident_dags import key_in_conf
from airflow_incident_provider.plugins.incidents_page.detail import incident_detail
from airflow_incident_provider.plugins.incidents_page.entries import (
    OPEN_FOR,
    PRIVATE_TITLE,
    AttentionReason,
    State,
    UnreadableReport,
    entry,
    incidents,
    response_times,
)
from airflow_incident_provider.plugins.run_history import RecordedRun
from airflow_incident_provider.registry.records import Rejection
from airflow_incident_provider.room.snapshot import IncidentSnapshot, RunRef

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
RECEIVED = NOW - timedelta(minutes=20)
ROOM_URL = "https://acme.slack.com/archives/C1"


def incident(key: str = "dd.1.2", **fields: Any) -> Incident:
    defaults: dict[str, Any] = {
        "id": "1",
        "source": Source.DATADOG_ALERT,
        "title": "Checkout 5xx",
        "severity": Severity.HIGH,
        "occurred_at": RECEIVED - timedelta(minutes=1),
        "received_at": RECEIVED,
        "services": ("checkout",),
        "teams": ("payments",),
        "env": "prod",
    }
    return Incident(key=key, **{**defaults, **fields})


def summary(**fields: Any) -> IncidentSummary:
    defaults: dict[str, Any] = {
        "key": "dd.1.2",
        "title": "Checkout 5xx",
        "severity": Severity.HIGH,
        "outcome": RunOutcome.COMPLETE,
        "mode": Mode.LIVE,
        "findings": {Verdict.FAIL: 1, Verdict.OK: 3},
        "known": (Statement(text="the service answers 503", probes=("http",)),),
        "invited": 2,
    }
    return IncidentSummary(**{**defaults, **fields})


def room(**fields: Any) -> WarRoom:
    defaults: dict[str, Any] = {
        "mode": Mode.LIVE,
        "channel_name": "inc-1",
        "channel_id": "C1",
        "url": ROOM_URL,
        "opened_at": RECEIVED + timedelta(seconds=2.1),
    }
    return WarRoom(**{**defaults, **fields})


def run(
    run_id: str = "manual__1+00:00",
    *,
    state: str = "success",
    requested_at: datetime = RECEIVED,
    key: str | None = None,
    title: str | None = None,
    problem: Problem | None = None,
    **values: Any,
) -> RecordedRun:
    reference = RunRef(dag_id="incident_response", run_id=run_id, state=state, requested_at=requested_at)
    defaults = {"incident": incident(), "room": room(), "summary": summary()}
    snapshot = IncidentSnapshot(run=reference, **{**defaults, **values})
    return RecordedRun(
        run=reference, snapshot=snapshot, key=snapshot.key or key, reported_title=title, problem=problem
    )


def unparsed_run(**values: Any) -> RecordedRun:
    return run(incident=None, room=None, summary=None, **values)


def record(key: str = "dd.1.2", **fields: Any) -> IncidentRecord:
    defaults: dict[str, Any] = {
        "run_id": "manual__1+00:00",
        "source": Source.DATADOG_ALERT,
        "opened_by": "a",
        "title": "Checkout 5xx",
        "severity": Severity.HIGH,
        "opened_at": RECEIVED,
        "last_signal_at": RECEIVED,
    }
    return IncidentRecord(key=key, **{**defaults, **fields})


def rows(*runs: RecordedRun, records: tuple[IncidentRecord, ...] = (), base_path: str = "/") -> list[Any]:
    return incidents(runs, {item.key: item for item in records}, base_path=base_path, now=NOW)


def reasons(row: Any) -> list[AttentionReason]:
    return [attention.reason for attention in row.attention]


def test_run_without_record_is_a_row() -> None:
    [row] = rows(run())

    assert (row.key, row.state, row.tracked, row.severity) == ("dd.1.2", State.OPEN, False, "high")
    assert (row.room_name, row.room_url, row.teams) == ("inc-1", ROOM_URL, ("payments",))
    assert row.findings == {Verdict.FAIL: 1, Verdict.OK: 3}
    assert row.known == "the service answers 503"
    assert (row.began_at, row.opened_at) == (RECEIVED - timedelta(minutes=1), RECEIVED)
    assert row.attention == ()


def test_run_url_includes_base_path() -> None:
    [row] = rows(run(), base_path="/airflow/")

    assert row.run_url == "/airflow/dags/incident_response/runs/manual__1%2B00%3A00"


def test_report_being_parsed_has_its_reported_title() -> None:
    [row] = rows(unparsed_run(state="running", title="Payments are slow"))

    assert (row.key, row.title, row.is_open) == (None, "Payments are slow", True)


def test_unreadable_report_is_listed_separately() -> None:
    rejection = Rejection(
        id="r1", at=NOW, source="form", title="Payments are slow", reason="title: needed.", dag_id="d", run_id="r"
    )
    report = UnreadableReport.of(rejection, "/")

    assert rows(unparsed_run(state="failed", title="Payments are slow")) == []
    assert (report.title, report.reason, report.run_url) == (
        "Payments are slow",
        "title: needed.",
        "/dags/d/runs/r",
    )


def test_run_that_raised_no_incident_has_no_row() -> None:
    assert rows(run(incident=None, room=None, summary=summary(outcome=RunOutcome.NOT_RAISED))) == []


def test_incident_without_record_is_open_for_a_day() -> None:
    [recent] = rows(run(requested_at=NOW - OPEN_FOR + timedelta(minutes=1)))
    [old] = rows(run(requested_at=NOW - OPEN_FOR - timedelta(minutes=1)))
    [running] = rows(run(state="running", requested_at=NOW - 2 * OPEN_FOR))

    assert (recent.state, recent.is_open) == (State.OPEN, True)
    assert (old.state, old.is_open) == (State.UNTRACKED, False)
    assert (running.state, running.is_open) == (State.OPEN, True)


def test_runs_of_one_incident_share_a_row() -> None:
    later = incident(received_at=RECEIVED + timedelta(minutes=5))
    latest = run("later", incident=later, summary=summary(findings={Verdict.WARN: 1}))
    [row] = rows(latest, run())

    assert (row.fired, row.run_id, row.findings) == (2, "later", {Verdict.WARN: 1})
    assert row.opened_at == RECEIVED


def test_record_takes_precedence_over_run() -> None:
    alert = AlertState(key="a", group="m1", title="x", severity=Severity.HIGH, first_at=RECEIVED, last_at=RECEIVED)
    incident_record = record(
        status=Status.RECOVERED,
        recovered_at=NOW - timedelta(minutes=3),
        notifications=7,
        reopened=1,
        alerts={"a": alert, "b": alert},
        coordination=Coordination(
            roles={Role.COMMANDER: Person(name="Alice Ng")},
            actions=(ActionEntry(id="1", kind=ActionKind.LEAD, at=NOW - timedelta(minutes=1), actor="Alice Ng"),),
        ),
    )
    [row] = rows(run(), records=(incident_record,))

    assert (row.tracked, row.state, row.is_open) == (True, State.RECOVERED, True)
    assert (row.severity, row.fired, row.reopened, row.alerts) == ("high", 7, 1, 2)
    assert (row.ended_at, row.updated_at) == (NOW - timedelta(minutes=3), NOW - timedelta(minutes=1))
    assert row.lead == "Alice Ng"
    assert row.findings == {Verdict.FAIL: 1, Verdict.OK: 3}
    assert row.room_url == ROOM_URL


def test_lifecycle_status_and_run_outcome_are_independent() -> None:
    incident_record = record(status=Status.RESOLVED, resolved_at=NOW)
    [row] = rows(run(state="failed", summary=summary(outcome=RunOutcome.DEGRADED)), records=(incident_record,))

    assert (row.state, row.run_state, row.outcome) == (State.RESOLVED, "failed", RunOutcome.DEGRADED)


def test_record_without_run_is_a_row() -> None:
    incident_record = record(status=Status.RESOLVED, room=Room(channel_name="inc-1", url=ROOM_URL))
    [row] = rows(records=(incident_record,))

    assert (row.state, row.is_open, row.room_name) == (State.RESOLVED, False, "inc-1")
    assert row.run_url == "/dags/incident_response/runs/manual__1%2B00%3A00"


def test_dry_run_is_not_open() -> None:
    [by_run] = rows(run(room=room(mode=Mode.DRY_RUN, channel_id=None, url=None), summary=None))
    [by_record] = rows(records=(record(room=Room(dry_run=True)),))

    assert [(row.dry_run, row.is_open, row.attention) for row in (by_run, by_record)] == [(True, False, ())] * 2


def test_record_only_incident_ends_with_its_recovery() -> None:
    [row] = rows(records=(record(status=Status.RECOVERED, visibility=Visibility.RECORD),))

    assert not row.is_open


def test_drill_is_marked() -> None:
    [row] = rows(run(incident=incident(tags=("drill:true",))))

    assert row.drill


def test_private_incident_hides_its_details() -> None:
    private = run(incident=incident(route=Route(private=True), title="Customer addresses leaked"))
    [row] = rows(private, records=(record(title="Customer addresses leaked", private=True),))
    detail = incident_detail(row, private.snapshot, record(private=True), NOW)

    assert (row.title, row.services, row.room_name, row.known) == (PRIVATE_TITLE, (), None, None)
    assert row.room_url == ROOM_URL
    assert "leaked" not in detail.model_dump_json()


def test_missing_room_is_reported_with_the_reason() -> None:
    problem = Problem(step="setup_slack_integration", what="Slack answered 503.")
    [by_problem] = rows(run(state="failed", room=None, summary=None, problem=problem))
    problem = Problem(step="create_war_room", what="no channel", error="restricted_action")
    [by_summary] = rows(run(room=None, summary=summary(problems=(problem,), outcome=RunOutcome.FAILED)))

    assert [row.attention[0].text for row in (by_problem, by_summary)] == [
        "no room: Slack answered 503.",
        "no room: restricted_action",
    ]


def test_late_room_is_reported_while_the_run_is_active() -> None:
    problem = Problem(step="setup_slack_integration", what="Slack answered 503.")
    [with_problem] = rows(run(state="running", room=None, summary=None, problem=problem))
    [without_problem] = rows(run(state="queued", room=None, summary=None))
    [opened] = rows(run(state="running", summary=None))
    [thread] = rows(run(state="running", room=None, summary=None), records=(record(visibility=Visibility.THREAD),))
    assert [row.attention[0].text for row in (with_problem, without_problem)] == [
        "no room: Slack answered 503.",
        "no room",
    ]
    assert [reasons(row) for row in (opened, thread)] == [[], []]


def test_attention_reasons() -> None:
    [no_responders] = rows(run(summary=summary(invited=0)))
    [failed] = rows(run(state="failed"))
    [without_lead] = rows(run(incident=incident(severity=Severity.CRITICAL)))
    [with_lead] = rows(run(incident=incident(severity=Severity.CRITICAL, commander="Dana")))
    just_now = NOW - timedelta(seconds=20)
    [running] = rows(
        run(
            state="running",
            requested_at=just_now,
            incident=incident(received_at=just_now),
            room=None,
            summary=None,
        )
    )
    [recorded] = rows(records=(record(visibility=Visibility.RECORD),))
    [ended] = rows(run(summary=summary(invited=0)), records=(record(status=Status.RESOLVED),))

    assert reasons(no_responders) == [AttentionReason.NOBODY]
    assert reasons(failed) == [AttentionReason.RUN_FAILED]
    assert reasons(without_lead) == [AttentionReason.NO_LEAD]
    assert [reasons(row) for row in (with_lead, running, recorded, ended)] == [[], [], [], []]


def test_rows_are_sorted_by_attention_then_severity() -> None:
    found = rows(
        run("low", incident=incident("low", severity=Severity.LOW)),
        run("high", incident=incident("high")),
        run("ended", incident=incident("ended", severity=Severity.HIGH)),
        run("alone", incident=incident("alone", severity=Severity.MEDIUM), summary=summary(invited=0)),
        records=(record("ended", status=Status.RESOLVED),),
    )

    assert [row.key for row in found] == ["alone", "high", "low", "ended"]


keys = st.sampled_from(["dd.1.2", "dd.3.4", "manual.x"])


@given(st.lists(keys), st.sets(keys))
def test_each_incident_has_one_row(of_runs: list[str], of_records: set[str]) -> None:
    runs = [
        run(f"run-{n}", incident=incident(key, received_at=RECEIVED - timedelta(minutes=n)))
        for n, key in enumerate(of_runs)
    ]
    found = rows(*runs, records=tuple(record(key, run_id=None) for key in of_records))

    assert sorted(row.key for row in found) == sorted(set(of_runs) | of_records)


def test_incident_detail_has_timeline_in_order() -> None:
    evidence = Finding(
        probe="http", target="a", verdict=Verdict.FAIL, summary="503", evidence="HTTP/2 503", started_at=RECEIVED
    )
    own_network = evidence.model_copy(update={"probe": "control", "verdict": Verdict.OK})
    incident_record = record(
        status=Status.RESOLVED,
        resolved_at=NOW,
        timeline=(
            TimelineEvent(kind=UpdateKind.RESOLVED, at=NOW, by="Dana"),
            TimelineEvent(kind=UpdateKind.SEVERITY, at=RECEIVED, before="medium", after="critical"),
        ),
    )
    recorded_run = run(findings=(own_network, evidence))
    row = entry([recorded_run], incident_record, base_path="/", now=NOW)
    detail = incident_detail(row, recorded_run.snapshot, incident_record, NOW)

    assert [(item.what, item.by) for item in detail.timeline] == [
        ("severity: medium → critical", None),
        ("resolved", "Dana"),
    ]
    assert [(finding.probe, finding.evidence) for finding in detail.findings] == [("http", "HTTP/2 503")]
    assert detail.known == ("the service answers 503",)


def test_key_in_conf_reads_webhook_and_trigger_keys() -> None:
    assert key_in_conf({"datadog": {}, "lifecycle": {"key": "dd.1.2"}}) == "dd.1.2"
    assert key_in_conf({"incident_key": "dd.1.2"}) == "dd.1.2"
    assert key_in_conf({"title": "Checkout is down"}) is None
    assert key_in_conf(None) is None
    assert key_in_conf({"incident_key": "../etc"}) is None


@given(st.one_of(st.none(), st.text(), st.lists(st.text()), st.dictionaries(st.text(), st.text())))
def test_unrelated_conf_has_no_key(conf: Any) -> None:
    assert key_in_conf(conf) is None
    assert key_in_conf({"lifecycle": conf}) is None
    assert key_in_conf({"incident_key": f"<{conf}>"}) is None


# --- response times -----------------------------------------------------------------------------------


def test_response_times() -> None:
    with_lead = record(coordination=Coordination(first_led_at=RECEIVED + timedelta(minutes=3)))
    runs = [run()]
    found = response_times(rows(*runs, records=(with_lead,)), runs, {with_lead.key: with_lead})
    assert {time.milestone: (time.count, time.missing, time.median_s) for time in found} == {
        "room": (1, 0, 2.1),
        "first_evidence": (0, 1, None),
        "command": (1, 0, 180),
        "mitigation": (0, 1, None),
        "resolution": (0, 1, None),
    }


def test_drills_and_dry_runs_have_no_response_times() -> None:
    drill = record(drill=True)
    dry_run = run(run_id="manual__2", incident=incident("dd.9"), room=room(mode=Mode.DRY_RUN))
    runs = [run(), dry_run]
    found = response_times(rows(*runs, records=(drill,)), runs, {drill.key: drill})
    assert [(time.count, time.missing) for time in found] == [(0, 0)] * 5
