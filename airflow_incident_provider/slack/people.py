"""Slack as the place where people are looked up."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager
from itertools import count
from types import TracebackType
from typing import Any, TypeVar

from airflow_incident_provider.exceptions import SlackError, SlackRequestError
from airflow_incident_provider.people.directory import Directory, Member
from airflow_incident_provider.people.queries import QueryKind, parse_query
from airflow_incident_provider.people.resolver import UserGroup
from airflow_incident_provider.slack.client import LiveSlackClient
from airflow_incident_provider.slack.concurrency import MAX_CONCURRENT_CALLS
from airflow_incident_provider.slack.directory_cache import LARGEST_PAGE_SIZE, DirectoryCache, fetch_members

PAGES_AT_ONCE = 3
"""How many pages of members may be downloaded while an incident waits; beyond that the cache has to have them."""

_UNKNOWN = frozenset({"users_not_found", "user_not_found", "user_not_visible"})

T = TypeVar("T")


class SlackPeople(AbstractContextManager["SlackPeople"]):
    """A :class:`~airflow_incident_provider.people.resolver.PeopleSource` over Slack's API.

    Answers are asked for ahead and side by side (:meth:`prefetch`) and kept for the lifetime of this object.

    :param slack: the workspace.
    :param cache: where its directory of members may lie; a stale one is used rather than waited for.
    """

    def __init__(self, slack: LiveSlackClient, cache: DirectoryCache) -> None:
        self._slack = slack
        self._cache = cache
        self._pool = ThreadPoolExecutor(max_workers=MAX_CONCURRENT_CALLS)
        self._asked: dict[tuple[str, str], Future[Any]] = {}
        self._team_id = slack.workspace.team_id or ""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Let go of the threads."""
        self._pool.shutdown(cancel_futures=True)

    def prefetch(self, queries: Iterable[str]) -> None:
        """Begin to ask for everything that these queries will certainly need."""
        for text in queries:
            try:
                query = parse_query(text)
            except ValueError:
                continue
            match query.kind:
                case QueryKind.EMAIL:
                    self._begin("email", query.value, self._email)
                case QueryKind.ID:
                    self._begin("member", query.value, self._member)
                case QueryKind.USERGROUP | QueryKind.HANDLE:
                    self._begin("usergroups", "", self._usergroups)
                case QueryKind.NAME:
                    self._begin("directory", "", self._directory)

    def lookup_email(self, email: str) -> Member | None:
        """Return who has this address (``users.lookupByEmail``: one call).

        Slack does not find those who were deactivated; the directory does, and is asked if it is at hand.
        """
        return self._answer("email", email, self._email) or self._departed(email)

    def _departed(self, email: str) -> Member | None:
        """Return who had this address before they were deactivated, as far as the directory at hand knows."""
        if ("directory", "") not in self._asked:
            cached = self._cache.get(self._team_id)
            return cached.directory.who_left(email) if cached is not None else None
        try:
            return self.directory().who_left(email)
        except SlackError:
            # Told where a name needs the directory; this question can do without it.
            return None

    def member(self, user_id: str) -> Member | None:
        """Return the member with this id (``users.info``: one call)."""
        return self._answer("member", user_id, self._member)

    def directory(self) -> Directory:
        """Return all members: from the cache, else, in a small workspace, by ``users.list``."""
        return self._answer("directory", "", self._directory)

    def usergroup(self, handle_or_id: str) -> UserGroup | None:
        """Return an active user group, and begin to ask for its members (``usergroups.list``: one call)."""
        wanted = handle_or_id.casefold()
        groups = self._answer("usergroups", "", self._usergroups)
        group = next((g for g in groups if wanted in (g.handle.casefold(), g.id.casefold())), None)
        for user_id in group.member_ids if group else ():
            self._begin("member", user_id, self._member)
        return group

    def _begin(self, kind: str, value: str, ask: Callable[[str], T]) -> Future[T]:
        if (kind, value) not in self._asked:
            self._asked[kind, value] = self._pool.submit(ask, value)
        return self._asked[kind, value]

    def _answer(self, kind: str, value: str, ask: Callable[[str], T]) -> T:
        return self._begin(kind, value, ask).result()

    def _email(self, email: str) -> Member | None:
        return self._user("users.lookupByEmail", email=email)

    def _member(self, user_id: str) -> Member | None:
        return self._user("users.info", user=user_id)

    def _user(self, method: str, **arguments: str) -> Member | None:
        try:
            answer = self._slack.hook.read(method, **arguments)
        except SlackRequestError as error:
            if error.code in _UNKNOWN:
                return None
            raise
        return Member.from_slack(answer["user"], team_id=self._team_id)

    def _usergroups(self, _: str) -> tuple[UserGroup, ...]:
        answer = self._slack.hook.read("usergroups.list", include_users=True, include_disabled=False)
        return tuple(_group(found) for found in answer["usergroups"])

    def _directory(self, _: str) -> Directory:
        cached = self._cache.get(self._team_id)
        if cached is not None:
            return cached.directory
        directory = Directory.of(self._download())
        self._cache.put(self._team_id, directory)
        return directory

    def _download(self) -> list[Member]:
        """Download a small workspace's members; of a large one say how to have them at hand.

        :raises SlackRequestError: when there are more than an incident should wait for.
        """
        pages = count(1)

        def page(*, cursor: str, limit: int) -> Any:
            if next(pages) > PAGES_AT_ONCE:
                raise SlackRequestError(
                    f"this workspace has more than {PAGES_AT_ONCE * limit} members, too many to download during "
                    "an incident; unpause the DAG slack_directory_refresh, which keeps them at hand"
                )
            return self._slack.hook.read("users.list", cursor=cursor, limit=limit)

        return fetch_members(page, team_id=self._team_id, limit=LARGEST_PAGE_SIZE)


def _group(found: Mapping[str, Any]) -> UserGroup:
    return UserGroup(id=found["id"], handle=found.get("handle", ""), member_ids=tuple(found.get("users") or ()))
