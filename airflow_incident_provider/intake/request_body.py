"""
The body of a webhook request becomes an object: JSON, JSON that the alert's own text broke, or form fields.

A sender's template puts text of an alert between quotes, and not every sender escapes it: raw line breaks, tabs,
backslashes and quotes arrive, or an unset variable leaves a hole. Others wrap the JSON in text, or encode it twice.
None of that is a reason to lose the alert. What cannot be repaired is reported with whatever can be extracted.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import parse_qsl

from airflow_incident_provider.exceptions import InvalidPayloadError
from airflow_incident_provider.intake.limits import MAX_NAME, MAX_TITLE
from airflow_incident_provider.intake.values import is_unset
from airflow_incident_provider.text import one_line, redact, shorten

MAX_DEPTH = 32
"""Objects and lists in each other; Datadog's deepest payload has five. What is deeper is left out."""
MAX_DIGITS = 100
"""Digits of an integer that stays one; Python refuses to print 4,300."""
REPAIRS_KEY = "_repairs"
"""Under it stands what was repaired, for the warnings in the brief."""

_FORM = re.compile(r"\s*[\w.\[\]%+-]{1,100}=")
"""How form fields begin; senders do not always declare them."""
_WRAPPERS = ("payload", "json", "data", "body")
"""Names of a field that holds the whole payload, the surest first."""
_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
_UNSTORABLE = {0: _REPLACEMENT, **dict.fromkeys(range(0xD800, 0xE000), _REPLACEMENT)}
"""What JSON can express but PostgreSQL's JSON cannot hold."""

_STRING = re.compile(r'"(?:[^"\\]++|\\.)*+(?:"|\\?\Z)', re.DOTALL)
_BARE_VALUE = re.compile(
    r"(?<=[:\[,])(\s*)((?:\$\{\w{1,60}\}|\{\{[^{}]{0,200}\}\}|[^\s:\"{}\[\],][^\n\"{}\[\],]{0,100}+)(?:\[[^\]]{0,60}\])?)"
    r"(?=\s*[,}\]])"
)
_NUMBER = re.compile(r"-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?")
_HOLE = re.compile(r":(\s*)(?=[,}])")
_TRAILING_COMMA = re.compile(r",(\s*[}\]])")
_BAD_ESCAPE = re.compile(r'\\(?!["\\/bfnrt]|u[0-9A-Fa-f]{4})')
_AFTER_KEY = re.compile(r"\s*:")
_AFTER_VALUE = re.compile(
    r'\s*(?:[}\]]\s*(?:[,}\]]|$)|,\s*(?:"[^"\n]{0,100}"\s*:|["{\[]|-?\d|true\b|false\b|null\b|\$)|$)'
)
_FRAGMENT = re.compile(
    r"\"(?P<name>title|event_title|alert_title|alertname|summary|message|text|id|alert_id|monitor_id|cycle_key|link|url"
    r"|transition|alert_transition|status|state|priority|severity|tags|scope|hostname)\"\s*:\s*"
    r"(?:\"(?P<text>(?:[^\"\\]|\\.){0,2000})|(?P<number>-?\d{1,30}))",
    re.IGNORECASE | re.DOTALL,
)
_MAX_FRAGMENTS = 30
_MAX_WRAPPERS = 4
_MAX_BARE_VALUES = 2000


class UnreadableBodyError(InvalidPayloadError):
    """A body that is no object, even after repairs.

    :param extracted: what could be extracted of it, by name, clean and without secrets; at least a ``title``.
    """

    def __init__(self, message: str, *, extracted: Mapping[str, str], fix: str | None = None) -> None:
        super().__init__(message, fix=fix)
        self.extracted = dict(extracted)


def parse_body(body: bytes) -> dict[str, Any]:
    """Return the object that a body holds, whatever its declared type. Repairs are listed under ``REPAIRS_KEY``.

    :raises UnreadableBodyError: it is no object, even after repairs.
    """
    repairs: list[str] = []
    text = _decoded(body, repairs)
    value = _unwrapped(_form_fields(text, repairs) if _FORM.match(text) else _parsed(text, repairs), repairs)
    value = _bounded(value, MAX_DEPTH, repairs)
    if not isinstance(value, dict):
        kind = "a list of several objects" if isinstance(value, list) and value else "not an object"
        raise UnreadableBodyError(
            f"The body is JSON, but {kind}.", extracted=extract(text), fix="Send one object for each alert."
        )
    return {**value, REPAIRS_KEY: list(dict.fromkeys(repairs))} if repairs else value


def extract(text: str) -> dict[str, str]:
    """Return the named fragments of a text that is no payload; without a title, its beginning is the title."""
    found: dict[str, str] = {}
    for number, fragment in enumerate(_FRAGMENT.finditer(text[:100_000])):
        if number == _MAX_FRAGMENTS:
            break
        value = _fragment_text(fragment["text"] if fragment["text"] is not None else fragment["number"])
        if value and not is_unset(value):
            found.setdefault(fragment["name"].lower(), value)
    names = ("title", "event_title", "alert_title", "alertname", "summary", "message", "text")
    title = next((found[name] for name in names if name in found), None)
    beginning = re.sub(r"^\W+", "", one_line(text[:1000]))
    return {**found, "title": title or shorten(redact(beginning), MAX_NAME) or "An alert without a title"}


def _fragment_text(raw: str) -> str:
    try:
        raw = json.loads(f'"{raw}"', strict=False)
    except ValueError:
        raw = raw.replace("\\n", " ").replace('\\"', '"')
    return shorten(redact(one_line(str(raw))), MAX_TITLE)


def _decoded(body: bytes, repairs: list[str]) -> str:
    for encoding in (json.detect_encoding(body), "cp1252"):
        try:
            return body.decode(encoding).removeprefix("\ufeff")
        except UnicodeDecodeError:
            repairs.append("the body is not UTF-8: read as Windows-1252")
    return body.decode("latin-1")


def _form_fields(text: str, repairs: list[str]) -> object:
    """Return form fields as an object; a field that contains the whole payload as JSON replaces it."""
    fields = dict(parse_qsl(text, keep_blank_values=True))
    for name in _WRAPPERS:
        if _is_container(fields.get(name, "")):
            return _parsed(fields[name], repairs)
    return {name: _parsed(value, repairs) if _is_container(value) else value for name, value in fields.items()}


def _unwrapped(value: object, repairs: list[str]) -> object:
    """Return the payload itself: out of a list of one, an object with it alone, or a text that holds JSON."""
    for _ in range(_MAX_WRAPPERS):
        if isinstance(value, list) and len(value) == 1:
            value = value[0]
        elif isinstance(value, dict) and len(value) == 1 and next(iter(value)) in _WRAPPERS:
            value = next(iter(value.values()))
        elif isinstance(value, str) and _is_container(value):
            value = _parsed(value, repairs)
        else:
            break
    return value


def _is_container(text: str) -> bool:
    return text.lstrip()[:1] in ("{", "[") and text.rstrip()[-1:] in ("}", "]")


def _parsed(text: str, repairs: list[str]) -> object:
    """Return the JSON value of ``text``, as it is or after the first repair that makes it one."""
    attempts: tuple[tuple[str | None, Callable[[str], str]], ...] = (
        (None, str),
        ("what stood around the JSON was left out", _without_surroundings),
        ("values that are no JSON were read as text, or as null if they are unset", _with_values),
        ("backslashes in a text were not escaped", lambda text: _with_values(_escaped(text))),
        (
            "quotes in a text were not escaped: the text may be cut",
            lambda text: _with_values(_requoted(_escaped(text))),
        ),
    )
    problem = "it is empty"
    for note, repair in attempts:
        try:
            value: object = json.loads(
                repair(text), strict=False, parse_constant=lambda _: None, parse_float=_finite, parse_int=_integer,
                object_pairs_hook=lambda pairs: _merged(pairs, repairs),
            )  # fmt: skip
        except RecursionError:
            raise UnreadableBodyError("The body's JSON is nested too deeply.", extracted=extract(text)) from None
        except ValueError as error:
            problem = _reason(error) if note is None else problem
            continue
        if note is not None:
            repairs.append(note)
        return value
    raise UnreadableBodyError(
        f"The body is not JSON: {problem}.",
        extracted=extract(text),
        fix="Use the payload template that `airflow incident setup datadog` prints.",
    )


def _with_values(text: str) -> str:
    """Replace unrendered variables, holes, Python's literals and trailing commas, outside strings."""
    # Placeholders keep what stands beside a string in sight of the patterns.
    strings: list[str] = []

    def keep(string: re.Match[str]) -> str:
        strings.append(string[0])
        return '"\x00"'

    bare = _STRING.sub(keep, _without_surroundings(text))
    bare = _BARE_VALUE.sub(_bare_value, bare, count=_MAX_BARE_VALUES)
    bare = _HOLE.sub(r":null\1", bare)
    bare = _TRAILING_COMMA.sub(r"\1", bare)
    kept: Iterator[str] = iter(strings)
    return re.sub('"\x00"', lambda _: next(kept), bare)


def _without_surroundings(text: str) -> str:
    """Return what is between the first and the last brace: not "payload=", a boundary, or quotes."""
    begin, end = text.find("{"), text.rfind("}")
    return text[begin : end + 1] if 0 <= begin < end and not text.lstrip().startswith("[") else text


def _bare_value(found: re.Match[str]) -> str:
    """Return a value that stands without quotes as JSON: a word is text, and an unset variable ``null``."""
    word = found[2].rstrip()
    if word in ("true", "false", "null") or _NUMBER.fullmatch(word):
        return found[0]
    if word in ("True", "False"):
        return found[1] + word.lower()
    return found[1] + ("null" if is_unset(word) else json.dumps(word))


def _merged(pairs: list[tuple[str, Any]], repairs: list[str]) -> dict[str, Any]:
    """Return an object; of a name that is given twice, the last value that is set counts."""
    merged = dict(pairs)
    if len(merged) == len(pairs):
        return merged
    repairs.append("a name was given more than once")
    merged = {}
    for name, value in pairs:
        _add(merged, name, value)
    return merged


def _add(merged: dict[str, Any], name: str, value: Any) -> None:
    before = merged.get(name)
    if isinstance(before, dict) and isinstance(value, dict):
        for inner, item in value.items():
            _add(before, inner, item)
    elif name not in merged or not is_unset(value):
        merged[name] = value


def _escaped(text: str) -> str:
    return _BAD_ESCAPE.sub(r"\\\\", text)


def _requoted(text: str) -> str:
    """Escape the quotes that end no string: after those that do comes what JSON has after a name or a value."""
    out: list[str] = []
    in_string = is_key = False
    last = ""
    index = 0
    while index < len(text):
        char = text[index]
        if in_string and char == "\\":
            out.append(text[index : index + 2])
            index += 2
            continue
        if char == '"':
            if not in_string:
                in_string, is_key = True, last in ("{", ",")
            elif _ends_string(text, index, is_key):
                in_string, last = False, '"'
            else:
                out.append("\\")
        elif not in_string and not char.isspace():
            last = char
        out.append(char)
        index += 1
    return "".join(out)


def _ends_string(text: str, index: int, is_key: bool) -> bool:
    rest = text[index + 1 : index + 300]
    if is_key and _AFTER_KEY.match(rest):
        return True
    return _AFTER_VALUE.match(rest) is not None


def _bounded(value: Any, depth: int, repairs: list[str]) -> Any:
    if isinstance(value, str):
        return value.translate(_UNSTORABLE) if not value.isascii() or "\0" in value else value
    if isinstance(value, dict | list) and depth == 0:
        repairs.append(f"what is nested more than {MAX_DEPTH} deep was left out")
        return None
    if isinstance(value, dict):
        return {_bounded(key, depth, repairs): _bounded(item, depth - 1, repairs) for key, item in value.items()}
    if isinstance(value, list):
        return [_bounded(item, depth - 1, repairs) for item in value]
    return value


def _finite(text: str) -> float | None:
    number = float(text)
    return number if abs(number) != float("inf") else None


def _integer(text: str) -> int | str:
    return int(text) if len(text) <= MAX_DIGITS else text[:MAX_DIGITS]


def _reason(error: ValueError) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"{error.msg} at line {error.lineno}, column {error.colno}"
    return one_line(str(error))
