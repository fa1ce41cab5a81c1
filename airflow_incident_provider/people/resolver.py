"""Resolve queries for people: every query ends in exactly one result, and nobody is left out silently."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Protocol, TypeVar

from airflow_incident_provider.config import TaskId
from airflow_incident_provider.exceptions import SlackConfigurationError, SlackError, SlackUnavailableError
from airflow_incident_provider.models import (
    MatchMethod,
    Problem,
    Resolution,
    ResolutionOutcome,
    SlackUser,
    UserResolution,
)
from airflow_incident_provider.people.directory import Directory, Member
from airflow_incident_provider.people.matching import CERTAIN, admit, has_name, match_name, not_found
from airflow_incident_provider.people.names import fold
from airflow_incident_provider.people.queries import Query, QueryKind, parse_query

MAX_GROUP_SIZE = 100
"""A user group with more members is not invited: that would be a mailing, not a war room."""

PRIVATE_ROOM_METHODS = frozenset({MatchMethod.ID, MatchMethod.EMAIL})
"""Everybody can change their own display name, so only these open a private room to somebody."""

FRESH_FOR = timedelta(minutes=1)
"""Up to this age a directory counts as Slack's answer; a member from an older one is confirmed with Slack."""

OUTDATED_AFTER = timedelta(days=2)
"""From this age on a directory is reported as a problem: it is refreshed every night."""

_NO_GROUPS = "plan_upgrade_required"
"""The code of a workspace whose plan has no user groups."""

_BY_NAME = "people by name"
_BY_DIRECTORY = frozenset({MatchMethod.DISPLAY_NAME, MatchMethod.USERNAME})

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class UserGroup:
    """A user group, such as ``@sre-oncall``: handle without ``@``, and as many members' ids as Slack listed."""

    id: str
    handle: str
    member_ids: tuple[str, ...] = ()
    name: str = ""
    size: int | None = None
    disabled: bool = False

    @property
    def member_count(self) -> int:
        """How many members the group has."""
        return len(self.member_ids) if self.size is None else max(self.size, len(self.member_ids))


class PeopleSource(Protocol):
    """Where people are looked up. Every method raises subclasses of :class:`SlackError` and nothing else.

    :class:`SlackUnavailableError` means that asking later may say more.
    """

    def lookup_email(self, email: str) -> Member | None:
        """Return the member with this e-mail address, deactivated ones as far as they are known."""

    def prefetch_members(self, user_ids: Iterable[str]) -> None:
        """Start to look these members up."""

    def member(self, user_id: str) -> Member | None:
        """Return the member with this id, whatever their state; ``None`` if Slack knows none."""

    def directory(self) -> Directory:
        """Return all members. Expensive: asked for at most once, and only if a name needs it."""

    def usergroups(self) -> Sequence[UserGroup]:
        """Return all user groups, disabled ones included."""

    def group_member_ids(self, group: UserGroup) -> Sequence[str]:
        """Return the ids of a group's members."""


def resolve(queries: Iterable[str], source: PeopleSource, *, private: bool) -> UserResolution:
    """Find the people that the queries ask for, in the order of the queries.

    Two queries may find the same person: both results are kept, and the room invites once. Nothing that Slack does
    raises: queries that it does not answer are reported as not found, and listed in ``unanswered`` with the reason.

    :param queries: e-mail addresses, Slack ids, handles, user groups and names, as people wrote them.
    :param source: where to look people up.
    :param private: whether the room is private: then only e-mail addresses and ids resolve.
    """
    resolver = _Resolver(source)
    results = resolver.resolve_all(list(queries))
    if private:
        results = [_for_private_room(result) for result in results]
    return UserResolution(
        resolutions=tuple(results), problems=tuple(resolver.problems), unanswered=resolver.unanswered
    )


class _LookupFailedError(Exception):
    """Slack refuses a kind of lookup or does not answer; the message says which and why."""

    def __init__(self, problem: Problem, code: str | None) -> None:
        super().__init__(f"{problem.what}: {problem.error}")
        self.problem = problem
        self.code = code


class _Resolver:
    """One pass over the queries: asks Slack the same thing once, and remembers what it refused."""

    def __init__(self, source: PeopleSource) -> None:
        self._source = source
        self._directory: Directory | None = None
        self._refused: dict[str, _LookupFailedError] = {}
        self._silent: Problem | None = None
        self._silences: dict[Query | str, Problem] = {}
        self.problems: list[Problem] = []
        self.unanswered: dict[str, Problem] = {}

    def resolve_all(self, texts: Sequence[str]) -> list[Resolution]:
        """Return one result for each query.

        Names come first, and those found in a directory that is not fresh are looked up in the background: a
        lookup that hangs must not use up the time for others.
        """
        parsed = {text: _parsed(text) for text in texts}
        queries = dict.fromkeys(parsed.values())
        by_name = [query for query in queries if isinstance(query, Query) and query.kind is QueryKind.NAME]
        answers: dict[Query | str, Resolution] = {}
        self._answer_all(by_name, answers)
        self._prefetch_confirmations(answers)
        self._answer_all((query for query in queries if query not in answers), answers)
        self._confirm(answers)
        for query in by_name:
            answers[query] = self._with_hint(answers[query], query.value)
        self.unanswered = {text: self._silences[parsed[text]] for text in texts if parsed[text] in self._silences}
        return [answers[parsed[text]].model_copy(update={"query": text}) for text in texts]

    def _answer_all(self, queries: Iterable[Query | str], answers: dict[Query | str, Resolution]) -> None:
        for query in queries:
            with self._noting_silence(query):
                answers[query] = self._answer_or_reason(query)

    @contextmanager
    def _noting_silence(self, query: Query | str) -> Iterator[None]:
        """Remember for ``query`` that Slack did not answer in the meantime, if it did not."""
        self._silent = None
        yield
        if self._silent is not None:
            self._silences[query] = self._silent

    def _answer_or_reason(self, query: Query | str) -> Resolution:
        if isinstance(query, str):
            return not_found("", query)
        try:
            return self._answer(query)
        except _LookupFailedError as failure:
            return not_found(query.value, str(failure))

    def _answer(self, query: Query) -> Resolution:
        match query.kind:
            case QueryKind.EMAIL:
                return self._by_email(query.value)
            case QueryKind.ID:
                return self._by_id(query)
            case QueryKind.USERGROUP:
                group = self._group_with(lambda group: group.id == query.value)
                return self._by_group(group) if group else not_found(query.value, "no user group has this id")
            case QueryKind.HANDLE:
                return self._by_handle(query.value)
            case QueryKind.NAME:
                return self._by_names(query.value)

    def _by_email(self, email: str) -> Resolution:
        member = self._ask("people by e-mail address", lambda: self._source.lookup_email(email))
        if member is None:
            return not_found(email, "no active member of this workspace has this e-mail address")
        return admit(email, member, MatchMethod.EMAIL)

    def _by_id(self, query: Query) -> Resolution:
        member = self._member(query.value)
        if member is None and query.name is not None:
            return self._by_names(query.name)
        if member is None:
            return not_found(query.value, "no member of this workspace has this id")
        return admit(query.value, member, MatchMethod.ID)

    def _by_handle(self, handle: str) -> Resolution:
        """Look for a user group first: administrators choose their handles, people choose their own names.

        If Slack does not list the groups, only a username is certain: it is no group's handle.
        """
        try:
            group = self._group_with(lambda group: group.handle.casefold() == handle.casefold())
        except _LookupFailedError as failure:
            person = self._by_name(handle)
            if _is_resolved(person) and (person.method is MatchMethod.USERNAME or failure.code == _NO_GROUPS):
                return person
            if _is_resolved(person):
                may_be_group = not_found(
                    handle, f"{person.users[0].label} has this name, but a user group may, too"
                )
                person = may_be_group.model_copy(update={"candidates": person.users})
            return person.model_copy(update={"reason": f"{person.reason}; {failure}"})
        return self._by_group(group) if group else self._by_name(handle)

    # --- names --------------------------------------------------------------------------------------

    def _by_names(self, text: str) -> Resolution:
        """Return the one person with this name, or the two in "Dana Reyes, Priya Iyer", if both are certain."""
        result = self._by_name(text)
        parts = [part.strip() for part in text.split(",")]
        if result.outcome is not ResolutionOutcome.NOT_FOUND or len(parts) != len(("family", "given")):
            return result
        both = [self._by_name(part) for part in parts]
        usernames = text == text.lower() and all(result.method is MatchMethod.USERNAME for result in both)
        if all(map(_is_resolved, both)) and (usernames or any(" " in part for part in parts)):
            users = {user.id: user for result in both for user in result.users}
            return both[-1].model_copy(update={"query": text, "users": tuple(users.values())})
        hint = f'{result.reason} (read as one person, "Last, First": to name two, put each on a line of its own)'
        return result.model_copy(update={"reason": hint})

    def _by_name(self, name: str) -> Resolution:
        if self._directory is None:
            self._directory = self._ask(_BY_NAME, self._source.directory)
            self._report_age(self._directory)
        result = self._ask(_BY_NAME, lambda: match_name(name, self._require_directory()))
        if result.outcome is ResolutionOutcome.NOT_FOUND and (age := age_of(self._directory)) > FRESH_FOR:
            since = f"the directory of members is {age_in_words(age)} old"
            result = result.model_copy(update={"reason": f"{result.reason} ({since})"})
        return result

    def _require_directory(self) -> Directory:
        assert self._directory is not None
        return self._directory

    def _report_age(self, directory: Directory) -> None:
        if (age := age_of(directory)) > OUTDATED_AFTER:
            self.problems.append(
                Problem(
                    step=TaskId.RESOLVE_USERS,
                    what=f"people were looked up in a directory that is {age_in_words(age)} old",
                    fix="Unpause the DAG slack_directory_refresh and see why its last run failed.",
                )
            )

    def _with_hint(self, result: Resolution, name: str) -> Resolution:
        """Say so if a name that was not found is the handle of a user group, without its ``@``."""
        if result.outcome is not ResolutionOutcome.NOT_FOUND or result.candidates:
            return result
        try:
            groups = self._source.usergroups()
        except SlackError:  # The name was looked up: only the hint is missing.
            return result
        wanted = fold(name)
        group = next((group for group in groups if wanted in (fold(group.handle), fold(group.name))), None)
        if group is None:
            return result
        return result.model_copy(update={"reason": f"{result.reason}; for the user group write @{group.handle}"})

    def _to_confirm(self, answers: Mapping[Query | str, Resolution]) -> dict[Query | str, Resolution]:
        """Return who was found by name in a directory that is not fresh."""
        if self._directory is None or age_of(self._directory) <= FRESH_FOR:
            return {}
        return {
            query: result
            for query, result in answers.items()
            if _is_resolved(result) and result.method in _BY_DIRECTORY
        }

    def _prefetch_confirmations(self, answers: Mapping[Query | str, Resolution]) -> None:
        users = (user for result in self._to_confirm(answers).values() for user in result.users)
        self._source.prefetch_members(user.id for user in users)

    def _confirm(self, answers: dict[Query | str, Resolution]) -> None:
        """Ask Slack again for everybody who was found by name in a directory that is not fresh."""
        self._prefetch_confirmations(answers)
        for query, result in self._to_confirm(answers).items():
            with self._noting_silence(query):
                name = query.value if isinstance(query, Query) else query
                answers[query] = self._confirmed(name, result)

    def _confirmed(self, name: str, result: Resolution) -> Resolution:
        for user in result.users:
            try:
                member = self._member(user.id)
            except _LookupFailedError as failure:
                return not_found(name, f"{user.label} could not be confirmed: {failure}")
            if member is None:
                return not_found(name, f"{user.label} has left this workspace")
            if member.ineligibility is not None:
                return admit(name, member, result.method or MatchMethod.DISPLAY_NAME)
            if len(result.users) == 1 and not has_name(member, name):
                renamed = f'"{name}" is called {member.label} now'
                return not_found(name, renamed).model_copy(update={"candidates": (member.user,)})
        return result

    # --- user groups --------------------------------------------------------------------------------

    def _group_with(self, is_wanted: Callable[[UserGroup], bool]) -> UserGroup | None:
        groups = self._ask("user groups", self._source.usergroups)
        return min(filter(is_wanted, groups), key=lambda group: group.disabled, default=None)

    def _by_group(self, group: UserGroup) -> Resolution:
        """Return the members of a group who can be invited, and, as text, those who cannot.

        :raises _LookupFailedError: none of the members could be looked up.
        """
        query = f"@{group.handle}"
        if group.disabled:
            return _group_result(ResolutionOutcome.NOT_FOUND, f"the user group {query} is disabled in Slack")
        if group.member_count > MAX_GROUP_SIZE:
            return _group_result(
                ResolutionOutcome.NOT_ALLOWED,
                f"{query} has {group.member_count} members; groups of more than {MAX_GROUP_SIZE} are not invited",
            )
        ids = tuple(dict.fromkeys(self._ask("user groups", lambda: self._source.group_member_ids(group))))
        if len(ids) > MAX_GROUP_SIZE:
            return self._by_group(UserGroup(group.id, group.handle, size=len(ids)))
        self._source.prefetch_members(ids)
        users, left_out, failures = self._sort_members(ids)
        if not users and failures and len(failures) == len(left_out):
            raise failures[0]
        if not users:
            reason = f"nobody in {query} can be invited" + _listed(": ", left_out)
            return _group_result(ResolutionOutcome.NOT_FOUND, reason)
        invited = _group_result(ResolutionOutcome.RESOLVED, _listed("invited, except ", left_out) or None, users)
        return invited.model_copy(update={"group_id": group.id})

    def _sort_members(self, ids: Iterable[str]) -> tuple[list[SlackUser], list[str], list[_LookupFailedError]]:
        """Return who of a group can be invited, who cannot and why, and which lookups failed."""
        users: list[SlackUser] = []
        left_out: list[str] = []
        failures: list[_LookupFailedError] = []
        for user_id in ids:
            try:
                member = self._member(user_id)
            except _LookupFailedError as failure:
                failures.append(failure)
                left_out.append(f"{user_id} ({failure})")
                continue
            if member is not None and member.ineligibility is None:
                users.append(member.user)
            else:
                left_out.append(f"{member.label} ({member.ineligibility})" if member else f"{user_id} (unknown)")
        return users, left_out, failures

    # --- asking Slack -------------------------------------------------------------------------------

    def _member(self, user_id: str) -> Member | None:
        return self._ask("people by id", lambda: self._source.member(user_id))

    def _ask(self, what: str, call: Callable[[], T]) -> T:
        """Ask Slack, unless it has refused this kind of lookup already.

        :raises _LookupFailedError: Slack refuses or does not answer; kept as a problem with its fix.
        """
        if what in self._refused:
            raise self._refused[what]
        try:
            return call()
        except SlackUnavailableError as error:
            failure = _LookupFailedError(self._problem(what, error), error.code)
            self._silent = failure.problem
            raise failure from None
        except SlackError as error:
            failure = _LookupFailedError(self._problem(what, error), error.code)
            # Wrong arguments are wrong for one person; the directory takes none, so it would refuse again.
            if isinstance(error, SlackConfigurationError) or what == _BY_NAME:
                self._refused[what] = failure
            raise failure from None

    def _problem(self, what: str, error: SlackError) -> Problem:
        problem = Problem(
            step=TaskId.RESOLVE_USERS, what=f"{what} could not be looked up", error=error.message, fix=error.fix
        )
        if problem not in self.problems:
            self.problems.append(problem)
        return problem


def _parsed(text: str) -> Query | str:
    """Return the query in a text, or why there is none."""
    try:
        return parse_query(text)
    except ValueError as error:
        return str(error)


def _for_private_room(result: Resolution) -> Resolution:
    """Return the result with those who were found as suggestions, unless an e-mail address or id found them."""
    if not _is_resolved(result) or result.method in PRIVATE_ROOM_METHODS:
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


def _group_result(outcome: ResolutionOutcome, reason: str | None, users: Iterable[SlackUser] = ()) -> Resolution:
    return Resolution(
        query="",
        outcome=outcome,
        method=MatchMethod.USERGROUP,
        confidence=CERTAIN if outcome is ResolutionOutcome.RESOLVED else 0.0,
        users=tuple(users),
        reason=reason,
    )


def age_of(directory: Directory | None) -> timedelta:
    """Return how long ago the members were fetched; of no directory, zero."""
    fetched_at = directory.fetched_at if directory is not None else None
    return datetime.now(UTC) - fetched_at if fetched_at is not None else timedelta()


def age_in_words(age: timedelta) -> str:
    """Return an age, rounded, for readers."""
    hours = round(age / timedelta(hours=1))
    if age.days >= OUTDATED_AFTER.days:
        return f"{age.days} days"
    return f"{hours} h" if hours else f"{round(age / timedelta(minutes=1))} min"


def _is_resolved(result: Resolution) -> bool:
    return result.outcome is ResolutionOutcome.RESOLVED


def _listed(heading: str, items: list[str]) -> str:
    """Return the items after their heading, or nothing if there are none."""
    return heading + ", ".join(items) if items else ""
