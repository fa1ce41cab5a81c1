"""The log: one JSON line per event."""

from __future__ import annotations

import json
import logging

LOGGER = logging.getLogger("incident_docker_proxy")
LONGEST_PATH = 200


def refused(method: str, target: str, reason: str) -> None:
    """Record a refusal. Query and body are left out: they may hold secrets."""
    path = target.partition("?")[0][:LONGEST_PATH]
    _write(logging.WARNING, event="refused", method=method, path=path, reason=reason)


def failed(method: str, target: str, error: str) -> None:
    """Record that the engine did not answer."""
    path = target.partition("?")[0][:LONGEST_PATH]
    _write(logging.ERROR, event="failed", method=method, path=path, reason=error)


def started(listen: str, upstream: str, images: tuple[str, ...], networks: tuple[str, ...]) -> None:
    """Record what this proxy allows, and where."""
    _write(
        logging.INFO,
        event="started",
        listen=listen,
        upstream=upstream,
        images=list(images),
        networks=list(networks),
    )


def _write(level: int, **fields: object) -> None:
    LOGGER.log(level, "%s", json.dumps(fields))
