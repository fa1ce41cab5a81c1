"""
The body of a webhook request becomes the alerts that it holds: JSON, or form fields, of one alert or of several.

Senders wrap the JSON in text, in a form, or in an envelope, encode it twice, put several alerts into one list or
one after the other, break it with the alert's own text, or cut it off. None of that is a reason to lose an alert.
What cannot be read is reported with whatever can be extracted, and costs the other alerts of the body nothing.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import unquote

from airflow_incident_provider.exceptions import InvalidPayloadError
from airflow_incident_provider.intake.alert_formats import separate_alerts
from airflow_incident_provider.intake.body_text import decoded, form_fields, is_whole_multipart, multipart_fields
from airflow_incident_provider.intake.json_repair import (
    NotJsonError,
    Parsed,
    parse_json,
    read_json,
    salvage_json,
)
from airflow_incident_provider.intake.limits import MAX_NAME, MAX_TITLE
from airflow_incident_provider.intake.values import is_unset
from airflow_incident_provider.text import one_line, redact, shorten

MAX_DEPTH = 32
"""Objects and lists in each other; Datadog's deepest payload has five. What is deeper is left out."""
MAX_ALERTS = 100
"""Alerts of one body. Those after it are reported, not read."""
REPAIRS_KEY = "_repairs"
"""Under it stands what was repaired, for the warnings in the brief."""
LOST_KEY = "_lost"
"""Under it stand the names of what is missing, or not whole, because the body was cut off or damaged."""

_FORM = re.compile(r"\s*[\w.\[\]%+-]{1,100}=")
"""How form fields begin; senders do not always declare them."""
_WRAPPERS = ("payload", "json", "data", "body")
"""Names of a field that holds the whole payload, the surest first."""
_ESCAPED_JSON = re.compile(r"\s*%(?:7B|5B)", re.IGNORECASE)
_ENCODED_TEXT = re.compile(r"\s*\"\s*\\*[\"{\[]")
"""How JSON begins that was encoded as text, perhaps more than once."""
_WITHOUT_BRACE = re.compile(r'\s*"[^"\n]{1,100}"\s*:')
"""How an object begins whose first brace is missing."""
_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
_UNSTORABLE = {0: _REPLACEMENT, **dict.fromkeys(range(0xD800, 0xE000), _REPLACEMENT)}
"""What JSON can express but PostgreSQL's JSON cannot hold."""

_NEXT_DOCUMENT = re.compile(r"[}\]]\s*?\n?(?=\{\s*[\"'}])|\n(?=(?:data:\s*|\x1e)?\{)")
"""Where another document certainly begins, behind one that is broken."""
_BRACE = re.compile(r"\"(?:[^\"\\]++|\\.)*+\"|[{}]|\"", re.DOTALL)
_FRAGMENT = re.compile(
    r"\"(?P<name>title|event_title|alert_title|alertname|summary|message|text|id|alert_id|monitor_id|cycle_key|link|url"
    r"|transition|alert_transition|status|state|priority|severity|tags|scope|hostname)\"\s*:\s*"
    r"(?:\"(?P<text>(?:[^\"\\]|\\.){0,2000})|(?P<number>-?\d{1,30}))",
    re.IGNORECASE | re.DOTALL,
)
_LABELLED = re.compile(
    r"(?:^|[\n<])(?:title|subject|summary|alertname)(?:[ \t]{0,4}[:=]|>)\s{0,4}([^\n<]{1,300})", re.IGNORECASE
)
"""A title in a text that is no JSON: a line such as ``Subject: CPU is high``, or an element of XML."""
_MAX_FRAGMENTS = 30
_MAX_WRAPPERS = 4
_MAX_BROKEN = 20
"""Documents of one body that are repaired; each costs several attempts."""
_FIX = "Use the payload template that `airflow incident setup datadog` prints."
_DECODER = json.JSONDecoder(strict=False)


class UnreadableBodyError(InvalidPayloadError):
    """A body, or a part of it, that is no object, even after repairs.

    :param text: what was to be read.
    """

    def __init__(self, message: str, *, text: str, fix: str | None = None) -> None:
        super().__init__(message, fix=fix)
        self.text = text

    @property
    def extracted(self) -> dict[str, str]:
        """What could be extracted, by name, clean and without secrets; at least a ``title``."""
        return extract(self.text)


@dataclass(frozen=True)
class _Item:
    """A value of the body that may be an alert, with what was made of it."""

    value: Any
    repairs: tuple[str, ...] = ()
    lost: tuple[str, ...] | None = None

    @classmethod
    def of(cls, parsed: Parsed) -> _Item:
        return cls(parsed.value, parsed.repairs, parsed.lost)

    def with_parsed(self, parsed: Parsed) -> _Item:
        lost = self.lost if parsed.lost is None else (*(self.lost or ()), *parsed.lost)
        return _Item(parsed.value, (*self.repairs, *parsed.repairs), lost)

    def content(self) -> dict[str, Any]:
        """Return the object, with what was repaired and lost under the keys for that."""
        repairs = list(self.repairs)
        content: dict[str, Any] = _bounded(self.value, MAX_DEPTH, repairs)
        if repairs:
            content[REPAIRS_KEY] = list(dict.fromkeys(repairs))
        if self.lost is not None:
            content[LOST_KEY] = list(dict.fromkeys(self.lost))
        return content


def parse_body(
    body: bytes, content_type: str = "", *, is_cut: bool = False
) -> list[dict[str, Any] | UnreadableBodyError]:
    """Return the alerts that a body holds, in their order: each an object, or the error that says why it is none.

    What was repaired is listed under ``REPAIRS_KEY``; what is missing of a body that was cut off or damaged, under
    ``LOST_KEY``.

    :param content_type: the header of that name. Only its charset counts, and only where the body leaves it open.
    :param is_cut: whether more of the body was to come. JSON shows that by itself, but the fields of a form do not.
    :raises UnreadableBodyError: it holds nothing, or one part only, which is no object, even after repairs.
    """
    notes: list[str] = []
    fields = multipart_fields(body, content_type, notes)
    text = decoded(body, content_type, notes) if fields is None else ""
    if fields is None:
        fields = _form_fields(text, content_type, notes)
        is_partial = is_cut
    else:
        is_partial = not is_whole_multipart(body)
    found = list(_items(text) if fields is None else _items_of_form(fields, is_partial=is_partial))
    alerts = [
        alert
        for item in found
        for alert in (
            [item]
            if isinstance(item, UnreadableBodyError)
            else _alerts(replace(item, repairs=(*notes, *item.repairs)))
        )
    ]
    if not alerts:
        raise UnreadableBodyError("The body holds no alert.", text=text, fix="Send one object for each alert.")
    if len(alerts) > MAX_ALERTS:
        error = f"The body holds {len(alerts)} alerts; those after the first {MAX_ALERTS} were not read."
        rest = UnreadableBodyError(error, text=_text_of(alerts[MAX_ALERTS]), fix="Send fewer at once.")
        alerts = [*alerts[:MAX_ALERTS], rest]
    if len(alerts) == 1 and isinstance(alerts[0], UnreadableBodyError):
        raise alerts[0]
    return alerts


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
    labelled = _LABELLED.search(text[:100_000]) if title is None else None
    beginning = redact(labelled[1] if labelled is not None else re.sub(r"[\[\]{}\"<>]+", " ", text[:1000]))
    shown = shorten(re.sub(r"^\W+", "", one_line(beginning)), MAX_NAME)
    return {**found, "title": title or ("" if is_unset(shown) else shown) or "An alert without a title"}


def _fragment_text(raw: str) -> str:
    try:
        raw = json.loads(f'"{raw}"', strict=False)
    except ValueError:
        raw = raw.replace("\\n", " ").replace('\\"', '"')
    return shorten(redact(one_line(str(raw))), MAX_TITLE)


def _text_of(alert: dict[str, Any] | UnreadableBodyError) -> str:
    return alert.text if isinstance(alert, UnreadableBodyError) else json.dumps(alert)


# --- form fields ------------------------------------------------------------------------------------


def _form_fields(text: str, content_type: str, notes: list[str]) -> dict[str, str] | None:
    """Return the fields of a form, or ``None`` if the text is none. JSON in a field is often not encoded."""
    name = _FORM.match(text)
    if name is None:
        return None
    value = text[name.end() :]
    field = name[0].strip()[:-1]
    if field in _WRAPPERS and value.lstrip()[:1] in ("{", "[") and _is_json(value):
        return {field: value}
    return form_fields(text, content_type, notes)


def _items_of_form(fields: Mapping[str, str], *, is_partial: bool) -> Iterator[_Item | UnreadableBodyError]:
    """Yield what a form holds: the field that contains the whole payload as JSON, or the fields as an object."""
    # Some senders encode the field, and then the form.
    fields = {name: unquote(value) if _ESCAPED_JSON.match(value) else value for name, value in fields.items()}
    whole = next((name for name in _WRAPPERS if fields.get(name, "").lstrip()[:1] in ("{", "[")), None)
    if whole is None:
        whole = next(iter(fields)) if len(fields) == 1 and _is_container(next(iter(fields.values()))) else None
    found = _items(fields[whole]) if whole is not None else []
    items = [item for item in found if isinstance(item, _Item)]
    if items:
        yield from found
        return
    cut = [*fields][-1:] if is_partial else []
    parsed = {name: _parsed_field(value) for name, value in fields.items() if name not in cut}
    repairs = tuple(repair for value in parsed.values() for repair in value.repairs)
    yield _Item({name: value.value for name, value in parsed.items()}, repairs, tuple(cut) if is_partial else None)


def _parsed_field(value: str) -> Parsed:
    if not _is_container(value):
        return Parsed(value)
    try:
        return parse_json(value)
    except NotJsonError:
        return Parsed(value)


def _is_container(text: str) -> bool:
    return text.lstrip()[:1] in ("{", "[") and text.rstrip()[-1:] in ("}", "]")


# --- documents --------------------------------------------------------------------------------------


def _items(text: str) -> list[_Item | UnreadableBodyError]:
    """Return the values of a text: of one JSON document, or of several one after the other."""
    text = unquote(text) if _ESCAPED_JSON.match(text) else text
    if _WITHOUT_BRACE.match(text):
        return [_repaired("{" + text)]
    try:
        return [_Item.of(read_json(text))]
    except NotJsonError:
        documents = list(_documents(text))
    if len(documents) > 1 and any(isinstance(document, _Item) for document in documents):
        return [document if isinstance(document, _Item) else _repaired(document) for document in documents]
    try:
        return [_Item.of(parse_json(text))]
    except NotJsonError as error:
        problem = error
    items = [document if isinstance(document, _Item) else _repaired(document) for document in documents]
    if all(isinstance(item, UnreadableBodyError) for item in items):
        return [UnreadableBodyError(f"The body is not JSON: {problem}.", text=text, fix=_FIX)]
    return items


def _is_json(text: str) -> bool:
    try:
        read_json(text)
    except NotJsonError:
        return False
    return True


def _documents(text: str) -> Iterator[_Item | str]:
    """Yield the objects one after the other; as text where one is not JSON."""
    index = broken = 0
    is_list = text.lstrip().startswith("[")
    while (start := text.find("{", index)) >= 0:
        if '"' in text[index:start]:
            # What begins there is part of something whose beginning is missing.
            yield text[index:]
            return
        try:
            value, index = _DECODER.raw_decode(text, start)
            yield _Item(value)
            continue
        except (ValueError, RecursionError):
            broken += 1
        index = len(text) if broken > _MAX_BROKEN else _end_of_document(text, start, is_list=is_list)
        yield text[start:index]


def _end_of_document(text: str, start: int, *, is_list: bool) -> int:
    """Return where a broken document ends: where its braces do, or before what certainly begins another."""
    depth = 0
    for brace in _BRACE.finditer(text, start):
        if brace[0] == '"':
            break
        depth += {"{": 1, "}": -1}.get(brace[0], 0)
        if depth == 0 and is_list:
            return brace.end()
        if depth == 0:
            break
    following = _NEXT_DOCUMENT.search(text, start + 1)
    return following.end() if following is not None else len(text)


def _repaired(text: str) -> _Item | UnreadableBodyError:
    """Return a document that is not JSON as far as it can be read."""
    try:
        return _Item.of(parse_json(text))
    except NotJsonError as error:
        problem = error
    try:
        if text.startswith("{"):
            return _Item.of(salvage_json(text))
    except NotJsonError:
        pass
    return UnreadableBodyError(f"The body is not JSON: {problem}.", text=text, fix=_FIX)


# --- alerts -----------------------------------------------------------------------------------------


def _alerts(item: _Item) -> Iterator[dict[str, Any] | UnreadableBodyError]:
    """Yield the alerts that a value holds, out of its lists and envelopes."""
    pending: list[tuple[_Item, int]] = [(item, 0)]
    while pending:
        item, depth = pending.pop(0)
        inner = _enclosed(item) if depth < _MAX_WRAPPERS * 2 else None
        if inner is not None:
            pending[:0] = [(one, depth + 1) for one in inner]
        elif isinstance(item.value, dict):
            yield item.content()
        elif depth == 0 or item.value is not None:
            kind = "not an object" if depth == 0 else "holds something that is not an object"
            yield UnreadableBodyError(
                f"The body is JSON, but {kind}.",
                text=item.value if isinstance(item.value, str) else json.dumps(_bounded(item.value, MAX_DEPTH, [])),
                fix="Send one object for each alert.",
            )


def _enclosed(item: _Item) -> Iterable[_Item] | None:
    """Return what a list, an envelope, or a text that holds JSON encloses; ``None`` if it is none of them."""
    value = item.value
    if isinstance(value, list):
        return [replace(item, value=one) for one in value] if value else None
    if isinstance(value, dict):
        if len(value) == 1 and next(iter(value)) in _WRAPPERS:
            inner = next(iter(value.values()))
            return [replace(item, value=inner)]
        separate = separate_alerts(value)
        return None if separate is None else [replace(item, value=one) for one in separate]
    if isinstance(value, str) and (_is_container(value) or _ENCODED_TEXT.match(value)):
        try:
            return [item.with_parsed(parse_json(value))]
        except NotJsonError:
            return None
    return None


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
