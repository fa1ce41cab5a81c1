"""The text of a DAG author is posted complete, as plain text or as markup."""

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


def test_last_words_of_a_long_paragraph_are_posted() -> None:
    text = "The replica is behind. " * 60 + "RUNBOOK-STEP: do not restart the primary."
    assert texts(text)[-1].endswith("RUNBOOK-STEP: do not restart the primary.")


def test_plain_text_is_shown_as_it_is_written() -> None:
    [shown] = texts("see <https://x.example|here> & *now* <!channel>")
    assert "&lt;https://x.example|here&gt; &amp;" in shown
    assert "<!channel>" not in shown
    assert "*now*" not in shown, "stars are no formatting"


def test_markup_is_posted_as_it_is_written() -> None:
    text = "see <https://x.example|here> and *now*\n• <@U0DANAREYES>"
    assert texts(text, markup=True) == [text]


@pytest.mark.parametrize("markup", [True, False])
@given(words=WORDS, separator=st.sampled_from([" ", "\n", ""]))
def test_nothing_is_lost_and_every_part_fits(*, markup: bool, words: list[str], separator: str) -> None:
    text = separator.join(words)
    messages = note_messages(text, markup=markup)
    shown = "".join(block["text"]["text"] for message in messages for block in message.blocks)
    if not markup:
        shown = html.unescape(shown)
    assert "".join(shown.split()) == "".join(text.split())
    assert all(len(block["text"]["text"]) <= SECTION_LIMIT for each in messages for block in each.blocks)
    assert all(text_size(list(each.blocks)) <= MESSAGE_CHARACTERS for each in messages)


def test_a_line_without_spaces_is_split() -> None:
    parts = texts("x" * 10_000)
    assert [len(part) <= SECTION_LIMIT for part in parts] == [True] * len(parts)
    assert "".join(parts) == "x" * 10_000
