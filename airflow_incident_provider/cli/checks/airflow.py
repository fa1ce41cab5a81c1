"""Airflow: version, database, components, the settings that incident response depends on, the incident DAGs."""

from __future__ import annotations

import multiprocessing
import sys
from importlib.metadata import distribution, version
from pathlib import Path
from urllib.parse import urlsplit

import httpx
from airflow.api.common.airflow_health import HEALTHY, get_airflow_health
from airflow.configuration import conf
from airflow.exceptions import AirflowConfigException
from airflow.models.errors import ParseImportError
from airflow.models.pool import Pool
from airflow.utils.db import check_migrations
from airflow.utils.session import create_session
from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError

from airflow_incident_provider.cli.checks.context import CheckContext, Result, Results, Subject
from airflow_incident_provider.cli.installation import PARSE_COMMAND, dag_folders, files_to_parse, is_local
from airflow_incident_provider.cli.setup.files import edited_files
from airflow_incident_provider.config import DEFAULT_ROOM_DEADLINE_SECONDS

MAX_IDLE_SLEEP_S = 0.25
MIN_SLOTS = 16
"""An incident has about ten tasks, some in parallel; two incidents at once should not wait."""

_MORE_SLOTS = f"Give it {MIN_SLOTS} or more:"

MIN_ACTIVE_RUNS = 16
REACH_SECONDS = 10.0
_PREFORKING_EXECUTORS = ("LocalExecutor",)
_KNOWN_EXECUTORS = ("LocalExecutor", "CeleryExecutor", "KubernetesExecutor", "EdgeExecutor")
DISTRIBUTION = "airflow-incident-provider"


def airflow_version(_: CheckContext, subject: Subject) -> Result:
    """Check the Airflow version."""
    installed = version("apache-airflow-core")
    numbers = tuple(int(part) for part in installed.split(".")[:2])
    return subject.required(
        (3, 3) <= numbers < (4, 0),
        installed,
        "Install Airflow 3.3 or a newer 3.x:",
        "pip install 'apache-airflow>=3.3,<4'",
    )


def database(_: CheckContext, subject: Subject) -> Result:
    """Check that the database answers, is migrated, and takes concurrent writers."""
    try:
        check_migrations(timeout=0)  # type: ignore[no-untyped-call]
    except TimeoutError:
        return subject.failure("it is not migrated to this version", "Migrate it:", "airflow db migrate")
    except SQLAlchemyError as error:
        return subject.failure(
            type(error).__name__, "Start it, or correct [database] sql_alchemy_conn. Test it:", "airflow db check"
        )
    kind = conf.get("database", "sql_alchemy_conn").partition(":")[0]
    return subject.advised(
        not kind.startswith("sqlite"),
        kind,
        "Use PostgreSQL in production: concurrent alerts lock SQLite, which can end Airflow's components.",
    )


def components(_: CheckContext, __: Subject) -> Results:
    """Check that scheduler, DAG processor and triggerer are running."""
    health = get_airflow_health()
    for name in ("scheduler", "dag_processor"):
        status = str(health[name]["status"] or "never started")
        program = name.replace("_", "-")
        yield Subject(program).required(status == HEALTHY, status, "Start it:", f"airflow {program}")
    if _has_deadline():
        status = str(health["triggerer"]["status"] or "never started")
        yield Subject("triggerer").advised(
            status == HEALTHY,
            f"{status}: nobody is warned when a room is late" if status != HEALTHY else status,
            "Start it, or set [incident] room_deadline_seconds = 0:",
            "airflow triggerer",
        )


def _has_deadline() -> bool:
    try:
        return conf.getint("incident", "room_deadline_seconds", fallback=DEFAULT_ROOM_DEADLINE_SECONDS) > 0
    except AirflowConfigException:
        # The line "[incident]" says so.
        return False


def executor(_: CheckContext, subject: Subject) -> Result:
    """Check that the executor runs tasks in parallel."""
    name = conf.get("core", "executor")
    known = any(shipped in name for shipped in _KNOWN_EXECUTORS)
    return subject.advised(known, name, "Use LocalExecutor or CeleryExecutor: this one is not tested.")


def concurrency(_: CheckContext, subject: Subject) -> Result:
    """Check that two incidents at once do not wait for task slots or active runs."""
    parallelism = conf.getint("core", "parallelism")
    enough = parallelism == 0 or parallelism >= MIN_SLOTS
    return subject.advised(enough, f"[core] parallelism = {parallelism}", f"Set it to {MIN_SLOTS} or more.")


def preload(_: CheckContext, subject: Subject) -> Result:
    """Check that forked workers inherit the modules that the scheduler has imported."""
    if not any(name in conf.get("core", "executor") for name in _PREFORKING_EXECUTORS):
        return subject.passed("not needed with this executor")
    configured = conf.get("core", "mp_start_method", fallback=None)
    method = configured or multiprocessing.get_start_method()
    default = f"the default of Python {sys.version_info[0]}.{sys.version_info[1]}"
    source = "[core] mp_start_method" if configured else default
    return subject.advised(
        method == "fork",
        f"workers start by {method} ({source})" if method != "fork" else "workers are forked",
        "Set [core] mp_start_method = fork: otherwise every task imports the provider again, about 1 s each.",
    )


def idle_sleep(_: CheckContext, subject: Subject) -> Result:
    """Check that the scheduler does not sleep between an incident's steps."""
    seconds = conf.getfloat("scheduler", "scheduler_idle_sleep_time")
    return subject.advised(
        seconds <= MAX_IDLE_SLEEP_S,
        f"the scheduler sleeps {seconds:g} s when it is idle",
        "Set [scheduler] scheduler_idle_sleep_time = 0.05: the default delays each of the seven steps.",
    )


def task_api(_: CheckContext, subject: Subject) -> Result:
    """Check that tasks reach the API server: without it no task of any DAG runs."""
    base = conf.get("api", "base_url", fallback="") or "http://localhost:8080"
    url = conf.get("core", "execution_api_server_url", fallback="") or f"{base.rstrip('/')}/execution/"
    address = f"{url.rstrip('/')}/health"
    try:
        response = httpx.get(address, timeout=REACH_SECONDS)
        is_healthy = response.is_success and response.json()["status"] == "healthy"
        found = address if is_healthy else f"{address} is answered by something else ({response.status_code})"
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        is_healthy, found = False, f"{address} did not answer: {type(error).__name__}"
    except (ValueError, KeyError, TypeError):
        is_healthy, found = False, f"{address} is answered by something else"
    fix = "Correct [core] execution_api_server_url (default: [api] base_url), or start the API server:"
    return subject.required(is_healthy, found, fix, "airflow api-server")


def base_url(_: CheckContext, subject: Subject) -> Result:
    """Check that people and Datadog can follow links to Airflow."""
    address = conf.get("api", "base_url", fallback="") or ""
    return public_url(subject, address, "Set [api] base_url to the address that people and Datadog use.")


def public_url(subject: Subject, address: str, fix: str) -> Result:
    """Return whether an address can be reached from elsewhere, over HTTPS."""
    parts = urlsplit(address)
    if not address:
        return subject.warning("not set: the room has no links to Airflow", fix)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        return subject.failure(f"{address} is not an http or https URL", fix)
    if is_local(parts.hostname):
        return subject.warning(f"{address} is only reachable from this machine", fix)
    if parts.scheme == "http":
        return subject.warning(f"{address} is not encrypted: the webhook's secret can be read on the way", fix)
    return subject.passed(address)


def fernet_key(_: CheckContext, subject: Subject) -> Result:
    """Check that passwords of connections are encrypted in the database."""
    if conf.get("core", "fernet_key", fallback=""):
        return subject.passed("set")
    return subject.warning(
        "not set: passwords of connections are stored in plain text",
        "Set [core] fernet_key to the same key on every machine. To make one:",
        "python -c 'from cryptography.fernet import Fernet; print(Fernet.generate_key().decode())'",
    )


def state_backend(_: CheckContext, subject: Subject) -> Result:
    """Check that the registry of incidents is in Airflow's database."""
    backend = conf.get("state_store", "backend", fallback="") or ""
    ours = not backend or backend.endswith("MetastoreBackend")
    return subject.required(
        ours,
        backend or "Airflow's database",
        "Leave [state_store] backend at its default: decisions about alerts need its transactions.",
    )


def plugins(_: CheckContext, subject: Subject) -> Result:
    """Check that the package's plugins load: Airflow only logs it when one does not."""
    names, broken = [], []
    for entry_point in distribution(DISTRIBUTION).entry_points.select(group="airflow.plugins"):
        names.append(entry_point.name)
        try:
            entry_point.load()
        except Exception as error:  # noqa: BLE001 - whatever a broken installation raises
            broken.append(f"{entry_point.name}: {type(error).__name__}")
    return subject.required(
        not broken,
        "; ".join(broken) or ", ".join(sorted(names)),
        "Install the package again, with its dependencies:",
        f"pip install --force-reinstall {DISTRIBUTION}",
    )


# --- the incident DAGs: parsed, unpaused, up to date, and with pools that exist --------------------------


def dag_folder(_: CheckContext, subject: Subject) -> Results:
    """Check that the DAGs folder exists."""
    folders = dag_folders()
    missing = [folder for folder in folders if not folder.is_dir()]
    for folder in missing:
        yield subject.failure(f"{folder} does not exist", "Create it:", f"mkdir -p {folder}")
    if not missing:
        yield subject.passed(", ".join(map(str, folders)))


def dags(context: CheckContext, _: Subject) -> Results:
    """Check that runs of every incident DAG start."""
    for dag in context.dags:
        subject, problem = Subject(dag.dag_id), dag.problem()
        yield subject.failure(*problem) if problem is not None else _limits(subject, dag.max_active_runs)


def _limits(subject: Subject, runs: int | None) -> Result:
    if not runs or runs >= MIN_ACTIVE_RUNS:
        return subject.passed("ready")
    return subject.warning(
        f"max_active_runs = {runs}: in a storm further incidents wait",
        f"Set max_active_runs of the DAG to {MIN_ACTIVE_RUNS} or more.",
    )


def unparsed_files(context: CheckContext, subject: Subject) -> Results:
    """Check that Airflow has parsed every DAG file that uses this package."""
    paths = files_to_parse(context.dags)
    for path in paths:
        yield Subject("unparsed file").warning(f"{path} is not parsed yet", "Parse it now:", PARSE_COMMAND)
    if not paths:
        yield subject.passed("none")


def file_versions(_: CheckContext, subject: Subject) -> Results:
    """Check that the installed DAG files are those of this version."""
    edited = [path for folder in dag_folders() for path in edited_files(folder)]
    for path in edited:
        yield Subject(path.name).warning(
            f"{path} differs from the file of this version",
            "If you did not edit it, replace it; the old file is kept beside it:",
            f"airflow incident setup files --to {path.parent} --replace --yes",
        )
    if not edited:
        yield subject.passed("of this version")


def import_errors(_: CheckContext, subject: Subject) -> Results:
    """Check that no DAG file fails to import."""
    with create_session() as session:
        found = session.execute(select(ParseImportError.filename, ParseImportError.stacktrace)).tuples()
        errors = [(filename or "?", trace) for filename, trace in found]
    if not errors:
        yield subject.passed("none")
    for filename, trace in errors:
        last = "".join((trace or "").strip().splitlines()[-1:])
        yield subject.failure(
            f"{Path(filename).name}: {last}", "Correct the file. Its errors:", "airflow dags list-import-errors"
        )


def pools(context: CheckContext, _: Subject) -> Results:
    """Check that the pools of every incident DAG exist, and have slots for two incidents."""
    with create_session() as session:
        slots = {str(pool): count for pool, count in session.execute(select(Pool.pool, Pool.slots)).tuples()}
    users: dict[str, list[str]] = {}
    for dag in context.dags:
        for pool in dag.pools:
            users.setdefault(pool, []).append(dag.dag_id)
    for pool, dag_ids in sorted(users.items()):
        yield _pool(Subject(pool), ", ".join(dag_ids), slots.get(pool))


def _pool(pool: Subject, dag_ids: str, slots: int | None) -> Result:
    """Return whether a pool has slots enough; ``None`` slots for one that does not exist."""
    command = f"airflow pools set {pool.name} {4 * MIN_SLOTS} 'Incident response'"
    if slots is None:
        return pool.failure(
            f"it does not exist: tasks of {dag_ids} would wait forever",
            "Create it:",
            "airflow incident setup airflow --yes",
        )
    if slots == 0:
        return pool.failure(f"it has no slots: tasks of {dag_ids} would wait forever", _MORE_SLOTS, command)
    return pool.advised(slots < 0 or slots >= MIN_SLOTS, f"{slots} slots", _MORE_SLOTS, command)
