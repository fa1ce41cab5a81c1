"""Bodies: strict JSON within bounds, or a refusal in words."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_incident_provider.plugins.api.errors import RequestError
from airflow_incident_provider.plugins.webhook.body import MAX_DEPTH, parse_json_object

texts = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=10,
)


@given(st.dictionaries(texts, values))
def test_an_object_is_read_as_it_is(value: dict[str, Any]) -> None:
    assert parse_json_object(json.dumps(value).encode()) == value


@given(st.binary())
def test_whatever_comes_is_read_or_refused_with_400(body: bytes) -> None:
    answers: list[Any] = []
    try:
        answers.append(parse_json_object(body))
    except RequestError as refused:
        answers.append(refused)
    [answer] = answers
    assert isinstance(answer, dict) or (answer.status == 400 and answer.answer.error)


@given(st.text(st.characters(categories=["Cs", "Cc", "L"])), st.text())
def test_every_text_can_be_stored(key: str, text: str) -> None:
    read = parse_json_object(json.dumps({key: [text, {"\0": "\ud800\0"}]}).encode())
    stored = json.dumps(read, ensure_ascii=False)
    stored.encode()
    assert "\\u0000" not in json.dumps(read)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "line 1, column 1"),
        (b'{"a": NaN}', "NaN"),
        (b'{"a": -Infinity}', "Infinity"),
        (b'{"a": 1e999}', "too large"),
        (b'{"a": ' + b"9" * 5000 + b"}", "too long"),
        (b'{"a": 1} {}', "Extra data"),
        (b"[1]", "not an object"),
        (b"null", "not an object"),
        (b'{"a": "\xff"}', "UTF-8"),
        (b'{"a":' * (MAX_DEPTH + 1) + b"1" + b"}" * (MAX_DEPTH + 1), "nested"),
        (b"[" * 100_000, "nested"),
    ],
)
def test_what_is_no_json_object_is_refused_in_words(body: bytes, said: str) -> None:
    with pytest.raises(RequestError, match="400") as caught:
        parse_json_object(body)
    assert said in caught.value.answer.error
    assert len(caught.value.answer.error) < 200


def test_a_byte_order_mark_is_no_reason_to_lose_an_alert() -> None:
    assert parse_json_object(b'\xef\xbb\xbf{"a": 1}') == {"a": 1}
