"""Splitting of lists of people."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_incident_provider.intake.lists import split_people


@pytest.mark.parametrize(
    ("text", "queries"),
    [
        ("Whitfield, Dana\nOkafor, Priya", ["Whitfield, Dana", "Okafor, Priya"]),
        ("Smith, John; Doe, Jane", ["Smith, John", "Doe, Jane"]),
        ("Smith, John, Doe, Jane", ["Smith, John", "Doe, Jane"]),
        ("Smith, John, Dana Reyes", ["Smith, John", "Dana Reyes"]),
        ("Whitfield,Dana", ["Whitfield, Dana"]),
        ("whitfield, dana", ["whitfield, dana"]),
        ("dana@x.example, Smith, John, bob@x.example", ["dana@x.example", "Smith, John", "bob@x.example"]),
        ("dana@x.example and Smith, John", ["dana@x.example", "Smith, John"]),
        ("van der Berg, Jan", ["van der Berg, Jan"]),
        ("van der Berg, Jan, Smith, John", ["van der Berg, Jan", "Smith, John"]),
        ("van der Berg, Jan <jan@x.example>", ["jan@x.example"]),
        ("Smith, John <john@x.example>, Doe, Jane <jane@x.example>", ["john@x.example", "jane@x.example"]),
        ('"Smith, John" <john@x.example>, Jane <jane@x.example>', ["john@x.example", "jane@x.example"]),
        ('"Smith, John", "Doe, Jane"', ["Smith, John", "Doe, Jane"]),
        ("dana@acme.example, @sre-oncall, José García", ["dana@acme.example", "@sre-oncall", "José García"]),
        ("Dana Reyes, Priya Iyer", ["Dana Reyes", "Priya Iyer"]),
        ("Dana Reyes, Priya Iyer, Sam Wong", ["Dana Reyes", "Priya Iyer", "Sam Wong"]),
        ("Dana Reyes, alice, bob, carol", ["Dana Reyes, alice", "bob, carol"]),
        ("Dana, Priya, Sam", ["Dana", "Priya", "Sam"]),
        ("alice,bob", ["alice", "bob"]),
        ("alice, bob, carol", ["alice", "bob", "carol"]),
        ("Dana and Priya & Sam", ["Dana", "Priya", "Sam"]),
        ("@dana @priya dana@acme.example", ["@dana", "@priya", "dana@acme.example"]),
        ("- dana@acme.example\n* @sre\n1. Bob Ng\n\u2022 Al Ng", ["dana@acme.example", "@sre", "Bob Ng", "Al Ng"]),
        ("<@U1|a>, <!subteam^S1|@sre>", ["U1", "<!subteam^S1>"]),
        ("张伟\uff0c王芳、李娜", ["张伟", "王芳", "李娜"]),
        ("Sam Wong (SRE, Berlin), U012ABCD", ["Sam Wong (SRE, Berlin)", "U012ABCD"]),
        (" ,; \n", []),
        ("", []),
    ],
)
def test_split_people(text: str, queries: list[str]) -> None:
    assert list(split_people(text)) == queries


@given(st.lists(st.sampled_from(["Dana", "Reyes", "van der Berg", "@sre", "a@x.example", "U012ABCD", "李娜"])))
def test_split_people_keeps_every_name(parts: list[str]) -> None:
    found = " ".join(split_people(", ".join(parts)))
    assert sorted(found.replace(",", "").split()) == sorted(" ".join(parts).split())
