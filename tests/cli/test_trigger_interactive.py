"""Test ``airflow incident trigger --interactive`` in a pseudo-terminal."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from airflow_incident_provider.cli.run import ExitCode
from airflow_incident_provider.cli.trigger import QUESTIONS, ask_for

from .terminal import Terminal
from .test_trigger_command import conf_of, number_of_runs


@pytest.fixture(autouse=True)
def no_runs(airflow_home: Any, deployed: Any) -> None:
    """Begin without runs."""


def test_interactive_answers_are_validated_and_start_a_run() -> None:
    with Terminal("trigger", "--interactive", "--incident-id", "tty-1", "--service", "checkout") as tty:
        tty.expect("Title")
        tty.type("")
        tty.expect("A title is required.")
        tty.expect("Title")
        tty.type("Checkout is down")
        tty.expect("Severity (critical")
        tty.type("purple")
        tty.expect("severity: 'purple' is not a severity")
        tty.expect("Severity (critical")
        tty.type("P1")
        tty.expect("People to invite")
        tty.type("dana@acme.example, @sre-oncall")
        tty.expect("Service [checkout]:")
        tty.type("")
        for prompt in ("Team", "Environment", "Targets to probe", "Links", "What is known"):
            tty.expect(prompt)
            tty.type("")
        tty.expect("Private room")
        tty.type("yes")
        for text in ("Checkout is down", "critical", "checkout", "dana@acme.example, @sre-oncall", "private"):
            tty.expect(text)
        tty.expect("Start incident response? [y/N]")
        tty.type("y")
        code, rest = tty.end()
    assert code == ExitCode.OK, rest
    assert "man.tty-1" in rest
    assert conf_of("man.tty-1") == {
        "id": "tty-1",
        "title": "Checkout is down",
        "severity": "critical",
        "users": ["dana@acme.example", "@sre-oncall"],
        "services": ["checkout"],
        "private": True,
    }


@pytest.mark.parametrize("action", ["no", "ctrl-c"])
def test_cancelled_trigger_starts_nothing(action: str) -> None:
    with Terminal("trigger", "--interactive", "--title", "T", "--severity", "low") as tty:
        if action == "ctrl-c":
            tty.expect("Title")
            tty.interrupt()
        else:
            for _ in QUESTIONS:
                tty.expect(": ")
                tty.type("")
            tty.expect("[y/N]")
            tty.type("")
        code, rest = tty.end()
    assert code == ExitCode.INTERRUPTED, rest
    assert number_of_runs() == 0
    assert "Traceback" not in rest


@pytest.fixture
def scripted_answers() -> Callable[..., Callable[[str], str]]:
    """Return a function that creates a prompt with scripted answers; other questions get an empty answer."""

    def script(**answers: str | list[str]) -> Callable[[str], str]:
        remaining = {question.text: answers.get(question.field, "") for question in QUESTIONS}

        def ask(prompt: str) -> str:
            [text] = [text for text in remaining if prompt.startswith(text)]
            answer = remaining[text]
            if isinstance(answer, str):
                return answer
            return answer.pop(0)

        return ask

    return script


def test_invalid_default_is_not_offered_again(scripted_answers: Callable[..., Callable[[str], str]]) -> None:
    ask = scripted_answers(title="T", severity=["", "low"])
    assert ask_for({"severity": "purple"}, ask)["severity"] == "low"


def test_datadog_payload_skips_the_questions(scripted_answers: Callable[..., Callable[[str], str]]) -> None:
    assert ask_for({"datadog": {"alert": {}}}, scripted_answers(title="ignored")) == {"datadog": {"alert": {}}}
