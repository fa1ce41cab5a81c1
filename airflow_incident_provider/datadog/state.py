"""Where processes on one machine share budgets and answers."""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path

from airflow_incident_provider.exceptions import IncidentError


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
