"""The kinds of alerts, and the metrics that distinguish their causes. The routing table can add to the table."""

from __future__ import annotations

import re
from enum import StrEnum

from airflow_incident_provider.models import Model


class Symptom(StrEnum):
    """What an alert is about."""

    ERROR_RATE = "error_rate"
    LATENCY = "latency"
    MEMORY = "memory"
    CPU = "cpu"
    NETWORK = "network"
    OTHER = "other"


class Resource(StrEnum):
    """What a signal measures."""

    MEMORY = "memory"
    CPU = "cpu"
    THROTTLING = "throttling"
    RESTARTS = "restarts"
    POOL = "pool"
    NETWORK = "network"
    OTHER = "other"


class Signal(Model):
    """A metric that is compared with its baseline beside the alert's own.

    :param query: a metric query in which ``{scope}`` is replaced by ``service:...,env:...``.
    """

    name: str
    query: str
    resource: Resource = Resource.OTHER


def _signal(resource: Resource, name: str, metric: str) -> Signal:
    return Signal(name=name, query=f"{metric}{{scope}}", resource=resource)


_MEMORY = _signal(Resource.MEMORY, "memory", "avg:container.memory.usage")
_CPU = _signal(Resource.CPU, "CPU", "avg:container.cpu.usage")
_THROTTLED = _signal(Resource.THROTTLING, "CPU throttling", "avg:container.cpu.throttled")
_RESTARTS = _signal(Resource.RESTARTS, "container restarts", "sum:kubernetes.containers.restarts")
_WAITING = _signal(Resource.POOL, "waiting for a database connection", "avg:hikaricp.connections.pending")
_USED = _signal(Resource.POOL, "database connections in use", "max:postgresql.percent_usage_connections")
_RECEIVED = _signal(Resource.NETWORK, "bytes received", "sum:system.net.bytes_rcvd")
_SENT = _signal(Resource.NETWORK, "bytes sent", "sum:system.net.bytes_sent")
_RETRANSMITS = _signal(Resource.NETWORK, "TCP retransmits", "sum:system.net.tcp.retrans_segs")

SIGNALS: dict[Symptom, tuple[Signal, ...]] = {
    Symptom.ERROR_RATE: (_CPU, _MEMORY, _RESTARTS, _WAITING, _USED),
    Symptom.LATENCY: (_CPU, _THROTTLED, _MEMORY, _WAITING, _USED, _RETRANSMITS),
    Symptom.MEMORY: (_MEMORY, _RESTARTS, _CPU),
    Symptom.CPU: (_CPU, _THROTTLED, _MEMORY, _RESTARTS),
    Symptom.NETWORK: (_RECEIVED, _SENT, _RETRANSMITS, _CPU),
    Symptom.OTHER: (_CPU, _MEMORY, _RESTARTS),
}

OPERATIONS = ("http.request", "grpc.server")
"""The trace operations whose hits, errors and durations are compared between services, beside the alert's own."""

_KINDS = (
    (Symptom.MEMORY, re.compile(r"\bmem(?:ory)?\b|\.mem\.|heap|oom|\brss\b", re.IGNORECASE)),
    (Symptom.CPU, re.compile(r"\bcpu\b|\.cpu\.|\bload\b", re.IGNORECASE)),
    (Symptom.NETWORK, re.compile(r"\bnet(?:work)?\b|\.net\.|retrans|packets|bytes_(?:rcvd|sent)", re.IGNORECASE)),
    (Symptom.ERROR_RATE, re.compile(r"error|5xx|\bfail|availability", re.IGNORECASE)),
    (Symptom.LATENCY, re.compile(r"latency|duration|apdex|response_time|\bp\d\d:|trace\.[\w.]+", re.IGNORECASE)),
)
_OPERATION = re.compile(r"\btrace\.([a-z0-9_.]+?)(?:\.(?:hits|errors|duration|apdex)(?:\.[a-z0-9_]+)*)?\b[{\s]")


def symptom_of(*texts: str | None) -> Symptom:
    """Return the kind of an alert from its metric, else its query, else its title: the first that is conclusive."""
    for text in filter(None, texts):
        for symptom, pattern in _KINDS:
            if pattern.search(text.replace("_", " ")) or pattern.search(text):
                return symptom
    return Symptom.OTHER


def operation_of(query: str | None) -> str | None:
    """Return the trace operation of a query: ``http.request`` of ``sum:trace.http.request.errors{...}``."""
    found = _OPERATION.search(f"{query or ''} ")
    return found[1] if found else None


def measures_share(symptom: Symptom) -> bool:
    """Return whether an alert's symptom in other services is a share of failed requests, rather than a duration."""
    return symptom is Symptom.ERROR_RATE
