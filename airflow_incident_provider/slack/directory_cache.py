"""The directory of a workspace's members, kept in an SQLite file and filled from ``users.list``.

``users.list`` takes minutes for 50,000 people; looking one up in the file takes milliseconds. The file holds names
and no e-mail address, only its owner may read it, and it is replaced as a whole, never written in place.
"""
# ruff: noqa: S608 - only names of columns are interpolated; every value is a parameter

from __future__ import annotations

import json
import logging
import os
import re
import sqlite3
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta
from functools import cached_property
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, Self

from airflow_incident_provider.exceptions import SlackRequestError, SlackUnavailableError
from airflow_incident_provider.people.directory import KeyOwner, Member, NameKind, email_digest, name_keys
from airflow_incident_provider.people.names import in_word_order
from airflow_incident_provider.slack.responses import next_cursor, not_slack, required_objects

if TYPE_CHECKING:
    from airflow_incident_provider.slack.hook import IncidentSlackHook

SCHEMA = 7
"""Incremented whenever a table, or a key in it, changes: an older file counts as absent."""

PAGE_SIZE = 200
"""Members a page, which is what Slack recommends for ``users.list``."""

MAX_PAGE_SIZE = 999
"""Slack refuses 1000. With this, 50,000 members are 51 calls instead of 250, at about 20 calls a minute."""

CALLS_PER_MINUTE = 20
"""How often ``users.list`` may be called (https://docs.slack.dev/apis/web-api/rate-limits, Tier 2)."""

MAX_RATE_LIMIT_RETRIES = 10
"""How often one page is asked for again after a rate limit, before the task's own retry takes over."""

MAX_RETRY_AFTER_S = 120.0
"""Longest wait for one rate limit, in seconds; Slack asks for at most a minute."""

_METHOD = "users.list"
_MINUTE_S = 60.0
_TEAM_ID = re.compile(r"[A-Z0-9]+")
_COLUMNS = tuple(field.name for field in fields(Member))
_row = attrgetter(*_COLUMNS)
_LISTED = "(SELECT value FROM json_each(?))"
_TABLES = f"""
CREATE TABLE meta (schema INTEGER, team_id TEXT, fetched_at TEXT);
CREATE TABLE members (number INTEGER PRIMARY KEY, {", ".join(_COLUMNS)}, eligible INTEGER);
CREATE TABLE keys (position INTEGER PRIMARY KEY, key TEXT, sorted_key TEXT, kind INTEGER, member INTEGER);
"""
_INDEXES = """
CREATE INDEX key_index ON keys (key);
CREATE INDEX departed_index ON members (departed_email) WHERE departed_email <> '';
"""

log = logging.getLogger(__name__)


class SqliteDirectory:
    """A :class:`~airflow_incident_provider.people.directory.Directory` in an SQLite database.

    :param database: holds the tables of this module; may be used from any thread, by one at a time.
    :raises SlackRequestError: from every method, if the database is damaged.
    """

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database

    @classmethod
    def of(cls, members: Iterable[Member], *, fetched_at: datetime | None = None) -> Self:
        """Return a directory in memory; of several members with one id the latest ``updated`` counts."""
        database = sqlite3.connect(":memory:", check_same_thread=False)
        _fill(database, members, team_id="", fetched_at=fetched_at or datetime.now(UTC))
        return cls(database)

    @cached_property
    def fetched_at(self) -> datetime | None:
        """When the members were fetched from Slack."""
        return datetime.fromisoformat(self._rows("SELECT fetched_at FROM meta")[0][0])

    def __len__(self) -> int:
        return int(self._rows("SELECT count(*) FROM members")[0][0])

    def find(self, keys: Iterable[str], kind: NameKind) -> list[Member]:
        """Return the members with one of these keys, by id."""
        return self._members(
            f"WHERE number IN (SELECT member FROM keys WHERE kind & ? AND key IN {_LISTED}) ORDER BY id",
            (int(kind), json.dumps(list(keys))),
        )

    def member(self, user_id: str) -> Member | None:
        """Return the member with this id."""
        found = self._members("WHERE id = ?", (user_id,))
        return found[0] if found else None

    def find_departed(self, email: str) -> Member | None:
        """Return the deactivated member who had this e-mail address."""
        digest = email_digest(email)
        found = self._members("WHERE departed_email <> '' AND departed_email = ? ORDER BY id", (digest,))
        return found[0] if found else None

    @cached_property
    def keys(self) -> Sequence[str]:
        """All keys for similarity, by position."""
        return self._column("key")

    @cached_property
    def word_sorted_keys(self) -> Sequence[str]:
        """The same keys with their words in alphabetical order."""
        return self._column("sorted_key")

    @cached_property
    def spaceless_keys(self) -> Sequence[str]:
        """The same keys without spaces."""
        return self._column("replace(key, ' ', '')")

    def positions_of(self, keys: Iterable[str], kind: NameKind = NameKind.NAME) -> list[int]:
        """Return the positions of these keys."""
        query = f"SELECT position FROM keys WHERE kind & ? AND key IN {_LISTED}"
        rows = self._rows(query, (int(kind), json.dumps(list(keys))))
        return [position for (position,) in rows]

    def positions_with_words(self, words: Iterable[str]) -> list[int]:
        """Return the positions of the keys that contain all these words."""
        wanted = [f" {word} " for word in words]
        condition = " AND ".join(["instr(' ' || key || ' ', ?)"] * len(wanted))
        return [position for (position,) in self._rows(f"SELECT position FROM keys WHERE {condition}", wanted)]

    def owners(self, positions: Iterable[int]) -> list[KeyOwner]:
        """Return whose the keys at these positions are."""
        rows = self._rows(
            "SELECT position, member, eligible FROM keys JOIN members ON number = member "
            f"WHERE position IN {_LISTED} ORDER BY position",
            (json.dumps(list(positions)),),
        )
        return [KeyOwner(position, member, bool(eligible)) for position, member, eligible in rows]

    def members(self, numbers: Iterable[int]) -> list[Member]:
        """Return members by number, in the order of the numbers given."""
        return [self._members("WHERE number = ?", (number,))[0] for number in numbers]

    def _column(self, expression: str) -> list[str]:
        # Joined by SQLite and split here: four times as fast as fetching 100,000 rows.
        [(text,)] = self._rows(
            f"SELECT group_concat(value, char(10)) FROM (SELECT {expression} AS value FROM keys ORDER BY position)"
        )
        return text.split("\n") if text else []

    def _members(self, condition: str, parameters: Sequence[object]) -> list[Member]:
        rows = self._rows(f"SELECT {', '.join(_COLUMNS)} FROM members {condition}", parameters)
        return [Member(*row[:4], *map(bool, row[4:8]), *row[8:]) for row in rows]

    def _rows(self, query: str, parameters: Sequence[object] = ()) -> list[Any]:
        try:
            return self._database.execute(query, parameters).fetchall()
        except sqlite3.Error as error:
            raise SlackRequestError(
                f"The file with the directory of members cannot be read: {error}.",
                code="directory_unreadable",
                fix="Delete it and run the DAG slack_directory_refresh.",
            ) from error


def _fill(database: sqlite3.Connection, members: Iterable[Member], *, team_id: str, fetched_at: datetime) -> None:
    ordered = sorted(members, key=lambda member: (member.id, member.updated))
    unique = list({member.id: member for member in ordered}.values())
    database.execute("PRAGMA journal_mode = OFF")
    database.execute("PRAGMA synchronous = OFF")
    database.executescript(_TABLES)
    database.execute("INSERT INTO meta VALUES (?, ?, ?)", (SCHEMA, team_id, fetched_at.isoformat()))
    database.executemany(
        f"INSERT INTO members VALUES ({','.join('?' * (len(_COLUMNS) + 2))})",
        ((number, *_row(member), member.ineligibility is None) for number, member in enumerate(unique)),
    )
    database.executemany("INSERT INTO keys VALUES (?, ?, ?, ?, ?)", _key_rows(unique))
    database.executescript(_INDEXES)
    database.commit()


def _key_rows(members: Sequence[Member]) -> Iterator[tuple[int, str, str, int, int]]:
    position = 0
    for number, member in enumerate(members):
        for key, kind in name_keys(member).items():
            yield position, key, in_word_order(key), int(kind), number
            position += 1


@dataclass(frozen=True, slots=True)
class CachedDirectory:
    """A directory from the cache, with its age."""

    directory: SqliteDirectory
    age: timedelta


class DirectoryCache:
    """The directories of workspaces, one file each.

    :param folder: where the files are; created, for its owner only, when first written to.
    :param clock: returns the time, in UTC.
    """

    def __init__(self, folder: Path, *, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self.folder = folder
        self._clock = clock

    def path(self, team_id: str) -> Path:
        """Return the file of a workspace.

        :raises ValueError: ``team_id`` is not a Slack id and might lead out of the folder.
        """
        if not _TEAM_ID.fullmatch(team_id):
            raise ValueError(f"{team_id!r} is not the id of a Slack workspace")
        return self.folder / f"slack-directory-{team_id}.sqlite3"

    def get(self, team_id: str) -> CachedDirectory | None:
        """Return what was written last, however old; ``None`` if there is nothing that can be used."""
        try:
            path = self.path(team_id)
            if not path.exists():
                return None
            directory = _open(path, team_id)
        except (OSError, ValueError, SlackRequestError, sqlite3.Error) as error:
            log.warning("The Slack directory of %r cannot be used: %s", team_id, error)
            return None
        age = self._clock() - (directory.fetched_at or self._clock())
        return CachedDirectory(directory, max(age, timedelta()))

    def put(self, team_id: str, members: Iterable[Member]) -> SqliteDirectory:
        """Replace the file of a workspace: a reader sees either the old one or the new one.

        :raises OSError: the file cannot be written.
        :raises ValueError: ``team_id`` is not a Slack id.
        """
        path = self.path(team_id)
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with _replacing(path) as temporary, _connected(temporary) as database:
            _fill(database, members, team_id=team_id, fetched_at=self._clock())
        return _open(path, team_id)


def _open(path: Path, team_id: str) -> SqliteDirectory:
    """Open a file read-only.

    :raises ValueError: it has another schema or belongs to another workspace.
    """
    database = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro&immutable=1", uri=True, check_same_thread=False)
    [(schema, owner)] = database.execute("SELECT schema, team_id FROM meta").fetchall()
    if (schema, owner) != (SCHEMA, team_id):
        raise ValueError("it has another schema or belongs to another workspace")
    return SqliteDirectory(database)


@contextmanager
def _replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary file, readable by its owner only, that replaces ``path`` if nothing is raised."""
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    os.close(descriptor)
    temporary = Path(name)
    try:
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


@contextmanager
def _connected(path: Path) -> Iterator[sqlite3.Connection]:
    database = sqlite3.connect(path)
    try:
        yield database
    except sqlite3.OperationalError as error:  # a full disk, say
        raise OSError(str(error)) from error
    finally:
        database.close()


# --- filling it -------------------------------------------------------------------------------------


class Page(Protocol):
    """A response of ``users.list``."""

    def get(self, key: str, default: Any = None, /) -> Any:
        """Return a field of the response."""


class UsersList(Protocol):
    """Calls ``users.list``; raises the classes of ``exceptions`` and no others."""

    def __call__(self, *, cursor: str, limit: int) -> Page:
        """Return one page; the first for an empty cursor."""


def refresh(
    cache: DirectoryCache, team_id: str, users_list: UsersList, *, limit: int = PAGE_SIZE
) -> SqliteDirectory:
    """Fetch all members and keep them; the older file stays until all are there.

    :param users_list: calls ``users.list``, e.g. ``functools.partial(hook.read, "users.list")``.
    :param limit: members a page, 1 to 999.
    :raises SlackConfigurationError: the app may not list members.
    :raises SlackUnavailableError: Slack does not answer.
    :raises OSError: the file cannot be written.
    """
    return cache.put(team_id, fetch_members(users_list, team_id=team_id, limit=limit))


def fetch_members(users_list: UsersList, *, team_id: str, limit: int = PAGE_SIZE) -> list[Member]:
    """Return all members of a workspace, page by page; start again, once, if the cursor expires.

    Parameters and errors as for :func:`refresh`.
    """
    if not 1 <= limit <= MAX_PAGE_SIZE:
        raise ValueError(f"limit is {limit}; users.list takes 1 to {MAX_PAGE_SIZE}")
    try:
        return _all_pages(users_list, team_id, limit)
    except SlackRequestError as error:
        if error.code != "invalid_cursor":
            raise
        log.info("Slack's cursor expired while members were listed; starting again.")
        return _all_pages(users_list, team_id, limit)


def _all_pages(users_list: UsersList, team_id: str, limit: int) -> list[Member]:
    """Read every page: only an empty cursor ends the list, not a short page."""
    members: list[Member] = []
    cursors = {""}
    cursor = ""
    while True:
        page = users_list(cursor=cursor, limit=limit)
        users = required_objects(page, _METHOD, "members")
        members += [Member.from_slack(user, team_id=team_id) for user in users]
        cursor = next_cursor(page)
        if not cursor:
            break
        if cursor in cursors:
            raise SlackRequestError("users.list returned the same cursor twice.", code="repeated_cursor")
        cursors.add(cursor)
    if not members:
        raise not_slack(_METHOD, "it has no members")
    return members


class RateLimitedMemberPages:
    """Calls ``users.list`` no faster than Slack allows, for a task that may take minutes.

    :param hook: sends the calls.
    :param arguments: further arguments, such as ``team_id``.
    """

    def __init__(self, hook: IncidentSlackHook, **arguments: str) -> None:
        self._hook = hook
        self._arguments = arguments
        self._called_at: deque[float] = deque(maxlen=CALLS_PER_MINUTE)

    def __call__(self, *, cursor: str, limit: int) -> Any:
        """Return one page.

        :raises SlackUnavailableError: Slack does not answer, or limits the rate again and again.
        """
        for _ in range(MAX_RATE_LIMIT_RETRIES):
            self._wait()
            try:
                return self._hook.read(_METHOD, cursor=cursor, limit=limit, **self._arguments)
            except SlackUnavailableError as error:
                if error.retry_after is None:
                    raise
                log.info("Slack asked to wait %.0f s before the next page of members", error.retry_after)
                time.sleep(min(error.retry_after, MAX_RETRY_AFTER_S))
        raise SlackUnavailableError(
            f"Slack limited the rate of users.list {MAX_RATE_LIMIT_RETRIES} times in a row."
        )

    def _wait(self) -> None:
        if len(self._called_at) == CALLS_PER_MINUTE:
            time.sleep(max(0.0, self._called_at[0] + _MINUTE_S - time.monotonic()))
        self._called_at.append(time.monotonic())
