"""The conf of a run, from the options and a file."""

from __future__ import annotations

import json
import sys
from argparse import Namespace
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import yaml

from airflow_incident_provider.commands.running import UsageError
from airflow_incident_provider.intake.datadog import looks_like_datadog
from airflow_incident_provider.intake.manual import parse_manual

LARGEST_FILE = 1_000_000
"""Characters; Datadog's largest payloads have some ten thousand."""

_TEXTS = {
    "title": "title",
    "incident_id": "id",
    "severity": "severity",
    "description": "description",
    "started_at": "started_at",
    "env": "env",
}
_LISTS = {
    "users": "users",
    "service": "services",
    "host": "hosts",
    "team": "teams",
    "tag": "tags",
    "target": "targets",
}
"""The options, each with the field of the trigger form that it fills."""


def given_conf(args: Namespace) -> dict[str, Any]:
    """Return the conf that the file and the options say; an option wins over the same field of the file.

    :raises UsageError: the file cannot be read as an incident's fields or a payload.
    """
    conf = read_file(args.from_file) if args.from_file else {}
    return {**conf, **_from_options(args)}


def normalised(conf: Mapping[str, Any]) -> dict[str, Any]:
    """Return a conf in the words of the trigger form: Airflow holds it against the form, which knows no ``P1``.

    :raises InvalidPayloadError: a field is wrong; the message names it.
    """
    if "datadog" in conf:
        return dict(conf)
    told = parse_manual(conf).model_dump(mode="json", include={"id", "title", "severity", "private", "started_at"})
    return {**conf, **{field: value for field, value in told.items() if field in conf}}


def read_file(name: str) -> dict[str, Any]:
    """Return a file's fields; a Datadog payload becomes ``{"datadog": ...}``.

    :param name: a path, or ``-`` for standard input.
    :raises UsageError: it cannot be read, or is neither JSON nor YAML, or no object.
    """
    content = _parsed(_text(name), name)
    if not isinstance(content, dict):
        raise UsageError(
            f"--from-file {name} does not hold an object.", fix='Write fields, such as {"title": ...}.'
        )
    return {"datadog": content} if looks_like_datadog(content) else content


def _text(name: str) -> str:
    try:
        if name == "-":
            text = sys.stdin.read(LARGEST_FILE + 1)
        else:
            with Path(name).open(encoding="utf-8") as file:
                text = file.read(LARGEST_FILE + 1)
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise UsageError(f"--from-file {name} cannot be read: {reason}.") from None
    if len(text) > LARGEST_FILE:
        raise UsageError(f"--from-file {name} has more than {LARGEST_FILE:,} characters: that is no incident.")
    return text


def _parsed(text: str, name: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as not_json:
        try:
            return _plain(yaml.safe_load(text))
        except (yaml.YAMLError, ValueError, RecursionError):
            raise UsageError(f"--from-file {name} is neither JSON nor YAML. As JSON: {not_json}.") from None
    except RecursionError:
        raise UsageError(f"--from-file {name} is nested too deeply.") from None


def _plain(value: Any) -> Any:
    """Return what YAML gave as JSON has it: moments as text."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value.isoformat() if isinstance(value, date) else value


def _from_options(args: Namespace) -> dict[str, Any]:
    texts = {field: getattr(args, name) for name, field in _TEXTS.items() if getattr(args, name)}
    lists = {field: _split(getattr(args, name)) for name, field in _LISTS.items() if getattr(args, name)}
    links = {"links": list(args.link)} if args.link else {}
    flags = {field: True for field in ("private", "dry_run") if getattr(args, field)}
    return {**texts, **lists, **links, **flags}


def _split(values: Sequence[str]) -> list[str]:
    return [part.strip() for value in values for part in value.split(",") if part.strip()]
