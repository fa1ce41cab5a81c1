"""
Where the registry is kept: in Airflow's asset state store, under an asset of its own.

A DAG makes the asset known by naming it as an *inlet* of a task. An outlet would do that too, but it would record
an asset event with every run. And Airflow 3.3 forgets the outlets of a DAG whose file is broken or gone, and then
deletes the state of an asset that no DAG names; inlets are kept until the DAG itself is deleted.

Every key has one kind of writer, so that no two writers overwrite each other's:

===================  ===================================================================================
``record/KEY``       the incident; written by the API server alone, under the registry's lock
``archive/KEY``      the same once nothing is expected to happen to it; kept for a while, then deleted
``updates/RUN_ID``   what an update run has to tell; written by the API server until the run is due
``room/KEY``         where the incident's room is; written by the task that opened it
``transition/KEY``   that an incident was resolved or archived, and by which version of the record that was
                     decided; written by tasks, but made by the API server, so that it can be locked
===================  ===================================================================================
"""

from __future__ import annotations

from enum import StrEnum

from airflow.sdk import Asset

REGISTRY = Asset(name="incident_registry", uri="x-incident://registry")
"""The asset. Name it in ``inlets`` of the tasks that use :class:`~.tasks.TaskRegistry`."""


class Kind(StrEnum):
    """What a key of the registry holds."""

    RECORD = "record"
    ARCHIVE = "archive"
    UPDATES = "updates"
    ROOM = "room"
    TRANSITION = "transition"

    def key(self, name: str) -> str:
        """Return the key under which this is kept for an incident's key or a run's id."""
        return f"{self}/{name}"

    @property
    def prefix(self) -> str:
        """What all keys of this kind begin with."""
        return f"{self}/"
