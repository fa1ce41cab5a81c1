"""
What is checked when an incident begins, and what may be said about it afterwards.

A probe measures one target in a short-lived, locked-down container, and is assessed on the worker. This package
decides what to run (:func:`plan_probes`), turns what a container printed into a finding (:func:`interpret`) and
findings into sentences (:func:`conclude`). It starts no container, opens no socket and imports no Airflow: the
operators do that.

>>> [probe.name for probe in BUILTIN_PROBES]
['control', 'grpc', 'http', 'tls', 'tcp', 'dns']
"""

from __future__ import annotations

from airflow_incident_provider.probes.builtin import BUILTIN_PROBES, ENTRY_POINT_GROUP, catalogue, get_probe
from airflow_incident_provider.probes.conclusions import Conclusions, conclude
from airflow_incident_provider.probes.interpretation import (
    MAX_REDIRECTS,
    after_redirect,
    custom_finding,
    interpret,
    redirected_run,
    skipped_finding,
    unknown_finding,
)
from airflow_incident_provider.probes.output import (
    MAX_EVIDENCE_BYTES,
    MAX_OUTPUT_BYTES,
    ContainerOutput,
    evidence_text,
)
from airflow_incident_provider.probes.planning import MAX_RUNS, plan_probes
from airflow_incident_provider.probes.probe import CONTROL, CURL_IMAGE, Assessment, Probe, ProbeSettings
from airflow_incident_provider.probes.safety import refuse_target

__all__ = [
    "BUILTIN_PROBES",
    "CONTROL",
    "CURL_IMAGE",
    "ENTRY_POINT_GROUP",
    "MAX_EVIDENCE_BYTES",
    "MAX_OUTPUT_BYTES",
    "MAX_REDIRECTS",
    "MAX_RUNS",
    "Assessment",
    "Conclusions",
    "ContainerOutput",
    "Probe",
    "ProbeSettings",
    "after_redirect",
    "catalogue",
    "conclude",
    "custom_finding",
    "evidence_text",
    "get_probe",
    "interpret",
    "plan_probes",
    "redirected_run",
    "refuse_target",
    "skipped_finding",
    "unknown_finding",
]
