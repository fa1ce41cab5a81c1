"""
Where the registry is kept: in Airflow's asset state store, under an asset of its own.

A DAG makes the asset known by naming it as an *inlet* of a task. An outlet would do that too, but it would record
an asset event with every run, and Airflow 3.3 forgets the outlets of a DAG that has become stale (its file broken
for some minutes, say) and then deletes the state of an asset that no DAG names. Inlets are kept until the DAG
itself is deleted.

Every key has one kind of writer, so no two writers ever overwrite each other:

========================  ==============================================================================
``record/KEY``            the incident's record; written by the API server alone, under the registry's lock
``archive/KEY``           the same once nothing is expected to happen to it; kept for a while, then deleted
``report/KEY``            what the incident's tasks tell of it (room, updates taken); written by tasks alone
========================  ==============================================================================
"""

from __future__ import annotations

from airflow.sdk import Asset

REGISTRY = Asset(name="incident_registry", uri="x-incident://registry")
"""The asset. Name it in ``inlets`` of the tasks that use :class:`~.tasks.TaskRegistry`."""

RECORD_PREFIX = "record/"
ARCHIVE_PREFIX = "archive/"
REPORT_PREFIX = "report/"


def record_key(incident_key: str) -> str:
    """Return where the record of an incident is kept."""
    return RECORD_PREFIX + incident_key


def archive_key(incident_key: str) -> str:
    """Return where the record of an incident is kept once it is over."""
    return ARCHIVE_PREFIX + incident_key


def report_key(incident_key: str) -> str:
    """Return where the tasks of an incident report."""
    return REPORT_PREFIX + incident_key
