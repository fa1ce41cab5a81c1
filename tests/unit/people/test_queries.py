import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_incident_provider.people.queries import QueryKind, parse_query


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
        ("S0SREONCALL1", QueryKind.USERGROUP, "S0SREONCALL1"),
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
        ("['a@example.com'", QueryKind.EMAIL, "a@example.com"),
        ('"a@example.com"]', QueryKind.EMAIL, "a@example.com"),
        ("(a@example.com)", QueryKind.EMAIL, "a@example.com"),
        ("1. a@example.com", QueryKind.EMAIL, "a@example.com"),
        ("o'brien@example.com", QueryKind.EMAIL, "o'brien@example.com"),
        ("@sre-oncall!", QueryKind.HANDLE, "sre-oncall"),
        ("@sre-oncall.", QueryKind.HANDLE, "sre-oncall"),
        ("@sre-oncall (primary)", QueryKind.HANDLE, "sre-oncall"),
        ("[@sre-oncall]", QueryKind.HANDLE, "sre-oncall"),
        ("Alice Ng <@U012ABCDE>", QueryKind.ID, "U012ABCDE"),
        ("Ng, Alice <@U012ABCDE|alice>", QueryKind.ID, "U012ABCDE"),
        ("U012ABCDE (Alice Ng)", QueryKind.ID, "U012ABCDE"),
        ("Alice Ng - W012ABCDE", QueryKind.ID, "W012ABCDE"),
        ("SRE <!subteam^S012ABCDE|@sre>", QueryKind.USERGROUP, "S012ABCDE"),
        ("https://app.slack.com/client/T012AB/U012ABCDE", QueryKind.ID, "U012ABCDE"),
        ("https://app.slack.com/client/T012AB/user_profile/U012ABCDE?x=1", QueryKind.ID, "U012ABCDE"),
        ("Bono U2", QueryKind.NAME, "Bono U2"),
        ("Bob Ng, a@example.com", QueryKind.NAME, "Bob Ng, a@example.com"),
        ("Bob Ng/U012ABCDE", QueryKind.NAME, "Bob Ng/U012ABCDE"),
        ("U012ABCDE U012ABCDF", QueryKind.NAME, "U012ABCDE U012ABCDF"),
        ("@sre U012ABCDE", QueryKind.NAME, "sre U012ABCDE"),
        ("Sam Lee @berlin", QueryKind.NAME, "Sam Lee @berlin"),
    ],
)
def test_parse_query(text: str, kind: QueryKind, value: str) -> None:
    query = parse_query(text)
    assert (query.kind, query.value) == (kind, value)


@pytest.mark.parametrize("text", ["", "   ", "@", "<@>", "!!!", "\u200b", "x" * 321])
def test_query_without_a_name_raises(text: str) -> None:
    with pytest.raises(ValueError, match=r"no name|longer than"):
        parse_query(text)


@given(st.text(max_size=400))
def test_any_text_is_parsed_or_rejected(text: str) -> None:
    try:
        query = parse_query(text)
    except ValueError:
        return
    assert query.value
