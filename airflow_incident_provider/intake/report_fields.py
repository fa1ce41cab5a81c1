"""
The fields of a report: of the trigger form, the command line, REST and the generic webhook.

:class:`Report` is the one definition of what a conf may hold. The trigger form, the schema of the webhook and the
parser are made from it, so all of them accept the same. Nobody sees the words of a task that failed at night, so no
field but the title refuses a report: what is wrong is left out and listed in the brief. A command, where a person
reads the answer at once, is strict (:func:`require_valid`).
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime
from functools import partial
from typing import Any, Final

from airflow_incident_provider.config import ConfKey
from airflow_incident_provider.exceptions import InvalidPayloadError
from airflow_incident_provider.intake.limits import ParseWarnings
from airflow_incident_provider.intake.lists import (
    MAX_ITEMS,
    items_of,
    split_names,
    split_people,
    split_targets,
    split_urls,
    tag_items,
)
from airflow_incident_provider.intake.states import STATE_NAMES, stated_end
from airflow_incident_provider.intake.targets import read_targets
from airflow_incident_provider.intake.times import read_time
from airflow_incident_provider.intake.values import (
    SEVERITY_CHOICES,
    is_unset,
    plain_name,
    read_severity,
    read_text,
    read_yes_or_no,
)
from airflow_incident_provider.models import Severity, Target
from airflow_incident_provider.text import for_error, redact

_OPEN: Final = None
_MORE: Final = "More"
_DATADOG: Final = "From Datadog"

_TIME_HINT = "write it like 2026-11-23T10:35:00Z"
_NAMES: Final = {
    "id": "incidentid alertid monitorid checkid problemid issueid entityid incidentkey dedupkey alertkey",
    "title": "summary name subject checkname monitorname monitorfriendlyname alertname alerttitle rulename"
    " searchname problemtitle problemname alarmname conditionname triggername incidenttitle incidentname"
    " entitydisplayname shortdescription servicedesc",
    "description": "alertdetails longdescription message text msg statemessage errormessage",
    "severity": "priority level alertseverity triggerseverity problemseverity incidentseverity importancelevel"
    " urgency",
    "status": "state",
    "started_at": "startsat starttime statestarttime triggeredat",
    "private": "isprivate confidential isconfidential",
    "users": "user responder responders people",
    "services": "service servicename application applicationname",
    "env": "environment environments environmentname",
    "teams": "team teamname",
    "hosts": "host hostname instance",
    "targets": "target",
    "links": "link url monitorurl incidenturl problemurl",
    "tags": "tag labels",
}
_ALIASES: Final = {alias: name for name, aliases in _NAMES.items() for alias in aliases.split()}
"""Other plain names under which senders give a field; they count where the field itself is not given."""


@dataclass(frozen=True)
class Rejected:
    """A value that was left out: its field, the value, and the reason."""

    field: str
    value: object
    reason: str


Reject = Callable[[object, str], None]
Read = Callable[[object, Reject, datetime], Any]


def is_empty(value: object) -> bool:
    """Return whether a field was left empty."""
    return value is None or value in ("", [], {}) or (isinstance(value, str) and not value.strip())


def _text(value: object, reject: Reject, _received_at: datetime) -> str | None:
    """Return free text as it is; a list of lines is text, too."""
    try:
        if isinstance(value, list) and all(isinstance(line, str) for line in value):
            value = "\n".join(value)
        return value if isinstance(value, str) else read_text(value)
    except ValueError as error:
        reject(value, str(error))
        return None


def _description(value: object, reject: Reject, received_at: datetime) -> str | None:
    text = _text(value, reject, received_at)
    return None if is_unset(text) else text


def _name(value: object, reject: Reject, _received_at: datetime) -> str | None:
    try:
        return read_text(value)
    except ValueError as error:
        reject(value, str(error))
        return None


def _severity(value: object, reject: Reject, _received_at: datetime) -> Severity | None:
    if is_unset(value):
        return None
    severity = read_severity(value)
    if severity is None:
        reject(value, f"{for_error(value)} is not a severity; {SEVERITY_CHOICES}")
    return severity


def _yes_or_no(value: object, reject: Reject, _received_at: datetime) -> bool | None:
    try:
        return read_yes_or_no(value)
    except ValueError as error:
        # A person who wrote something here may have meant yes, and a public room cannot be taken back.
        reject(value, f"{error}; the room is private")
        return True


def _time(value: object, reject: Reject, received_at: datetime) -> datetime | None:
    if is_unset(value):
        return None
    moment = read_time(value, received_at=received_at)
    if moment is None:
        reject(value, f"{for_error(value)} is not a time; {_TIME_HINT}")
    return moment


def _names(
    value: object, reject: Reject, _received_at: datetime, split: Callable[[str], Iterator[str]] = split_names
) -> tuple[str, ...]:
    found: list[str] = []
    for item in items_of(value):
        try:
            text = read_text(item)
        except ValueError as error:
            reject(item, str(error))
            continue
        # A secret is whole only as long as nothing was split.
        text = redact(text or "") if split is split_names else text or ""
        parts = [part for part in split(text) if not is_unset(part)]
        if not parts and not is_unset(text):
            reject(item, f"{for_error(item)} names nothing")
        found.extend(parts)
    return tuple(found[:MAX_ITEMS])


def _split_at_commas(text: str) -> Iterator[str]:
    yield from filter(None, (part.strip() for part in text.split(",")))


def _tags(value: object, reject: Reject, received_at: datetime) -> tuple[str, ...]:
    return _names(tag_items(value), reject, received_at)


def _targets(value: object, reject: Reject, received_at: datetime) -> tuple[Target, ...]:
    targets: list[Target] = []
    for text in _names(value, reject, received_at, split_targets):
        try:
            targets += read_targets(text)
        except ValueError as error:
            reject(text, str(error))
    return tuple(dict.fromkeys(targets))


def _links(value: object, reject: Reject, _received_at: datetime) -> tuple[object, ...]:
    """Return the links that can be read: URLs, and objects with a URL."""
    found: list[object] = []
    for item in items_of(value):
        link = item[0] if isinstance(item, list) and len(item) == 1 else item
        if is_unset(link):
            continue
        if isinstance(link, str):
            found += split_urls(link)
        elif isinstance(link, dict) and isinstance(link.get("url"), str):
            found.append(link)
        else:
            reject(item, f"{for_error(item)} is not a link; use a URL, or an object with url, label and kind")
    return tuple(found)


def _field(
    read: Read, section: str | None, title: str, description: str, default: object = "", **schema: object
) -> Any:
    """Declare a field: how it is read, and how the form shows it.

    The schema has no ``type``: Airflow validates every conf with it, whatever its source, and the parser drops
    invalid values with a reason. The default's type determines the form's input, and what has no
    section is open at once.
    """
    form = {"default": default, "title": title, "description": description, **schema}
    if section is not None:
        form["section"] = section
    return field(default=None, metadata={"read": read, "form": form})


@dataclass(frozen=True)
class Report:
    """The fields of a report. Beside a Datadog payload some of them add to it."""

    title: str | None = _field(
        _text, _OPEN, "Title", "What people see, in a few words. Needed, unless Datadog sent it."
    )
    severity: Severity | None = _field(  # noqa: RUF009 - makes a dataclass field
        _severity,
        _OPEN,
        "Severity",
        "critical: customers cannot work. high: customers are affected. medium: something is wrong inside."
        " low: worth a look. P1 to P5 are understood, too. Default: high.",
        examples=[severity.value for severity in Severity],
    )
    users: tuple[str, ...] | None = _field(
        partial(_names, split=split_people),
        _OPEN,
        "People",
        "One a line: e-mail address (the surest), Slack name, Slack id, or @group. The routing table adds its own.",
        default=[],
    )
    description: str | None = _field(
        _description, _OPEN, "Description", "What is known so far.", format="multiline"
    )
    started_at: datetime | None = _field(  # noqa: RUF009 - makes a dataclass field
        _time, _MORE, "Started", "Empty: now. For example 2026-11-23 10:35, 10:35 (UTC), or 15 min ago."
    )
    id: str | None = _field(
        _name, _MORE, "ID", "Its ID elsewhere, such as a ticket's. Reports with the same ID share one room."
    )
    status: str | None = _field(
        _name, _MORE, "Status", "Empty while it lasts. resolved, with the same ID, ends it."
    )
    private: bool | None = _field(
        _yes_or_no,
        _MORE,
        "Private room",
        "Only invited people see it; only e-mail addresses and Slack IDs invite.",
        default=False,
    )
    services: tuple[str, ...] | None = _field(_names, _MORE, "Services", "One a line.", default=[])
    env: tuple[str, ...] | None = _field(
        partial(_names, split=_split_at_commas), _MORE, "Environment", "Such as prod."
    )
    teams: tuple[str, ...] | None = _field(
        _names, _MORE, "Teams", "Who owns it, one a line. The routing table uses it.", default=[]
    )
    hosts: tuple[str, ...] | None = _field(_names, _MORE, "Hosts", "One a line.", default=[])
    targets: tuple[Target, ...] | None = _field(
        _targets, _MORE, "Targets", "What to probe, one a line: https://host/path, host, or host:port.", default=[]
    )
    links: tuple[object, ...] | None = _field(
        _links, _MORE, "Links", "Dashboards, runbooks and the like: one URL a line.", default=[]
    )
    tags: tuple[str, ...] | None = _field(
        _tags, _MORE, "Tags", "One a line, such as env:prod. The routing table uses them.", default=[]
    )


FIELDS: Final = tuple(declared.name for declared in fields(Report))
_KNOWN_NAMES: Final = frozenset({*map(plain_name, FIELDS), *_ALIASES, *STATE_NAMES})
_LISTED: Final = frozenset({"private", "env"})
"""Fields of which the form shows one value, and all count that are given."""
ADDITIONS: Final = frozenset({"users", "targets", "links", "private"})
"""The fields that add to a Datadog payload beside which they stand. The others it states itself."""


def trigger_form() -> dict[str, dict[str, Any]]:
    """Return the fields of Airflow's trigger form: for each the keyword arguments of Airflow's ``Param``."""
    form = {declared.name: dict(declared.metadata["form"]) for declared in fields(Report)}
    datadog = {
        "default": None,
        "type": ["object", "string", "null"],
        "title": "Datadog payload",
        "description": "What Datadog's webhook sent. Besides, only people, private room, targets and links count.",
        "section": _DATADOG,
    }
    return {**form, "datadog": datadog}


def parse_report(conf: Mapping[str, object], *, received_at: datetime) -> tuple[Report, tuple[Rejected, ...]]:
    """Return the fields of ``conf``, and what was left out of them. Never raises."""
    given = _by_name(conf)
    rejected: list[Rejected] = []
    parsed: dict[str, Any] = {}
    for declared in fields(Report):
        name = declared.name
        value = _value(
            given.get(plain_name(name), []), is_list=name in _LISTED or declared.metadata["form"]["default"] == []
        )
        if name == "status" and is_empty(value):
            value = stated_end({key: values[0] for key, values in given.items()}, received_at=received_at)
        if not is_empty(value):

            def reject(value: object, reason: str, name: str = name) -> None:
                rejected.append(Rejected(name, value, reason))

            parsed[name] = declared.metadata["read"](value, reject, received_at)
    return Report(**parsed), tuple(rejected)


def _by_name(conf: Mapping[str, object]) -> dict[str, list[object]]:
    """Return the values that are given for each plain name: under the name itself, then in other words."""
    given: dict[str, list[object]] = {}
    # The name itself comes first.
    for key, value in sorted(conf.items(), key=lambda item: item[0] != str(item[0]).casefold()):
        if not is_empty(value):
            given.setdefault(plain_name(key), []).append(value)
    for alias, name in _ALIASES.items():
        if alias in given:
            given[plain_name(name)] = [*given.get(plain_name(name), []), *given[alias]]
    return given


def _value(values: list[object], *, is_list: bool) -> object:
    """Return the value of a field: the first that is given, but of a list all of them."""
    first, *others = values or [None]
    return [item for value in values for item in items_of(value)] if is_list and others else first


def names_title(conf: Mapping[str, object]) -> bool:
    """Return whether a conf gives a title, under any of its names."""
    names = {"title", *(alias for alias, of in _ALIASES.items() if of == "title")}
    return any(plain_name(key) in names and not is_unset(value) for key, value in conf.items())


def require_valid(conf: Mapping[str, object], *, received_at: datetime) -> Report:
    """Return the fields of ``conf``, for a person who can correct a mistake at once.

    :raises InvalidPayloadError: naming every value that would be left out, and what would be right.
    """
    report, rejected = parse_report(conf, received_at=received_at)
    if rejected:
        raise InvalidPayloadError("; ".join(f"{one.field}: {one.reason}" for one in rejected[:20]) + ".")
    return report


def warn_of_rejected(rejected: Iterable[Rejected], warnings: ParseWarnings) -> None:
    """Report what was left out of a conf."""
    for one in rejected:
        warnings.add(one.field, one.value, f"left out: {one.reason}")


def warn_of_misspelt(conf: Mapping[str, object], warnings: ParseWarnings) -> None:
    """Report the keys that look like a field of ours; other unknown keys are the business of other tasks."""
    for key in list(conf)[:MAX_ITEMS]:
        if not isinstance(key, str) or plain_name(key) in _KNOWN_NAMES:
            continue
        meant = difflib.get_close_matches(key[:50], FIELDS, n=1, cutoff=0.75)
        if meant:
            warnings.add(key, conf[key], f"not a field, so it was ignored: did you mean {meant[0]}?")


def unknown_names(conf: Mapping[str, object]) -> list[str]:
    """Return the keys of a report that are no field of ours under any name."""
    known = _KNOWN_NAMES | {*map(plain_name, ConfKey)}
    return [str(key) for key in list(conf)[:MAX_ITEMS] if plain_name(key) not in known]
