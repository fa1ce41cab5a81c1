"""Airflow itself: version, components, and the settings that incidents depend on."""

from __future__ import annotations

import difflib
from importlib.metadata import version
from urllib.parse import urlsplit

from airflow.configuration import conf

from airflow_incident_provider.commands.check.results import Results, advised, good, required, wrong
from airflow_incident_provider.commands.check.site import Site
from airflow_incident_provider.get_provider_info import get_provider_info

OLDEST = (3, 3)
_THIS_MACHINE = (None, "localhost", "127.0.0.1", "::1", "0.0.0.0")  # noqa: S104 - nothing is bound to it
LONGEST_IDLE_SLEEP_S = 0.25
_SHIPPED_EXECUTORS = ("LocalExecutor", "CeleryExecutor", "KubernetesExecutor", "EdgeExecutor")


def airflow_version(_: Site) -> Results:
    """Check that the version is one that has what the steps need."""
    installed = version("apache-airflow-core")
    numbers = tuple(int(part) for part in installed.split(".")[:2])
    yield required("version", (*OLDEST,) <= numbers < (4, 0), installed, "Install apache-airflow 3.3 or newer 3.x.")


def database(_: Site) -> Results:
    """Check that the database answers, is migrated, and takes concurrent writers."""
    from airflow.utils.db import check_migrations
    from sqlalchemy.exc import SQLAlchemyError

    try:
        check_migrations(timeout=0)  # type: ignore[no-untyped-call]
    except TimeoutError:
        yield wrong("database", "it is not migrated to this version", "Run: airflow db migrate")
        return
    except SQLAlchemyError as error:
        yield wrong("database", f"{type(error).__name__}", "Correct [database] sql_alchemy_conn, or start it.")
        return
    kind = conf.get("database", "sql_alchemy_conn").partition(":")[0]
    yield advised(
        "database",
        not kind.startswith("sqlite"),
        kind,
        "Use PostgreSQL: alerts that come together lock SQLite, and its lock ends Airflow's components.",
    )


def components(_: Site) -> Results:
    """Check that scheduler and DAG processor report that they are alive."""
    from airflow.api.common.airflow_health import HEALTHY, get_airflow_health

    health = get_airflow_health()
    for name in ("scheduler", "dag_processor"):
        status = str(health[name]["status"] or "never started")
        command = name.replace("_", "-")
        yield required(command, status == HEALTHY, status, f"Start it: airflow {command}")


def idle_sleep(_: Site) -> Results:
    """Check that the scheduler does not sleep between an incident's steps."""
    seconds = conf.getfloat("scheduler", "scheduler_idle_sleep_time")
    yield advised(
        "idle sleep",
        seconds <= LONGEST_IDLE_SLEEP_S,
        f"{seconds:g} s between two looks of the scheduler",
        "Set [scheduler] scheduler_idle_sleep_time = 0.05: it delays each of the seven steps.",
    )


def executor(_: Site) -> Results:
    """Check that the executor runs tasks side by side."""
    named = conf.get("core", "executor")
    known = any(shipped in named for shipped in _SHIPPED_EXECUTORS)
    yield advised("executor", known, named, "Use LocalExecutor or CeleryExecutor: the others were not tried.")


def base_url(_: Site) -> Results:
    """Check that links in the room lead to Airflow."""
    address = conf.get("api", "base_url", fallback="") or ""
    parts = urlsplit(address)
    useful = parts.scheme in ("http", "https") and parts.hostname not in _THIS_MACHINE
    yield advised(
        "base URL",
        useful,
        address or "not set",
        "Set [api] base_url to the address that people and Datadog use: the room links to it.",
    )


def fernet_key(_: Site) -> Results:
    """Check that tokens are encrypted in the database."""
    has_key = bool(conf.get("core", "fernet_key", fallback=""))
    found = "set" if has_key else "not set: passwords of connections are stored as they are"
    yield advised("Fernet key", has_key, found, "Set [core] fernet_key to the same key everywhere.")


def own_settings(_: Site) -> Results:
    """Check that every setting of the section ``[incident]`` is one that there is."""
    options = get_provider_info()["config"]["incident"]["options"]
    given = conf.getsection("incident") or {}
    unknown = sorted(name for name in given if name not in options)
    if not unknown:
        yield good("[incident]", f"{len(given)} settings")
    for name in unknown:
        meant = difflib.get_close_matches(name, options, n=1)
        advice = f"Did you mean {meant[0]}?" if meant else f"There are {', '.join(options)}."
        yield wrong("[incident]", f"no such setting: {name}", advice)
