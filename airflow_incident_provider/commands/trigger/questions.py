"""``--interactive``: each field is asked for and checked at once, with what was given already as the answer."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from airflow_incident_provider.commands.output import print_text
from airflow_incident_provider.commands.running import UsageError
from airflow_incident_provider.exceptions import InvalidPayloadError
from airflow_incident_provider.intake.manual import parse_manual

Ask = Callable[[str], str]


@dataclass(frozen=True)
class Question:
    """A question, and the field of the trigger form that the answer fills."""

    field: str
    text: str
    several: bool = False
    needed: bool = False


QUESTIONS = (
    Question("title", "What happens, in a few words", needed=True),
    Question("severity", "How bad: critical, high, medium or low", needed=True),
    Question("users", "Who comes: e-mail addresses, @groups, names, with commas", several=True),
    Question("services", "Service", several=True),
    Question("env", "Environment, such as prod"),
    Question("targets", "What to probe: URLs, hosts, host:port", several=True),
    Question("links", "Links to dashboards or runbooks", several=True),
    Question("description", "What is known so far"),
    Question("private", "Private room (yes or no)"),
)


def ask_for(conf: Mapping[str, Any], ask: Ask = input) -> dict[str, Any]:
    """Return ``conf`` with the answers; an empty answer keeps what was there.

    :param ask: shows a prompt and returns one line.
    :raises UsageError: there is nobody to ask.
    """
    if ask is input and not sys.stdin.isatty():
        raise UsageError(
            "--interactive asks questions, and this is no terminal.", fix="Use the options, or a file."
        )
    if "datadog" in conf:
        return dict(conf)
    print_text("Empty answers are fine but for the first two. Ctrl-C ends without starting anything.")
    answers = dict(conf)
    for question in QUESTIONS:
        answer = _answer(question, answers.get(question.field), ask)
        if answer is not None:
            answers[question.field] = answer
    return answers


def confirm(question: str, ask: Ask = input) -> bool:
    """Return whether a person says yes; an empty answer is a no."""
    return ask(f"{question} [y/N] ").strip().casefold() in ("y", "yes")


def _answer(question: Question, given: Any, ask: Ask) -> Any:
    """Ask until the answer can be read; return nothing if there is none."""
    while True:
        answer = ask(f"{question.text}{_default(given)}: ").strip() or given
        if not answer and not question.needed:
            return None
        try:
            if not answer:
                raise InvalidPayloadError(f"{question.field}: needed.")
            parse_manual({question.field: answer})
        except InvalidPayloadError as error:
            print_text(f"  {error}")
            given = None if answer == given else given
            continue
        return _items(answer) if question.several and isinstance(answer, str) else answer


def _default(given: Any) -> str:
    if given in (None, "", []):
        return ""
    return f" [{', '.join(map(str, given)) if isinstance(given, list) else given}]"


def _items(answer: str) -> list[str]:
    return [part.strip() for part in answer.split(",") if part.strip()]
