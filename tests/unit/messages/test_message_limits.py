"""Test that blocks and messages respect Slack's limits."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_incident_provider.messages.blocks import (
    Message,
    fallback_text,
    header,
    is_image_url,
    preformatted,
    section,
    sections,
    split_into_messages,
)
from airflow_incident_provider.messages.mrkdwn import escape
from airflow_incident_provider.text import clean

from .hostile import texts
from .slack_rules import assert_slack_accepts


@given(st.lists(st.integers(1, 3000), min_size=1, max_size=120))
def test_split_keeps_every_block_in_order(lengths: list[int]) -> None:
    blocks = [section(escape("x" * length)) for length in lengths]
    messages = split_into_messages("text", blocks)
    assert [block for message in messages for block in message.blocks] == blocks
    for message in messages:
        assert_slack_accepts(message)


def test_split_messages_are_numbered() -> None:
    first, second = split_into_messages("Findings", [section(escape("x"))] * 51)
    assert (len(first.blocks), len(second.blocks)) == (50, 1)
    assert (first.text, second.text) == ("Findings", "(part 2 of 2) Findings")


def test_no_blocks_give_no_messages() -> None:
    assert split_into_messages("text", []) == []


def test_fallback_text_limit_counts_escaped_bytes() -> None:
    for text in ("&" * 9000, "é" * 9000, "👩‍👩‍👧" * 900):
        assert len(fallback_text(text).encode()) <= 3000
        assert "more characters)" in fallback_text(text)


def test_message_arguments_set_every_option() -> None:
    message = Message(fallback_text("<!channel>"), (header("t"),), {"U1": "Alice"})
    assert message.as_arguments() == {
        "text": "&lt;!channel&gt;",
        "blocks": [{"type": "header", "text": {"type": "plain_text", "text": "t", "emoji": False}}],
        "parse": "none",
        "link_names": False,
        "mrkdwn": True,
        "unfurl_links": False,
        "unfurl_media": False,
    }
    assert set(message.as_update_arguments()) == {"text", "blocks", "parse", "link_names"}


def test_header_is_cleaned_and_truncated_but_not_escaped() -> None:
    assert header("a & b\n<c>")["text"]["text"] == "a & b <c>"
    assert header(" ")["text"]["text"] == "(no title)"
    assert len(header("x" * 151)["text"]["text"]) <= 150


@pytest.mark.parametrize("text", ["", " ", "x" * 3001])
def test_section_of_invalid_length_raises(text: str) -> None:
    with pytest.raises(ValueError, match="1 to 3000"):
        section(escape(text))


@given(texts)
def test_preformatted_blocks_contain_the_whole_text(text: str) -> None:
    blocks = preformatted(text)
    parts = [block["elements"][0]["elements"][0]["text"] for block in blocks]
    assert all(1 <= len(part) <= 3000 for part in parts)
    assert "".join("".join(parts).split()) == "".join(clean(text).split())


def test_preformatted_text_is_not_escaped() -> None:
    [block] = preformatted("<!channel> & `x`")
    assert block["elements"][0]["elements"] == [{"type": "text", "text": "<!channel> & `x`"}]


def test_lines_share_a_section_while_they_fit() -> None:
    lines = [escape("a" * 1500), escape(""), escape("b" * 1499), escape("c")]
    assert [len(block["text"]["text"]) for block in sections(lines)] == [3000, 1]


@pytest.mark.parametrize(
    ("url", "shown"),
    [("https://a.example/1.png", True), ("http://a.example/1.png", False), ("https://a b", False), (None, False)],
)
def test_only_https_images_are_shown(url: str | None, shown: bool) -> None:
    assert is_image_url(url) is shown
