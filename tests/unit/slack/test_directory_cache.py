import os
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
from airflow_incident_provider.people.directory import Directory, Member
from airflow_incident_provider.people.matching import match_name
from airflow_incident_provider.slack.directory_cache import DirectoryCache, fetch_members, refresh

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
    return DirectoryCache(tmp_path / "cache", timedelta(hours=24), clock=clock)


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
    """``users.list`` in pages of one; ``errors`` gives what the nth call raises instead of answering."""

    def __init__(self, *members: Member, errors: dict[int, Exception] | None = None) -> None:
        self.members = members
        self.errors = errors or {}
        self.calls: list[tuple[str, int]] = []

    def __call__(self, *, cursor: str, limit: int) -> dict[str, Any]:
        self.calls.append((cursor, limit))
        if error := self.errors.get(len(self.calls)):
            raise error
        at = int(cursor or 0)
        after = str(at + 1) if at + 1 < len(self.members) else ""
        users = [slack_user(member) for member in self.members[at : at + 1]]
        return {"members": users, "response_metadata": {"next_cursor": after}}


def test_what_is_put_is_got(cache: DirectoryCache) -> None:
    cache.put("T1", Directory.of([ALICE, DAVE]))
    cached = cache.get("T1")
    assert cached.directory.by_id("U1") == ALICE
    assert cached.directory.by_id("U2") == DAVE
    assert len(cached.directory) == 2


@pytest.mark.parametrize("query", ["Alice Ng", "Alice Nge", "alice", "ang", "Dave Dale", "dave", "nobody"])
def test_people_are_found_in_the_file_as_they_were_before(cache: DirectoryCache, query: str) -> None:
    directory = Directory.of([ALICE, DAVE, Member("U3", "alice2", "Alice Longname", guest=True)])
    cache.put("T1", directory)
    assert match_name(query, cache.get("T1").directory) == match_name(query, directory)


def test_who_left_is_known_by_their_address(cache: DirectoryCache) -> None:
    gone = Member.from_slack({"id": "U9", "deleted": True, "profile": {"email": "Gone@acme.example"}}, team_id="T1")
    cache.put("T1", Directory.of([ALICE, DAVE, gone]))
    directory = cache.get("T1").directory
    assert directory.who_left("gone@ACME.example") == gone
    assert directory.who_left("alice@acme.example") is None
    assert directory.who_left("") is None


def test_an_empty_workspace(cache: DirectoryCache) -> None:
    cache.put("T1", Directory.of([]))
    assert len(cache.get("T1").directory) == 0


def test_nothing_was_put(cache: DirectoryCache) -> None:
    assert cache.get("T1") is None


def test_workspaces_are_apart(cache: DirectoryCache) -> None:
    cache.put("T1", Directory.of([ALICE]))
    assert cache.get("T2") is None
    cache.path("T1").rename(cache.path("T2"))
    assert cache.get("T2") is None


@pytest.mark.parametrize("team_id", ["", "../T1", "T1/x", "t1"])
def test_a_team_id_cannot_lead_elsewhere(cache: DirectoryCache, team_id: str) -> None:
    with pytest.raises(ValueError, match="not the id"):
        cache.path(team_id)


def test_age_and_freshness(cache: DirectoryCache, clock: Clock) -> None:
    cache.put("T1", Directory.of([ALICE]))
    clock.now += timedelta(hours=24)
    assert cache.get("T1").fresh
    clock.now += timedelta(seconds=1)
    stale = cache.get("T1")
    assert not stale.fresh
    assert stale.age == timedelta(hours=24, seconds=1)
    assert stale.directory.by_id("U1") == ALICE


def test_only_the_owner_may_read_it(cache: DirectoryCache) -> None:
    previous = os.umask(0)
    try:
        cache.put("T1", Directory.of([ALICE]))
        cache.put("T1", Directory.of([ALICE]))
    finally:
        os.umask(previous)
    assert stat.S_IMODE(cache.path("T1").stat().st_mode) == 0o600
    assert stat.S_IMODE(cache.folder.stat().st_mode) == 0o700


@pytest.mark.parametrize(
    "damage",
    [
        lambda _: b"",
        lambda content: content[:-5],
        lambda content: content.replace(b"Alice", b"Mally"),
        lambda content: content.replace(b'"schema": 3', b'"schema": 2'),
        lambda content: b"\xff\x00" + content,
        lambda _: b"[]\n",
        lambda content: content.partition(b"\n")[0],
    ],
)
def test_a_damaged_file_is_as_good_as_none_and_says_so(
    cache: DirectoryCache, caplog: pytest.LogCaptureFixture, damage: Callable[[bytes], bytes]
) -> None:
    cache.put("T1", Directory.of([ALICE]))
    path = cache.path("T1")
    path.write_bytes(damage(path.read_bytes()))
    with caplog.at_level("WARNING"):
        assert cache.get("T1") is None
    assert path.name in caplog.text
    assert "Alice" not in caplog.text


def test_a_write_that_fails_leaves_the_old_file_and_no_other(
    cache: DirectoryCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache.put("T1", Directory.of([ALICE]))

    def full_disk(*_: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(Path, "replace", full_disk)
    with pytest.raises(OSError, match="no space"):
        cache.put("T1", Directory.of([DAVE]))
    assert [file.name for file in cache.folder.iterdir()] == [cache.path("T1").name]
    assert cache.get("T1").directory.by_id("U1") == ALICE


def test_every_page_is_read_and_no_email_kept(cache: DirectoryCache) -> None:
    users_list = UsersList(ALICE, DAVE)
    cached = refresh(cache, "T1", users_list, limit=500)
    assert users_list.calls == [("", 500), ("1", 500)]
    assert cached.fresh
    assert len(cached.directory) == len(cache.get("T1").directory) == 2
    assert b"secret" not in cache.path("T1").read_bytes()


def test_an_expired_cursor_starts_again_once() -> None:
    expired = SlackRequestError("Slack refused users.list: invalid_cursor.", code="invalid_cursor")
    users_list = UsersList(ALICE, DAVE, errors={2: expired})
    members = fetch_members(users_list, team_id="T1")
    assert [member.id for member in members] == ["U1", "U2"]
    assert [cursor for cursor, _ in users_list.calls] == ["", "1", "", "1"]
    with pytest.raises(SlackRequestError):
        fetch_members(UsersList(ALICE, DAVE, errors={2: expired, 4: expired}), team_id="T1")


def test_a_cursor_that_goes_in_circles_ends() -> None:
    with pytest.raises(SlackRequestError, match="same cursor"):
        fetch_members(lambda **_: {"members": [], "response_metadata": {"next_cursor": "x"}}, team_id="T1")


def test_a_short_or_last_page_without_metadata_ends_it() -> None:
    assert fetch_members(lambda **_: {"members": [slack_user(ALICE)]}, team_id="T1") == [ALICE]


@pytest.mark.parametrize("limit", [0, 1000])
def test_the_limit_is_slacks(limit: int) -> None:
    with pytest.raises(ValueError, match="limit is"):
        fetch_members(UsersList(ALICE), team_id="T1", limit=limit)


@pytest.mark.parametrize("error", [SlackConfigurationError("missing_scope"), SlackUnavailableError("later")])
def test_what_was_kept_stays_when_the_next_cannot_be_fetched(cache: DirectoryCache, error: IncidentError) -> None:
    cache.put("T1", Directory.of([ALICE]))
    with pytest.raises(type(error)):
        refresh(cache, "T1", UsersList(DAVE, ALICE, errors={2: error}))
    assert len(cache.get("T1").directory) == 1
    assert cache.get("T1").directory.by_id("U1") == ALICE
