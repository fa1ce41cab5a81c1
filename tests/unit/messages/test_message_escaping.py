"""Test escaping, truncation and markup of untrusted text."""

from __future__ import annotations

import html

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_incident_provider.messages.mrkdwn import (
    bold,
    code_span,
    escape,
    escaped_bytes,
    inline,
    link,
    mention,
    quote,
    truncate,
    utc_and_local,
    wrap,
)
from airflow_incident_provider.text import clean, one_line, url_problem

from .hostile import texts
from .rooms import OCCURRED
from .slack_rules import LONE_AMPERSAND


@given(texts)
def test_unescape_reverses_escape(text: str) -> None:
    assert html.unescape(escape(text).replace("&amp;", "&amp;amp;")).replace("&amp;", "&") == text


def test_entities_in_text_are_escaped() -> None:
    assert escape("&lt;!channel&gt; & <b>") == "&amp;lt;!channel&amp;gt; &amp; &lt;b&gt;"


@given(texts, st.integers(40, 400))
def test_truncated_text_fits_without_broken_entities(text: str, limit: int) -> None:
    shown = escape(truncate(text, limit))
    assert len(shown) <= limit
    assert not LONE_AMPERSAND.search(shown)


@given(texts, st.integers(40, 400))
def test_truncate_accepts_a_size_function(text: str, limit: int) -> None:
    assert len(escape(truncate(clean(text), limit, escaped_bytes)).encode()) <= limit


def test_truncate_appends_the_number_of_missing_characters() -> None:
    shown = truncate("a" * 1000, 500)
    kept = shown.count("a", 0, shown.index("…"))
    assert shown == "a" * kept + f"… ({1000 - kept} more characters)"


def test_truncate_to_short_limit_appends_an_ellipsis() -> None:
    assert truncate("a" * 100, 50) == "a" * 49 + "…"
    assert truncate("two words", 5) == "two…"


@pytest.mark.parametrize("cluster", ["e\u0301", "👩‍👩‍👧", "👍🏽", "✊\ufe0f"])
def test_truncate_does_not_split_grapheme_clusters(cluster: str) -> None:
    for limit in range(60, 60 + 3 * len(cluster)):
        kept = truncate(cluster * 100, limit).partition("…")[0]
        assert kept == cluster * (len(kept) // len(cluster))


def test_one_line_removes_control_and_invisible_characters() -> None:
    assert one_line(" a\r\n\x0bb\u2028c\x1b[31m \u202egnp\u200b\ud800 ") == "a b c[31m gnp"


def test_inline_replaces_formatting_characters() -> None:
    assert (
        inline("*b* _i_ ~s~ `c` missing_scope")
        == "\u2217b\u2217 \u02cdi\u02cd \u223cs\u223c \u02cbc\u02cb missing_scope"
    )


def test_code_span_cannot_be_closed_by_text() -> None:
    assert code_span("a`b\n<!here>") == "`a\u02cbb &lt;!here&gt;`"
    assert code_span(" \n") == "(empty)"


@given(texts)
def test_quote_marks_every_line(text: str) -> None:
    for line in quote(text, 300):
        assert line.startswith("> ")
        assert "\n" not in line
        assert "<" not in line


def test_quote_limits_the_number_of_lines() -> None:
    assert quote("a\n\nb\nc\nd", 300, lines=2) == ["> a", "> b", "> …"]


def test_bold_replaces_asterisks() -> None:
    assert bold("a * b") == "*a \u2217 b*"
    assert bold(" ") == ""


@pytest.mark.parametrize(
    "url",
    [
        "javascript:alert(1)",
        "ftp://a.example",
        "https://",
        "https://a|b",
        "https://a>b",
        "https://a b",
        "https://a\nb",
        "https://[::1",
        "https://a/\ud800",
        "https://a/\u202e",
        "https://a/" + "a" * 2000,
        "",
    ],
)
def test_unsafe_url_is_not_linked(url: str) -> None:
    assert url_problem(url)
    assert link(url, "Monitor") == "Monitor (no usable URL)"


def test_link_escapes_url_and_label() -> None:
    assert link("https://a.example/?x=1&y=2", "a | <b> & c") == (
        "<https://a.example/?x=1&amp;y=2|a / &lt;b&gt; &amp; c>"
    )
    assert link("https://a.example", " ") == "<https://a.example|link>"


def test_link_label_that_looks_like_a_url_shows_the_host() -> None:
    assert link("https://evil.example/x", "https://good.example") == (
        "<https://evil.example/x|https://good.example (leads to evil.example)>"
    )


def test_only_valid_user_ids_are_mentioned() -> None:
    assert mention("U0123ABCD", "Alice") == "<@U0123ABCD>"
    assert mention("W0123ABCD", "Alice") == "<@W0123ABCD>"
    assert mention("U1|x> <!channel", "<Alice>") == "&lt;Alice&gt;"


def test_utc_and_local_uses_slack_date_with_fallback() -> None:
    assert utc_and_local(OCCURRED) == "09:35 <!date^1795426500^UTC ({time} your time)|UTC>"


def test_wrap_breaks_between_parts() -> None:
    assert wrap([escape("aaa"), escape("bbb"), escape(""), escape("ccc")], 9) == ["aaa · bbb", "ccc"]


@pytest.mark.parametrize("name", ["NOC", "DANA", "S0SREONCALL", "OPS1", "QA", "U", "WILL"])
def test_a_name_in_capitals_is_no_mention(name: str) -> None:
    assert mention(name, name) == name
