"""Test notes of DAG authors: posted completely, as plain text or markup."""

from __future__ import annotations

import html

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_incident_provider.messages.blocks import MESSAGE_CHARACTERS, SECTION_LIMIT, text_size
from airflow_incident_provider.messages.updates import note_messages

WORDS = st.lists(st.sampled_from(["restart", "a<b>&c", "ß", "山田", "x" * 400, "👩‍🚀"]), max_size=400)


def texts(text: str, *, markup: bool = False) -> list[str]:
    return [block["text"]["text"] for message in note_messages(text, markup=markup) for block in message.blocks]


def test_end_of_long_paragraph_is_posted() -> None:
    text = "The replica is behind. " * 60 + "RUNBOOK-STEP: do not restart the primary."
    assert texts(text)[-1].endswith("RUNBOOK-STEP: do not restart the primary.")


def test_plain_text_is_escaped() -> None:
    [shown] = texts("see <https://x.example|here> & *now* <!channel>")
    assert "&lt;https://x.example|here&gt; &amp;" in shown
    assert "<!channel>" not in shown
    assert "*now*" not in shown, "asterisks are no formatting"


def test_markup_is_posted_unchanged() -> None:
    text = "see <https://x.example|here> and *now*\n• <@U0DANAREYES>"
    assert texts(text, markup=True) == [text]


@pytest.mark.parametrize("markup", [True, False])
@given(words=WORDS, separator=st.sampled_from([" ", "\n", ""]))
def test_whole_text_is_posted_within_limits(*, markup: bool, words: list[str], separator: str) -> None:
    text = separator.join(words)
    messages = note_messages(text, markup=markup)
    shown = "".join(block["text"]["text"] for message in messages for block in message.blocks)
    if not markup:
        shown = html.unescape(shown)
    assert "".join(shown.split()) == "".join(text.split())
    assert all(len(block["text"]["text"]) <= SECTION_LIMIT for message in messages for block in message.blocks)
    assert all(text_size(list(message.blocks)) <= MESSAGE_CHARACTERS for message in messages)


def test_line_without_spaces_is_split() -> None:
    parts = texts("x" * 10_000)
    assert [len(part) <= SECTION_LIMIT for part in parts] == [True] * len(parts)
    assert "".join(parts) == "x" * 10_000
