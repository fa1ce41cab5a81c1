import random
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_incident_provider.models import MatchMethod, Resolution, ResolutionOutcome
from airflow_incident_provider.people.directory import Directory, Member
from airflow_incident_provider.people.matching import ACCEPTED_SCORE, match_name
from airflow_incident_provider.people.names import fold, keys

CYRILLIC_A = "\N{CYRILLIC SMALL LETTER A}"


def person(label: str, user_id: str = "U1", name: str = "u", **fields: Any) -> Member:
    return Member(user_id, name, label, **fields)


def match(query: str, *members: Member) -> Resolution:
    return match_name(query, Directory.of(members))


@pytest.mark.parametrize(
    ("query", "called"),
    [
        ("Alice Ng", "alice ng"),
        ("Smith, John", "John Smith"),
        ("John Smith", "Smith, John"),
        ("Zoe Mueller-Strauss", "Zoë Müller-Strauß"),
        ("Zoe Muller Strauss", "Zoë Müller-Strauß"),
        ("Łukasz Nowak", "lukasz nowak"),
        ("lukasz nowak", "Łukasz Nowak"),
        ("  JOSE GARCIA ", "José García"),
        ("@Alice Ng", "Alice Ng"),
    ],
)
def test_the_same_name_resolves(query: str, called: str) -> None:
    result = match(query, person(called), person("Somebody Else", "U2"))
    assert result.outcome is ResolutionOutcome.RESOLVED
    assert result.method is MatchMethod.DISPLAY_NAME
    assert (result.confidence, result.users[0].id, result.candidates) == (100, "U1", ())


@pytest.mark.parametrize(
    ("query", "called"),
    [
        ("John Smith", "Jon Smith"),
        ("jon smiht", "Jon Smith"),
        ("Dana Lee", "Dan Lee"),
        ("sam wong", "sam wang"),
        ("alise ng", "Alice Ng"),
        ("Alice", "Alice Ng"),
        ("Alice", "Alice Featherstonehaugh"),
        ("Ng Alice", "Alice Ng"),
        ("Smith, John", "Smith, Jon"),
        ("Alexandra Featherstone 2", "Alexandra Featherstone 3"),
        ("Alexandra Featherstone", f"Alexandra Fe{CYRILLIC_A}therstone"),
        (f"Alexandra Fe{CYRILLIC_A}therstone", "Alexandra Featherstone"),
    ],
)
def test_a_similar_name_is_a_suggestion(query: str, called: str) -> None:
    result = match(query, person(called), person("Quentin Blake", "U2"))
    assert result.outcome is ResolutionOutcome.NOT_FOUND
    assert result.users == ()
    assert [user.label for user in result.candidates] == [called]
    assert result.reason == f'"{query}" might be {called}'


@pytest.mark.parametrize(("query", "called"), [("ann", "Joanne Planner"), ("jo", "Jo Ng"), ("bob", "Alice Ng")])
def test_an_unlike_name_is_not_even_suggested(query: str, called: str) -> None:
    result = match(query, person(called))
    assert result.outcome is ResolutionOutcome.NOT_FOUND
    assert result.candidates == ()
    assert result.reason == f'nobody in this workspace is called "{query}"'


def test_a_slip_late_in_a_long_name_is_accepted() -> None:
    result = match("Alice Nguyenn", person("Alice Nguyen"), person("Bob Nguyen", "U2"))
    assert result.outcome is ResolutionOutcome.RESOLVED
    assert result.method is MatchMethod.FUZZY
    assert ACCEPTED_SCORE <= result.confidence < 100


@pytest.mark.parametrize(
    ("query", "called"),
    [
        ("Smith Jon", "Smith John"),
        ("Smith John", "Smith Jon"),
        ("Featherstone Eric", "Featherstone Erik"),
        ("Featherstone Christina", "Featherstone Christine"),
        ("Featherstone Gerald", "Featherstone Jerald"),
        ("Featherstone Michael", "Featherstone Michaela"),
    ],
)
def test_with_the_family_name_first_another_given_name_is_another_person(query: str, called: str) -> None:
    result = match(query, person(called))
    assert result.outcome is ResolutionOutcome.NOT_FOUND
    assert [user.label for user in result.candidates] == [called]


def test_what_somebody_else_is_called_is_no_slip() -> None:
    known = person("Kristin Okafor", "U2")
    assert match("Featherstone Kristin", person("Featherstone Kristen"), known).users == ()
    assert match("Featherstone Kristin", person("Featherstone Kristen")).users != ()


@pytest.mark.parametrize(
    ("query", "called"),
    [
        ("Alice Featherstonhaugh", "Alice Featherstonehaugh"),
        ("Alice Featehrstone", "Alice Featherstone"),
    ],
)
def test_a_slip_in_a_long_word_is_a_slip(query: str, called: str) -> None:
    assert match(query, person(called)).method is MatchMethod.FUZZY


@pytest.mark.parametrize("fields", [{}, {"deleted": True}, {"guest": True}, {"is_bot": True}, {"stranger": True}])
def test_a_slip_between_two_people_is_a_suggestion(fields: dict[str, bool]) -> None:
    result = match("Alice Nguyenn", person("Alice Nguyen"), person("Alice Nguyens", "U2", **fields))
    assert result.outcome is ResolutionOutcome.NOT_FOUND
    assert "U1" in [user.id for user in result.candidates]
    assert all(user.id == "U1" or not fields for user in result.candidates)


def test_a_slip_in_the_name_of_somebody_who_left_is_told() -> None:
    result = match("Alice Nguyenn", person("Alice Nguyen", deleted=True), person("Alice Ng", "U2"))
    assert (result.outcome, result.reason) == (
        ResolutionOutcome.DEACTIVATED,
        "Alice Nguyen is deactivated in Slack",
    )


def test_of_two_spellings_the_one_in_the_order_of_the_query_counts() -> None:
    for shown, real in (("Nguyen Alice", "Alice Nguyen"), ("Alice Nguyen", "Nguyen Alice")):
        result = match("Alice Nguyenn", person(shown, real_name=real))
        assert result.method is MatchMethod.FUZZY


def test_an_exact_hit_is_not_displaced_by_a_similar_name() -> None:
    for members in ([person("Jon Smith"), person("John Smith", "U2")],) * 2:
        assert match("Jon Smith", *members).users[0].id == "U1"
        assert match("John Smith", *members).users[0].id == "U2"


def test_two_of_one_name_are_ambiguous() -> None:
    result = match("Alice Ng", person("Alice Ng", name="ang"), person("alice ng", "U2", name="alice2"))
    assert result.outcome is ResolutionOutcome.AMBIGUOUS
    assert {user.id for user in result.candidates} == {"U1", "U2"}
    assert result.reason == '"Alice Ng" fits 2 people: Alice Ng (@ang), alice ng (@alice2)'


def test_a_display_name_that_imitates_a_username_is_ambiguous() -> None:
    result = match("oncall-db", person("oncall-db"), person("Dana Lee", "U2", name="oncall.db"))
    assert result.outcome is ResolutionOutcome.AMBIGUOUS
    assert {user.id for user in result.candidates} == {"U1", "U2"}


def test_one_person_by_display_name_real_name_and_username_is_one_hit() -> None:
    result = match("alice.ng", person("alice ng", real_name="Alice Ng", name="alice.ng"))
    assert result.outcome is ResolutionOutcome.RESOLVED
    assert len(result.users) == 1


def test_a_username_resolves() -> None:
    result = match("@ang42", person("Alice Ng", name="ang42"))
    assert (result.outcome, result.method) == (ResolutionOutcome.RESOLVED, MatchMethod.USERNAME)


@pytest.mark.parametrize(
    ("fields", "outcome", "reason", "suggested"),
    [
        ({"deleted": True}, ResolutionOutcome.DEACTIVATED, "Alice Ng is deactivated in Slack", False),
        ({"is_bot": True}, ResolutionOutcome.NOT_ALLOWED, "Alice Ng is a bot", False),
        ({"guest": True}, ResolutionOutcome.NOT_ALLOWED, "Alice Ng is a guest", True),
        ({"stranger": True}, ResolutionOutcome.NOT_ALLOWED, "Alice Ng is from another workspace", True),
    ],
)
def test_who_may_not_come_is_named_with_the_reason(
    fields: dict[str, bool], outcome: ResolutionOutcome, reason: str, suggested: bool
) -> None:
    result = match("Alice Ng", person("Alice Ng", **fields), person("Alice Nga", "U2"))
    assert (result.outcome, result.reason, result.users) == (outcome, reason, ())
    assert bool(result.candidates) is suggested


def test_an_active_namesake_hides_the_deactivated() -> None:
    old, new = person("Alice Ng", deleted=True), person("Alice Ng", "U2")
    assert match("Alice Ng", old, new).users[0].id == "U2"


def test_a_guest_of_that_name_tells_more_than_who_left() -> None:
    result = match("Alice Ng", person("Alice Ng", deleted=True), person("Alice Ng", "U2", guest=True))
    assert result.reason == "Alice Ng is a guest"


@pytest.mark.parametrize("query", ["", "  ", "@", "---", "\u200b"])
def test_an_empty_query_matches_nobody_without_a_name(query: str) -> None:
    result = match(query, person("", name=""), person("-", "U2", name="-"))
    assert (result.outcome, result.reason) == (ResolutionOutcome.NOT_FOUND, "there is no name in it")


def test_a_first_name_that_many_have_names_nobody() -> None:
    result = match("Alice", *(person(f"Alice Nr {number}", f"U{number}") for number in range(6)))
    assert result.candidates == ()
    assert result.reason == '"Alice" might be any of 6 people: the whole name is needed'


def test_suggested_namesakes_are_told_apart() -> None:
    result = match("Alise Ng", person("Alice Ng", name="ang"), person("Alice Ng", "U2", name="alice2"))
    assert result.reason == '"Alise Ng" might be Alice Ng (@ang) or Alice Ng (@alice2)'


# --- whatever the names are -------------------------------------------------------------------------

names = st.lists(
    st.sampled_from(
        [
            "Jon",
            "John",
            "Smith",
            "Smyth",
            "Alice",
            "Alicia",
            "Nguyen",
            "Nguyenn",
            "Ng",
            "Müller",
            "Mueller",
            "Б",
            "2",
        ]
    ),
    max_size=3,
).map(" ".join) | st.text(max_size=12)
members = st.lists(
    st.builds(
        Member,
        id=st.integers(0, 30).map(lambda number: f"U{number}"),
        name=names,
        display_name=names,
        real_name=names,
        deleted=st.booleans(),
        is_bot=st.booleans(),
        guest=st.booleans(),
        stranger=st.booleans(),
    ),
    max_size=8,
    unique_by=lambda member: member.id,
)


@given(names, members)
def test_whoever_resolves_is_an_active_full_human_member(query: str, everybody: list[Member]) -> None:
    result = match(query, *everybody)
    eligible = {m.id for m in everybody if not (m.deleted or m.is_bot or m.guest or m.stranger)}
    assert {user.id for user in result.users} <= eligible
    assert (result.outcome is ResolutionOutcome.RESOLVED) == (len(result.users) == 1)
    assert result.outcome is ResolutionOutcome.RESOLVED or result.reason


@given(names, members, st.randoms())
def test_the_order_of_the_members_does_not_matter(
    query: str, everybody: list[Member], chance: random.Random
) -> None:
    shuffled = list(everybody)
    chance.shuffle(shuffled)
    assert match(query, *shuffled) == match(query, *everybody)


@given(names, members)
def test_a_similar_name_with_another_first_word_never_resolves(query: str, everybody: list[Member]) -> None:
    result = match(
        query, *(replace(m, deleted=False, is_bot=False, guest=False, stranger=False) for m in everybody)
    )
    if result.method is MatchMethod.FUZZY:
        user = result.users[0]
        theirs = [key for name in (user.display_name, user.real_name, user.name) for key in keys(name)]
        assert {key.split()[0] for key in keys(query)} & {key.split()[0] for key in theirs}


@given(names, members)
def test_an_exact_hit_is_never_resolved_to_somebody_else(query: str, everybody: list[Member]) -> None:
    exact = {
        m.id for m in everybody if fold(query) and fold(query) in map(fold, (m.display_name, m.real_name, m.name))
    }
    result = match(query, *everybody)
    if exact:
        assert {user.id for user in result.users} <= exact or result.method is not MatchMethod.FUZZY
