"""The settings of ``[incident]``: each exists, has a valid value, and what it names is there."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterator
from importlib.util import find_spec
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

from airflow.configuration import conf
from airflow.exceptions import AirflowConfigException

from airflow_incident_provider.cli.checks.context import CheckContext, Result, Results, Subject
from airflow_incident_provider.config import DEFAULT_LOOKUP_BUDGET_SECONDS, DEFAULT_ROOM_DEADLINE_SECONDS, settings
from airflow_incident_provider.get_provider_info import get_provider_info
from airflow_incident_provider.notifications.no_room import configured_notifier

SUBJECT = Subject("[incident]")
_DOCKER_TYPE = "docker"


def own_settings(context: CheckContext, _: Subject) -> Results:
    """Check that every setting of ``[incident]`` exists, is valid, and names what exists."""
    options = get_provider_info()["config"]["incident"]["options"]
    given = conf.getsection("incident") or {}
    problems = [
        *_unknown_settings(given, options), *_numbers(), *_addresses(), *_paths(), *_connections(context),
        *_notifier(),
    ]  # fmt: skip
    yield from problems
    if not problems:
        configured = [name for name, value in given.items() if _differs(value, options[name]["default"])]
        yield SUBJECT.passed(", ".join(sorted(configured)) or "all defaults")


def _differs(value: object, default: str | None) -> bool:
    """Return whether somebody set an option: Airflow returns also defaults, and numbers as numbers."""
    return value not in (None, "") and str(value).casefold() != str(default).casefold()


def _unknown_settings(given: object, options: dict[str, object]) -> Iterator[Result]:
    for name in sorted(name for name in given if name not in options):  # type: ignore[attr-defined]
        close = difflib.get_close_matches(name, options, n=1)
        fix = f"Did you mean {close[0]}?" if close else f"The settings are {', '.join(options)}."
        yield SUBJECT.failure(f"no such setting: {name}", fix)


def _numbers() -> Iterator[Result]:
    getters = {
        "room_deadline_seconds": (conf.getint, DEFAULT_ROOM_DEADLINE_SECONDS, "a whole number", "0 for none"),
        "lookup_budget_seconds": (conf.getfloat, DEFAULT_LOOKUP_BUDGET_SECONDS, "a number", "0 to open at once"),
        "ai_cost_limit": (conf.getfloat, 0.0, "a number", "US dollars such as 0.05"),
    }
    for name, (get, default, kind, least) in getters.items():
        try:
            value = get("incident", name, fallback=default)
        except (AirflowConfigException, ValueError):
            yield SUBJECT.failure(f"{name} = {conf.get('incident', name)!r} is not {kind}", f"Set it to {kind}.")
        else:
            if value < 0:
                yield SUBJECT.failure(f"{name} = {value} is negative", f"Use {least}.")


def _addresses() -> Iterator[Result]:
    for address in settings().docker_dns:
        try:
            ip_address(address)
        except ValueError:
            yield SUBJECT.failure(f"docker_dns: {address!r} is not an IP address", "Use IP addresses.")
    proxy = urlsplit(settings().probe_proxy)
    if settings().probe_proxy and (proxy.scheme not in ("http", "https") or not proxy.hostname):
        yield SUBJECT.failure("probe_proxy is not a URL", "Write it as http://host:port.")


def _paths() -> Iterator[Result]:
    folders = {"directory_folder": settings().directory_folder, "state_folder": settings().state_folder}
    if settings().datadog_state_folder:
        folders["datadog_state_folder"] = Path(settings().datadog_state_folder or "").expanduser()
    for name, folder in folders.items():
        nearest = next((path for path in (folder, *folder.parents) if path.exists()), folder)
        if not nearest.is_dir():
            yield SUBJECT.failure(f"{name}: {nearest} is not a folder", "Name a folder.")
        elif not os.access(nearest, os.W_OK | os.X_OK):
            yield SUBJECT.failure(f"{name}: this user may not write into {nearest}", "Give it to Airflow's user.")
    if settings().probe_ca_file:
        yield from _authorities(Path(settings().probe_ca_file or ""))


def _authorities(path: Path) -> Iterator[Result]:
    try:
        is_pem = "-----BEGIN CERTIFICATE-----" in path.read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError) as error:
        yield SUBJECT.failure(f"probe_ca_file: {path} cannot be read: {type(error).__name__}", "Name a PEM file.")
        return
    if not is_pem:
        yield SUBJECT.failure(f"probe_ca_file: {path} holds no certificate", "Name a PEM file.")


def _connections(context: CheckContext) -> Iterator[Result]:
    docker_conn_id = settings().docker_conn_id
    for name, conn_id in (("docker_conn_id", docker_conn_id), ("ai_conn_id", settings().ai_conn_id)):
        if conn_id is not None and context.connection(conn_id) is None:
            yield SUBJECT.failure(f"{name}: there is no connection {conn_id}", "Add the connection, or unset it.")
    engine = context.connection(docker_conn_id) if docker_conn_id else None
    if engine is not None and engine.conn_type != _DOCKER_TYPE:
        found = f"docker_conn_id: {engine.conn_id} is of type {engine.conn_type}"
        yield SUBJECT.failure(found, f"Name a connection of type {_DOCKER_TYPE}.")
    if settings().ai_conn_id is not None and find_spec("airflow.providers.common.ai") is None:
        found = "ai_conn_id is set, and the extra ai is not installed"
        yield SUBJECT.failure(found, "Install it:", "pip install 'airflow-incident-provider[ai]'")


def _notifier() -> Iterator[Result]:
    if settings().fallback_notifier is None:
        if settings().fallback_notifier_arguments:
            found = "fallback_notifier_arguments is set without fallback_notifier: nobody is notified"
            yield SUBJECT.failure(found, "Set fallback_notifier too.")
        return
    try:
        configured_notifier()
    except ValueError as error:
        yield SUBJECT.failure(str(error), "Correct the class and its arguments.")
    except Exception as error:  # noqa: BLE001 - whatever a notifier raises for arguments that are not its own
        found = f"fallback_notifier does not accept its arguments: {type(error).__name__}"
        yield SUBJECT.failure(found, "Correct fallback_notifier_arguments.")
