import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_incident_provider.models import MatchMethod, Resolution, ResolutionOutcome
from airflow_incident_provider.people.directory import Member
from airflow_incident_provider.people.matching import match_name
from airflow_incident_provider.people.names import fold
from airflow_incident_provider.slack.directory_cache import SqliteDirectory

CYRILLIC_A = "\N{CYRILLIC SMALL LETTER A}"


def person(label: str, user_id: str = "U1", name: str = "u", **fields: Any) -> Member:
    return Member(user_id, name, label, **fields)


def match(query: str, *members: Member) -> Resolution:
    return match_name(query, SqliteDirectory.of(members))


@pytest.mark.parametrize(
    ("query", "member_name"),
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
def test_equal_name_resolves(query: str, member_name: str) -> None:
    result = match(query, person(member_name), person("Quentin Blake", "U2"))
    assert result.outcome is ResolutionOutcome.RESOLVED
    assert result.method is MatchMethod.DISPLAY_NAME
    assert (result.confidence, result.users[0].id, result.candidates) == (100, "U1", ())


@pytest.mark.parametrize(
    ("query", "member_name"),
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
def test_similar_name_is_suggested(query: str, member_name: str) -> None:
    result = match(query, person(member_name), person("Quentin Blake", "U2"))
    assert result.outcome is ResolutionOutcome.NOT_FOUND
    assert result.users == ()
    assert [user.label for user in result.candidates] == [member_name]
    assert result.reason == f'no exact match for "{query}"; did you mean {member_name}?'


@pytest.mark.parametrize(
    ("query", "member_name"), [("ann", "Joanne Planner"), ("jo", "Jo Ng"), ("bob", "Alice Ng")]
)
def test_dissimilar_name_is_not_suggested(query: str, member_name: str) -> None:
    result = match(query, person(member_name))
    assert result.outcome is ResolutionOutcome.NOT_FOUND
    assert result.candidates == ()
    assert result.reason == f'nobody in this workspace is called "{query}"'


@pytest.mark.parametrize(
    ("query", "member_name"),
    [
        # Version 0.1.0 invited these: other people, and typing errors with the same scores.
        ("Maria Andersen", "Maria Anderson"),
        ("John Petersen", "John Peterson"),
        ("Peter Hoffmann", "Peter Hofmann"),
        ("Mohammed Abdallah", "Mohammed Abdullah"),
        ("Wang Xiaoming", "Wang Xiaomeng"),
        ("Thomas Nicholson", "Thomas Nicolson"),
        ("Alice Nguyenn", "Alice Nguyen"),
        ("Alice Featehrstone", "Alice Featherstone"),
        # Names that differ by one letter, and other word orders.
        ("Katarzyna Wisniewska", "Katarzyna Wisniewski"),
        ("Christopher Johansson", "Christopher Johannson"),
        ("Nguyen Thi Thanh Huong", "Nguyen Thi Thanh Hong"),
        ("Scott Ryan", "Ryan Scott"),
        ("Featherstone Christina", "Featherstone Christine"),
    ],
)
def test_close_name_is_suggested_but_not_resolved(query: str, member_name: str) -> None:
    result = match(query, person(member_name), person("Quentin Blake", "U2"))
    assert result.outcome is ResolutionOutcome.NOT_FOUND
    assert result.users == ()
    assert [user.label for user in result.candidates] == [member_name]
    assert result.confidence < 100


def test_close_name_of_deactivated_member_is_named_in_the_reason() -> None:
    result = match("Alice Nguyenn", person("Alice Nguyen", deleted=True))
    assert (result.outcome, result.candidates) == (ResolutionOutcome.NOT_FOUND, ())
    assert result.reason == (
        'nobody in this workspace is called "Alice Nguyenn"; Alice Nguyen is deactivated in Slack'
    )


@pytest.mark.parametrize(
    ("query", "member_name"),
    [
        ("山田太郎", "山田 太郎"),
        ("山田 太郎", "山田太郎"),
        ("김 민수", "김민수"),
        ("王小明", "王 小明"),
        ("ジョン スミス", "ジョン・スミス"),
        ("OBrien Liam", "O\u2019Brien Liam"),
        ("Nguyen Van Dung", "Nguyễn Văn Dũng"),
        ("Nguyễn Văn Dũng", "Nguyễn Văn Dũng"),
        ("Jürgen Groß", "Juergen Gross"),
    ],
)
def test_other_spelling_of_a_name_resolves(query: str, member_name: str) -> None:
    assert [user.label for user in match(query, person(member_name), person("Quentin Blake", "U2")).users] == [
        member_name
    ]


@pytest.mark.parametrize(
    ("query", "member_name"),
    [
        ("Nguyễn Văn Dũng", "Nguyễn Văn Dụng"),
        ("Lê Minh Hà", "Lê Minh Hạ"),
        ("Trần Thị Hồng", "Trần Thị Hông"),
        ("Anna Sörensen", "Anna Sørensen"),
        ("Юлий Ким", "Юлии Ким"),
        ("Ірина Гулій", "Ірина Гулії"),
    ],
)
def test_different_accents_do_not_match(query: str, member_name: str) -> None:
    result = match(query, person(member_name))
    assert (result.users, [user.label for user in result.candidates]) == ((), [member_name])


@pytest.mark.parametrize(
    ("query", "member_name"),
    [
        ("Jan Vanderberg", "Jan van der Berg"),
        ("Maria Santos", "Maria dos Santos"),
        ("太郎 山田", "山田太郎"),
        ("Дмитрий Иванов", "Dmitry Ivanov"),
        ("Dmitriy Ivanov", "Дмитрий Иванов"),
        ("Mohammed Abdullah", "محمد عبد الله"),
        ("محمد عبد الله", "Muhammad Abdallah"),
        ("Yannis Papadopoulos", "Γιάννης Παπαδόπουλος"),
        ("Kim Minsu", "김민수"),
        ("Bill Gatesworth", "William Gatesworth"),
        ("Alice Ng (Payments)", "Alice Ng"),
    ],
)
def test_other_form_of_a_name_is_suggested(query: str, member_name: str) -> None:
    result = match(query, person(member_name), person("Quentin Blake", "U2"), person("Zoe Abara", "U3"))
    assert (result.users, [user.label for user in result.candidates]) == ((), [member_name])


def test_exact_match_takes_precedence_over_similar_name() -> None:
    jon, john = person("Jon Smith"), person("John Smith", "U2")
    for members in ([jon, john], [john, jon]):
        assert match("Jon Smith", *members).users[0].id == "U1"
        assert match("John Smith", *members).users[0].id == "U2"


def test_two_members_of_one_name_are_ambiguous() -> None:
    result = match("Alice Ng", person("Alice Ng", name="ang"), person("alice ng", "U2", name="alice2"))
    assert result.outcome is ResolutionOutcome.AMBIGUOUS
    assert {user.id for user in result.candidates} == {"U1", "U2"}
    assert result.reason == '"Alice Ng" fits 2 people: Alice Ng (@ang), alice ng (@alice2)'


def test_display_name_equal_to_other_username_is_ambiguous() -> None:
    result = match("oncall-db", person("oncall-db"), person("Dana Lee", "U2", name="oncall.db"))
    assert result.outcome is ResolutionOutcome.AMBIGUOUS
    assert {user.id for user in result.candidates} == {"U1", "U2"}


def test_member_matching_by_several_names_is_one_match() -> None:
    result = match("alice.ng", person("alice ng", real_name="Alice Ng", name="alice.ng"))
    assert result.outcome is ResolutionOutcome.RESOLVED
    assert len(result.users) == 1


def test_username_resolves() -> None:
    result = match("@ang42", person("Alice Ng", name="ang42"))
    assert (result.outcome, result.method) == (ResolutionOutcome.RESOLVED, MatchMethod.USERNAME)


@pytest.mark.parametrize(
    ("fields", "outcome", "reason", "suggested"),
    [
        ({"deleted": True}, ResolutionOutcome.DEACTIVATED, "Alice Ng is deactivated in Slack", False),
        ({"is_bot": True}, ResolutionOutcome.NOT_ALLOWED, "Alice Ng is a bot", False),
        ({"guest": True}, ResolutionOutcome.NOT_ALLOWED, "Alice Ng is a guest", True),
        ({"external": True}, ResolutionOutcome.NOT_ALLOWED, "Alice Ng is from another workspace", True),
    ],
)
def test_ineligible_member_is_reported_with_the_reason(
    fields: dict[str, bool], outcome: ResolutionOutcome, reason: str, suggested: bool
) -> None:
    result = match("Alice Ng", person("Alice Ng", **fields), person("Alice Nga", "U2"))
    assert (result.outcome, result.reason, result.users) == (outcome, reason, ())
    assert bool(result.candidates) is suggested


def test_active_member_takes_precedence_over_deactivated_namesake() -> None:
    deactivated, active = person("Alice Ng", deleted=True), person("Alice Ng", "U2")
    assert match("Alice Ng", deactivated, active).users[0].id == "U2"


@pytest.mark.parametrize(
    "other",
    [
        person("Alice Ng", "U2", guest=True),
        person("Alice Ng", "U2", external=True),
        person("Alice Ng (she/her) | on call", "U2"),
        person("Alice Ng [Payments]", "U2"),
        person("SRE | Alice Ng", "U2"),
        person("Alice Ng :palm_tree:", "U2"),
        person("Alice Ng - DBA", "U2", guest=True),
        person("Alice Ng\uff08\u4f11\u5047\uff09", "U2"),
        person("Alice Ng \u3010OOO\u3011", "U2"),
        person("Alice Ng -- PTO", "U2"),
        person("Alice Ng, OOO", "U2"),
        person("Ng, Alice, OOO", "U2"),
        person("Ng, Alice, SRE, Berlin", "U2"),
        person("Ng, Alice [OOO]", "U2"),
        person("SRE: Alice Ng", "U2"),
        person("Alice Ng she/her", "U2"),
        person("Alice Ng/SRE", "U2"),
        person("Alice Ng @ Berlin", "U2"),
        person("Alice Ng *on leave*", "U2"),
        person("Alice Ng (back 3 Dec", "U2"),
        person("Alice Ng \U0001f334 back 3 Dec", "U2"),
        person("Alice Ng :palm_tree: until Monday", "U2"),
        person("Alice Ng \u00b7 SRE", "U2"),
        person("Alice Ng #2", "U2"),
        person('Alice "Allie" Ng', "U2"),
        person("Alice \u201cAllie\u201d Ng", "U2"),
    ],
    ids=lambda member: f"{member.label} guest={member.guest} external={member.external}",
)
def test_namesake_with_remark_or_guest_makes_name_ambiguous(other: Member) -> None:
    result = match("Alice Ng", person("Alice Ng"), other)
    assert (result.outcome, result.users) == (ResolutionOutcome.AMBIGUOUS, ())
    assert {user.id for user in result.candidates} == {"U1", "U2"}


@pytest.mark.parametrize(
    ("name", "other"),
    [
        ("王伟", "王伟, OOO"),
        ("김민준", "김민준, 휴가"),
        ("Ана", "Ана, отпуск"),
        ("Ana", "Ana, on leave"),
        ("Ana (SRE)", "Ana (SRE) - OOO"),
        ("Ana (SRE)", "Ana (SRE) @home"),
    ],
)
def test_remark_after_single_word_makes_name_ambiguous(name: str, other: str) -> None:
    result = match(name, person(name), person(other, "U2"))
    assert (result.outcome, result.users) == (ResolutionOutcome.AMBIGUOUS, ())


@pytest.mark.parametrize(
    "other",
    [
        person("Alice Ng", "U2", is_bot=True),
        person("Alice Ng (she/her)", "U2", deleted=True),
        person("Alice Nga (she/her)", "U2"),
        person("Alice Marie Ng", "U2"),
        person("Alice Ng-Baker", "U2"),
        person("Alice O\u2019Ng", "U2"),
        person("Alice Ng\u00b7Roca", "U2"),
    ],
    ids=lambda member: member.label,
)
def test_unrelated_member_does_not_make_name_ambiguous(other: Member) -> None:
    assert [user.id for user in match("Alice Ng", person("Alice Ng"), other).users] == ["U1"]


def test_ambiguous_reason_marks_guests() -> None:
    result = match("Alice Ng", person("Alice Ng", name="ang"), person("Alice Ng", "U2", name="ang2", guest=True))
    assert result.reason == '"Alice Ng" fits 2 people: Alice Ng (@ang), Alice Ng (@ang2, a guest)'


def test_guest_takes_precedence_over_deactivated_in_reason() -> None:
    result = match("Alice Ng", person("Alice Ng", deleted=True), person("Alice Ng", "U2", guest=True))
    assert result.reason == "Alice Ng is a guest"


@pytest.mark.parametrize("query", ["", "  ", "@", "---", "\u200b"])
def test_empty_query_matches_nobody(query: str) -> None:
    result = match(query, person("", name=""), person("-", "U2", name="-"))
    assert (result.outcome, result.reason) == (ResolutionOutcome.NOT_FOUND, "there is no name in it")


def test_common_first_name_has_no_candidates() -> None:
    result = match("Alice", *(person(f"Alice Nr {number}", f"U{number}") for number in range(6)))
    assert result.candidates == ()
    assert result.reason == '"Alice" could be any of 6 people: give the full name'


def test_suggested_namesakes_are_distinguished_by_username() -> None:
    result = match("Alise Ng", person("Alice Ng", name="ang"), person("Alice Ng", "U2", name="alice2"))
    assert result.reason == 'no exact match for "Alise Ng"; did you mean Alice Ng (@ang) or Alice Ng (@alice2)?'


# --- properties -------------------------------------------------------------------------------------

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
        external=st.booleans(),
    ),
    max_size=8,
    unique_by=lambda member: member.id,
)


@given(names, members)
def test_only_eligible_members_resolve(query: str, candidates: list[Member]) -> None:
    result = match(query, *candidates)
    eligible = {
        member.id
        for member in candidates
        if not (member.deleted or member.is_bot or member.guest or member.external)
    }
    assert {user.id for user in result.users} <= eligible
    assert (result.outcome is ResolutionOutcome.RESOLVED) == (len(result.users) == 1)
    assert result.outcome is ResolutionOutcome.RESOLVED or result.reason


@given(names, members, st.randoms())
def test_result_does_not_depend_on_member_order(query: str, candidates: list[Member], rng: random.Random) -> None:
    shuffled = list(candidates)
    rng.shuffle(shuffled)
    assert match(query, *shuffled) == match(query, *candidates)


@given(names, members)
def test_exact_match_is_never_resolved_to_another_member(query: str, candidates: list[Member]) -> None:
    exact = {
        member.id
        for member in candidates
        if fold(query) and fold(query) in map(fold, (member.display_name, member.real_name, member.name))
    }
    result = match(query, *candidates)
    if exact:
        assert {user.id for user in result.users} <= exact
