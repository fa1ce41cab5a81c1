from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_incident_provider.exceptions import (
    SlackConfigurationError,
    SlackError,
    SlackRequestError,
    SlackUnavailableError,
)
from airflow_incident_provider.models import MatchMethod, Resolution, ResolutionOutcome
from airflow_incident_provider.people.directory import Directory, Member
from airflow_incident_provider.people.resolver import MAX_GROUP_SIZE, UserGroup, resolve
from airflow_incident_provider.room.responders import not_invited
from airflow_incident_provider.slack.directory_cache import SqliteDirectory

ALICE = Member("U1", "ang", "Alice Ng")
JON = Member("U2", "jon", "Jon Smith")
DAVE = Member("U3", "dave", "Dave", deleted=True)
GUEST = Member("U4", "gus", "Gus Guest", guest=True)
MEMBERS = [ALICE, JON, DAVE, GUEST]
ONCALL = UserGroup("S1", "sre-oncall", ("U1", "U2", "U3", "U9"))

NO_EMAIL_SCOPE = SlackConfigurationError(
    "Slack refused users.lookupByEmail: missing_scope.", code="missing_scope", fix="Add the scope users:read.email."
)


class FakeSource:
    """An in-memory source of people that records its calls and raises the given errors.

    :param age: the age of the directory.
    :param current: the members that ``users.info`` returns in place of those in the directory.
    """

    def __init__(
        self,
        *,
        groups: Iterable[UserGroup] = (ONCALL,),
        age: timedelta = timedelta(),
        current: Mapping[str, Member | None] | None = None,
        **errors: Exception,
    ) -> None:
        self.age = age
        self.current = dict(current or {})
        self.emails = {"alice@example.com": ALICE, "gus@example.com": GUEST}
        self.groups = list(groups)
        self.errors = errors
        self.calls: list[str] = []

    def _record(self, method: str) -> None:
        self.calls.append(method)
        if method in self.errors:
            raise self.errors[method]

    def lookup_email(self, email: str) -> Member | None:
        self._record("lookup_email")
        return self.emails.get(email)

    def member(self, user_id: str) -> Member | None:
        self._record("member")
        if user_id in self.current:
            return self.current[user_id]
        return next((member for member in MEMBERS if member.id == user_id), None)

    def directory(self) -> Directory:
        self._record("directory")
        return SqliteDirectory.of(MEMBERS, fetched_at=datetime.now(UTC) - self.age)

    def prefetch_members(self, user_ids: Iterable[str]) -> None:
        """Do nothing."""

    def usergroups(self) -> Sequence[UserGroup]:
        self._record("usergroup")
        return self.groups

    def group_member_ids(self, group: UserGroup) -> Sequence[str]:
        self._record("group_members")
        return group.member_ids


def resolve_one(query: str, source: FakeSource | None = None, *, private: bool = False) -> Resolution:
    [result] = resolve([query], source or FakeSource(), private=private).resolutions
    assert result.query == query
    return result


@pytest.mark.parametrize(
    ("query", "user_id", "method"),
    [
        ("Alice@Example.com", "U1", MatchMethod.EMAIL),
        ("Alice Ng <alice@example.com>", "U1", MatchMethod.EMAIL),
        ("mailto:alice@example.com", "U1", MatchMethod.EMAIL),
        ("<@U2|jon>", "U2", MatchMethod.ID),
        ("@ang", "U1", MatchMethod.USERNAME),
        ("@Alice Ng", "U1", MatchMethod.DISPLAY_NAME),
        ("Smith, Jon", "U2", MatchMethod.DISPLAY_NAME),
    ],
)
def test_query_resolves_to_a_member(query: str, user_id: str | None, method: MatchMethod | None) -> None:
    result = resolve_one(query)
    assert [user.id for user in result.users] == ([user_id] if user_id else [])
    assert result.method is method


@pytest.mark.parametrize(
    ("query", "outcome", "reason"),
    [
        ("nobody@example.com", "not_found", "no active member of this workspace has this e-mail address"),
        ("U0999", "not_found", "no member of this workspace has this id"),
        ("<@U3>", "deactivated", "Dave is deactivated in Slack"),
        ("Dave", "deactivated", "Dave is deactivated in Slack"),
        ("gus@example.com", "not_allowed", "Gus Guest is a guest"),
        ("John Smith", "not_found", 'no exact match for "John Smith"; did you mean Jon Smith?'),
        ("<!subteam^S9>", "not_found", "no user group has this id"),
        ("", "not_found", "there is no name in it"),
    ],
)
def test_unresolved_query_has_a_reason(query: str, outcome: str, reason: str) -> None:
    result = resolve_one(query)
    assert (result.outcome, result.reason, result.users) == (outcome, reason, ())


@pytest.mark.parametrize("query", ["@sre-oncall", "@SRE-Oncall", "<!subteam^S1>", "<!subteam^S1|@sre-oncall>"])
def test_user_group_resolves_to_its_eligible_members(query: str) -> None:
    result = resolve_one(query)
    assert result.outcome is ResolutionOutcome.RESOLVED
    assert result.method is MatchMethod.USERGROUP
    assert result.group_id == "S1"
    assert [user.id for user in result.users] == ["U1", "U2"]
    assert result.reason == "invited, except Dave (deactivated in Slack), U9 (unknown)"


def test_user_group_without_eligible_members_is_not_found() -> None:
    source = FakeSource(groups=[UserGroup("S1", "old", ("U3",)), UserGroup("S2", "empty", ())])
    assert resolve_one("@old", source).reason == "nobody in @old can be invited: Dave (deactivated in Slack)"
    assert resolve_one("@empty", source).outcome is ResolutionOutcome.NOT_FOUND


def test_large_user_group_is_not_allowed() -> None:
    large_group = UserGroup("S1", "all", tuple(f"U{number}" for number in range(MAX_GROUP_SIZE + 1)))
    source = FakeSource(groups=[large_group])
    assert resolve_one("@all", source).outcome is ResolutionOutcome.NOT_ALLOWED
    assert "member" not in source.calls


@pytest.mark.parametrize("query", ["Alice Ng", "@ang", "Alice Ngg", "@sre-oncall"])
def test_private_room_only_suggests_matches_by_name(query: str) -> None:
    result = resolve_one(query, private=True)
    assert result.outcome in (ResolutionOutcome.NOT_ALLOWED, ResolutionOutcome.NOT_FOUND)
    assert result.users == ()
    assert result.candidates[0] == ALICE.user
    assert "Alice Ng" in result.reason


@pytest.mark.parametrize("query", ["alice@example.com", "<@U1>"])
def test_private_room_accepts_emails_and_ids(query: str) -> None:
    assert resolve_one(query, private=True).users == (ALICE.user,)


def test_directory_is_loaded_once_and_only_for_names() -> None:
    source = FakeSource()
    resolve(["alice@example.com", "<@U1>", "@sre-oncall"], source, private=False)
    assert "directory" not in source.calls
    resolve(["Alice Ng", "Jon Smith", "@jon", "nobody"], source, private=False)
    assert source.calls.count("directory") == 1


def test_duplicate_queries_are_looked_up_once() -> None:
    source = FakeSource()
    results = resolve(["alice@example.com", "ALICE@example.com", "Alice Ng"], source, private=False).resolutions
    assert [result.query for result in results] == ["alice@example.com", "ALICE@example.com", "Alice Ng"]
    assert all(result.users == (ALICE.user,) for result in results)
    assert source.calls.count("lookup_email") == 1


def test_missing_scope_does_not_affect_other_queries() -> None:
    source = FakeSource(lookup_email=NO_EMAIL_SCOPE)
    resolution = resolve(["alice@example.com", "jon@example.com", "Alice Ng"], source, private=False)
    first, second, third = resolution.resolutions
    for result in (first, second):
        assert result.outcome is ResolutionOutcome.NOT_FOUND
        assert result.reason.startswith("people by e-mail address could not be looked up: Slack refused")
    assert third.outcome is ResolutionOutcome.RESOLVED
    [problem] = resolution.problems
    assert (problem.step, problem.fix) == ("resolve_slack_users", "Add the scope users:read.email.")
    assert source.calls.count("lookup_email") == 1


@pytest.mark.parametrize("query", ["@dba", "@DBA", "@dba!"])
@pytest.mark.parametrize(
    "error",
    [NO_EMAIL_SCOPE, SlackUnavailableError("Slack did not answer."), SlackRequestError("Slack refused it.")],
)
def test_display_name_is_no_handle_while_user_groups_fail(query: str, error: SlackError) -> None:
    """Any member can choose the handle of a user group as display name."""
    MEMBERS.append(Member("U8", "mallory", "dba"))
    try:
        result = resolve_one(query, FakeSource(usergroup=error))
    finally:
        MEMBERS.pop()
    assert (result.outcome, result.users) == (ResolutionOutcome.NOT_FOUND, ())
    assert [user.id for user in result.candidates] == ["U8"]
    assert "user groups could not be looked up" in (result.reason or "")


@pytest.mark.parametrize("query", ["@ang", "@Alice Ng", "@Dave-Ops"])
def test_handle_is_a_person_on_plan_without_user_groups(query: str) -> None:
    refusal = SlackConfigurationError("Slack refused it: plan_upgrade_required.", code="plan_upgrade_required")
    MEMBERS.append(Member("U8", "dave2", "Dave-Ops"))
    try:
        result = resolve_one(query, FakeSource(usergroup=refusal))
    finally:
        MEMBERS.pop()
    assert result.outcome is ResolutionOutcome.RESOLVED


def test_handle_may_be_a_username_while_user_groups_fail() -> None:
    source = FakeSource(usergroup=SlackRequestError("Slack refused usergroups.list: plan_upgrade_required."))
    resolution = resolve(["@ang", "@sre-oncall"], source, private=False)
    person, group = resolution.resolutions
    assert person.users == (ALICE.user,)
    assert group.outcome is ResolutionOutcome.NOT_FOUND
    assert "plan_upgrade_required" in group.reason
    assert len(resolution.problems) == 1


@pytest.mark.parametrize("error", [NO_EMAIL_SCOPE, SlackRequestError("too many members")])
def test_failed_directory_is_requested_once(error: Exception) -> None:
    source = FakeSource(directory=error)
    resolution = resolve(["Alice Ng", "Jon Smith"], source, private=False)
    assert all(result.outcome is ResolutionOutcome.NOT_FOUND for result in resolution.resolutions)
    assert len(resolution.problems) == source.calls.count("directory") == 1


@pytest.mark.parametrize("method", ["lookup_email", "member", "directory", "usergroup", "group_members"])
@pytest.mark.parametrize("error", [SlackUnavailableError("later"), NO_EMAIL_SCOPE, SlackRequestError("no")])
def test_slack_errors_do_not_raise(method: str, error: SlackError) -> None:
    queries = ["alice@example.com", "<@U2>", "Alice Ng", "@ang", "@sre-oncall"]
    resolution = resolve(queries, FakeSource(**{method: error}), private=False)
    assert [result.query for result in resolution.resolutions] == queries
    assert resolution.problems
    assert bool(resolution.unanswered) is isinstance(error, SlackUnavailableError)
    assert len(resolution.resolved) >= len(queries) - 3


def test_unanswered_queries_are_listed_with_the_problem() -> None:
    source = FakeSource(lookup_email=SlackUnavailableError("later"))
    resolution = resolve(["alice@example.com", "Alice Ng", "ALICE@example.com"], source, private=False)
    assert [result.outcome for result in resolution.resolutions] == [
        ResolutionOutcome.NOT_FOUND,
        ResolutionOutcome.RESOLVED,
        ResolutionOutcome.NOT_FOUND,
    ]
    [problem] = resolution.problems
    assert resolution.unanswered == {"alice@example.com": problem, "ALICE@example.com": problem}


# --- "Last, First" ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "query", ["Whitfield, Dave", "Okafor, ang", "Ng, Jon", "Jon Smith, Nobody Here", "Ng, Dave"]
)
def test_unknown_last_first_name_invites_nobody(query: str) -> None:
    result = resolve_one(query)
    assert (result.outcome, result.users) == (ResolutionOutcome.NOT_FOUND, ())
    assert "to name two, put each on a line of its own" in (result.reason or "")


@pytest.mark.parametrize(
    ("query", "ids"),
    [
        ("Ng, Alice", ["U1"]),
        ("NG, ALICE", ["U1"]),
        ("Jon Smith, Alice Ng", ["U2", "U1"]),
        ("Alice Ng, jon", ["U1", "U2"]),
        ("ang, jon", ["U1", "U2"]),
    ],
)
def test_comma_separates_one_name_or_two_exact_names(query: str, ids: list[str]) -> None:
    assert [user.id for user in resolve_one(query).users] == ids


# --- a directory from the cache ---------------------------------------------------------------------

OLD = timedelta(days=400)


@pytest.mark.parametrize(
    ("current", "outcome", "reason"),
    [
        (GUEST, "not_allowed", "is a guest"),
        (DAVE, "deactivated", "deactivated"),
        (None, "not_found", "has left this workspace"),
        (Member("U1", "awong", "Alice Wong"), "not_found", '"Alice Ng" is called Alice Wong now'),
        (Member("U1", "ang", "Alice Ng", external=True), "not_allowed", "another workspace"),
    ],
)
def test_cached_match_is_confirmed_with_slack(current: Member | None, outcome: str, reason: str) -> None:
    result = resolve_one("Alice Ng", FakeSource(age=OLD, current={"U1": current}))
    assert (result.outcome, result.users) == (outcome, ())
    assert reason in (result.reason or "")


def test_unconfirmed_match_is_unanswered() -> None:
    resolution = resolve(["Alice Ng"], FakeSource(age=OLD, member=SlackUnavailableError("later")), private=False)
    assert list(resolution.unanswered) == ["Alice Ng"]
    assert "could not be confirmed" in (resolution.resolutions[0].reason or "")


def test_expired_directory_is_reported_as_a_problem() -> None:
    resolution = resolve(["Alice Ng", "Nora New"], FakeSource(age=OLD), private=False)
    confirmed, missing = resolution.resolutions
    assert confirmed.users == (ALICE.user,)
    assert "the directory of members is 400 days old" in (missing.reason or "")
    [problem] = resolution.problems
    assert "400 days old" in problem.what
    assert "slack_directory_refresh" in (problem.fix or "")


def test_match_from_fresh_directory_is_not_confirmed() -> None:
    source = FakeSource()
    resolve(["Alice Ng"], source, private=False)
    assert "member" not in source.calls


# --- user groups ------------------------------------------------------------------------------------


def test_disabled_group_is_reported() -> None:
    source = FakeSource(groups=[UserGroup("S1", "sre-oncall", ("U1",), disabled=True)])
    for query in ("@sre-oncall", "<!subteam^S1>"):
        result = resolve_one(query, source)
        assert (result.outcome, result.reason) == ("not_found", "the user group @sre-oncall is disabled in Slack")


def test_enabled_group_takes_precedence_over_disabled_one() -> None:
    disabled, enabled = (
        UserGroup("S1", "sre-oncall", ("U3",), disabled=True),
        UserGroup("S2", "sre-oncall", ("U1",)),
    )
    for groups in ([disabled, enabled], [enabled, disabled]):
        assert resolve_one("@sre-oncall", FakeSource(groups=groups)).users == (ALICE.user,)


@pytest.mark.parametrize("query", ["sre-oncall", "SRE-Oncall", "sre oncall", "Site Reliability"])
def test_handle_without_at_sign_gets_a_hint(query: str) -> None:
    source = FakeSource(groups=[UserGroup("S1", "sre-oncall", ("U1",), name="Site Reliability")])
    result = resolve_one(query, source)
    assert result.users == ()
    assert (result.reason or "").endswith("; for the user group write @sre-oncall")


def test_failed_hint_is_no_problem() -> None:
    resolution = resolve(["payments-oncall"], FakeSource(usergroup=SlackUnavailableError("later")), private=False)
    assert (resolution.problems, resolution.unanswered) == ((), {})


@pytest.mark.parametrize(
    "group",
    [
        UserGroup("S1", "all", tuple(f"U{number}" for number in range(3000))),
        UserGroup("S1", "all", size=3000),
        UserGroup("S1", "all", ("U1",), size=101),
    ],
)
def test_group_size_is_checked_before_members_are_looked_up(group: UserGroup) -> None:
    source = FakeSource(groups=[group, ONCALL])
    large, small = resolve(["@all", "@sre-oncall"], source, private=False).resolutions
    assert large.outcome is ResolutionOutcome.NOT_ALLOWED
    assert f"has {group.member_count} members" in (large.reason or "")
    assert small.outcome is ResolutionOutcome.RESOLVED
    assert source.calls.count("member") == len(ONCALL.member_ids)


def test_refused_lookup_is_not_unanswered() -> None:
    resolution = resolve(["alice@example.com"], FakeSource(lookup_email=NO_EMAIL_SCOPE), private=False)
    assert (len(resolution.problems), resolution.unanswered) == (1, {})


query_texts = st.text(max_size=30) | st.sampled_from(
    [
        "alice@example.com",
        "<@U1>",
        "U0999",
        "@ang",
        "@sre-oncall",
        "Dave",
        "Gus Guest",
        "Alice Ngg",
        "John Smith",
        "",
    ]
)
errors = st.dictionaries(
    st.sampled_from(["lookup_email", "member", "directory", "usergroup"]), st.just(NO_EMAIL_SCOPE), max_size=4
)


@given(st.lists(query_texts, max_size=8), st.booleans(), errors)
def test_every_query_has_exactly_one_result_with_a_reason(
    queries: list[str], private: bool, failing: dict[str, Exception]
) -> None:
    results = resolve(queries, FakeSource(**failing), private=private).resolutions
    assert [result.query for result in results] == queries
    for result in results:
        assert bool(result.users) == (result.outcome is ResolutionOutcome.RESOLVED)
        assert result.users or result.reason
        assert not {"U3", "U4"} & {user.id for user in result.users}
        if private and result.users:
            assert result.method in (MatchMethod.EMAIL, MatchMethod.ID)


@pytest.mark.parametrize("query", ["WASHINGTON", "Denzel WASHINGTON", "Washington, DENZEL"])
def test_a_family_name_in_capitals_is_no_unknown_id(query: str) -> None:
    source = FakeSource()
    denzel = Member("U5", "WASHINGTON", "Denzel Washington")
    source.directory = lambda: SqliteDirectory.of([denzel])  # type: ignore[method-assign]
    assert [user.id for user in resolve_one(query, source).users] == ["U5"]


def test_a_group_in_a_private_room_is_missing_until_all_of_it_are_here() -> None:
    people = resolve(["alice@example.com", "@sre-oncall"], FakeSource(), private=True)
    [missing] = not_invited(people)
    assert (missing.query, missing.suggested) == ("@sre-oncall", {"U2": "Jon Smith"})
    assert not missing.is_made_up_for({"U1"})
    assert missing.is_made_up_for({"U1", "U2"})


def test_a_private_group_whose_members_were_named_by_address_is_no_gap() -> None:
    group = UserGroup("S1", "sre-oncall", ("U1",))
    people = resolve(["alice@example.com", "@sre-oncall"], FakeSource(groups=[group]), private=True)
    assert not_invited(people) == ()
