"""Escaping: once, never split, and nothing that a reader or Slack could misread."""

from __future__ import annotations

import html

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_incident_provider.messages.mrkdwn import (
    bold,
    code_blocks,
    code_span,
    cut,
    escape,
    escaped_bytes,
    inline,
    link,
    mention,
    quote,
    slack_date,
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
def test_a_cut_text_fits_and_breaks_no_entity(text: str, limit: int) -> None:
    shown = escape(cut(text, limit))
    assert len(shown) <= limit
    assert not LONE_AMPERSAND.search(shown)


@given(texts, st.integers(40, 400))
def test_a_cut_counts_bytes_when_asked_to(text: str, limit: int) -> None:
    assert len(escape(cut(clean(text), limit, escaped_bytes)).encode()) <= limit


def test_a_cut_says_how_much_is_missing() -> None:
    shown = cut("a" * 100, 50)
    kept = shown.count("a", 0, shown.index("…"))
    assert shown == "a" * kept + f"… (cut, {100 - kept} more characters)"


@pytest.mark.parametrize("cluster", ["e\u0301", "👩‍👩‍👧", "👍🏽", "✊\ufe0f"])
def test_a_cut_does_not_part_a_visible_character(cluster: str) -> None:
    for limit in range(60, 60 + 3 * len(cluster)):
        kept = cut(cluster * 100, limit).partition("…")[0]
        assert kept == cluster * (len(kept) // len(cluster))


def test_a_limit_that_leaves_no_room_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 40"):
        cut("text", 39)


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
    assert code_blocks("x ``` <!channel>", 100) == ["```\nx \u02cb\u02cb\u02cb &lt;!channel&gt;\n```"]


@given(texts, st.integers(60, 3000))
def test_code_blocks_hold_the_whole_text(text: str, size: int) -> None:
    blocks = code_blocks(text, size)
    assert all(len(block) <= size for block in blocks)
    assert not any(LONE_AMPERSAND.search(block) for block in blocks)
    shown = "".join("".join(block[4:-4].split()) for block in blocks)
    expected = "".join(clean(text).replace("`", "\u02cb").split())
    assert html.unescape(shown.replace("&amp;", "&amp;amp;")).replace("&amp;", "&") == expected


@given(texts)
def test_a_quotation_is_quoted_on_every_line(text: str) -> None:
    for line in quote(text, 300):
        assert line.startswith("> ")
        assert "\n" not in line
        assert "<" not in line


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
    assert link(url, "Monitor") == "Monitor (no usable address)"


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
    assert slack_date(OCCURRED) == "<!date^1795426500^{time_secs}|09:35:00 UTC>"
    assert utc_and_local(OCCURRED) == "09:35:00 <!date^1795426500^UTC ({time} your time)|UTC>"


def test_lines_break_between_parts() -> None:
    assert wrap([escape("aaa"), escape("bbb"), escape(""), escape("ccc")], 9) == ["aaa · bbb", "ccc"]
