"""
How outages of Slack that begin late end: between the steps of a first look, and while an update is due.

Starts one Airflow on this machine, with an incident DAG and a stand-in Slack for each beginning. During an outage
the incidents page, ``airflow incident show`` and the fallback notifier are observed by the clock.

    python -m benchmarks.later_outages --kinds 503 --seconds 60
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from operator import itemgetter
from pathlib import Path
from typing import Any

import httpx
from incident_sandbox import Fault, SandboxServer
from incident_sandbox.demo.airflow_home import airflow_command
from incident_sandbox.demo.local_airflow import LocalAirflow

from benchmarks.outages import KINDS, Lane, airflow_with, clean_contents, report

NOTIFIER = """
import json, time
from airflow.sdk import BaseNotifier

class FileNotifier(BaseNotifier):
    template_fields = ("text",)

    def __init__(self, path, text):
        super().__init__()
        self.path, self.text = path, text

    def notify(self, context):
        with open(self.path, "a") as file:
            print(json.dumps([context["ti"].dag_id, time.time(), self.text]), file=file)
"""
BETWEEN_STEPS_S = (1.0, 3.0, 5.0, 8.0, 12.0)
CALLS_OF_AN_UPDATE = 3
QUIET_S = 12
GIVE_UP_S = 180
SHOW_AFTER_S = 15


@dataclass
class Outage:
    """One outage in a lane: it begins some time after a report, or at a call of an update.

    :param begins: in words.
    :param after: seconds from the report until it begins.
    :param nth: the number of the update's call at which it begins; 0 for before the update is reported.
    """

    lane: Lane
    begins: str
    wanted: Counter[str]
    after: float | None = None
    nth: int = 0
    reported: float = 0.0
    seen_after: dict[str, float] = field(default_factory=dict)

    def start(self, airflow: LocalAirflow, kind: str) -> None:
        """Report what is due during the outage."""
        self.reported = time.time()
        if self.after is None:
            self._break(kind, nth=max(self.nth, 1))
            self.lane.began = self.reported if self.nth == 0 else None
            report(airflow, self.lane, 1, severity="critical")
        else:
            report(airflow, self.lane, 1)

    def _break(self, kind: str, *, nth: int = 1) -> None:
        self.lane.control.add_fault(Fault(method="*", nth=nth, times=None, **KINDS[kind]))

    def advance(self, kind: str, seconds: float) -> bool:
        """Begin and end the outage when it is time, look at the room, and return whether it is complete."""
        lane, now = self.lane, time.time()
        if lane.began is None:
            if self.after is not None and now >= self.reported + self.after:
                self._break(kind)
                lane.began = now
            elif self.after is None and any(each["consumed"] for each in lane.control.faults()):
                lane.began = now
            return False
        if lane.ended is None:
            if now >= lane.began + seconds:
                lane.control.clear_faults()
                lane.ended = now
            return False
        return self._is_complete(now - lane.ended)

    def _is_complete(self, since_end: float) -> bool:
        seen = self.lane.contents()
        if seen["channel"] and self.lane.room_after is None:
            self.lane.room_after = since_end
        missing = self.wanted - seen
        if missing and since_end < GIVE_UP_S:
            return False
        if missing:
            self.lane.problems.append(f"missing: {dict(missing)}")
        else:
            self.lane.complete_after = since_end
        more = {name: count for name, count in seen.items() if count > self.wanted[name] > 0}
        if more:
            self.lane.problems.append(f"more than once: {more}")
        return True


@dataclass
class Observer:
    """What people see of an outage who cannot look at Slack."""

    airflow: LocalAirflow
    notified: Path

    def __post_init__(self) -> None:
        username, password = self.airflow.credentials
        login = {"username": username, "password": password}
        answer = httpx.post(f"{self.airflow.url}/auth/token", json=login, timeout=30)
        self._token = {"Authorization": f"Bearer {answer.json()['access_token']}"}

    def observe(self, outages: Sequence[Outage]) -> None:
        """Note for each outage without a room what reports that, and after how many seconds."""
        waiting = [outage for outage in outages if outage.lane.began and not outage.lane.ended]
        # A lane also has the incidents of the kinds that were played before: the newest is the one observed.
        listed = {incident["dag_id"]: incident for incident in sorted(self._listed(), key=itemgetter("opened_at"))}
        notified = dict(self._notified())
        for outage in waiting:
            incident, name = listed.get(outage.lane.dag_id), outage.lane.dag_id
            if incident and any(each["reason"] == "no_room" for each in incident["attention"]):
                self._note(outage, "page", time.time())
            if name in notified:
                self._note(outage, "fallback", notified[name])
        # A command takes seconds of a busy machine, in which nothing else is observed: one at a time.
        shown = next((each for each in waiting if each.lane.dag_id in listed and self._is_to_be_shown(each)), None)
        if shown is not None and self._shows_no_room(listed[shown.lane.dag_id]["key"]):
            self._note(shown, "show", time.time())

    @staticmethod
    def _is_to_be_shown(outage: Outage) -> bool:
        began = outage.lane.began or time.time()
        has_room = outage.lane.contents()["channel"]
        return "show" not in outage.seen_after and not has_room and time.time() - began > SHOW_AFTER_S

    @staticmethod
    def _note(outage: Outage, what: str, at: float) -> None:
        outage.seen_after.setdefault(what, at - (outage.lane.began or at))

    def _listed(self) -> list[dict[str, Any]]:
        address = f"{self.airflow.url}/incidents/api/incidents"
        return list(httpx.get(address, headers=self._token, timeout=30).json()["incidents"])

    def _shows_no_room(self, key: str) -> bool:
        command = airflow_command("incident", "show", key)
        shown = subprocess.run(
            command, env=self.airflow.environment, capture_output=True, text=True, check=False, timeout=60
        )
        return "No room:" in shown.stdout

    def _notified(self) -> Iterator[tuple[str, float]]:
        lines = self.notified.read_text().splitlines() if self.notified.exists() else []
        return ((dag_id, at) for dag_id, at, _ in map(json.loads, reversed(lines)))


def calls_of_an_update(lane: Lane, before: int) -> dict[str, int]:
    """Return the number of the first call of each method in the update that was reported last."""
    found: dict[str, int] = {}
    for number, call in enumerate(lane.control.calls()[before:], start=1):
        found.setdefault(call["method"], number)
    return found


def settled(lane: Lane) -> Counter[str]:
    """Return a room's contents once nothing has been added for a while."""
    before, seen = Counter[str](), lane.contents()
    while seen != before or not seen["channel"]:
        time.sleep(QUIET_S)
        before, seen = seen, lane.contents()
    return seen


def play(observer: Observer, outages: Sequence[Outage], kind: str, seconds: float) -> None:
    """Play one outage in all lanes, until each room is complete."""
    for outage in outages:
        outage.start(observer.airflow, kind)
    waiting = list(outages)
    while waiting:
        waiting = [outage for outage in waiting if not outage.advance(kind, seconds)]
        observer.observe(waiting)
        time.sleep(0.2)


def print_table(outages: Sequence[Outage], kind: str, seconds: float) -> None:
    """Print the results."""
    print(f"\n{kind} for {seconds:.0f} s; seconds until, from its end (room, complete) or beginning (others)")
    columns = ("room", "complete", "page", "show", "fallback")
    print(f"  {'the outage begins':44}" + "".join(f"{name:>10}" for name in columns))
    for outage in outages:
        lane = outage.lane
        times = [lane.room_after, lane.complete_after, *(outage.seen_after.get(name) for name in columns[2:])]
        row = "".join(f"{'-' if value is None else round(value):>10}" for value in times)
        print(f"  {outage.begins:44}{row} {'; '.join(lane.problems)}", flush=True)


def main() -> None:
    """Play the outages and print a table for each kind."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kinds", nargs="+", default=["503"], choices=["503", "hang", "rejected token"])
    parser.add_argument("--seconds", type=float, default=60.0)
    options = parser.parse_args()
    count = len(BETWEEN_STEPS_S) + CALLS_OF_AN_UPDATE + 1
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        root = Path(folder)
        (root / "outage_notifier.py").write_text(NOTIFIER)
        clean, *lanes = [Lane(f"lane_{n}", stack.enter_context(SandboxServer())) for n in range(count + 1)]
        arguments = {"path": str(root / "notified"), "text": "{{ no_room }}"}
        environment = {
            "AIRFLOW__INCIDENT__FALLBACK_NOTIFIER": "outage_notifier.FileNotifier",
            "AIRFLOW__INCIDENT__FALLBACK_NOTIFIER_ARGUMENTS": json.dumps(arguments),
            "PYTHONPATH": os.pathsep.join(filter(None, (str(root), os.environ.get("PYTHONPATH")))),
        }
        airflow = stack.enter_context(airflow_with([clean, *lanes], root, environment))
        observer = Observer(airflow, root / "notified")
        first = clean_contents(airflow, clean)
        before = len(clean.control.calls())
        report(airflow, clean, 0, severity="critical")
        updated = settled(clean)
        calls = calls_of_an_update(clean, before)
        print(f"a first look: {dict(first)}\nafter an update: {dict(updated)}\nits calls: {calls}", flush=True)
        for kind in options.kinds:
            outages = planned(lanes, first, updated, calls)
            reset(observer, outages)
            play(observer, outages, kind, options.seconds)
            print_table(outages, kind, options.seconds)


def planned(
    lanes: Sequence[Lane], first: Counter[str], updated: Counter[str], calls: dict[str, int]
) -> list[Outage]:
    """Return an outage for each lane."""
    free = iter(lanes)
    late = [Outage(next(free), f"{after:.0f} s after the report", first, after=after) for after in BETWEEN_STEPS_S]
    during = [Outage(next(free), "before an update of an open room", updated)]
    methods = list(calls.items())[:CALLS_OF_AN_UPDATE]
    during += [
        Outage(next(free), f"in an update, at {method} ({nth})", updated, nth=nth) for method, nth in methods
    ]
    return late + during


def reset(observer: Observer, outages: Sequence[Outage]) -> None:
    """Start afresh; open the rooms that exist before their outage."""
    observer.notified.unlink(missing_ok=True)
    for outage in outages:
        lane = outage.lane
        lane.control.reset()
        lane.began = lane.ended = lane.room_after = lane.complete_after = None
        lane.problems, lane.round = [], lane.round + 1
        if outage.after is None:
            report(observer.airflow, lane, 1)
    for outage in outages:
        if outage.after is None:
            settled(outage.lane)


if __name__ == "__main__":
    main()
