import os
import sqlite3
import stat
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from airflow_incident_provider.exceptions import (
    IncidentError,
    SlackConfigurationError,
    SlackRequestError,
    SlackUnavailableError,
)
from airflow_incident_provider.people.directory import Member
from airflow_incident_provider.people.matching import match_name
from airflow_incident_provider.slack.directory_cache import (
    DirectoryCache,
    SqliteDirectory,
    fetch_members,
    refresh,
)

ALICE = Member("U1", "ang", "Alice Ng", updated=3)
DAVE = Member("U2", "dave", "Dävé\nDale\u2028", deleted=True)


class Clock:
    def __init__(self) -> None:
        self.now = datetime(2026, 11, 23, 9, 35, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def cache(tmp_path: Path, clock: Clock) -> DirectoryCache:
    return DirectoryCache(tmp_path / "cache", clock=clock)


def slack_user(member: Member) -> dict[str, Any]:
    return {
        "id": member.id,
        "name": member.name,
        "deleted": member.deleted,
        "updated": member.updated,
        "team_id": "T1",
        "profile": {"display_name": member.display_name, "email": "secret@example.com"},
    }


class UsersList:
    """Fake ``users.list`` with one member per page; ``errors`` maps the number of a call to what it raises."""

    def __init__(self, *members: Member, errors: dict[int, Exception] | None = None) -> None:
        self.members = members
        self.errors = errors or {}
        self.calls: list[tuple[str, int]] = []

    def __call__(self, *, cursor: str, limit: int) -> dict[str, Any]:
        self.calls.append((cursor, limit))
        if error := self.errors.get(len(self.calls)):
            raise error
        position = int(cursor or 0)
        next_cursor = str(position + 1) if position + 1 < len(self.members) else ""
        users = [slack_user(member) for member in self.members[position : position + 1]]
        return {"members": users, "response_metadata": {"next_cursor": next_cursor}}


def test_put_members_are_returned_by_get(cache: DirectoryCache) -> None:
    cache.put("T1", [ALICE, DAVE])
    cached = cache.get("T1")
    assert cached.directory.members([0, 1]) == [ALICE, DAVE]
    assert len(cached.directory) == 2


@pytest.mark.parametrize("query", ["Alice Ng", "Alice Nge", "alice", "ang", "Dave Dale", "dave", "nobody"])
def test_cached_directory_matches_like_the_original(cache: DirectoryCache, query: str) -> None:
    members = [ALICE, DAVE, Member("U3", "alice2", "Alice Longname", guest=True)]
    cache.put("T1", members)
    assert match_name(query, cache.get("T1").directory) == match_name(query, SqliteDirectory.of(members))


def test_departed_member_is_found_by_email(cache: DirectoryCache) -> None:
    departed = Member.from_slack(
        {"id": "U9", "deleted": True, "profile": {"email": "Gone@acme.example"}}, team_id="T1"
    )
    cache.put("T1", [ALICE, DAVE, departed])
    directory = cache.get("T1").directory
    assert directory.find_departed("gone@ACME.example") == departed
    assert directory.find_departed("alice@acme.example") is None
    assert directory.find_departed("") is None


def test_empty_directory_is_cached(cache: DirectoryCache) -> None:
    cache.put("T1", [])
    assert len(cache.get("T1").directory) == 0


def test_get_without_entry_returns_none(cache: DirectoryCache) -> None:
    assert cache.get("T1") is None


def test_entries_are_separated_by_workspace(cache: DirectoryCache) -> None:
    cache.put("T1", [ALICE])
    assert cache.get("T2") is None
    cache.path("T1").rename(cache.path("T2"))
    assert cache.get("T2") is None


@pytest.mark.parametrize("team_id", ["", "../T1", "T1/x", "t1"])
def test_path_rejects_invalid_team_id(cache: DirectoryCache, team_id: str) -> None:
    with pytest.raises(ValueError, match="not the id"):
        cache.path(team_id)


def test_age_is_never_negative(cache: DirectoryCache, clock: Clock) -> None:
    cache.put("T1", [ALICE])
    clock.now += timedelta(days=400)
    expired_entry = cache.get("T1")
    assert expired_entry.age == timedelta(days=400)
    assert expired_entry.directory.members([0]) == [ALICE]
    clock.now -= timedelta(days=500)
    assert cache.get("T1").age == timedelta(), "the clock was set back"


def test_file_is_readable_by_owner_only(cache: DirectoryCache) -> None:
    previous = os.umask(0)
    try:
        cache.put("T1", [ALICE])
        cache.put("T1", [ALICE])
    finally:
        os.umask(previous)
    assert stat.S_IMODE(cache.path("T1").stat().st_mode) == 0o600
    assert stat.S_IMODE(cache.folder.stat().st_mode) == 0o700


@pytest.mark.parametrize(
    "damage",
    [
        lambda _: b"",
        lambda content: content[:2000],
        lambda content: b"\xff\x00" + content,
        lambda _: b"[]\n",
        lambda content: b"SQLite format 3\x00" + bytes(len(content)),
    ],
)
def test_corrupt_file_is_ignored_and_logged(
    cache: DirectoryCache, caplog: pytest.LogCaptureFixture, damage: Callable[[bytes], bytes]
) -> None:
    cache.put("T1", [ALICE])
    path = cache.path("T1")
    path.write_bytes(damage(path.read_bytes()))
    with caplog.at_level("WARNING"):
        assert cache.get("T1") is None
    assert "'T1'" in caplog.text
    assert "Alice" not in caplog.text


def test_file_of_other_schema_is_ignored(cache: DirectoryCache) -> None:
    cache.put("T1", [ALICE])
    with sqlite3.connect(cache.path("T1")) as database:
        database.execute("UPDATE meta SET schema = 3")
    database.close()
    assert cache.get("T1") is None


def test_corruption_found_while_searching_raises_request_error(cache: DirectoryCache) -> None:
    cache.put("T1", [Member(f"U{n}", f"user{n}", f"Member Number{n}") for n in range(2000)])
    path = cache.path("T1")
    content = bytearray(path.read_bytes())
    content[8192:] = bytes(len(content) - 8192)
    path.write_bytes(bytes(content))
    cached = cache.get("T1")
    if cached is not None:
        with pytest.raises(SlackRequestError, match="cannot be read"):
            match_name("Member Number7x", cached.directory)


@pytest.mark.parametrize("team_id", ["", "../T1", "t1"])
def test_get_with_invalid_team_id_returns_none(cache: DirectoryCache, team_id: str) -> None:
    assert cache.get(team_id) is None


def test_failed_write_keeps_previous_file(cache: DirectoryCache, monkeypatch: pytest.MonkeyPatch) -> None:
    cache.put("T1", [ALICE])

    def full_disk(*_: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(Path, "replace", full_disk)
    with pytest.raises(OSError, match="no space"):
        cache.put("T1", [DAVE])
    assert [file.name for file in cache.folder.iterdir()] == [cache.path("T1").name]
    assert cache.get("T1").directory.members([0]) == [ALICE]


def test_refresh_reads_every_page_and_stores_no_email(cache: DirectoryCache) -> None:
    users_list = UsersList(ALICE, DAVE)
    refreshed = refresh(cache, "T1", users_list, limit=500)
    assert users_list.calls == [("", 500), ("1", 500)]
    assert len(refreshed) == len(cache.get("T1").directory) == 2
    assert b"secret" not in cache.path("T1").read_bytes()


def test_expired_cursor_restarts_fetch_once() -> None:
    expired = SlackRequestError("Slack refused users.list: invalid_cursor.", code="invalid_cursor")
    users_list = UsersList(ALICE, DAVE, errors={2: expired})
    members = fetch_members(users_list, team_id="T1")
    assert [member.id for member in members] == ["U1", "U2"]
    assert [cursor for cursor, _ in users_list.calls] == ["", "1", "", "1"]
    with pytest.raises(SlackRequestError):
        fetch_members(UsersList(ALICE, DAVE, errors={2: expired, 4: expired}), team_id="T1")


def test_repeated_cursor_raises() -> None:
    with pytest.raises(SlackRequestError, match="same cursor"):
        fetch_members(lambda **_: {"members": [], "response_metadata": {"next_cursor": "x"}}, team_id="T1")


def test_page_without_metadata_is_the_last() -> None:
    assert fetch_members(lambda **_: {"members": [slack_user(ALICE)]}, team_id="T1") == [ALICE]


@pytest.mark.parametrize("limit", [0, 1000])
def test_fetch_rejects_invalid_limit(limit: int) -> None:
    with pytest.raises(ValueError, match="limit is"):
        fetch_members(UsersList(ALICE), team_id="T1", limit=limit)


@pytest.mark.parametrize("error", [SlackConfigurationError("missing_scope"), SlackUnavailableError("later")])
def test_failed_refresh_keeps_cached_directory(cache: DirectoryCache, error: IncidentError) -> None:
    cache.put("T1", [ALICE])
    with pytest.raises(type(error)):
        refresh(cache, "T1", UsersList(DAVE, ALICE, errors={2: error}))
    assert len(cache.get("T1").directory) == 1
    assert cache.get("T1").directory.members([0]) == [ALICE]
