"""The incident DAGs of this installation, with what each needs: a file, a connection, pools, a routing table.

An incident DAG is one with the tag ``incident``, one that the routing table names, or one that ships with the
package. A file in a DAG folder that Airflow has not parsed yet is known, too: Airflow looks for new files every
``[dag_processor] refresh_interval`` (300 s by default).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from airflow.configuration import conf
from airflow.models.dag import DagModel, DagTag
from airflow.models.dag_version import DagVersion
from airflow.models.dagbag import DBDagBag
from airflow.models.errors import ParseImportError
from airflow.serialization.definitions.dag import SerializedDAG
from airflow.utils.session import create_session
from sqlalchemy import select
from sqlalchemy.orm import Session

from airflow_incident_provider.config import INCIDENT_TAG, DagId
from airflow_incident_provider.exceptions import RoutingTableError
from airflow_incident_provider.routing_file import read_routing_table

PACKAGE = "airflow_incident_provider"
SHIPPED = (DagId.INCIDENT_RESPONSE, DagId.INCIDENT_UPDATE)
"""The DAGs without which there is no incident response."""

INSTALL_COMMAND = "airflow incident setup files --yes && airflow incident setup airflow --yes"
"""Installs the DAG files, parses them, and unpauses the DAGs."""

PARSE_COMMAND = "airflow dags reserialize"
"""Parses all DAG files now."""

_READER = "ParseIncidentOperator"
_MAX_DAG_FILE = 500_000
"""Bytes: a larger file is not searched for incident DAGs."""


class DagState(StrEnum):
    """Whether runs of a DAG start."""

    READY = "ready"
    PAUSED = "paused"
    BROKEN = "broken"
    UNPARSED = "unparsed"
    MISSING = "missing"


@dataclass(frozen=True, kw_only=True)
class IncidentDag:
    """An incident DAG.

    :param file: its file, as far as it is known.
    :param slack_conn_ids: the Slack connections of its tasks.
    :param routing_table: what its first step routes by; ``None`` for ``[incident] routing_table``.
    :param tagged: whether it has the tag ``incident``, without which its incidents are not listed.
    :param reads_payloads: whether it has a step that reads an alert.
    """

    dag_id: str
    state: DagState
    file: str | None = None
    slack_conn_ids: tuple[str, ...] = ()
    pools: tuple[str, ...] = ()
    routing_table: str | Mapping[str, Any] | None = None
    max_active_runs: int | None = None
    tagged: bool = True
    reads_payloads: bool = True

    def problem(self) -> tuple[str, str, str | None] | None:
        """Return what is wrong, its fix, and the command that applies the fix; ``None`` if its runs start."""
        match self.state:
            case DagState.PAUSED:
                return "it is paused: its runs would wait", "Unpause it:", f"airflow dags unpause {self.dag_id}"
            case DagState.BROKEN:
                return "its file fails to import", "Correct the file. Its error:", "airflow dags list-import-errors"
            case DagState.UNPARSED:
                interval = conf.getint("dag_processor", "refresh_interval", fallback=300)
                fix = f"Airflow looks for new files every {interval} s. To parse it now:"
                unpause = f"{PARSE_COMMAND} && airflow dags unpause {self.dag_id}"
                return f"{self.file} is not parsed yet", fix, unpause
            case DagState.MISSING if self.dag_id in set(DagId):
                return "its file is missing", "Install it:", INSTALL_COMMAND
            case DagState.MISSING:
                return (
                    "no file in the DAGs folder defines it",
                    f"Add a file with incident_dag({self.dag_id!r}).",
                    None,
                )
        return None

    def unfit(self) -> tuple[str, str, str | None] | None:
        """Return why it is no DAG for incidents that the routing table could name, as :meth:`problem` does."""
        if not self.reads_payloads:
            return "it has no step that reads an alert: no room would open", "make it with incident_dag().", None
        if not self.tagged:
            return f"it has no tag {INCIDENT_TAG}: its incidents are not listed", "add the tag to the DAG.", None
        return None


def dag_folders() -> list[Path]:
    """Return the local folders that Airflow reads DAG files from."""
    from airflow.dag_processing.bundles.manager import DagBundlesManager

    folders = [Path(conf.get("core", "dags_folder"))]
    try:
        manager = DagBundlesManager()  # type: ignore[no-untyped-call]
        folders += [Path(bundle.path) for bundle in manager.get_all_dag_bundles()]
    except Exception:  # noqa: BLE001 - a bundle of another kind may need a network, and is not ours to check
        return folders
    folders = list(dict.fromkeys(folders))
    return [folder for folder in folders if folder.is_dir()] or folders


def incident_dags(only: Collection[str] = ()) -> list[IncidentDag]:
    """Return the incident DAGs of this installation.

    :param only: these DAGs; empty for all, with those that the routing table names, if it can be read.
    """
    with create_session() as session:
        files = UnparsedFiles(session)
        wanted = only or [*SHIPPED, *_tagged(session), *_routed()]
        return [_incident_dag(session, dag_id, files) for dag_id in dict.fromkeys(map(str, wanted))]


def files_to_parse(dags: Collection[IncidentDag] = ()) -> list[Path]:
    """Return the DAG files that use this package and that Airflow has not parsed yet.

    :param dags: DAGs whose files are left out.
    """
    known = {dag.file for dag in dags}
    with create_session() as session:
        return [path for path in UnparsedFiles(session).texts if str(path) not in known]


class UnparsedFiles:
    """The DAG files that use this package and that Airflow has neither parsed nor failed to import."""

    def __init__(self, session: Session) -> None:
        self._session = session

    @cached_property
    def texts(self) -> Mapping[Path, str]:
        """The files with their text."""
        known = _known_files(self._session)
        return {
            path: text
            for folder in dag_folders()
            for path, text in _candidates(folder)
            if str(path) not in known and str(path.relative_to(folder)) not in known
        }

    def defining(self, dag_id: str) -> Path | None:
        """Return the file that seems to define a DAG."""
        quoted = re.compile(rf"""["']{re.escape(dag_id)}["']""")
        found = (path for path, text in self.texts.items() if quoted.search(text) or path.stem == dag_id)
        return next(found, None)


def _candidates(folder: Path) -> Iterator[tuple[Path, str]]:
    for path in sorted(folder.rglob("*.py")):
        try:
            if path.stat().st_size <= _MAX_DAG_FILE and PACKAGE in (text := path.read_text(encoding="utf-8")):
                yield path, text
        except (OSError, UnicodeDecodeError):
            continue


def _known_files(session: Session) -> set[str]:
    """Return the paths, absolute and relative to their bundle, that Airflow has tried to parse."""
    dags = session.execute(select(DagModel.fileloc, DagModel.relative_fileloc).where(~DagModel.is_stale))
    errors = session.scalars(select(ParseImportError.filename))
    return {path for row in dags for path in row if path} | {path for path in errors if path}


def _routed() -> Collection[str]:
    try:
        return read_routing_table().dag_ids
    except RoutingTableError:
        return ()


def _tagged(session: Session) -> list[str]:
    statement = (
        select(DagTag.dag_id)
        .join(DagModel, DagModel.dag_id == DagTag.dag_id)
        .where(DagTag.name == INCIDENT_TAG, ~DagModel.is_stale)
        .order_by(DagTag.dag_id)
    )
    return list(session.scalars(statement))


def _incident_dag(session: Session, dag_id: str, files: UnparsedFiles) -> IncidentDag:
    found = session.scalar(select(DagModel).where(DagModel.dag_id == dag_id))
    if found is None or found.is_stale:
        path = files.defining(dag_id)
        if path is None:
            return IncidentDag(dag_id=dag_id, state=DagState.MISSING)
        return IncidentDag(dag_id=dag_id, state=DagState.UNPARSED, file=str(path))
    state = DagState.BROKEN if found.has_import_errors else DagState.PAUSED if found.is_paused else DagState.READY
    return IncidentDag(dag_id=dag_id, state=state, file=found.fileloc, **_tasks(session, dag_id))


def _tasks(session: Session, dag_id: str) -> dict[str, Any]:
    """Return what the tasks of the parsed DAG need."""
    dag = parsed_dag(session, dag_id)
    if dag is None:
        return {}
    conn_ids, pools, tables = [], [], []
    for task in dag.tasks:
        arguments = {**vars(task), **getattr(task, "partial_kwargs", {})}
        conn_ids.append(arguments.get("slack_conn_id"))
        tables.append(arguments.get("routing_table"))
        pools.append(arguments.get("pool") or task.pool)
    return {
        "slack_conn_ids": tuple(dict.fromkeys(str(each) for each in conn_ids if each)),
        "pools": tuple(sorted(set(pools))),
        "routing_table": next((table for table in tables if table), None),
        "max_active_runs": dag.max_active_runs,
        "tagged": INCIDENT_TAG in dag.tags,
        "reads_payloads": any(task.task_type == _READER for task in dag.tasks),
    }


def parsed_dag(session: Session, dag_id: str) -> SerializedDAG | None:
    """Return the latest version of a DAG; ``None`` if Airflow has none with this id."""
    version = DagVersion.get_latest_version(dag_id, session=session)
    return DBDagBag().get_dag(version.id, session=session) if version is not None else None


def is_local(host: str) -> bool:
    """Return whether a host name or address means this machine."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        address = ip_address(host)
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified
