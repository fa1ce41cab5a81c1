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


_MEMORY = Signal(name="memory", query="avg:container.memory.usage{scope}", resource=Resource.MEMORY)
_CPU = Signal(name="CPU", query="avg:container.cpu.usage{scope}", resource=Resource.CPU)
_THROTTLED = Signal(name="CPU throttling", query="avg:container.cpu.throttled{scope}", resource=Resource.THROTTLING)
_RESTARTS = Signal(
    name="container restarts", query="sum:kubernetes.containers.restarts{scope}", resource=Resource.RESTARTS
)
_POOL = Signal(
    name="waiting for a database connection",
    query="avg:hikaricp.connections.pending{scope}",
    resource=Resource.POOL,
)
_DATABASE_CONNECTIONS = Signal(
    name="database connections in use",
    query="max:postgresql.percent_usage_connections{scope}",
    resource=Resource.POOL,
)
_RECEIVED = Signal(name="bytes received", query="sum:system.net.bytes_rcvd{scope}", resource=Resource.NETWORK)
_SENT = Signal(name="bytes sent", query="sum:system.net.bytes_sent{scope}", resource=Resource.NETWORK)
_RETRANSMITS = Signal(
    name="TCP retransmits", query="sum:system.net.tcp.retrans_segs{scope}", resource=Resource.NETWORK
)

SIGNALS: dict[Symptom, tuple[Signal, ...]] = {
    Symptom.ERROR_RATE: (_CPU, _MEMORY, _RESTARTS, _POOL, _DATABASE_CONNECTIONS),
    Symptom.LATENCY: (_CPU, _THROTTLED, _MEMORY, _POOL, _DATABASE_CONNECTIONS, _RETRANSMITS),
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
