"""Escaping: once, never split, and nothing that a reader or Slack could misread."""

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
def test_escaping_is_undone_by_one_unescaping(text: str) -> None:
    assert html.unescape(escape(text).replace("&amp;", "&amp;amp;")).replace("&amp;", "&") == text


def test_an_entity_in_the_text_is_text() -> None:
    assert escape("&lt;!channel&gt; & <b>") == "&amp;lt;!channel&amp;gt; &amp; &lt;b&gt;"


@given(texts, st.integers(40, 400))
def test_a_truncated_text_fits_and_breaks_no_entity(text: str, limit: int) -> None:
    shown = escape(truncate(text, limit))
    assert len(shown) <= limit
    assert not LONE_AMPERSAND.search(shown)


@given(texts, st.integers(40, 400))
def test_truncation_counts_bytes_when_asked_to(text: str, limit: int) -> None:
    assert len(escape(truncate(clean(text), limit, escaped_bytes)).encode()) <= limit


def test_a_long_truncated_text_says_how_much_is_missing() -> None:
    shown = truncate("a" * 1000, 500)
    kept = shown.count("a", 0, shown.index("…"))
    assert shown == "a" * kept + f"… ({1000 - kept} more characters)"


def test_a_short_truncated_text_ends_in_an_ellipsis() -> None:
    assert truncate("a" * 100, 50) == "a" * 49 + "…"
    assert truncate("two words", 5) == "two…"


@pytest.mark.parametrize("cluster", ["e\u0301", "👩‍👩‍👧", "👍🏽", "✊\ufe0f"])
def test_truncation_does_not_part_a_visible_character(cluster: str) -> None:
    for limit in range(60, 60 + 3 * len(cluster)):
        kept = truncate(cluster * 100, limit).partition("…")[0]
        assert kept == cluster * (len(kept) // len(cluster))


def test_one_line_has_no_line_ends_controls_or_disguises() -> None:
    assert one_line(" a\r\n\x0bb\u2028c\x1b[31m \u202egnp\u200b\ud800 ") == "a b c[31m gnp"


def test_formatting_characters_format_nothing_but_names_stay() -> None:
    assert (
        inline("*b* _i_ ~s~ `c` missing_scope")
        == "\u2217b\u2217 \u02cdi\u02cd \u223cs\u223c \u02cbc\u02cb missing_scope"
    )


def test_code_cannot_be_left() -> None:
    assert code_span("a`b\n<!here>") == "`a\u02cbb &lt;!here&gt;`"
    assert code_span(" \n") == "(empty)"


@given(texts)
def test_a_quotation_is_quoted_on_every_line(text: str) -> None:
    for line in quote(text, 300):
        assert line.startswith("> ")
        assert "\n" not in line
        assert "<" not in line


def test_a_quotation_has_a_maximum_number_of_lines() -> None:
    assert quote("a\n\nb\nc\nd", 300, lines=2) == ["> a", "> b", "> …"]


def test_bold_holds_only_our_stars() -> None:
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
def test_an_address_that_could_break_a_link_is_not_linked(url: str) -> None:
    assert url_problem(url)
    assert link(url, "Monitor") == "Monitor (no usable URL)"


def test_a_link_escapes_address_and_label() -> None:
    assert link("https://a.example/?x=1&y=2", "a | <b> & c") == (
        "<https://a.example/?x=1&amp;y=2|a / &lt;b&gt; &amp; c>"
    )
    assert link("https://a.example", " ") == "<https://a.example|link>"


def test_a_label_that_looks_like_an_address_says_where_it_leads() -> None:
    assert link("https://evil.example/x", "https://good.example") == (
        "<https://evil.example/x|https://good.example (leads to evil.example)>"
    )


def test_only_an_id_that_slack_gives_is_mentioned() -> None:
    assert mention("U0123ABCD", "Alice") == "<@U0123ABCD>"
    assert mention("W0123ABCD", "Alice") == "<@W0123ABCD>"
    assert mention("U1|x> <!channel", "<Alice>") == "&lt;Alice&gt;"


def test_a_moment_is_drawn_by_slack_and_falls_back_to_utc() -> None:
    assert utc_and_local(OCCURRED) == "09:35 <!date^1795426500^UTC ({time} your time)|UTC>"


def test_lines_break_between_parts() -> None:
    assert wrap([escape("aaa"), escape("bbb"), escape(""), escape("ccc")], 9) == ["aaa · bbb", "ccc"]
