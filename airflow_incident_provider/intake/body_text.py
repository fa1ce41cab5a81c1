"""
The bytes of a webhook request become text: by their byte order mark, their own form, or the declared charset.

Senders declare a charset that the body does not have, none at all, or cut a body within a character. What can be
read is read: a byte that means nothing becomes a replacement character, and the brief says so.
"""

from __future__ import annotations

import codecs
import json
import re
from email import policy
from email.message import EmailMessage, Message
from email.parser import BytesParser
from urllib.parse import parse_qsl

_BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
"""The marks and what they mean: that of UTF-32 begins like that of UTF-16."""
_CHARSET = re.compile(
    r"(?:ascii|latin|iso8859|iso2022|cp\d|windows|shift_jis|euc|gb|big5|koi8|mac|tis|hz|johab|hp-|ptcp|kz)"
)
"""The codecs of Python that are charsets of texts; ``idna`` is none, and its cost grows with the square."""
_SINGLE_BYTE = re.compile(r"ascii|latin|iso8859|cp12\d\d|cp\d\d\d$|koi8|mac-(?!j|c|k|t)|tis|hp-|ptcp|kz")
_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
_ESCAPED_BYTE = re.compile("[\udc80-\udcff]")
_CP1252 = {0xDC00 + byte: bytes([byte]).decode("cp1252", "ignore") or _REPLACEMENT for byte in range(0x80, 0x100)}
_MULTIPART = re.compile(rb"\s*--([^\r\n]{1,70}?)(?:--)?\r?\nContent-", re.IGNORECASE)
_MAX_PARTS = 100

NOT_UTF_8 = "the body is not UTF-8: read as Windows-1252"
DAMAGED_TEXT = "characters of the body were damaged and replaced"


def decoded(body: bytes, content_type: str, repairs: list[str]) -> str:
    """Return the text of a body. Never raises.

    Valid UTF-8 counts before a declared charset of single bytes, which some senders always declare.

    :param content_type: the header of that name.
    """
    mark = next((each for each in _BYTE_ORDER_MARKS if body.startswith(each[0])), None)
    if mark is not None:
        return _lenient(body[len(mark[0]) :], mark[1], repairs)
    encoding = json.detect_encoding(body)
    if encoding != "utf-8":
        return _lenient(body, encoding, repairs)
    declared = _declared_charset(content_type)
    if declared is not None and (not _SINGLE_BYTE.match(declared) or not _is_utf_8(body)):
        try:
            return body.decode(declared)
        except UnicodeError:
            if not _is_utf_8(body):
                return _lenient(body, declared, repairs)
    return _from_utf_8(body, repairs)


def form_fields(text: str, content_type: str, repairs: list[str]) -> dict[str, str]:
    """Return the fields of a form; their bytes are read as those of a body."""
    fields: dict[str, str] = {}
    for name, value in parse_qsl(text, keep_blank_values=True, errors="surrogateescape"):
        is_text = _ESCAPED_BYTE.search(value) is None
        content = value if is_text else decoded(value.encode("utf-8", "surrogateescape"), content_type, repairs)
        _add_field(fields, name, content)
    return fields


def _add_field(fields: dict[str, str], name: str, value: str) -> None:
    """Add a field; of one that is given more than once, each value is a line."""
    before = fields.get(name)
    fields[name] = value if not before or before == value else f"{before}\n{value}" if value else before


def multipart_fields(body: bytes, content_type: str, repairs: list[str]) -> dict[str, str] | None:
    """Return the fields of a body of several parts, or ``None`` if it is none.

    The boundary that the body begins with counts: a header may not give it.
    """
    boundary = _MULTIPART.match(body)
    if boundary is None:
        return None
    header = b'Content-Type: multipart/form-data; boundary="' + boundary[1] + b'"\r\n\r\n'
    parsed = BytesParser(policy=policy.compat32).parsebytes(header + body.lstrip())
    fields: dict[str, str] = {}
    parts = parsed.get_payload()
    for number, part in enumerate(parts if isinstance(parts, list) else []):
        if number == _MAX_PARTS:
            repairs.append(f"only the first {_MAX_PARTS} parts of the body were read")
            break
        content = part.get_payload(decode=True)
        if isinstance(content, bytes):
            name = _part_name(part) or str(number)
            _add_field(fields, name, decoded(content, str(part.get("Content-Type", content_type)), repairs))
    return fields or None


def is_whole_multipart(body: bytes) -> bool:
    """Return whether the last part of a body of several parts is closed."""
    boundary = _MULTIPART.match(body)
    return boundary is not None and b"--" + boundary[1] + b"--" in body[-200:]


def _part_name(part: Message) -> str | None:
    name = part.get_param("name", header="content-disposition")
    return name if isinstance(name, str) else None


def _declared_charset(content_type: str) -> str | None:
    """Return the charset that a header declares, as Python calls it; UTF-16 and UTF-32 show by themselves."""
    header = EmailMessage(policy=policy.compat32)
    header["Content-Type"] = content_type.replace("\r", " ").replace("\n", " ")
    name = header.get_param("charset")
    try:
        codec = codecs.lookup(name.strip(" \"'")).name if isinstance(name, str) else ""
    except (LookupError, ValueError):
        return None
    return codec if _CHARSET.match(codec) else None


def _is_utf_8(body: bytes) -> bool:
    try:
        body.decode()
    except UnicodeDecodeError:
        return False
    return True


def _lenient(body: bytes, encoding: str, repairs: list[str]) -> str:
    text = body.decode(encoding, "replace")
    if _REPLACEMENT in text:
        repairs.append(DAMAGED_TEXT)
    return text


def _from_utf_8(body: bytes, repairs: list[str]) -> str:
    """Return UTF-8 as text. Without any valid character of several bytes, it is a charset of single bytes."""
    text = body.decode("utf-8", "surrogateescape")
    if _ESCAPED_BYTE.search(text) is None:
        return text
    if all(char < "\x80" or _ESCAPED_BYTE.match(char) for char in text):
        repairs.append(NOT_UTF_8)
        return text.translate(_CP1252)
    repairs.append(DAMAGED_TEXT)
    return _ESCAPED_BYTE.sub(_REPLACEMENT, text)
