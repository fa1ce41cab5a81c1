"""
JSON that an alert's own text broke, or that was cut off: repaired, or read as far as it can be.

A sender's template puts text of an alert between quotes, and not every sender escapes it: raw line breaks, tabs,
backslashes and quotes arrive, or an unset variable leaves a hole. Each repair is tried in turn. What none repairs
is read token by token, and what is doubtful is left out, so that no half of an id is taken for the whole.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import Enum, auto
from functools import partial
from typing import Any

from airflow_incident_provider.intake.lists import ACCUMULATED, items_of
from airflow_incident_provider.intake.values import is_unset
from airflow_incident_provider.text import one_line

MAX_DIGITS = 100
"""Digits of an integer that stays one; Python refuses to print 4,300."""

_STRING = re.compile(r'"(?:[^"\\]++|\\.)*+(?:"|\\?\Z)', re.DOTALL)
_BARE_VALUE = re.compile(
    r"(?<=[:\[,])(\s*)((?:\$\{\w{1,60}\}|\{\{[^{}]{0,200}\}\}|[^\s:\"{}\[\],][^\n\"{}\[\],]{0,100}+)(?:\[[^\]]{0,60}\])?)"
    r"(?=\s*[,}\]])"
)
_COMMENT = re.compile(r"/\*[^*]*+(?:\*(?!/)[^*]*+)*+\*/|(?<![^\s,{\[])//[^\n]*")
_QUOTES = re.compile("[\u201c\u201d\u201e\u201f]")
"""Typographic quotes, which a text processor puts in place of plain ones."""
_NUMBER = re.compile(r"-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?")
_HOLE = re.compile(r":(\s*)(?=[,}])")
_TRAILING_COMMA = re.compile(r",(\s*[}\]])")
_ESCAPE = re.compile(r'\\(["\\/bfnrt]|u[0-9A-Fa-f]{4})?')
_AFTER_KEY = re.compile(r"\s*:")
_AFTER_VALUE = re.compile(
    r'\s*(?:[}\]]\s*(?:[,}\]]|$)|,\s*(?:"[^"\n]{0,100}"\s*:|["{\[]|-?\d|true\b|false\b|null\b|\$)|$)'
)
_PRIVACY_IN_TEXT = re.compile(rf',\s*"(?:{"|".join(sorted(ACCUMULATED))})"\s*:', re.IGNORECASE)
_MAX_BARE_VALUES = 2000


class NotJsonError(ValueError):
    """A text is no JSON, even after repairs."""


@dataclass(frozen=True)
class Parsed:
    """A JSON value.

    :param repairs: what was repaired.
    :param lost: if it was cut off or damaged, the names of what is missing or not whole; else ``None``.
    """

    value: Any
    repairs: tuple[str, ...] = ()
    lost: tuple[str, ...] | None = None


def read_json(text: str) -> Parsed:
    """Return the JSON value of ``text``, which may hold control characters; its names may be given twice.

    :raises NotJsonError: it is no JSON as it is.
    """
    repairs: list[str] = []
    try:
        value: object = json.loads(
            text, strict=False, parse_constant=lambda _: None, parse_float=_finite, parse_int=_integer,
            object_pairs_hook=partial(_merged, repairs=repairs),
        )  # fmt: skip
    except RecursionError:
        raise NotJsonError("it is nested too deeply") from None
    except ValueError as error:
        raise NotJsonError(_reason(error)) from None
    return Parsed(value, tuple(dict.fromkeys(repairs)))


def parse_json(text: str) -> Parsed:
    """Return the JSON value of ``text``, as it is or after the first repair that makes it one.

    :raises NotJsonError: none does.
    """
    attempts: tuple[tuple[str | None, Callable[[str], str]], ...] = (
        (None, str),
        ("the JSON was escaped as a whole", _unescaped),
        ("what stood around the JSON was left out", _without_surroundings),
        ("values that are no JSON were read as text, or as null if they are unset", _with_values),
        ("backslashes in a text were not escaped", lambda text: _with_values(_escaped(text))),
        (
            "quotes in a text were not escaped: the text may be cut",
            lambda text: _with_values(_requoted(_escaped(text))),
        ),
    )
    problem: NotJsonError | None = None
    for note, repair in attempts:
        try:
            parsed = read_json(repair(text))
        except NotJsonError as error:
            problem = problem or error
            continue
        if repair is not str and _hides_privacy(parsed.value):
            continue
        return parsed if note is None else Parsed(parsed.value, (*parsed.repairs, note))
    assert problem is not None
    raise problem


def _unescaped(text: str) -> str:
    """Return a text that was escaped as a whole: for HTML, for another text, with typographic quotes or braces."""
    text = text.strip()
    if '"' not in text:
        text = html.unescape(text) if "&quot;" in text or "&#34;" in text else _QUOTES.sub('"', text)
    if text[:3] in ('{\\"', "[{\\"):
        text = text.replace('\\"', '"').replace("\\\\", "\\")
    return text[1:-1] if text.startswith("{{") and text.endswith("}}") else text


def _with_values(text: str) -> str:
    """Replace unrendered variables, holes, Python's literals and trailing commas, outside strings."""
    # Placeholders keep what stands beside a string in sight of the patterns.
    strings: list[str] = []

    def keep(string: re.Match[str]) -> str:
        strings.append(string[0])
        return '"\x00"'

    bare = _COMMENT.sub(" ", _STRING.sub(keep, _without_surroundings(text)))
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
    return found[1] + _as_json(found[2].rstrip())


def _as_json(word: str) -> str:
    """Return a value that stands without quotes as JSON: a word is text, and an unset variable ``null``."""
    if word in ("true", "false", "null") or _NUMBER.fullmatch(word):
        return word
    if word in ("True", "False"):
        return word.lower()
    return "null" if is_unset(word) else json.dumps(word)


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
    if name.casefold() in ACCUMULATED and not is_unset(before) and not is_unset(value):
        merged[name] = [*items_of(before), *items_of(value)]
    elif isinstance(before, dict) and isinstance(value, dict):
        for inner, item in value.items():
            _add(before, inner, item)
    elif name not in merged or not is_unset(value):
        merged[name] = value


def _escaped(text: str) -> str:
    return _ESCAPE.sub(lambda found: found[0] if found[1] else r"\\", text)


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


def _hides_privacy(value: Any) -> bool:
    """Return whether a text in a repaired value contains fields that decide who may see it.

    A quote was escaped then that ends the text in truth.
    """
    return any(isinstance(one, str) and _PRIVACY_IN_TEXT.search(one) for one in _values(value))


def _ends_string(text: str, index: int, is_key: bool) -> bool:
    rest = text[index + 1 : index + 300]
    if is_key and _AFTER_KEY.match(rest):
        return True
    return _AFTER_VALUE.match(rest) is not None


def _finite(text: str) -> float | None:
    number = float(text)
    return number if abs(number) != float("inf") else None


def _integer(text: str) -> int | str:
    return int(text) if len(text) <= MAX_DIGITS else text[:MAX_DIGITS]


def _reason(error: ValueError) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"{error.msg} at line {error.lineno}, column {error.colno}"
    return one_line(str(error))


# --- what is left of damaged JSON -------------------------------------------------------------------

_TOKEN = re.compile(
    r"\"(?:[^\"\\]++|\\.)*+\"|'(?:[^'\\\n]++|\\.)*+'(?=\s*[:,}\]])|[{}\[\],:]|[^\s{}\[\],:\"']++|[\"']", re.DOTALL
)
_MAX_TOKENS = 20_000
_MAX_LOST = 20


class _Expects(Enum):
    """What comes next in an object or a list."""

    NAME = auto()
    COLON = auto()
    VALUE = auto()
    COMMA = auto()
    ANYTHING = auto()
    """After damage: everything up to the next comma or end is left out."""


@dataclass
class _Level:
    """An object or a list that is being read."""

    into: dict[str, Any] | list[Any]
    name: str
    expects: _Expects
    key: str = ""
    value: list[Any] = field(default_factory=list)
    """The latest value, until what follows it shows that it is whole."""

    def commit(self) -> None:
        for value in self.value:
            if isinstance(self.into, list):
                self.into.append(value)
            else:
                _add(self.into, self.key, value)
        self.value = []


def salvage_json(text: str) -> Parsed:
    """Return the object that is left of damaged or truncated JSON: every value that is certainly whole.

    :raises NotJsonError: nothing is left.
    """
    as_it_is, requoted = _salvaged(text), _salvaged(_requoted(_escaped(text)))
    is_better = len(_values(requoted.value)) > len(_values(as_it_is.value))
    best = requoted if is_better and not _hides_privacy(requoted.value) else as_it_is
    if not best.value:
        raise NotJsonError("nothing in it can be read")
    return best


def _salvaged(text: str) -> Parsed:
    reader = _Salvage()
    begin = text.find("{")
    for number, token in enumerate(_TOKEN.finditer(text, begin if begin >= 0 else len(text))):
        if number == _MAX_TOKENS or not reader.read(token[0]):
            break
    return reader.result()


def _values(value: Any) -> list[Any]:
    """Return the values that an object holds, those within its objects and lists too."""
    found, rest = [], [value]
    while rest:
        one = rest.pop()
        if isinstance(one, dict | list):
            rest.extend(one.values() if isinstance(one, dict) else one)
        else:
            found.append(one)
    return found


class _Salvage:
    """Reads tokens into an object; a value counts once a comma or an end follows it."""

    def __init__(self) -> None:
        self._root: dict[str, Any] = {}
        self._levels: list[_Level] = []
        self._lost: dict[str, None] = {}
        self._is_whole = False

    def read(self, part: str) -> bool:
        """Read the next part; return whether there is more to read."""
        if not self._levels:
            self._levels.append(_Level(self._root, "", _Expects.NAME))
            return True
        level = self._levels[-1]
        if part in ("}", "]"):
            self._end(part)
        elif part == ",":
            self._next_item(level)
        elif part in ("{", "["):
            self._begin(level, part)
        elif part == '"':
            self._damage(level)
            # A quote that nothing ends: what follows is the text of a value, not JSON.
            return False
        else:
            self._word(level, part)
        self._is_whole = not self._levels
        return not self._is_whole

    def result(self) -> Parsed:
        """Return what was read."""
        for level in self._levels:
            self._lose(level.name if isinstance(level.into, list) else level.key)
        is_whole = self._is_whole and not self._lost
        return Parsed(self._root, lost=None if is_whole else tuple(self._lost)[:_MAX_LOST])

    def _word(self, level: _Level, part: str) -> None:
        """Read a name, a value, or a colon."""
        if part == ":" and level.expects is _Expects.COLON:
            level.expects = _Expects.VALUE
        elif level.expects is _Expects.NAME and part not in (":", "'"):
            level.key, level.expects = str(_value_of(part)), _Expects.COLON
        elif level.expects is _Expects.VALUE and part not in (":", "'"):
            level.value, level.expects = [_value_of(part)], _Expects.COMMA
        else:
            self._damage(level)

    def _begin(self, level: _Level, part: str) -> None:
        expects = _Expects.NAME if part == "{" else _Expects.VALUE
        into: dict[str, Any] | list[Any] = {} if part == "{" else []
        name = level.key if isinstance(level.into, dict) else level.name
        if level.expects is _Expects.VALUE:
            level.expects = _Expects.COMMA
            if isinstance(level.into, list):
                level.into.append(into)
            else:
                before = level.into.get(level.key)
                into = before if isinstance(before, dict) and isinstance(into, dict) else into
                level.into[level.key] = into
        else:
            self._damage(level)
        self._levels.append(_Level(into, name, expects))

    def _next_item(self, level: _Level) -> None:
        if level.expects not in (_Expects.COMMA, _Expects.ANYTHING):
            self._damage(level)
        level.commit()
        level.key = ""
        level.expects = _Expects.NAME if isinstance(level.into, dict) else _Expects.VALUE

    def _end(self, part: str) -> None:
        wanted = dict if part == "}" else list
        if not any(isinstance(level.into, wanted) for level in self._levels):
            self._damage(self._levels[-1])
            return
        while True:
            level = self._levels.pop()
            if level.key and level.expects in (_Expects.COLON, _Expects.VALUE):
                self._damage(level)
            level.commit()
            if isinstance(level.into, wanted):
                return
            self._lose(level.name)

    def _damage(self, level: _Level) -> None:
        self._lose(level.key if isinstance(level.into, dict) else level.name)
        level.value, level.expects = [], _Expects.ANYTHING

    def _lose(self, name: str) -> None:
        if name:
            self._lost[name] = None


def _value_of(part: str) -> Any:
    if part[0] == "'":
        part = json.dumps(part[1:-1].replace("\\'", "'"))
    try:
        text = _escaped(part) if part[0] == '"' else _as_json(part)
        return json.loads(text, strict=False, parse_float=_finite, parse_int=_integer)
    except ValueError:
        return part.strip('"')
