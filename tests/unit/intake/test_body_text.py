"""Decoding of request bodies: charsets, forms and multipart."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_incident_provider.intake.body_text import DAMAGED_TEXT, NOT_UTF_8, decoded
from airflow_incident_provider.intake.request_body import REPAIRS_KEY, UnreadableBodyError, parse_body


def read(body: bytes, content_type: str = "application/json") -> dict[str, Any]:
    [alert] = parse_body(body, content_type)
    assert isinstance(alert, dict)
    return alert


@pytest.mark.parametrize(
    ("text", "codec", "charset"),
    [
        ("障害が発生しました", "shift_jis", "shift_jis"),
        ("表示できない", "cp932", '"Shift_JIS"'),
        ("障害", "euc_jp", "euc-jp"),
        ("障害", "iso2022_jp", "ISO-2022-JP"),
        ("故障", "gb18030", "gb2312"),
        ("故障", "gbk", "GBK"),
        ("故障", "big5", "big5"),
        ("장애", "euc_kr", "euc-kr"),
        ("café \u20ac", "cp1252", "windows-1252"),
        ("café", "latin-1", "ISO-8859-1"),
        ("Ошибка", "cp1251", "windows-1251"),
        ("Ошибка", "koi8_r", "koi8-r"),
        ("chyba č", "cp1250", "windows-1250"),
        ("café", "utf-16", "utf-16"),
        ("café", "utf-16-be", "utf-16"),
        ("café", "utf-16-le", "utf-16le"),
        ("café", "utf-32", "utf-32"),
        ("café", "utf-8-sig", "utf-8"),
        # The declared charset is wrong.
        ("café", "utf-8", "iso-8859-1"),
        ("café", "utf-8", "utf-16"),
        ("café", "utf-8", "us-ascii"),
        ("café", "utf-8", "no-such-charset"),
        ("café", "utf-8", "idna"),
        ("café", "utf-8", "base64"),
    ],
)
def test_declared_charset_is_decoded(text: str, codec: str, charset: str) -> None:
    body = f'{{"title": "{text}"}}'.encode(codec)
    assert read(body, f"application/json; charset={charset}") == {"title": text}


def test_invalid_utf_8_byte_is_replaced() -> None:
    body = '{"title": "Kö'.encode() + b"\xff" + 'ln \u20ac"}'.encode()
    assert read(body) == {"title": "Kö\ufffdln \u20ac", REPAIRS_KEY: [DAMAGED_TEXT]}


def test_undeclared_charset_falls_back_to_windows_1252() -> None:
    assert read('{"title": "10 \u20ac café"}'.encode("cp1252")) == {
        "title": "10 \u20ac café",
        REPAIRS_KEY: [NOT_UTF_8],
    }


@pytest.mark.parametrize(
    "content_type", ["", "charset", "text/plain; charset=", "a/b; charset*=utf-8''x", "\r\nx: y", "a; charset=\0"]
)
def test_malformed_content_type_is_ignored(content_type: str) -> None:
    assert read(b'{"title": "x"}', content_type) == {"title": "x"}


@given(st.binary(max_size=200), st.sampled_from(["utf-8", "shift_jis", "utf-16", "utf-7", "cp1252", "hz", "x"]))
def test_decoding_never_raises(body: bytes, charset: str) -> None:
    decoded(body, f"text/plain; charset={charset}", [])


def test_form_fields_use_declared_charset() -> None:
    form = "application/x-www-form-urlencoded; charset=iso-8859-1"
    assert read(b"payload=%7B%22title%22%3A%22caf%E9%22%7D", form) == {"title": "café"}
    assert read(b"title=caf%C3%A9&severity=P1", form) == {"title": "café", "severity": "P1"}


@pytest.mark.parametrize("name", ["payload", "body", "data", "json"])
def test_form_field_accepts_unencoded_json(name: str) -> None:
    assert read(f'{name}={{"title": "A & B", "x": "1+1=2"}}'.encode()) == {"title": "A & B", "x": "1+1=2"}


MULTIPART_BODY = (
    b'--X\r\nContent-Disposition: form-data; name="title"\r\n\r\ncaf\xc3\xa9 & more\r\n'
    b'--X\r\nContent-Disposition: form-data; name="tags"\r\nContent-Type: text/plain; charset=iso-8859-1\r\n\r\n'
    b"caf\xe9:1\r\n--X--\r\n"
)


@pytest.mark.parametrize("content_type", ["multipart/form-data; boundary=X", "multipart/form-data", ""])
def test_multipart_parts_become_fields(content_type: str) -> None:
    assert read(MULTIPART_BODY, content_type) == {"title": "café & more", "tags": "café:1"}


def test_malformed_part_header_is_ignored() -> None:
    part = b'--X\nContent-Disposition: form-data; name="title"\nContent-Type: t\xe9xt; charset=\xff\n\nDisk\n--X--'
    assert read(part) == {"title": "Disk"}


def test_base64_part_is_decoded() -> None:
    part = (
        b'--X\nContent-Disposition: form-data; name="title"\nContent-Transfer-Encoding: base64\n\nRGlzaw==\n--X--'
    )
    assert read(part) == {"title": "Disk"}


@given(st.binary(max_size=100), st.binary(max_size=50))
def test_arbitrary_part_raises_only_documented_error(content: bytes, header: bytes) -> None:
    body = b"--X\nContent-Disposition: form-data\nContent-Type: " + header + b"\n\n" + content + b"\n--X--"
    with contextlib.suppress(UnreadableBodyError):
        parse_body(body)


def test_payload_is_read_from_file_part() -> None:
    file = b'--X\nContent-Disposition: form-data; name="f"; filename="a.json"\n\n{"title": "x"}\n--X--'
    assert read(file) == {"title": "x"}
