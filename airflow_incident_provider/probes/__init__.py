"""
What is looked at when an incident begins, and what may be said about it afterwards.

A probe is a small POSIX shell script that runs in a short-lived, locked-down container, with a declaration in
Python that says where it applies and how its output is read. This package decides what to run
(:func:`plan_probes`), says how (:func:`command_for`, :func:`environment_for`), turns what a container printed
into a finding (:func:`interpret`) and the findings into sentences (:func:`conclude`). It starts no container,
opens no socket and imports no Airflow: the operators do the running.

>>> [probe.name for probe in catalogue()]
['dns', 'host_facts', 'http', 'tcp', 'tls']
"""

from __future__ import annotations

from airflow_incident_provider.probes.catalogue import catalogue, get_probe
from airflow_incident_provider.probes.conclusions import Conclusions, conclude
from airflow_incident_provider.probes.declaration import CONTROL, Probe, Reading
from airflow_incident_provider.probes.interpretation import interpret, skipped_finding, unknown_finding
from airflow_incident_provider.probes.output import (
    MAX_EVIDENCE_BYTES,
    MAX_OUTPUT_BYTES,
    ContainerOutput,
    evidence_text,
)
from airflow_incident_provider.probes.planning import MAX_RUNS, plan_probes
from airflow_incident_provider.probes.safety import refuse_target
from airflow_incident_provider.probes.scripts import command_for, environment_for, script_for

__all__ = [
    "CONTROL",
    "MAX_EVIDENCE_BYTES",
    "MAX_OUTPUT_BYTES",
    "MAX_RUNS",
    "Conclusions",
    "ContainerOutput",
    "Probe",
    "Reading",
    "catalogue",
    "command_for",
    "conclude",
    "environment_for",
    "evidence_text",
    "get_probe",
    "interpret",
    "plan_probes",
    "refuse_target",
    "script_for",
    "skipped_finding",
    "unknown_finding",
]
