"""Test parsing of request bodies: valid, repaired and unreadable ones."""

from __future__ import annotations

import contextlib
import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_incident_provider.intake.request_body import (
    MAX_DEPTH,
    REPAIRS_KEY,
    UnreadableBodyError,
    extract,
)
from airflow_incident_provider.intake.request_body import parse_body as parse_alerts


def parse_body(body: bytes, content_type: str = "") -> dict[str, Any]:
    """Return the only alert of a body."""
    [alert] = parse_alerts(body, content_type)
    assert isinstance(alert, dict)
    return alert


texts = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=10,
)


@given(st.dictionaries(texts, values))
def test_json_object_is_parsed_unchanged(value: dict[str, Any]) -> None:
    assert parse_body(json.dumps(value).encode()) == value


@given(st.binary())
def test_any_body_is_parsed_or_reported_with_a_title(body: bytes) -> None:
    try:
        parsed, message = parse_body(body), ""
    except UnreadableBodyError as error:
        parsed, message = error.extracted, error.message
    assert isinstance(parsed, dict)
    assert not message or parsed["title"]
    assert len(message) < 200


@given(st.text(st.characters(categories=["Cs", "Cc", "L"])), st.text())
def test_any_text_can_be_stored(key: str, text: str) -> None:
    parsed = parse_body(json.dumps({key: [text, {"\0": "\ud800\0"}]}).encode())
    stored = json.dumps(parsed, ensure_ascii=False)
    stored.encode()
    assert "\\u0000" not in json.dumps(parsed)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "line 1, column 1"),
        (b"[1]", "not an object"),
        (b"[]", "not an object"),
        (b"null", "not an object"),
        (b"[" * 100_000, "nested"),
        (b'{"title": "cut off in the midd', "Unterminated string"),
    ],
)
def test_body_without_an_object_raises(body: bytes, message: str) -> None:
    with pytest.raises(UnreadableBodyError) as exc_info:
        parse_body(body)
    assert message in exc_info.value.message


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b'\xef\xbb\xbf{"a": 1}', {"a": 1}),
        ('{"a": "é"}'.encode("utf-16"), {"a": "é"}),
        (b'{"a": NaN, "b": -Infinity, "c": 1e999}', {"a": None, "b": None, "c": None}),
        (b'--b\r\nContent-Disposition: form-data; name="p"\r\n\r\n{"a": 1}\r\n--b--', {"a": 1}),
        (b'{"a": "x\n\ty\x01"}', {"a": "x\n\ty\x01"}),
        (b'[{"a": 1}]', {"a": 1}),
        ('{"a": "é"}'.encode("utf-16-le"), {"a": "é"}),
        ('{"a": "é"}'.encode("utf-32"), {"a": "é"}),
        (json.dumps(json.dumps({"a": 1})).encode(), {"a": 1}),
        (json.dumps({"payload": json.dumps({"a": 1})}).encode(), {"a": 1}),
        (json.dumps({"body": "{}", "b": 1}).encode(), {"body": "{}", "b": 1}),
    ],
)
def test_common_deviations_are_parsed(body: bytes, expected: dict[str, Any]) -> None:
    assert parse_body(body) == expected


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (rb'{"a": "C:\ops\d"}', {"a": "C:\\ops\\d"}),
        (b'{"a": "Certificate "edge-7" expires", "b": "x"}', {"a": 'Certificate "edge-7" expires', "b": "x"}),
        (b'{"a": "say "hi", he said", "b": 1}', {"a": 'say "hi", he said', "b": 1}),
        (
            b'{"a": $NAME, "b": , "c": [$LOGS_SAMPLE], "d": "$KEPT , "}',
            {"a": None, "b": None, "c": [None], "d": "$KEPT , "},
        ),
        (b'{"a": None, "b": True,}', {"a": None, "b": True}),
        (
            b'{"a": P1, "b": [x:y,z:w], "c": 01, "d": 1e3, "e": false}',
            {"a": "P1", "b": ["x:y", "z:w"], "c": "01", "d": 1000.0, "e": False},
        ),
        (b'{"a": {"b": 1}, "c": "x", "a": {"d": 2}, "c": null}', {"a": {"b": 1, "d": 2}, "c": "x"}),
        (b'{"a": "caf\xe9"}', {"a": "café"}),
    ],
)
def test_invalid_json_of_templates_is_repaired(body: bytes, expected: dict[str, Any]) -> None:
    parsed = parse_body(body)
    assert parsed.pop(REPAIRS_KEY)
    assert parsed == expected


def test_deeply_nested_values_are_removed() -> None:
    parsed = parse_body(b'{"title": "x", "a":' + b'{"a":' * MAX_DEPTH + b"1" + b"}" * MAX_DEPTH + b"}")
    assert parsed["title"] == "x"
    assert "deep" in parsed[REPAIRS_KEY][0]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"payload=%7B%22title%22%3A+%22x%22%7D", {"title": "x"}),
        (b"&".join(b"a%d=" % n for n in range(2000)), {f"a{n}": "" for n in range(2000)}),
        (b"title=Checkout+is+down&severity=P1", {"title": "Checkout is down", "severity": "P1"}),
        (b"title=x&alert=%7B%22id%22%3A+7%7D&tags=", {"title": "x", "alert": {"id": 7}, "tags": ""}),
        (b'{"title": "x"}', {"title": "x"}),
    ],
)
def test_form_fields_are_parsed(body: bytes, expected: dict[str, Any]) -> None:
    assert parse_body(body) == expected


def test_extract_redacts_secrets_of_unreadable_body() -> None:
    text = '{"id": 7, "title": "Disk \\"a\\" password=hunter2", "transition": "Triggered", "link": "https://x", {'
    extracted = extract(text)
    assert extracted["title"].startswith('Disk "a" password=[redacted]')
    assert (extracted["id"], extracted["transition"], extracted["link"]) == ("7", "Triggered", "https://x")
    assert extract("plain words")["title"] == "plain words"


@pytest.mark.parametrize(
    "piece",
    ['"', '"x', '"b",', "\\", "$a", '{"title":"', ":", '\\"x', ",$a[", "{{", '" ', '"a":{"b":1},', ",x", "a:"],
)
def test_hostile_bodies_are_parsed_quickly(piece: str) -> None:
    started = time.process_time()
    for start in ("", '{"a":"', '{"a":'):
        with contextlib.suppress(UnreadableBodyError):
            parse_body((start + piece * 100_000)[:262_144].encode())
    assert time.process_time() - started < 10


def test_repeated_names_are_parsed_quickly() -> None:
    started = time.process_time()
    body = "{" + ",".join(f'"a":{{"b{number}":1}}' for number in range(15_000)) + "}"
    assert len(parse_body(body.encode())["a"]) == 15_000
    assert time.process_time() - started < 5
