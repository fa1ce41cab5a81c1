import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_incident_provider.people.names import fold, keys, scripts


@pytest.mark.parametrize(
    ("name", "folded"),
    [
        ("José García", "jose garcia"),
        ("Jose\u0301 Garci\u0301a", "jose garcia"),
        ("Łukasz Nowak", "lukasz nowak"),
        ("Søren Æbelø", "soren aebelo"),
        ("Đorđe Þór", "dorde thor"),
        ("ISTANBUL İstanbul \N{LATIN SMALL LETTER DOTLESS I}stanbul", "istanbul istanbul istanbul"),
        ("Zoë Müller-Strauß", "zoe muller strauss"),
        ("  alice.ng_2 ", "alice ng 2"),
        ("O\u2019Brien", "o brien"),
        ("ali\u200bce\u202e", "alice"),
        ("\uff21lice", "alice"),
        ("がく", "か\u3099く"),
        ("!!!", ""),
    ],
)
def test_fold(name: str, folded: str) -> None:
    assert fold(name) == folded


def test_fold_keeps_voicing_marks_but_not_accents() -> None:
    assert fold("がく") != fold("かく")
    assert fold("Zoë") == fold("Zoe")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Smith, John", ("john smith",)),
        ("Alice Ng, SRE, Berlin", ("alice ng sre berlin",)),
        (", John", ("john",)),
        ("Jörg Müller", ("jorg muller", "joerg mueller")),
        ("Mu\u0308ller", ("muller", "mueller")),
        ("José", ("jose",)),
        ("", ()),
        (" - ", ()),
    ],
)
def test_keys(name: str, expected: tuple[str, ...]) -> None:
    assert keys(name) == expected


@given(st.text())
def test_fold_is_idempotent(name: str) -> None:
    assert fold(fold(name)) == fold(name)


@given(st.text())
def test_fold_ignores_case(name: str) -> None:
    assert fold(name.casefold()) == fold(name)


def test_scripts_of_confusable_name() -> None:
    assert scripts("alice") == {"LATIN"}
    assert scripts("\N{CYRILLIC SMALL LETTER A}lice 1") == {"CYRILLIC", "LATIN"}
