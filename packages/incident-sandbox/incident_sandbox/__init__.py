"""A stand-in for Slack's Web API and for Datadog, for tests, demonstrations and development.

The real clients talk to it over HTTP. It keeps one workspace in memory, answers as Slack does (shapes, error
codes, limits), fails on order, and shows the workspace on a page. Nothing in it reaches Slack or Datadog.
The names below are imported when they are first used, because the server's own imports are slow.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from incident_sandbox.client import SandboxClient
    from incident_sandbox.faults import Fault, When
    from incident_sandbox.server import SandboxServer, create_app, serve
    from incident_sandbox.workspace import Workspace

__all__ = ["Fault", "SandboxClient", "SandboxServer", "When", "Workspace", "create_app", "serve"]

_HOME = {
    "Fault": "faults",
    "SandboxClient": "client",
    "SandboxServer": "server",
    "When": "faults",
    "Workspace": "workspace",
    "create_app": "server",
    "serve": "server",
}


def __getattr__(name: str) -> Any:
    """Import a public name on first use (PEP 562)."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
