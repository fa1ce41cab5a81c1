"""
Where the registry is stored: in Airflow's asset state store, under two assets of its own.

A DAG registers the assets by naming them as *inlets* of a task. Outlets would do that too, but would record an
asset event with every run. And Airflow 3.3 drops the outlets of a DAG whose file is broken or gone, and then
deletes the state of an asset that no DAG names; inlets are kept until the DAG itself is deleted.

Every key has one kind of writer, so that no two writers overwrite each other:

===================  ===================================================================================
``record/KEY``       the incident; written by the API server only, under the registry's lock
``archive/KEY``      the same, once nothing is expected to happen to it; kept for a while, then deleted
``updates/RUN_ID``   what an update run has to post; written by the API server until the run is due
``index/NAME``       the incidents of an alert group, correlation key or delivery; API server, under the lock
``list/BUCKET``      what lists and searches need of every current incident; API server, under the lock
``state``            recent openings and the times of housekeeping; API server, under the lock
``rejected``         alerts and reports that could not become an incident; API server, under the lock
``room/KEY``         where the incident's room is; written by the task that opened it
``transition/KEY``   that an incident was resolved or archived, and by which version of the record that was
                     decided; written by tasks, but created by the API server, so that it can be locked
``history/SUBJECT``  the latest incidents of a monitor or a service; written by the task that collects evidence
===================  ===================================================================================

Rows are read by their exact key only: the primary key of the table is its only index, and a search by prefix would
read every row of the asset. That is what ``index`` and ``list`` are for: the cost of an alert does not depend on
the number of stored incidents.

The second asset is the inbox of incidents that were not reported through the webhook: the task that parses such a
report writes it under the incident's key, and the API server moves it to the registry with the next alert.
"""

from __future__ import annotations

from enum import StrEnum
from zlib import crc32

from airflow.sdk import Asset

REGISTRY = Asset(name="incident_registry", uri="x-incident://registry")
"""The registry. Name it in ``inlets`` of the tasks that use :class:`~.task_client.TaskRegistry`."""

REPORTS = Asset(name="incident_reports", uri="x-incident://reports")
"""The inbox of incidents from other sources. Name it in ``inlets`` beside :data:`REGISTRY`."""

BUCKETS = 64
"""Rows that the list of current incidents is divided into: opening one incident rewrites one of them."""


class Kind(StrEnum):
    """What a key of the registry holds."""

    RECORD = "record"
    ARCHIVE = "archive"
    UPDATES = "updates"
    INDEX = "index"
    LIST = "list"
    ROOM = "room"
    TRANSITION = "transition"
    HISTORY = "history"

    def key(self, name: str) -> str:
        """Return the key for an incident's key, a run's id, or the name of an index row or bucket."""
        return f"{self}/{name}"

    @property
    def prefix(self) -> str:
        """The common prefix of all keys of this kind."""
        return f"{self}/"


STATE_KEY = "state"
REJECTED_KEY = "rejected"
REJECTED_PREFIX = "rejected/"
"""In the inbox: a report that could not become an incident. No incident's key contains a slash."""


def bucket_of(incident_key: str) -> str:
    """Return the bucket that lists an incident."""
    return f"{crc32(incident_key.encode()) % BUCKETS:02x}"


def bucket_keys() -> list[str]:
    """Return the keys of all buckets."""
    return [Kind.LIST.key(f"{number:02x}") for number in range(BUCKETS)]
