"""Where Datadog is and with which keys, and where the processes of a machine share what it answered."""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from airflow_incident_provider.exceptions import IncidentError
from airflow_incident_provider.text import digest

DEFAULT_CONN_ID = "datadog_default"
DEFAULT_API_HOST = "https://api.datadoghq.com"
DEFAULT_ON_CALL_HOST = "https://navy.oncall.datadoghq.com"


class DatadogAccessError(IncidentError):
    """The Datadog connection cannot be used as it is."""


@dataclass(frozen=True)
class DatadogAccess:
    """Datadog's three hosts and the keys. The keys are in no ``repr``.

    :param api_host: everything but the other two, such as ``https://api.datadoghq.eu``.
    :param event_intake_host: creation of events (v2).
    :param on_call_host: pages of Datadog On-Call.
    """

    api_host: str
    event_intake_host: str
    on_call_host: str
    api_key: str = field(repr=False)
    app_key: str = field(repr=False)

    @classmethod
    def from_extra(cls, extra: Mapping[str, Any], *, conn_id: str = DEFAULT_CONN_ID) -> DatadogAccess:
        """Return the access that a connection's extra describes.

        :raises DatadogAccessError: a key is missing, or a host is no http(s) address.
        """
        for key in ("api_key", "app_key"):
            if not extra.get(key):
                fix = f"Add {key} to the extra of {conn_id}."
                raise DatadogAccessError(f"The connection {conn_id} has no {key}.", fix=fix)
        api_host = _host(extra, "api_host", DEFAULT_API_HOST, conn_id)
        intake = _host(extra, "event_intake_host", _event_intake(api_host), conn_id)
        on_call = _host(extra, "on_call_host", DEFAULT_ON_CALL_HOST, conn_id)
        return cls(api_host, intake, on_call, str(extra["api_key"]), str(extra["app_key"]))

    @property
    def fingerprint(self) -> str:
        """An opaque identifier of the organization, for state that its tasks share."""
        return digest(f"{self.api_host}\n{self.api_key}\n{self.app_key}")


def _host(extra: Mapping[str, Any], name: str, default: str, conn_id: str) -> str:
    host = str(extra.get(name) or default).strip().rstrip("/")
    if not host.startswith(("https://", "http://")):
        raise DatadogAccessError(
            f"{name} of the connection {conn_id} is {host[:80]!r}, which is no address.",
            fix=f"Write it with its scheme, such as {DEFAULT_API_HOST}.",
        )
    return host


def _event_intake(api_host: str) -> str:
    """Return the host that events are sent to at Datadog's own sites; elsewhere the same as for all else."""
    scheme, _, rest = api_host.partition("://api.")
    return f"{scheme}://event-management-intake.{rest}" if rest else api_host


class StateDirectoryError(IncidentError):
    """The directory for shared state cannot be trusted."""


def state_directory(configured: str | None, fingerprint: str) -> Path:
    """Return the directory for one organization's shared state, which only this user can read.

    :param configured: the parent directory; by default one in the system's temporary directory.
    :raises StateDirectoryError: the directory is somebody else's.
    """
    uid = os.getuid()
    parent = Path(configured) if configured else Path(tempfile.gettempdir()) / f"airflow-incident-{uid}"
    directory = parent / f"datadog-{fingerprint}"
    for path in (parent, directory):
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = directory.lstat()
    if found.st_uid != uid or not stat.S_ISDIR(found.st_mode) or parent.is_symlink() or parent.stat().st_uid != uid:
        raise StateDirectoryError(
            f"{directory} is not a directory of this user.",
            fix="Set [incident] datadog_state to another directory.",
        )
    return directory
