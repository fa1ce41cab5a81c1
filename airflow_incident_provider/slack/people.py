"""People looked up in Slack, concurrently and within a time budget."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeoutError
from contextlib import AbstractContextManager, suppress
from datetime import timedelta
from functools import partial
from itertools import count
from threading import Lock
from types import TracebackType
from typing import Any, TypeVar

from airflow_incident_provider.config import DEFAULT_LOOKUP_BUDGET_SECONDS
from airflow_incident_provider.exceptions import SlackError, SlackRequestError, SlackUnavailableError
from airflow_incident_provider.people.directory import Directory, Member
from airflow_incident_provider.people.queries import QueryKind, parse_query
from airflow_incident_provider.people.resolver import FRESH_FOR, MAX_GROUP_SIZE, UserGroup, age_of
from airflow_incident_provider.slack.client import LiveSlackClient
from airflow_incident_provider.slack.concurrency import MAX_CONCURRENT_CALLS
from airflow_incident_provider.slack.directory_cache import (
    MAX_PAGE_SIZE,
    DirectoryCache,
    SqliteDirectory,
    fetch_members,
)
from airflow_incident_provider.slack.errors import TIMED_OUT
from airflow_incident_provider.slack.responses import required_list, required_object, required_objects

MAX_PAGES = 3
"""How many pages of members are downloaded while an incident waits; a larger workspace needs the cache."""

STALE_AFTER = timedelta(days=7)
"""From this age on, a small workspace's directory is downloaded again instead of being read from the cache."""

_UNKNOWN = frozenset({"users_not_found", "user_not_found", "user_not_visible"})

T = TypeVar("T")


class SlackPeople(AbstractContextManager["SlackPeople"]):
    """A :class:`~airflow_incident_provider.people.resolver.PeopleSource` over Slack's API.

    Lookups run concurrently (:meth:`prefetch`) and are kept for the lifetime of this object.

    :param slack: the workspace.
    :param cache: keeps the directory of members. One that cannot be read or written costs a warning only.
    :param budget_s: seconds from now after which no lookup is waited for, however Slack fails.
    """

    def __init__(
        self, slack: LiveSlackClient, cache: DirectoryCache, *, budget_s: float = DEFAULT_LOOKUP_BUDGET_SECONDS
    ) -> None:
        self._team_id = slack.workspace.team_id or ""
        self._team_argument = slack.team_argument
        self._hook = slack.hook.within(budget_s)
        self._deadline = time.monotonic() + budget_s
        self._cache = cache
        self._pool = ThreadPoolExecutor(max_workers=MAX_CONCURRENT_CALLS)
        self._pending: dict[tuple[str, str], Future[Any]] = {}
        self._lock = Lock()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Abandon lookups that have not ended."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def prefetch(self, queries: Iterable[str]) -> None:
        """Start everything that these queries will certainly need."""
        for text in queries:
            try:
                query = parse_query(text)
            except ValueError:
                continue
            match query.kind:
                case QueryKind.EMAIL:
                    self._start("email", query.value, self._lookup_email)
                case QueryKind.ID:
                    self._start("member", query.value, self._lookup_member)
                case QueryKind.USERGROUP | QueryKind.HANDLE:
                    groups = self._start("usergroups", "", self._list_usergroups)
                    groups.add_done_callback(partial(self._prefetch_group, query.value))
                case QueryKind.NAME:
                    self._start("directory", "", self._load_directory)

    def _prefetch_group(self, handle_or_id: str, groups: Future[tuple[UserGroup, ...]]) -> None:
        """Start to look up a group's members, or the directory if the handle may be a person's."""
        if groups.cancelled() or groups.exception() is not None:
            return
        wanted = handle_or_id.casefold()
        found = [group for group in groups.result() if wanted in (group.handle.casefold(), group.id.casefold())]
        with suppress(RuntimeError):  # no caller waits any more
            if not found:
                self._start("directory", "", self._load_directory)
            for group in found:
                if not group.disabled and group.member_count <= MAX_GROUP_SIZE:
                    self.prefetch_members(group.member_ids)

    def prefetch_members(self, user_ids: Iterable[str]) -> None:
        """Start to look these members up."""
        for user_id in user_ids:
            self._start("member", user_id, self._lookup_member)

    def lookup_email(self, email: str) -> Member | None:
        """Return the member with this address (``users.lookupByEmail``: one call).

        Slack does not find deactivated members: the directory does, if it is at hand.
        """
        return self._result("email", email, self._lookup_email) or self._find_departed(email)

    def _find_departed(self, email: str) -> Member | None:
        try:
            if ("directory", "") in self._pending:
                return self.directory().find_departed(email)
            cached = self._cache.get(self._team_id)
            return cached.directory.find_departed(email) if cached is not None else None
        except SlackError:
            # Reported where a name needs the directory; here it only explains why nobody was found.
            return None

    def member(self, user_id: str) -> Member | None:
        """Return the member with this id (``users.info``: one call).

        While that method fails, a list of all members that Slack returned just now answers the same question.
        """
        try:
            return self._result("member", user_id, self._lookup_member)
        except SlackError:
            listed = self._find_listed(user_id)
            if listed is None:
                raise
            return listed

    def _find_listed(self, user_id: str) -> Member | None:
        try:
            directory = self._result("directory", "", self._load_directory)
            if age_of(directory) > FRESH_FOR:
                directory = self._result("fresh directory", "", self._download_directory)
            return directory.member(user_id)
        except SlackError:
            return None

    def directory(self) -> Directory:
        """Return all members: from the cache, or, in a small workspace, from ``users.list``."""
        return self._result("directory", "", self._load_directory)

    def usergroups(self) -> Sequence[UserGroup]:
        """Return all user groups (``usergroups.list``: one call)."""
        return self._result("usergroups", "", self._list_usergroups)

    def group_member_ids(self, group: UserGroup) -> Sequence[str]:
        """Return a group's members: from the list of groups, or ``usergroups.users.list``."""
        if group.member_ids or group.size == 0:
            return group.member_ids
        return self._result("usergroup", group.id, self._list_group_members)

    def _start(self, kind: str, value: str, look_up: Callable[[str], T]) -> Future[T]:
        with self._lock:
            if (kind, value) not in self._pending:
                self._pending[kind, value] = self._pool.submit(look_up, value)
            return self._pending[kind, value]

    def _result(self, kind: str, value: str, look_up: Callable[[str], T]) -> T:
        """Return what a lookup found.

        :raises SlackUnavailableError: it has not ended within the budget.
        """
        future = self._start(kind, value, look_up)
        try:
            return future.result(timeout=max(0.0, self._deadline - time.monotonic()))
        except FutureTimeoutError:
            if future.done():
                raise
            raise SlackUnavailableError(
                "Slack did not answer within the time that a room waits.", code=TIMED_OUT
            ) from None

    # --- calls, in threads --------------------------------------------------------------------------

    def _lookup_email(self, email: str) -> Member | None:
        return self._lookup("users.lookupByEmail", email=email)

    def _lookup_member(self, user_id: str) -> Member | None:
        try:
            return self._lookup("users.info", user=user_id)
        except SlackError:
            # Whoever asks for the member needs the list next; RuntimeError: no caller waits any more.
            with suppress(RuntimeError):
                self._start("directory", "", self._load_directory)
            raise

    def _lookup(self, method: str, **arguments: str) -> Member | None:
        try:
            response = self._hook.read(method, **arguments)
        except SlackRequestError as error:
            if error.code in _UNKNOWN:
                return None
            raise
        return Member.from_slack(required_object(response, method, "user"), team_id=self._team_id)

    def _list_usergroups(self, _: str) -> tuple[UserGroup, ...]:
        method = "usergroups.list"
        response = self._hook.read(
            method, include_users=True, include_disabled=True, include_count=True, **self._team_argument
        )
        return tuple(_user_group(group) for group in required_objects(response, method, "usergroups"))

    def _list_group_members(self, group_id: str) -> tuple[str, ...]:
        method = "usergroups.users.list"
        response = self._hook.read(method, usergroup=group_id, **self._team_argument)
        return _ids(required_list(response, method, "users"))

    def _load_directory(self, _: str) -> SqliteDirectory:
        cached = self._cache.get(self._team_id)
        if cached is not None and cached.age < STALE_AFTER:
            return cached.directory
        try:
            return self._download_directory("")
        except SlackError:
            if cached is None:
                raise
            return cached.directory

    def _download_directory(self, _: str) -> SqliteDirectory:
        members = self._download()
        try:
            return self._cache.put(self._team_id, members)
        except (OSError, ValueError) as error:
            self._hook.log.warning("The directory of Slack's members cannot be stored: %s", error)
            return SqliteDirectory.of(members)

    def _download(self) -> list[Member]:
        """Download the members of a small workspace.

        :raises SlackRequestError: there are more than an incident should wait for.
        """
        pages = count(1)

        def page(*, cursor: str, limit: int) -> Any:
            if next(pages) > MAX_PAGES:
                raise SlackRequestError(
                    f"this workspace has more than {MAX_PAGES * limit} members, too many to download during "
                    "an incident",
                    code="directory_missing",
                    fix="Unpause the DAG slack_directory_refresh, which keeps them at hand.",
                )
            return self._hook.read("users.list", cursor=cursor, limit=limit, **self._team_argument)

        return fetch_members(page, team_id=self._team_id, limit=MAX_PAGE_SIZE)


def _user_group(group: Mapping[str, Any]) -> UserGroup:
    size = group.get("user_count")
    return UserGroup(
        id=group["id"],
        handle=str(group.get("handle") or ""),
        member_ids=_ids(group.get("users")),
        name=str(group.get("name") or ""),
        size=int(size) if size is not None and str(size).isdigit() else None,
        disabled=bool(group.get("date_delete")),
    )


def _ids(value: object) -> tuple[str, ...]:
    return tuple(each for each in value if isinstance(each, str)) if isinstance(value, list) else ()
