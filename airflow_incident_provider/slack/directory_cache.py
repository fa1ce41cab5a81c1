"""
All members of a workspace, in a file: ``users.list`` takes minutes for 50,000 people, a file a tenth of a second.

The file is a header in JSON (schema, workspace, when, checksum), then one member a line in JSON, then what they are
found by, as :class:`Directory` has it: so a member is read only when somebody asks for them. It holds names, so
only its owner may read it, and nothing of it is logged. It is replaced in one step, never written in place.
"""

from __future__ import annotations

import json
import logging
import os
import re
import sys
import tempfile
import time
import zlib
from array import array
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta
from itertools import accumulate
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, overload

from airflow_incident_provider.exceptions import SlackRequestError, SlackUnavailableError
from airflow_incident_provider.people.directory import Directory, Member
from airflow_incident_provider.people.spellings import Spellings

if TYPE_CHECKING:
    from airflow_incident_provider.slack.hook import IncidentSlackHook

SCHEMA = 3
"""Raised whenever the header, the parts or the fields of a member change: an older file is then absent."""

PAGE_SIZE = 200
"""Members a page, which is what Slack recommends for ``users.list``."""

LARGEST_PAGE_SIZE = 999
"""Slack refuses 1000: with this, 50,000 members are 51 calls instead of 250, at about 20 calls a minute."""

_OWNERS = "I"
"""How the numbers of members are kept, as :mod:`array` names it."""

_TEAM_ID = re.compile(r"[A-Z0-9]+")
_row_of = attrgetter(*(field.name for field in fields(Member)))

log = logging.getLogger(__name__)


class Page(Protocol):
    """What ``users.list`` answers: a mapping, or slack_sdk's response, which is much like one."""

    def get(self, key: str, default: Any = None, /) -> Any:
        """Return a field of the answer."""


class UsersList(Protocol):
    """Something that calls ``users.list``; raises the classes of ``exceptions`` and no others."""

    def __call__(self, *, cursor: str, limit: int) -> Page:
        """Return one page; the first for an empty cursor."""


@dataclass(frozen=True, slots=True)
class CachedDirectory:
    """A directory with how old it is; ``fresh`` is false once it is older than it should get."""

    directory: Directory
    age: timedelta
    fresh: bool


class DirectoryCache:
    """The directories of workspaces, one file each.

    :param folder: where the files are; made, for its owner alone, when first written to.
    :param ttl: the age up to which a directory counts as fresh.
    :param clock: tells the time, in UTC.
    """

    def __init__(
        self,
        folder: Path,
        ttl: timedelta = timedelta(days=1),
        *,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.folder = folder
        self.ttl = ttl
        self._clock = clock

    def path(self, team_id: str) -> Path:
        """Return the file of a workspace.

        :raises ValueError: when ``team_id`` is no Slack id, and might lead out of the folder.
        """
        if not _TEAM_ID.fullmatch(team_id):
            raise ValueError(f"{team_id!r} is not the id of a Slack workspace")
        return self.folder / f"slack-directory-{team_id}.jsonl"

    def get(self, team_id: str) -> CachedDirectory | None:
        """Return what was written last, however old; ``None`` if that is nothing, damaged or of another schema."""
        path = self.path(team_id)
        try:
            written_at, directory = _parse(path.read_bytes(), team_id)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError) as error:
            log.warning("The Slack directory %s cannot be used, as if it were absent: %s", path.name, error)
            return None
        age = max(self._clock() - written_at, timedelta())
        return CachedDirectory(directory, age, fresh=age <= self.ttl)

    def put(self, team_id: str, directory: Directory) -> None:
        """Replace the file of a workspace, so that a reader sees the old one or the new one, whole."""
        path = self.path(team_id)
        content = _render(directory, team_id, self._clock())
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Made readable by its owner alone, and in the same folder: os.replace is atomic within a file system.
        descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=self.folder)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            Path(temporary).replace(path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise


class _Rows(Sequence[Member]):
    """Members in the order they were written, each read when somebody asks for them."""

    def __init__(self, text: bytes) -> None:
        self._rows = text.splitlines()

    def __len__(self) -> int:
        return len(self._rows)

    @overload
    def __getitem__(self, number: int) -> Member: ...
    @overload
    def __getitem__(self, number: slice) -> Sequence[Member]: ...
    def __getitem__(self, number: int | slice) -> Member | Sequence[Member]:
        if isinstance(number, slice):
            return [_member(row) for row in self._rows[number]]
        return _member(self._rows[number])


def _member(row: bytes) -> Member:
    return Member(*json.loads(row))


def _render(directory: Directory, team_id: str, written_at: datetime) -> bytes:
    spellings = directory.spellings
    parts = [
        b"\n".join(json.dumps(_row_of(member)).encode() for member in directory.members),
        spellings.text.encode(),
        spellings.sorted_text.encode(),
        spellings.kinds.encode(),
        array(_OWNERS, spellings.owners).tobytes(),
        directory.eligible.encode(),
        directory.departed.encode(),
    ]
    body = b"".join(parts)
    header = {
        "schema": SCHEMA,
        "team_id": team_id,
        "written_at": written_at.isoformat(),
        "crc32": zlib.crc32(body),
        "byteorder": sys.byteorder,
        "parts": [len(part) for part in parts],
    }
    return json.dumps(header).encode() + b"\n" + body


def _parse(content: bytes, team_id: str) -> tuple[datetime, Directory]:
    """Return when a file was written, and the directory in it.

    :raises ValueError: when it is damaged, of another schema, or of another workspace; JSON's errors are such.
    """
    first, _, body = content.partition(b"\n")
    header = json.loads(first)
    if header["schema"] != SCHEMA or header["team_id"] != team_id or header["byteorder"] != sys.byteorder:
        raise ValueError("it is of another schema, workspace or machine")
    if header["crc32"] != zlib.crc32(body):
        raise ValueError("its checksum is wrong")
    ends = list(accumulate(header["parts"]))
    rows, text, in_order, kinds, owners, eligible, departed = (
        body[end - length : end] for length, end in zip(header["parts"], ends, strict=True)
    )
    spellings = Spellings(text.decode(), in_order.decode(), kinds.decode(), array(_OWNERS, owners))
    directory = Directory(_Rows(rows), spellings, eligible.decode(), departed.decode())
    return datetime.fromisoformat(header["written_at"]), directory


# --- filling it -------------------------------------------------------------------------------------


def refresh(
    cache: DirectoryCache, team_id: str, users_list: UsersList, *, limit: int = PAGE_SIZE
) -> CachedDirectory:
    """Fetch all members and keep them; what was kept before stays until all are there.

    :param users_list: calls ``users.list``, e.g. ``functools.partial(hook.read, "users.list")``.
    :param limit: members a page, 1 to 999.
    :raises SlackConfigurationError: when the app may not list members.
    :raises SlackUnavailableError: when Slack does not answer.
    """
    directory = Directory.of(fetch_members(users_list, team_id=team_id, limit=limit))
    cache.put(team_id, directory)
    return CachedDirectory(directory, age=timedelta(), fresh=True)


def fetch_members(users_list: UsersList, *, team_id: str, limit: int = PAGE_SIZE) -> list[Member]:
    """Return all members of a workspace, page by page; once more from the start if the cursor expires.

    Parameters and errors as for :func:`refresh`.
    """
    if not 1 <= limit <= LARGEST_PAGE_SIZE:
        raise ValueError(f"limit is {limit}; users.list takes 1 to {LARGEST_PAGE_SIZE}")
    try:
        return _walk(users_list, team_id, limit)
    except SlackRequestError as error:
        if error.code != "invalid_cursor":
            raise
        log.info("Slack's cursor expired while its members were listed; starting again.")
        return _walk(users_list, team_id, limit)


def _walk(users_list: UsersList, team_id: str, limit: int) -> list[Member]:
    """Read every page: a short page is no last page, only one with an empty cursor is."""
    members: list[Member] = []
    cursors = {""}
    cursor = ""
    while True:
        page = users_list(cursor=cursor, limit=limit)
        members += [Member.from_slack(user, team_id=team_id) for user in page.get("members") or ()]
        cursor = (page.get("response_metadata") or {}).get("next_cursor") or ""
        if not cursor:
            return members
        if cursor in cursors:
            raise SlackRequestError("users.list gave the same cursor twice.", code="repeated_cursor")
        cursors.add(cursor)


CALLS_A_MINUTE = 20
MINUTE = 60.0

REFUSALS = 10
"""How often one page is asked for again because Slack says "too fast", before the task's own retry takes over."""

LONGEST_WAIT_S = 120.0
"""Seconds that one refusal is obeyed for; Slack's own say at most a minute."""


class RateLimitedMemberPages:
    """Calls ``users.list``: never more often than Slack grants, and after a refusal when it says so.

    :param hook: sends the calls.
    """

    def __init__(self, hook: IncidentSlackHook) -> None:
        self._hook = hook
        self._called: deque[float] = deque(maxlen=CALLS_A_MINUTE)

    def __call__(self, *, cursor: str, limit: int) -> Any:
        """Return one page, sooner or later.

        :raises SlackUnavailableError: Slack does not answer, or refuses again and again.
        """
        for _ in range(REFUSALS):
            self._wait_for_its_turn()
            try:
                return self._hook.read("users.list", cursor=cursor, limit=limit)
            except SlackUnavailableError as error:
                if error.retry_after is None:
                    raise
                log.info("Slack asked to wait %.0f s before the next page of members", error.retry_after)
                time.sleep(min(error.retry_after, LONGEST_WAIT_S))
        raise SlackUnavailableError(
            f"Slack refused {REFUSALS} times in a row to list members: it is asked too often."
        )

    def _wait_for_its_turn(self) -> None:
        if len(self._called) == CALLS_A_MINUTE:
            time.sleep(max(0.0, self._called[0] + MINUTE - time.monotonic()))
        self._called.append(time.monotonic())
