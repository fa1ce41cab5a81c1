"""Malicious, malformed and oversized confs are sanitized, flagged or refused."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from typing import Any

import pytest

from airflow_incident_provider.exceptions import InvalidPayloadError
from airflow_incident_provider.intake.limits import MAX_BYTES, encoded_size
from airflow_incident_provider.models import Incident

Read = Callable[..., Incident]
Make = Callable[..., dict[str, Any]]

TEXTS = {
    "channel mention": "<!channel> & <@U0> <https://evil.example|click>",
    "shell": "$(touch pwned); `id` | rm -rf ~ && echo $HOME > /dev/null",
    "jinja": "{{ var.value.secret }} {% for x in y %} {# c #}",
    "yaml": "!!python/object/apply:os.system ['id']",
    "json as text": '{"a": {"b": ["c"]}}',
    "sql": "'; DROP TABLE dag_run; --",
    "format string": "%s %n {0.__class__}",
    "path": "../../../../etc/passwd",
    "emoji": "🔥🚨 Prüfung 東京 عربى",
    "backslashes": "C:\\ops\\rb-117",
}
INVISIBLE = {
    "newlines": ("Line one\nLine\r\ntwo\u2028three\u2029four", "Line one Line two three four"),
    "control characters": ("be\x07ep \x1b[31mred\x1b[0m\x00", "beep [31mred[0m"),
    "bidi override": ("safe\u202egnp.exe\u202c \u2066x\u2069", "safegnp.exe x"),
    "zero width": ("che\u200bck\u200dout\ufeff\u00ad", "checkout"),
    "tag characters": ("a\U000e0041\U000e007fb", "ab"),
    "lone surrogate": ("a\ud83db", "ab"),
    "unicode whitespace": ("a\u00a0\u3000\t\v b", "a b"),
}


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS.keys())
def test_hostile_text_is_kept_verbatim(text: str, alert: Make, read: Read) -> None:
    sent = alert({"text": text, "hostname": text, "tags": [f"team:{text}"]}, title=f"[P1] {text}", status=text)
    incident = read(sent)
    assert incident.title == text
    assert incident.hosts[0] == text
    assert incident.teams == (text,)
    incident = read({"title": text, "services": [text], "env": text, "users": [text]})
    assert (incident.title, incident.env) == (text, text)
    parts = [part.strip() for part in re.split("[,;]", text) if any(map(str.isalnum, part))]
    assert incident.services == tuple(parts)


@pytest.mark.parametrize(("text", "clean"), INVISIBLE.values(), ids=INVISIBLE.keys())
def test_invisible_characters_are_removed(text: str, clean: str, alert: Make, read: Read) -> None:
    assert read(alert(title=text)).title == clean
    assert read({"title": text, "users": [text.replace("\n", " ").replace("\r", " ")]}).responders == (clean,)


def test_invisible_title_counts_as_missing(alert: Make, read: Read) -> None:
    with pytest.raises(InvalidPayloadError, match="title: missing"):
        read({"title": "\u200b\u202e"})
    assert read(alert(title="\u200b\u202e")).title == "Monitor 148275309"


@pytest.mark.parametrize(
    ("field", "conf"),
    [
        ("title", {"title": "x" * 10_000}),
        ("description", {"title": "x", "description": "y" * 100_000}),
        ("users", {"title": "x", "users": [f"person {n}" for n in range(500)]}),
        ("users", {"title": "x", "users": ["n" * 1000]}),
        ("tags", {"title": "x", "tags": [f"t:{n}" for n in range(51)]}),
        ("hosts", {"title": "x", "hosts": ",".join(f"web-{n}" for n in range(101))}),
        ("links", {"title": "x", "links": [f"https://x.example/{n}" for n in range(30)]}),
        ("targets", {"title": "x", "targets": [f"web-{n}" for n in range(30)]}),
        ("links", {"title": "x", "links": ["https://x.example/" + "a" * 2000]}),
    ],
)
def test_oversized_values_are_truncated_and_flagged(field: str, conf: Any, read: Read) -> None:
    incident = read(conf | {"severity": "low"})
    assert next(flag.field for flag in incident.flags) == field
    assert len(incident.title) <= 300
    assert len(incident.description or "") <= 3000
    assert len(incident.responders) <= 100
    assert len(incident.tags) <= 50


@pytest.mark.parametrize(
    "url",
    [
        "javascript:alert(1)",
        "data:text/html,x",
        "file:///etc/passwd",
        "//evil.example/",
        "https://user:hunter2@evil.example/",
        "https://user@evil.example/",
        "https:///nohost",
        "https://[::1",
        "https://x.example:99999/",
        "https://x.example/a b",
        "https://x.example/a|b",
        "https://x.example/a>b",
        "https://x.example/a\u202eb",
        "https://x.example\\@evil.example/",
        "https://x.example/a\nb",
        "HTTP//x",
        "",
    ],
)
def test_unsafe_url_is_dropped(url: str, alert: Make, read: Read) -> None:
    incident = read(alert({"snapshot": url, "link": url, "body": f"[a]({url})", "text": ""}))
    assert incident.snapshot_url is None
    assert all(link.url != url for link in incident.links)
    assert "hunter2" not in incident.model_dump_json(include={"flags"})
    if url:
        assert {"snapshot", "link"} <= {flag.field for flag in incident.flags}


@pytest.mark.parametrize(
    "conf",
    [
        [],
        "text",
        None,
        7,
        {"datadog": "[" * 100_000},
        {"datadog": '{"title": ' * 5_000},
        {"datadog": '{"title": NaN}'},
        {"datadog": {"title": float("nan")}},
        {"datadog": {"alert": {"id": 10**5000}}},
        {"title": {"of": 7}},
        {"title": None, "severity": "high"},
    ],
    ids=lambda conf: repr(conf)[:40] if not isinstance(conf, dict) else "-".join(conf)[:40],
)
def test_malformed_conf_is_refused(conf: Any, read: Read) -> None:
    with pytest.raises(InvalidPayloadError) as exc_info:
        read(conf)
    assert len(str(exc_info.value)) < 600


def test_deep_nesting_in_ignored_fields_is_accepted(alert: Make, read: Read) -> None:
    deep: list[object] = []
    for _ in range(50_000):
        deep = [deep]
    sent = alert({"logs_sample": deep, "tags": deep})
    sent["datadog"]["incident"] = {"fields": deep}
    assert read(sent).title == "Checkout 5xx ratio above 2%"
    deepest = json.loads("[" * 900 + "]" * 900)
    assert read({"title": "x", "users": deepest}).responders == ()


def test_repeated_markup_is_parsed_in_linear_time(alert: Make, read: Read) -> None:
    started_at = time.process_time()
    for text in ("[" * 50_000, "**" * 50_000, "[a](" * 20_000, "\n" * 50_000, "@slack-" * 20_000, "> " * 50_000):
        incident = read(alert({"body": text, "text": text}, title=text, status=text, query=text))
        assert len(incident.title) <= 300
    assert time.process_time() - started_at < 5


@pytest.mark.parametrize("character", ["x", "é", "🔥", '"'])
def test_incident_fits_into_xcom(character: str, alert: Make, read: Read) -> None:
    filler = character * 250
    sent = alert(
        {
            "text": character * 20_000,
            "tags": [f"service:{n}{filler}" for n in range(60)] + [f"host:{n}{filler}" for n in range(200)],
            "body": " ".join(f"https://x.example/{n}/{'a' * 1900}" for n in range(30)),
            "snapshot": "https://x.example/" + "a" * 1900,
        },
        title=character * 400,
        query=character * 2000,
    )
    sent["users"] = [f"{n}{filler}" for n in range(150)]
    incident = read(sent)
    assert encoded_size(incident.to_xcom()) <= MAX_BYTES
    if not character.isascii():
        assert any("too large" in flag.note for flag in incident.flags)
    assert incident.title.startswith(character * 299)


def test_flag_value_is_truncated(alert: Make, read: Read) -> None:
    incident = read(alert({"tags": "t" * 5000}))
    assert all(len(flag.value) <= 100 for flag in incident.flags)


_SECRETS = ("password=hunter2", "https://app:hunter2@db.example/x", "Authorization: Bearer hunter2hunter2")


@pytest.mark.parametrize("secret", _SECRETS)
@pytest.mark.parametrize("name", ["id", "cycle_key", "scope"])
def test_secret_in_alert_identity_is_not_in_key(name: str, secret: str, alert: Make, read: Read) -> None:
    incident = read(alert(**{name: secret}))
    assert "hunter2" not in incident.key + incident.id
    assert incident.key == read(alert(**{name: secret})).key
    assert incident.key != read(alert(**{name: secret.replace("hunter2", "hunter3")})).key


@pytest.mark.parametrize("secret", _SECRETS)
@pytest.mark.parametrize("name", ["public_id", "uuid"])
def test_secret_in_datadog_incident_id_is_not_in_key(
    name: str, secret: str, datadog_incident: Make, read: Read
) -> None:
    incident = read(datadog_incident(**{"public_id": None, name: secret}))
    assert "hunter2" not in incident.key + incident.id


@pytest.mark.parametrize("secret", _SECRETS)
def test_secret_in_report_id_is_not_in_key(secret: str, read: Read) -> None:
    first, other = (read({"title": "x", "id": text}) for text in (secret, secret.replace("hunter2", "hunter3")))
    assert "hunter2" not in first.key + first.id
    assert first.key != other.key
