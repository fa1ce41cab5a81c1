import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_incident_provider.people.queries import Query, QueryKind, parse_query, split_people


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        ("U012ABC", QueryKind.ID, "U012ABC"),
        ("W012ABC", QueryKind.ID, "W012ABC"),
        ("UABCDEFGHIJ", QueryKind.ID, "UABCDEFGHIJ"),
        ("<@U123>", QueryKind.ID, "U123"),
        ("<@W123|alice>", QueryKind.ID, "W123"),
        ("<!subteam^S123>", QueryKind.USERGROUP, "S123"),
        ("<!subteam^S123|@sre-oncall>", QueryKind.USERGROUP, "S123"),
        ("Alice+pager@Example.COM ", QueryKind.EMAIL, "alice+pager@example.com"),
        ("mailto:a@example.com", QueryKind.EMAIL, "a@example.com"),
        ("mailto:a@example.com?subject=hi", QueryKind.EMAIL, "a@example.com"),
        ("<mailto:a@example.com|a@example.com>", QueryKind.EMAIL, "a@example.com"),
        ("Alice Ng <a@example.com>", QueryKind.EMAIL, "a@example.com"),
        ('"Ng, Alice" <a@example.com>', QueryKind.EMAIL, "a@example.com"),
        ("<a@example.com>", QueryKind.EMAIL, "a@example.com"),
        ("Alice Ng (a@example.com)", QueryKind.EMAIL, "a@example.com"),
        ("Alice Ng a@example.com", QueryKind.EMAIL, "a@example.com"),
        ("a@example.com (Alice Ng)", QueryKind.EMAIL, "a@example.com"),
        ("Ng, Alice <a@example.com>", QueryKind.EMAIL, "a@example.com"),
        ("Alice Ng <mailto:a@example.com|a@example.com>", QueryKind.EMAIL, "a@example.com"),
        ("a@example.com.", QueryKind.EMAIL, "a@example.com"),
        ("https://acme.slack.com/team/U012ABC", QueryKind.ID, "U012ABC"),
        ("\uff20sre-oncall", QueryKind.HANDLE, "sre-oncall"),
        ('"Smith, John"', QueryKind.NAME, "Smith, John"),
        ("@sre-oncall", QueryKind.HANDLE, "sre-oncall"),
        ("@Alice Ng", QueryKind.NAME, "Alice Ng"),
        ("Smith, John", QueryKind.NAME, "Smith, John"),
        ("WANG", QueryKind.NAME, "WANG"),
        ("Ursula", QueryKind.NAME, "Ursula"),
        ("a@example.com, b@example.com", QueryKind.NAME, "a@example.com, b@example.com"),
    ],
)
def test_forms(text: str, kind: QueryKind, value: str) -> None:
    assert parse_query(text) == Query(kind, value)


@pytest.mark.parametrize("text", ["", "   ", "@", "<@>", "!!!", "\u200b", "x" * 321])
def test_nothing_to_look_for_is_refused_in_words(text: str) -> None:
    with pytest.raises(ValueError, match=r"no name|longer than"):
        parse_query(text)


@given(st.text(max_size=400))
def test_any_text_is_understood_or_refused(text: str) -> None:
    try:
        query = parse_query(text)
    except ValueError:
        return
    assert query.value


@pytest.mark.parametrize(
    ("text", "queries"),
    [
        ("Whitfield, Dana\nOkafor, Priya", ["Whitfield, Dana", "Okafor, Priya"]),
        ("Smith, John; Doe, Jane", ["Smith, John", "Doe, Jane"]),
        ("Smith, John, Doe, Jane", ["Smith, John", "Doe, Jane"]),
        ("Smith, John, Dana Reyes", ["Smith, John", "Dana Reyes"]),
        (
            "dana@acme.example, Smith, John, bob@acme.example",
            ["dana@acme.example", "Smith, John", "bob@acme.example"],
        ),
        ("van der Berg, Jan", ["van der Berg, Jan"]),
        ("van der Berg, Jan, Smith, John", ["van der Berg, Jan", "Smith, John"]),
        (
            "Smith, John <john@acme.example>, Doe, Jane <jane@acme.example>",
            ["Smith, John <john@acme.example>", "Doe, Jane <jane@acme.example>"],
        ),
        (
            '"Smith, John" <john@acme.example>, Jane <jane@acme.example>',
            ['"Smith, John" <john@acme.example>', "Jane <jane@acme.example>"],
        ),
        ("dana@acme.example, @sre-oncall, José García", ["dana@acme.example", "@sre-oncall", "José García"]),
        ("Dana Reyes, Priya Iyer, Sam Wong", ["Dana Reyes", "Priya Iyer", "Sam Wong"]),
        ("Dana, Priya, Sam", ["Dana", "Priya", "Sam"]),
        ("alice,bob", ["alice", "bob"]),
        ("alice, bob, carol", ["alice", "bob", "carol"]),
        ("Dana and Priya & Sam", ["Dana", "Priya", "Sam"]),
        ("@dana @priya dana@acme.example", ["@dana", "@priya", "dana@acme.example"]),
        ("- dana@acme.example\n* @sre\n1. Bob Ng\n\u2022 Al Ng", ["dana@acme.example", "@sre", "Bob Ng", "Al Ng"]),
        ("<@U1|a>, <!subteam^S1|@sre>", ["<@U1|a>", "<!subteam^S1|@sre>"]),
        ("张伟\uff0c王芳、李娜", ["张伟", "王芳", "李娜"]),
        ("Sam Wong (SRE, Berlin), U012ABC", ["Sam Wong (SRE, Berlin)", "U012ABC"]),
        (" ,; \n", []),
        ("", []),
    ],
)
def test_lists_as_people_write_them(text: str, queries: list[str]) -> None:
    assert list(split_people(text)) == queries


@given(st.text(max_size=200))
def test_a_list_loses_no_letter(text: str) -> None:
    def letters(text: str) -> list[str]:
        return sorted(filter(str.isalnum, text))

    separators = letters("and" * text.casefold().count("and") + "0123456789")
    rest = list(letters("".join(split_people(text))))
    missing = [letter for letter in letters(text) if letter not in rest or rest.remove(letter)]
    assert set("".join(missing).casefold()) <= set("".join(separators))
