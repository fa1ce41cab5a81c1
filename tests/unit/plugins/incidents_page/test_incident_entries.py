"""What the incidents page tells, from runs and records."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from airflow_incident_provider.lifecycle.records import AlertState, IncidentRecord, Room, Status
from airflow_incident_provider.models import (
    Incident,
    IncidentSummary,
    Mode,
    Route,
    RunOutcome,
    Severity,
    Source,
    Statement,
    Verdict,
    WarRoom,
)
from airflow_incident_provider.plugins.incident_dags import key_in_conf
from airflow_incident_provider.plugins.incidents_page.entries import OPEN_FOR, State, incidents
from airflow_incident_provider.plugins.run_history import RecordedRun

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
RECEIVED = NOW - timedelta(minutes=20)


def incident(key: str = "dd.1.2", **fields: Any) -> Incident:
    known: dict[str, Any] = {
        "id": "1",
        "source": Source.DATADOG_ALERT,
        "title": "Checkout 5xx",
        "severity": Severity.CRITICAL,
        "occurred_at": RECEIVED,
        "received_at": RECEIVED,
        "services": ("checkout",),
        "env": "prod",
    }
    return Incident(key=key, **{**known, **fields})


def summary(**fields: Any) -> IncidentSummary:
    known: dict[str, Any] = {
        "key": "dd.1.2",
        "title": "Checkout 5xx",
        "severity": Severity.CRITICAL,
        "outcome": RunOutcome.COMPLETE,
        "mode": Mode.LIVE,
        "known": (Statement(text="the service answers 503", probes=("http",)),),
    }
    return IncidentSummary(**{**known, **fields})


def run(**fields: Any) -> RecordedRun:
    known: dict[str, Any] = {
        "dag_id": "incident_response",
        "run_id": "manual__1+00:00",
        "state": "success",
        "requested_at": RECEIVED,
        "incident": incident(),
        "room": WarRoom(
            mode=Mode.LIVE,
            channel_name="inc-1",
            channel_id="C1",
            url="https://acme.slack.com/archives/C1",
            opened_at=RECEIVED + timedelta(seconds=2.1),
        ),
        "findings": {Verdict.FAIL: 1, Verdict.OK: 3},
        "summary": summary(),
    }
    run = {**known, **fields}
    return RecordedRun(**{"key": run["incident"].key if run["incident"] else None, **run})


def record(key: str = "dd.1.2", **fields: Any) -> IncidentRecord:
    known: dict[str, Any] = {
        "run_id": "manual__1+00:00",
        "source": Source.DATADOG_ALERT,
        "opened_by": "a",
        "title": "Checkout 5xx",
        "severity": Severity.HIGH,
        "opened_at": RECEIVED,
        "last_signal_at": RECEIVED,
    }
    return IncidentRecord(key=key, **{**known, **fields})


def told(*runs: RecordedRun, records: tuple[IncidentRecord, ...] = (), base_path: str = "/") -> list[Any]:
    return incidents(runs, {known.key: known for known in records}, base_path=base_path, now=NOW)


def test_a_run_alone_tells_the_incident() -> None:
    [entry] = told(run())

    assert (entry.key, entry.state, entry.followed, entry.severity) == ("dd.1.2", State.OPEN, False, "critical")
    assert (entry.room_name, entry.room_url) == ("inc-1", "https://acme.slack.com/archives/C1")
    assert entry.time_to_room_ms == 2100
    assert entry.findings == {Verdict.FAIL: 1, Verdict.OK: 3}
    assert entry.known == "the service answers 503"
    assert entry.opened_at == RECEIVED


def test_a_run_s_address_lies_below_airflow_s_own_path() -> None:
    [entry] = told(run(), base_path="/airflow/")

    assert entry.run_url == "/airflow/dags/incident_response/runs/manual__1%2B00%3A00"


def test_what_is_not_read_yet_is_shown_as_such() -> None:
    [entry] = told(run(state="running", incident=None, room=None, findings={}, summary=None))

    assert (entry.key, entry.title, entry.is_open) == (None, "A report that is being read", True)


def test_what_could_not_be_read_is_shown_as_such() -> None:
    [entry] = told(run(state="failed", incident=None, room=None, findings={}, summary=None))

    assert entry.title == "A report that could not be read"


def test_a_payload_that_is_no_incident_is_none() -> None:
    assert told(run(incident=None, room=None, summary=summary(outcome=RunOutcome.NOT_RAISED))) == []


def test_an_incident_that_nobody_follows_is_open_for_a_day() -> None:
    [fresh] = told(run(requested_at=NOW - OPEN_FOR + timedelta(minutes=1)))
    [old] = told(run(requested_at=NOW - OPEN_FOR - timedelta(minutes=1)))
    [running] = told(run(state="running", requested_at=NOW - 2 * OPEN_FOR))

    assert (fresh.state, fresh.is_open) == (State.OPEN, True)
    assert (old.state, old.is_open) == (State.NOT_FOLLOWED, False)
    assert (running.state, running.is_open) == (State.OPEN, True)


def test_runs_of_one_incident_are_one_entry_with_the_latest_run() -> None:
    later = incident(received_at=RECEIVED + timedelta(minutes=5))
    [entry] = told(run(run_id="later", incident=later, findings={Verdict.WARN: 1}), run())

    assert (entry.times, entry.run_id, entry.findings) == (2, "later", {Verdict.WARN: 1})
    assert entry.opened_at == RECEIVED


def test_a_record_knows_better_and_the_run_adds_the_findings() -> None:
    alert = AlertState(key="a", group="m1", title="x", severity=Severity.HIGH, first_at=RECEIVED, last_at=RECEIVED)
    kept = record(
        status=Status.RECOVERED,
        recovered_at=NOW - timedelta(minutes=3),
        notifications=7,
        reopened=1,
        alerts={"a": alert, "b": alert},
        commander="Alice Ng",
    )
    [entry] = told(run(), records=(kept,))

    assert (entry.followed, entry.state, entry.is_open) == (True, State.RECOVERED, True)
    assert (entry.severity, entry.times, entry.reopened, entry.alerts) == ("high", 7, 1, 2)
    assert entry.ended_at == NOW - timedelta(minutes=3)
    assert entry.commander == "Alice Ng"
    assert entry.findings == {Verdict.FAIL: 1, Verdict.OK: 3}
    assert entry.room_url == "https://acme.slack.com/archives/C1"


def test_a_record_without_a_run_in_sight_is_told() -> None:
    kept = record(status=Status.RESOLVED, room=Room(channel_name="inc-1", url="https://acme.slack.com/archives/C1"))
    [entry] = told(records=(kept,))

    assert (entry.state, entry.is_open, entry.room_name) == (State.RESOLVED, False, "inc-1")
    assert entry.run_url == "/dags/incident_response/runs/manual__1%2B00%3A00"


def test_a_run_that_is_still_reading_has_its_record_s_words() -> None:
    unread = run(state="running", key="dd.1.2", incident=None, room=None, findings={}, summary=None)
    [entry] = told(unread, records=(record(),))

    assert (entry.key, entry.title, entry.run_state) == ("dd.1.2", "Checkout 5xx", "running")


keys = st.sampled_from(["dd.1.2", "dd.3.4", "manual.x"])


@given(st.lists(keys), st.sets(keys))
def test_each_incident_is_told_once_the_latest_first(of_runs: list[str], of_records: set[str]) -> None:
    runs = [
        run(run_id=f"run-{n}", incident=incident(key, received_at=RECEIVED - timedelta(minutes=n)))
        for n, key in enumerate(of_runs)
    ]
    found = told(*runs, records=tuple(record(key, run_id=None) for key in of_records))

    assert sorted(entry.key for entry in found) == sorted(set(of_runs) | of_records)
    assert [entry.opened_at for entry in found] == sorted((entry.opened_at for entry in found), reverse=True)


def test_the_webhook_s_key_is_found_in_a_run_s_conf() -> None:
    assert key_in_conf({"datadog": {}, "lifecycle": {"key": "dd.1.2"}}) == "dd.1.2"
    assert key_in_conf({"incident_key": "dd.1.2"}) == "dd.1.2"


@given(st.one_of(st.none(), st.text(), st.lists(st.text()), st.dictionaries(st.text(), st.text())))
def test_no_conf_of_somebody_else_s_is_taken_for_the_webhook_s(conf: Any) -> None:
    assert key_in_conf(conf) is None
    assert key_in_conf({"lifecycle": conf}) is None
    assert key_in_conf({"incident_key": f"<{conf}>"}) is None


def test_the_text_of_a_private_incident_is_hidden() -> None:
    secret = "Customer addresses visible"
    private_run = run(
        incident=incident(title=secret, route=Route(private=True), commander="dana"),
        room=WarRoom(mode=Mode.LIVE, channel_name="inc-customer-addresses", channel_id="C1", opened_at=RECEIVED),
        summary=summary(title=secret, known=(Statement(text=f"{secret}: 503", probes=("http",)),)),
    )
    private_record = record(title=secret, private=True, commander="dana")
    for runs, records in (
        ([private_run], {}),
        ([private_run], {"dd.1.2": private_record}),
        ([], {"dd.1.2": private_record}),
    ):
        [shown] = incidents(runs, records, base_path="/", now=NOW)
        assert (shown.title, shown.private) == ("Private incident", True)
        text = shown.model_dump_json()
        assert not any(word in text for word in ("addresses", "dana", "503"))


def test_a_dry_run_is_not_open() -> None:
    dry = run(room=WarRoom(mode=Mode.DRY_RUN, channel_name="inc-1", opened_at=RECEIVED))
    [shown] = incidents([dry], {}, base_path="/", now=NOW)
    assert not shown.is_open


def test_it_tells_when_the_trouble_began_and_how_often_it_fired() -> None:
    began = RECEIVED - timedelta(days=5)
    stored = record(began_at=began, notifications=7, fired=3)
    [shown] = incidents([run()], {"dd.1.2": stored}, base_path="/", now=NOW)
    assert (shown.began_at, shown.times) == (began, 3)
