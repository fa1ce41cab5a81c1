"""Test cleaning, comparison, hashing and size limits of untrusted text."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_incident_provider.text import (
    clean,
    digest_of,
    distinct,
    encoded_size,
    for_error,
    one_line,
    paragraphs,
    redact,
    redact_values,
    shorten,
    shrink_to_fit,
    url_problem,
    without_invisible,
)


@given(st.text())
def test_cleaning_is_idempotent(text: str) -> None:
    for function in (without_invisible, clean, one_line, paragraphs, redact):
        assert function(function(text)) == function(text)


@pytest.mark.parametrize(
    "character",
    [
        "\u200b", "\u200d", "\u2060", "\u202e", "\u2066", "\u00ad", "\ufeff", "\u115f", "\u3164", "\u2800",
        "\ufff9", "\x00", "\x1b", "\x9b", "\ud800", "\U000e0041", "\U000e0101", "\u034f",
    ],
)  # fmt: skip
def test_invisible_characters_are_removed(character: str) -> None:
    assert one_line(f"pr{character}od") == clean(f"pr{character}od") == "prod"


@pytest.mark.parametrize(
    "text",
    ["👩\u200d💻", "\u0645\u06cc\u200c\u062e", "🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f"],
)
def test_joiners_of_emoji_and_scripts_are_kept(text: str) -> None:
    assert one_line(text) == text


def test_line_breaks_are_normalized() -> None:
    assert clean("a\r\nb\rc\u2028d\x0be") == "a\nb\nc\nd\ne"
    assert one_line(" a\r\n\tb\x85c ") == "a b c"
    assert paragraphs("a  b\n\n\n\nc ") == "a b\n\nc"


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("https://a.example/x?y=1&z=2#f", None),
        ("HTTP://a.example", None),
        ("https://user:pw@a.example", "credentials"),
        ("https://a.example\\@b.example", "character"),
        ("ftp://a.example", "not an http"),
        ("https://a.example:99999", "not an http"),
        ("https:///x", "no host"),
        ("https://a.example/" + "&" * 500, "longer"),
    ],
)
def test_unusable_urls_are_explained(url: str, problem: str | None) -> None:
    assert problem in (url_problem(url) or "") if problem else url_problem(url) is None


def test_for_error_hides_secrets_and_containers() -> None:
    assert for_error("postgres://u:hunter2@h/d") == "'postgres://[redacted]@h/d'"
    assert for_error(["hunter2"]) == "a list of 1"
    assert for_error(10**5000) == "a very long number"


def test_digest_separates_its_parts() -> None:
    assert digest_of(("a", "b")) != digest_of(("ab",)) != digest_of(("a,b",))
    assert len(digest_of(["a"])) == 16


def test_distinct_ignores_case() -> None:
    assert distinct(["Prod", "dev", "PROD"]) == ("Prod", "dev")


def test_shrink_to_fit_applies_steps_in_order() -> None:
    def drop(name: str) -> object:
        return lambda value: {**value, name: value[name][:-1]} if value[name] else None

    shrunk = shrink_to_fit({"a": [1] * 50, "b": [1] * 50}, 100, size=encoded_size, steps=[drop("a"), drop("b")])
    assert encoded_size(shrunk) <= 100
    assert shrunk["a"] == []
    assert shrunk["b"]


def test_shorten_appends_an_ellipsis() -> None:
    assert shorten("abcdef", 4) == "abc…"


def test_redact_values_keeps_embedded_json_valid() -> None:
    value = {
        "routing_key": "0123456789abcdef",
        "text": "password=hunter2",
        "n": [1, {"api_key": "abc", "cycle_key": "7"}],
        "nested": json.dumps({"password": "hunter2", "id": 7}),
    }
    redacted = redact_values(value)
    assert redacted["routing_key"] == "[redacted]"
    assert redacted["text"] == "password=[redacted]"
    assert redacted["n"] == [1, {"api_key": "[redacted]", "cycle_key": "7"}]
    assert json.loads(redacted["nested"]) == {"password": "[redacted]", "id": 7}
