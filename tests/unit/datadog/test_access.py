"""Read hosts and keys from the connection's extra."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from airflow_incident_provider.datadog.access import (
    DatadogAccess,
    DatadogAccessError,
    StateDirectoryError,
    state_directory,
)

KEYS = {"api_key": "an-api-key", "app_key": "an-app-key"}


def test_hosts_follow_the_site_or_are_set() -> None:
    access = DatadogAccess.from_extra({**KEYS, "api_host": "https://api.us5.datadoghq.com/"})
    assert access.api_host == "https://api.us5.datadoghq.com"
    assert access.event_intake_host == "https://event-management-intake.us5.datadoghq.com"
    custom = DatadogAccess.from_extra(
        {**KEYS, "api_host": "http://gw:1", "event_intake_host": "http://gw:2", "on_call_host": "http://gw:3"}
    )
    assert (custom.api_host, custom.event_intake_host, custom.on_call_host) == (
        "http://gw:1",
        "http://gw:2",
        "http://gw:3",
    )
    assert DatadogAccess.from_extra({**KEYS, "api_host": "http://gw:1"}).event_intake_host == "http://gw:1"


@pytest.mark.parametrize("missing", KEYS)
def test_missing_key_is_named(missing: str) -> None:
    with pytest.raises(DatadogAccessError, match=f"the_conn has no {missing}") as caught:
        DatadogAccess.from_extra({**KEYS, missing: ""}, conn_id="the_conn")
    assert caught.value.fix


def test_host_without_a_scheme_is_rejected() -> None:
    with pytest.raises(DatadogAccessError, match="api_host"):
        DatadogAccess.from_extra({**KEYS, "api_host": "api.datadoghq.eu"})


def test_repr_contains_no_keys() -> None:
    access = DatadogAccess.from_extra(KEYS)
    assert "an-a" not in repr(access)
    assert "an-a" not in access.fingerprint
    assert access.fingerprint != DatadogAccess.from_extra({**KEYS, "app_key": "x"}).fingerprint


def test_state_directory_is_private(tmp_path: Path) -> None:
    directory = state_directory(str(tmp_path / "state"), "abc")
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert state_directory(str(tmp_path / "state"), "abc") == directory


def test_symlinked_state_directory_is_rejected(tmp_path: Path) -> None:
    (tmp_path / "target").mkdir()
    (tmp_path / "state").symlink_to(tmp_path / "target")
    with pytest.raises(StateDirectoryError):
        state_directory(str(tmp_path / "state"), "abc")
