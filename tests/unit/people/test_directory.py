import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_incident_provider.people.directory import Member, NameKind
from airflow_incident_provider.people.names import keys
from airflow_incident_provider.slack.directory_cache import SqliteDirectory

ALICE = {
    "id": "U1",
    "team_id": "T1",
    "name": "alice.ng",
    "real_name": "Alice Ng",
    "updated": 7,
    "profile": {"display_name": "ali", "real_name": "Alice Ng", "email": "alice@example.com"},
}


def test_member_is_read_without_email() -> None:
    member = Member.from_slack(ALICE, team_id="T1")
    assert member == Member("U1", "alice.ng", "ali", "Alice Ng", updated=7)
    assert "example.com" not in repr(member)
    assert member.ineligibility is None


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"deleted": True}, "deactivated in Slack"),
        ({"is_bot": True}, "a bot"),
        ({"is_workflow_bot": True}, "a bot"),
        ({"id": "USLACKBOT", "is_bot": False}, "a bot"),
        ({"is_restricted": True}, "a guest"),
        ({"is_ultra_restricted": True}, "a guest"),
        ({"team_id": "T2"}, "from another workspace"),
        ({"is_stranger": True}, "from another workspace"),
        ({"team_id": "E1", "enterprise_user": {"teams": ["T2", "T3"]}}, "from another workspace"),
        ({"team_id": "E1", "enterprise_user": {"teams": ["T2", "T1"]}}, None),
        ({"team_id": None}, None),
        ({"profile": None}, None),
    ],
)
def test_member_ineligibility(fields: dict[str, object], reason: str | None) -> None:
    assert Member.from_slack({**ALICE, **fields}, team_id="T1").ineligibility == reason


def test_latest_entry_of_an_id_is_kept() -> None:
    older, newer = Member("U1", "a", "Alice", updated=1), Member("U1", "a", "Alicia", updated=2)
    for members in ([older, newer], [newer, older]):
        directory = SqliteDirectory.of(members)
        assert len(directory) == 1
        assert directory.members([0]) == [newer]
        assert not directory.find(keys("Alice"), NameKind.NAME)


def test_member_is_found_by_display_name_real_name_and_username() -> None:
    member = Member("U1", "zmueller", "zoë", "Zoë Müller-Strauß")
    directory = SqliteDirectory.of([member, Member("U2", "other")])
    for name in ("ZOE", "Zoe Mueller-Strauss", "zoe muller strauss", "Müller-Strauß, Zoë"):
        assert directory.find(keys(name), NameKind.NAME) == [member]
    assert directory.find(keys("ZMueller"), NameKind.USERNAME) == [member]
    assert not directory.find(keys("zmueller"), NameKind.NAME)


def test_empty_name_matches_nobody() -> None:
    directory = SqliteDirectory.of([Member("U1", "", "", ""), Member("U2", "-", "!", "")])
    assert not directory.find(keys(""), NameKind.NAME)
    assert not directory.find([""], NameKind.USERNAME)


@given(names=st.lists(st.text(alphabet="ab ", max_size=7), max_size=6), word=st.text(alphabet="ab", min_size=1))
def test_positions_with_words_matches_whole_words(names: list[str], word: str) -> None:
    directory = SqliteDirectory.of(Member(f"U{n}", "", name) for n, name in enumerate(names))
    expected = [position for position, key in enumerate(directory.keys) if word in key.split()]
    assert sorted(directory.positions_with_words([word])) == expected


@given(st.lists(st.text(max_size=12), max_size=6))
def test_every_key_is_found_at_its_position(names: list[str]) -> None:
    directory = SqliteDirectory.of(Member(f"U{n}", "", name) for n, name in enumerate(names))
    assert len(directory.keys) == len(directory.word_sorted_keys) == len(directory.spaceless_keys)
    for position, key in enumerate(directory.keys):
        kinds = NameKind.NAME | NameKind.USERNAME | NameKind.SIMILAR | NameKind.CONSONANTS | NameKind.PART
        assert position in directory.positions_of([key], kinds)


def test_lone_surrogate_in_name_can_be_stored() -> None:
    user = {**ALICE, "profile": {"display_name": "ali\ud83d", "real_name": None}, "name": 7}
    member = Member.from_slack(user, team_id="T1")
    assert SqliteDirectory.of([member]).members([0]) == [member]
