"""Every query for a person ends in exactly one result; nobody is left out without a word."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol, TypeVar

from airflow_incident_provider.config import TaskId
from airflow_incident_provider.exceptions import (
    SlackConfigurationError,
    SlackError,
    SlackRequestError,
    SlackUnavailableError,
)
from airflow_incident_provider.models import (
    MatchMethod,
    Problem,
    Resolution,
    ResolutionOutcome,
    UserResolution,
)
from airflow_incident_provider.people.directory import Directory, Member
from airflow_incident_provider.people.matching import admit, match_name
from airflow_incident_provider.people.queries import Query, QueryKind, parse_query

MAX_GROUP_SIZE = 100
"""A user group with more members is not invited as a whole: that is a mailing, not a war room."""

PRIVATE_ROOM_METHODS = frozenset({MatchMethod.ID, MatchMethod.EMAIL})
"""Everybody can change their own display name, so in a private room only these let somebody in."""

_BY_NAME = "people by name"

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class UserGroup:
    """A user group, such as ``@sre-oncall``: its id, its handle without ``@``, and its members' ids."""

    id: str
    handle: str
    member_ids: tuple[str, ...]


class PeopleSource(Protocol):
    """Where people are looked up.

    Errors: :class:`SlackConfigurationError` (a scope is missing, say) and :class:`SlackRequestError` become
    part of the result; :class:`SlackUnavailableError` goes through where trying again may work.
    """

    def lookup_email(self, email: str) -> Member | None:
        """Return who has this e-mail address; Slack does not find those who were deactivated."""

    def member(self, user_id: str) -> Member | None:
        """Return the member with this id, of whatever state; ``None`` when Slack knows none."""

    def directory(self) -> Directory:
        """Return all members. Costly: asked for at most once, and only if a name needs it."""

    def usergroup(self, handle_or_id: str) -> UserGroup | None:
        """Return the active user group with this handle (without ``@``) or id (``S...``)."""


def resolve(
    queries: Iterable[str],
    source: PeopleSource,
    *,
    private: bool,
    should_wait: Callable[[SlackUnavailableError], bool] = lambda _: True,
) -> UserResolution:
    """Find out who is meant by each query, in the order of the queries.

    Two queries may come to the same person: both results are kept, for whoever asked; the room invites once.

    :param queries: e-mail addresses, Slack ids, handles, user groups and names, as people wrote them.
    :param source: where to look people up.
    :param private: whether the room is private: then only an e-mail address or an id lets somebody in.
    :param should_wait: whether the caller asks for everybody again, later, because Slack does not answer. If not,
        whom Slack does not answer for is not found, for that reason, and the others are not lost with them.
    :raises SlackUnavailableError: when Slack does not answer, and that is worth waiting.
    """
    resolver = _Resolver(source, should_wait)
    results = [resolver.resolve(query) for query in queries]
    if private:
        results = [_for_private_room(result) for result in results]
    return UserResolution(
        resolutions=tuple(results), problems=tuple(resolver.problems), unanswered=resolver.unanswered
    )


class _LookupRefusedError(Exception):
    """Slack refuses a way of looking people up, or does not answer; the message says which and why."""


class _Resolver:
    """One pass over the queries: asks Slack the same thing once, and remembers what it may not ask."""

    def __init__(self, source: PeopleSource, should_wait: Callable[[SlackUnavailableError], bool]) -> None:
        self._source = source
        self._worth_waiting = should_wait
        self._directory: Directory | None = None
        self._refused: dict[str, str] = {}
        self._answers: dict[Query, Resolution] = {}
        self._silence: Problem | None = None
        self._silences: dict[Query, Problem] = {}
        self.problems: list[Problem] = []
        self.unanswered: dict[str, Problem] = {}

    def resolve(self, text: str) -> Resolution:
        """Return the one result for a query."""
        try:
            query = parse_query(text)
        except ValueError as error:
            return _not_found(text, str(error))
        if query not in self._answers:
            self._ask_about(text, query)
        if query in self._silences:
            self.unanswered[text] = self._silences[query]
        return self._answers[query].model_copy(update={"query": text})

    def _ask_about(self, text: str, query: Query) -> None:
        """Find the one result for a query, and note whether Slack was silent about some of it."""
        self._silence = None
        try:
            self._answers[query] = self._answer(text, query)
        except _LookupRefusedError as refusal:
            self._answers[query] = _not_found(text, str(refusal))
        if self._silence is not None:
            self._silences[query] = self._silence

    def _answer(self, text: str, query: Query) -> Resolution:
        match query.kind:
            case QueryKind.EMAIL:
                return self._by_email(text, query.value)
            case QueryKind.ID:
                return self._by_id(text, query.value)
            case QueryKind.USERGROUP:
                group = self._usergroup(query.value)
                return self._group(text, group) if group else _not_found(text, "no such user group is active")
            case QueryKind.HANDLE:
                return self._by_handle(text, query.value)
            case QueryKind.NAME:
                return self._by_name(query.value)

    def _by_email(self, text: str, email: str) -> Resolution:
        member = self._ask("people by e-mail address", lambda: self._source.lookup_email(email))
        if member is None:
            return _not_found(text, "no active member of this workspace has this e-mail address")
        return admit(text, member, MatchMethod.EMAIL)

    def _by_id(self, text: str, user_id: str) -> Resolution:
        member = self._member(user_id)
        if member is None:
            return _not_found(text, "no member of this workspace has this id")
        return admit(text, member, MatchMethod.ID)

    def _by_handle(self, text: str, handle: str) -> Resolution:
        """Look for a user group first: administrators give out their handles, people choose their own names."""
        try:
            group = self._usergroup(handle.lower())
        except _LookupRefusedError as refusal:
            person = self._by_name(handle)
            unsure = f"{person.reason}; {refusal}"
            return person if _resolved(person) else person.model_copy(update={"reason": unsure})
        return self._group(text, group) if group else self._by_name(handle)

    def _by_name(self, name: str) -> Resolution:
        if self._directory is None:
            self._directory = self._ask(_BY_NAME, self._source.directory)
        return match_name(name, self._directory)

    def _group(self, text: str, group: UserGroup) -> Resolution:
        """Return the members of a group who may come, and in words who of them may not.

        :raises _LookupRefusedError: when Slack tells of none of them who they are.
        """
        if len(group.member_ids) > MAX_GROUP_SIZE:
            return Resolution(
                query=text,
                outcome=ResolutionOutcome.NOT_ALLOWED,
                method=MatchMethod.USERGROUP,
                reason=f"@{group.handle} has {len(group.member_ids)} members; "
                f"groups of more than {MAX_GROUP_SIZE} are not invited as a whole",
            )
        users, left_out, refusals = [], [], []
        for user_id in dict.fromkeys(group.member_ids):
            try:
                member = self._member(user_id)
            except _LookupRefusedError as refusal:
                refusals.append(refusal)
                left_out.append(f"{user_id} ({refusal})")
                continue
            if member is not None and member.ineligibility is None:
                users.append(member.user)
            else:
                left_out.append(f"{member.label} ({member.ineligibility})" if member else f"{user_id} (unknown)")
        if not users and len(refusals) == len(left_out) > 0:
            raise refusals[0]
        if not users:
            reason = f"nobody in @{group.handle} can be invited" + _listed(": ", left_out)
            return _not_found(text, reason).model_copy(update={"method": MatchMethod.USERGROUP})
        return Resolution(
            query=text,
            outcome=ResolutionOutcome.RESOLVED,
            method=MatchMethod.USERGROUP,
            confidence=100.0,
            users=tuple(users),
            reason=_listed("left out: ", left_out) or None,
        )

    def _member(self, user_id: str) -> Member | None:
        return self._ask("people by id", lambda: self._source.member(user_id))

    def _usergroup(self, handle_or_id: str) -> UserGroup | None:
        return self._ask("user groups", lambda: self._source.usergroup(handle_or_id))

    def _ask(self, what: str, call: Callable[[], T]) -> T:
        """Ask Slack, unless it has said already that this app may not ask for ``what``.

        :raises _LookupRefusedError: when Slack refuses; it is kept as a problem with what would mend it.
        """
        if what in self._refused:
            raise _LookupRefusedError(self._refused[what])
        try:
            return call()
        except (SlackConfigurationError, SlackRequestError) as error:
            refusal = _LookupRefusedError(_told(self._noted(what, error)))
            # Wrong arguments are wrong for one person; the directory takes none, so it would refuse again.
            if isinstance(error, SlackConfigurationError) or what == _BY_NAME:
                self._refused[what] = str(refusal)
            raise refusal from None
        except SlackUnavailableError as error:
            if self._worth_waiting(error):
                raise
            self._silence = self._noted(what, error)
            raise _LookupRefusedError(_told(self._silence)) from None

    def _noted(self, what: str, error: SlackError) -> Problem:
        problem = Problem(
            step=TaskId.RESOLVE_USERS, what=f"{what} could not be looked up", error=error.message, fix=error.fix
        )
        if problem not in self.problems:
            self.problems.append(problem)
        return problem


def _for_private_room(result: Resolution) -> Resolution:
    """Return the result with who was found demoted to a suggestion, unless the way is sure enough."""
    if not _resolved(result) or result.method in PRIVATE_ROOM_METHODS:
        return result
    return result.model_copy(
        update={
            "outcome": ResolutionOutcome.NOT_ALLOWED,
            "users": (),
            "candidates": result.users,
            "reason": "a private room takes only e-mail addresses and Slack ids"
            + _listed("; it would be ", [user.label for user in result.users]),
        }
    )


def _told(problem: Problem) -> str:
    return f"{problem.what}: {problem.error}"


def _resolved(result: Resolution) -> bool:
    return result.outcome is ResolutionOutcome.RESOLVED


def _not_found(query: str, reason: str) -> Resolution:
    return Resolution(query=query, outcome=ResolutionOutcome.NOT_FOUND, reason=reason)


def _listed(heading: str, items: list[str]) -> str:
    """Return the items under their heading, or nothing if there are none."""
    return heading + ", ".join(items) if items else ""
