"""Failures that wait to be posted, shared by all processes of a worker in an SQLite file.

When many tasks of a run fail at once, each calls the notifier in a process of its own. Each adds its failure here;
one at a time posts what has come together by then, in one message. A failure stays here until it is posted, so a
process that is killed loses nothing: the next one posts it.
"""

from __future__ import annotations

import fcntl
import json
import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import IO, Any

from airflow_incident_provider.notifications.failed_run import FailedRun, FailedTask
from airflow_incident_provider.text import digest_of

MAX_BATCH = 20
"""Failures in one message: more do not fit, with long task ids and log addresses."""

KEPT_FOR_S = 30 * 24 * 3600.0
"""Seconds after which a run is forgotten."""

_LOCKS = 64
_POLL_S = 0.1
_TIMEOUT_S = 30.0
_TABLES = """
CREATE TABLE IF NOT EXISTS rooms (run_key TEXT PRIMARY KEY, channel_id TEXT, thread_ts TEXT);
CREATE TABLE IF NOT EXISTS failures (
    failure_key TEXT PRIMARY KEY, run_key TEXT, failure TEXT, notifier TEXT, queued_at REAL, batch INTEGER,
    posted INTEGER DEFAULT 0
);
CREATE INDEX IF NOT EXISTS by_run ON failures (run_key, posted);
"""


@dataclass(frozen=True)
class RoomRef:
    """Where failures of a run are posted: a channel, and the brief that they are replies to."""

    channel_id: str
    thread_ts: str | None


@dataclass(frozen=True)
class Batch:
    """Failures that are posted in one message.

    :param number: the batch's number within its run.
    :param tried_before: whether the message may have been posted already.
    """

    number: int
    failures: tuple[FailedRun, ...]
    tried_before: bool

    @property
    def key(self) -> str:
        """The key of the message: the same for the same failures, and for no others on any worker."""
        first, *others = self.failures
        keys = [failure.failure_key for failure in self.failures]
        return f"{first.key}/failures/{digest_of(keys)}" if others else first.failure_key


class FailureQueue:
    """The failures that wait to be posted on this worker.

    :param folder: where the files are; ``None`` keeps the queue in memory, for one process.
    :raises OSError: the folder cannot be written to.
    :raises sqlite3.Error: the file cannot be used.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        if folder is not None:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            os.close(os.open(folder / "failed-runs.sqlite3", os.O_RDWR | os.O_CREAT, 0o600))
        path = ":memory:" if folder is None else folder / "failed-runs.sqlite3"
        self._database = sqlite3.connect(path, timeout=_TIMEOUT_S, isolation_level=None, check_same_thread=False)
        self._database.executescript(_TABLES)

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def add(self, failure: FailedRun, notifier: dict[str, Any]) -> None:
        """Add a failure, unless it was added before.

        :param notifier: the rendered parameters of the notifier, for the process that posts it.
        """
        self._database.execute(
            "INSERT OR IGNORE INTO failures (failure_key, run_key, failure, notifier, queued_at) "
            "VALUES (?, ?, ?, ?, ?)",
            (failure.failure_key, failure.key, _to_json(failure), json.dumps(notifier), time.time()),
        )

    def is_posted(self, failure: FailedRun) -> bool:
        """Return whether a failure was posted."""
        query = "SELECT posted FROM failures WHERE failure_key = ?"
        row = self._database.execute(query, (failure.failure_key,)).fetchone()
        return bool(row and row[0])

    def next_batch(self, run_key: str) -> Batch | None:
        """Return the failures of a run to post next: a batch that was begun, or all that have come since."""
        query = "SELECT min(batch) FROM failures WHERE run_key = ? AND posted = 0 AND batch IS NOT NULL"
        [begun] = self._database.execute(query, (run_key,)).fetchone()
        number = begun if begun is not None else self._begin_batch(run_key)
        rows = self._database.execute(
            "SELECT failure FROM failures WHERE run_key = ? AND posted = 0 AND batch = ? ORDER BY queued_at, rowid",
            (run_key, number),
        ).fetchall()
        failures = tuple(_from_json(failure) for (failure,) in rows)
        # Without a file nothing is known of earlier processes, so Slack is asked.
        tried_before = begun is not None or self._folder is None
        return Batch(number, failures, tried_before) if failures else None

    def _begin_batch(self, run_key: str) -> int:
        [number] = self._database.execute(
            "SELECT 1 + coalesce(max(batch), 0) FROM failures WHERE run_key = ?", (run_key,)
        ).fetchone()
        self._database.execute(
            "UPDATE failures SET batch = ? WHERE failure_key IN (SELECT failure_key FROM failures "
            "WHERE run_key = ? AND posted = 0 AND batch IS NULL ORDER BY queued_at, rowid LIMIT ?)",
            (number, run_key, MAX_BATCH),
        )
        return int(number)

    def mark_posted(self, run_key: str, batch: Batch) -> None:
        """Remember that a batch was posted."""
        query = "UPDATE failures SET posted = 1 WHERE run_key = ? AND batch = ?"
        self._database.execute(query, (run_key, batch.number))

    def room(self, run_key: str) -> RoomRef | None:
        """Return the room of a run, if this worker knows it."""
        query = "SELECT channel_id, thread_ts FROM rooms WHERE run_key = ?"
        row = self._database.execute(query, (run_key,)).fetchone()
        return RoomRef(*row) if row else None

    def remember_room(self, run_key: str, room: RoomRef | None) -> None:
        """Remember the room of a run, or forget it."""
        self._database.execute("DELETE FROM rooms WHERE run_key = ?", (run_key,))
        if room is not None:
            self._database.execute("INSERT INTO rooms VALUES (?,?,?)", (run_key, room.channel_id, room.thread_ts))

    def waiting_runs(self) -> list[tuple[FailedRun, dict[str, Any]]]:
        """Return a failure of each run with failures to post, with its notifier's parameters; forget old runs."""
        before = time.time() - KEPT_FOR_S
        self._database.execute("DELETE FROM failures WHERE queued_at < ?", (before,))
        self._database.execute("DELETE FROM rooms WHERE run_key NOT IN (SELECT run_key FROM failures)")
        rows = self._database.execute(
            "SELECT failure, notifier FROM failures WHERE posted = 0 GROUP BY run_key ORDER BY min(queued_at)"
        ).fetchall()
        return [(_from_json(failure), json.loads(notifier)) for failure, notifier in rows]

    @contextmanager
    def only_one(self, run_key: str, *, timeout_s: float) -> Iterator[bool]:
        """Yield whether this process is the one to post a run's failures; the kernel frees it if we are killed.

        :param timeout_s: seconds to wait for the process that posts now.
        """
        if self._folder is None:
            yield True
            return
        lock = self._folder / f"failed-run-{sum(run_key.encode()) % _LOCKS}.lock"
        with lock.open("a") as file:
            yield _acquire(file, time.monotonic() + timeout_s)


def _acquire(file: IO[str], deadline: float) -> bool:
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                return False
            time.sleep(_POLL_S)
        else:
            return True


def _to_json(failure: FailedRun) -> str:
    return json.dumps({**asdict(failure), "began_at": failure.began_at.isoformat()})


def _from_json(text: str) -> FailedRun:
    values = json.loads(text)
    values["began_at"] = datetime.fromisoformat(values["began_at"])
    values["task"] = FailedTask(**values["task"]) if values["task"] else None
    return FailedRun(**values)
