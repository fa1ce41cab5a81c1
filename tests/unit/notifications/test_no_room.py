"""Test the fallback notifier that is called when no room could be opened."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any, ClassVar

import pytest
from airflow.sdk import BaseNotifier

from airflow_incident_provider.exceptions import SlackUnavailableError
from airflow_incident_provider.models import Incident, Severity, Source
from airflow_incident_provider.notifications.no_room import NoRoomNotifier

INCIDENT = Incident(
    key="man.1",
    id="1",
    source=Source.MANUAL,
    title="Checkout {{ 7 * 7 }} is down",
    severity=Severity.CRITICAL,
    occurred_at=datetime(2026, 11, 28, tzinfo=UTC),
    received_at=datetime(2026, 11, 28, tzinfo=UTC),
    responders=(
        "dana@acme.example",
        "José García",
        "@sre-oncall",
        "sam@acme.example",
        "Priya Iyer priya@acme.example",
        "mailto:sam@acme.example",
        "<@U012ABCDE>",
        "Sam Lee @berlin",
        "a@x.example, b@x.example",
        "",
    ),
)


class Mailer(BaseNotifier):
    """A third-party Airflow notifier."""

    template_fields = ("to", "subject")
    sent: ClassVar[list[tuple[str, str]]] = []

    def __init__(self, *, to: str, subject: str) -> None:
        super().__init__()
        self.to, self.subject = to, subject

    def notify(self, context: Any) -> None:  # noqa: ARG002
        self.sent.append((self.to, self.subject))


@pytest.fixture(autouse=True)
def mailbox() -> Iterator[list[tuple[str, str]]]:
    Mailer.sent.clear()
    yield Mailer.sent
    Mailer.sent.clear()


@pytest.fixture
def notify(context: Callable[..., dict[str, Any]], monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    def notify(arguments: Any, path: str = "fake_mail.Mailer") -> None:
        import sys
        from types import ModuleType

        module = ModuleType("fake_mail")
        module.Mailer = Mailer  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "fake_mail", module)
        monkeypatch.setenv("AIRFLOW__INCIDENT__FALLBACK_NOTIFIER", path)
        text = arguments if isinstance(arguments, str) else json.dumps(arguments)
        monkeypatch.setenv("AIRFLOW__INCIDENT__FALLBACK_NOTIFIER_ARGUMENTS", text)
        task_context = context(parse_incident_event=INCIDENT.to_xcom())
        task_context["exception"] = SlackUnavailableError("Slack could not process auth.test: HTTP 503.")
        NoRoomNotifier()(task_context)

    return notify


def test_notifier_receives_responders_and_reason(
    notify: Callable[..., None], mailbox: list[tuple[str, str]]
) -> None:
    notify({"to": "{{ responder_emails | join(',') }}", "subject": "{{ incident.title }}: {{ no_room }}"})
    assert mailbox == [
        (
            "dana@acme.example,sam@acme.example,priya@acme.example",
            "Checkout {{ 7 * 7 }} is down: Slack could not process auth.test: HTTP 503.",
        )
    ], "the text of an alert was rendered"


@pytest.mark.parametrize(
    ("arguments", "path", "message"),
    [
        ("{not json", "fake_mail.Mailer", "fallback_notifier_arguments is not JSON"),
        ("[1]", "fake_mail.Mailer", "is not a JSON object"),
        ({}, "fake_mail.Missing", "cannot be imported"),
        ({}, "missing", "cannot be imported"),
        ({"subject": "x"}, "fake_mail.Mailer", "missing 1 required keyword-only argument"),
    ],
)
def test_invalid_setting_is_logged(
    *,
    notify: Callable[..., None],
    capsys: pytest.CaptureFixture[str],
    mailbox: list[tuple[str, str]],
    arguments: Any,
    path: str,
    message: str,
) -> None:
    notify(arguments, path)
    assert message in capsys.readouterr().out
    assert mailbox == []


def test_nothing_is_sent_without_configuration(
    context: Callable[..., dict[str, Any]], mailbox: list[tuple[str, str]]
) -> None:
    NoRoomNotifier()(context(parse_incident_event=INCIDENT.to_xcom()))
    assert mailbox == []
