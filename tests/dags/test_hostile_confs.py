"""Hostile confs are rejected with a reason, or open a correct room without mentions or misleading links."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from incident_sandbox import SandboxClient, SandboxServer

from airflow_incident_provider.models import RunOutcome, Severity, Verdict

from .conftest import BOT, Run

MASS = "<!channel> <!here> <!everyone> <@U0DANAREYES> <!subteam^S0SREONCALL> @channel"
SHELL = '$(touch /tmp/pwned); `id` | rm -rf / && echo "$PATH" > /dev/tcp/127.0.0.1/1 #\''
JINJA = "{{ conn.slack_api_default.password }}{% for k in var.__dict__ %}{{ k }}{% endfor %}{{ 7*191 }}"
BIDI = "safe\u202e\u2066gnp.exe\u2069\u200b\u200d\ufeff end"
DISGUISE = "<https://evil.example/login|https://app.datadoghq.com> [Monitor](https://evil.example) `</code>`"


def nested(depth: int) -> Any:
    return "leaf" if depth == 0 else {"alert": nested(depth - 1)}


# The outcomes: rejected by the schema of the form, with which Airflow's API and UI validate a conf before there is
# a run; rejected by the first step; a room without the value, which the brief lists; or a room.
REJECTED_BY_FORM: dict[str, dict[str, Any]] = {
    "datadog is a list": {"datadog": [1, 2]},
    "datadog is a number": {"datadog": 5},
}
REJECTED: dict[str, tuple[dict[str, Any], str]] = {
    "nothing": ({}, "conf is empty"),
    "only empty fields": ({"title": "", "users": [], "datadog": None}, "conf is empty"),
    "no title": ({"users": ["alice.ng@acme.example"]}, "title"),
    "invisible title": ({"title": "\u200b\u2060\ufeff"}, "title"),
    "datadog is prose": ({"datadog": "hello"}, "datadog"),
    "datadog is empty JSON": ({"datadog": "{}"}, "datadog"),
    "datadog says nothing": ({"datadog": {"foo": "bar"}}, "datadog"),
    "datadog is deep": ({"datadog": nested(60)}, "Datadog"),
    "misspelt title": ({"titel": "x"}, "title"),
    "bare broken JSON": ({"datadog": '{"alert": {"id": "1",'}, "datadog"),
}
IGNORED: dict[str, dict[str, Any]] = {
    "severity is unknown": {"severity": "apocalyptic"},
    "severity is an object": {"severity": {"level": 1}},
    "private is a word": {"private": "perhaps"},
    "users is an object": {"users": {"a": 1}},
    "started_at is prose": {"started_at": "just after lunch"},
    "targets hold a command": {"targets": [SHELL]},
    "targets hold a template": {"targets": [JINJA]},
    "targets hold a file": {"targets": ["file:///etc/passwd"]},
    "targets hold an option": {"targets": ["-oProxyCommand=id"]},
}
ROOM: dict[str, dict[str, Any]] = {
    "title is a number": {"title": 7},
    "title is a list": {"title": ["a", "b"]},
    "body of a request": {"conf": {"title": "x"}, "logical_date": None},
    "mass mentions everywhere": {
        "title": MASS,
        "description": MASS,
        "users": [MASS],
        "services": [MASS],
        "hosts": [MASS],
        "teams": [MASS],
        "tags": [MASS],
        "env": MASS,
        "id": MASS,
    },
    "shell everywhere": {"title": SHELL, "hosts": [SHELL], "users": [SHELL], "services": [SHELL], "id": SHELL},
    "templates everywhere": {
        "title": JINJA,
        "description": JINJA,
        "users": [JINJA],
        "hosts": [JINJA],
        "id": JINJA,
    },
    "newlines and control characters": {"title": "one\ntwo\r\n\x07\x1b[31mred\x00 three", "hosts": "a\nb\x00c"},
    "bidi and zero width": {"title": BIDI, "services": [BIDI], "users": [BIDI]},
    "emoji alone": {"title": "🔥🔥🔥", "services": ["👩‍👩‍👧‍👦"]},
    "no Latin letter": {"title": "支払いが失敗しています", "description": "Оплата не проходит"},
    "10,000 characters": {"title": "long " * 2_000},
    "10,000 characters without a space": {"title": "x" * 10_000, "id": "y" * 10_000},
    "description of a megabyte": {"title": "x", "description": "&<>" * 350_000},
    "thousands of everything": {
        "title": "many",
        "users": [f"nobody{n}@acme.example" for n in range(2_000)],
        "hosts": [f"web-{n}.acme.example" for n in range(2_000)],
        "tags": [f"tag:{n}" for n in range(2_000)],
        "links": [f"https://example.com/{n}" for n in range(2_000)],
    },
    "JSON as text": {"title": json.dumps({"title": {"a": [1, {"b": MASS}]}}), "description": "[[[{}]]]"},
    "links in disguise": {"title": DISGUISE, "description": DISGUISE},
    "links that are none": {
        "title": "x",
        "links": ["javascript:alert(1)", "https://ok.example|<!channel>", "file:///etc/passwd", "https://"],
    },
    "targets that must not be contacted": {
        "title": "x",
        "targets": [
            "http://169.254.169.254/latest/meta-data/",
            "http://[::ffff:169.254.169.254]/",
            "http://2852039166/",
            "127.0.0.1:2375",
            "localhost",
        ],
    },
    "id that climbs": {"title": "x", "id": "../../etc/passwd"},
    "quotes and backslashes": {"title": "\\\"'\\n\\u0000 %s {0} %(x)s ```", "description": "```\n```<!here>```"},
    "markup of other places": {"title": "<script>alert(1)</script>", "description": "%%%\n# h\n%%%<b>&amp;lt;"},
    "far future": {"title": "x", "started_at": "9999-12-31T23:59:59Z"},
    "misspelt field next to a title": {"title": "x", "servces": ["checkout"], "password": "hunter2"},
}
HOSTILE_VARIABLES = [
    MASS,
    SHELL,
    JINJA,
    BIDI,
    DISGUISE,
    "x" * 5_000,
    "\n\n\x00",
    "null",
    "$ALERT_TITLE",
    "&lt;!here&gt;",
]


@pytest.fixture(autouse=True)
def connected(connect: Callable[..., Any]) -> None:
    connect()


@pytest.fixture(autouse=True)
def no_command_was_run() -> Iterator[None]:
    """Check that no text of a conf was run as a command."""
    yield
    assert not Path("/tmp/pwned").exists()


def assert_token_not_exposed(run: Run, slack: SandboxServer) -> None:
    assert slack.token not in run.log
    assert slack.token not in json.dumps(list(run.xcoms.values()))
    assert slack.token not in json.dumps(slack.workspace.channels, default=vars)


def assert_harmless(run: Run, control: SandboxClient, name: str) -> None:
    """Only invited people are mentioned, and every labelled link was given as a link."""
    channel = control.channel(name)
    assert re.fullmatch(r"inc-\d{8}[a-z0-9_-]*", name)
    assert len(name) <= 80
    given = {link.url for link in run.incident.links} | {run.incident.snapshot_url}
    given |= {run.incident.route.runbook, run.summary.room_url}
    messages = [each for each in channel["messages"] if each["user"] == BOT and each.get("subtype") is None]
    messages += [reply for each in messages for reply in each["replies"]]
    assert messages
    invited_groups = {each.group_id for each in run.room.invited}
    for message in messages:
        notifies = message["notifies"]
        assert (notifies["mass"], notifies["channels"]) == ([], [])
        assert set(notifies["usergroups"]) <= invited_groups
        assert set(notifies["users"]) <= set(channel["members"])
        # A plain URL shows its target; a URL behind a label must have been given as a link.
        labelled = {link["url"] for link in notifies["links"] if link["label"] is not None}
        assert {url.replace("&amp;", "&") for url in labelled} <= given
    assert "<!" not in channel["topic"] + channel["purpose"]
    assert not re.search(r"[\x00-\x1f\u202a-\u202e\u2066-\u2069]", channel["topic"] + channel["purpose"])


@pytest.mark.parametrize("case", REJECTED_BY_FORM)
def test_rejected_by_the_form(run_dag: Callable[..., Run], room_names: Any, case: str) -> None:
    from airflow.sdk.exceptions import ParamValidationError

    with pytest.raises(ParamValidationError, match=f"Invalid input for param {case.split(maxsplit=1)[0]}"):
        run_dag(REJECTED_BY_FORM[case])
    assert room_names() == []


@pytest.mark.parametrize(
    "conf",
    [{"title": "half \ud83d of an emoji"}, {"datadog": nested(300)}],
    ids=["lone surrogate", "bottomless"],
)
def test_conf_that_airflow_cannot_pass_fails_the_run(
    run_dag: Callable[..., Run], room_names: Any, conf: dict[str, Any]
) -> None:
    """Text that is not UTF-8, or nested too deeply for Airflow: the run fails before the operator."""
    run = run_dag(conf)
    assert (run.state, room_names()) == ("failed", [])


@pytest.mark.parametrize("case", REJECTED)
def test_rejected_with_reason(
    run_dag: Callable[..., Run], room_names: Any, slack: SandboxServer, case: str
) -> None:
    conf, message = REJECTED[case]
    run = run_dag(conf, retries=2)
    assert (run.state, run.states["parse_incident_event"]) == ("failed", "failed")
    assert room_names() == []
    assert re.search(message, run.log)
    assert_token_not_exposed(run, slack)


@pytest.mark.parametrize("case", IGNORED)
def test_invalid_value_is_ignored_and_listed_in_the_brief(
    run_dag: Callable[..., Run], control: SandboxClient, room_names: Any, slack: SandboxServer, case: str
) -> None:
    """The room opens, and nothing in the value is looked up, invited or probed."""
    field = case.split(maxsplit=1)[0]
    run = run_dag({"title": "Checkout is down", "severity": "critical", **IGNORED[case]})
    assert run.state == "success"
    [name] = room_names()
    assert_harmless(run, control, name)
    assert_token_not_exposed(run, slack)
    assert any(flag.field == field and flag.note.startswith("left out: ") for flag in run.incident.flags)
    assert run.incident.severity is (Severity.HIGH if field == "severity" else Severity.CRITICAL)
    assert (run.incident.targets, run.incident.responders) == ((), ())
    assert field in json.dumps(control.channel(name)["messages"])


@pytest.mark.parametrize("case", ROOM)
def test_hostile_conf_opens_harmless_room(
    run_dag: Callable[..., Run], control: SandboxClient, room_names: Any, slack: SandboxServer, case: str
) -> None:
    run = run_dag(ROOM[case])
    assert run.state == "success"
    [name] = room_names()
    assert run.room.channel_name == name
    assert run.summary.outcome in {RunOutcome.COMPLETE, RunOutcome.DEGRADED}
    assert_harmless(run, control, name)
    assert_token_not_exposed(run, slack)
    assert all(len(json.dumps(value)) < 48_000 for (_, _, key), value in run.xcoms.items() if key == "return_value")


@pytest.mark.parametrize("hostile", HOSTILE_VARIABLES, ids=lambda text: repr(text[:20]))
def test_hostile_text_in_alert_opens_harmless_room(
    *,
    run_dag: Callable[..., Run],
    control: SandboxClient,
    room_names: Any,
    slack: SandboxServer,
    payload: Callable[[str], dict[str, Any]],
    hostile: str,
) -> None:
    alert = payload("01")
    for field in ("title", "body", "text", "hostname", "tags", "snapshot", "link"):
        alert[field] = hostile
    alert["alert"] |= dict.fromkeys(("title", "metric", "query", "scope", "status", "priority"), hostile)
    run = run_dag({"datadog": alert})
    assert run.state == "success"
    [name] = room_names()
    assert name.endswith("148275309")
    assert_harmless(run, control, name)
    assert_token_not_exposed(run, slack)


def test_unknown_severity_is_high_and_flagged(
    run_dag: Callable[..., Run], payload: Callable[[str], dict[str, Any]], control: SandboxClient
) -> None:
    alert = payload("01")
    alert["alert"] |= {"priority": "P17", "title": "no priority here"}
    alert["title"] = "no priority here"
    run = run_dag({"datadog": alert})
    assert run.incident.severity is Severity.HIGH
    assert any("P17" in flag.value for flag in run.incident.flags)


def test_forbidden_target_is_skipped_with_reason(run_dag: Callable[..., Run]) -> None:
    run = run_dag(ROOM["targets that must not be contacted"])
    others = [finding for finding in run.findings if finding.probe != "control"]
    assert {finding.verdict for finding in others} == {Verdict.SKIPPED}
    assert any("link-local" in finding.summary or "metadata" in finding.summary for finding in others)
