"""Every error code that Slack documents has a fix, and Slack's own explanation is part of the message."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from airflow_incident_provider.exceptions import SlackConfigurationError, SlackRequestError, SlackUnavailableError
from airflow_incident_provider.slack.errors import (
    CONFIGURATION_FIXES,
    PER_USER,
    RATE_LIMITED,
    REQUEST_FIXES,
    TRANSIENT,
    slack_error,
)

DOCUMENTED: dict[str, str] = json.loads(Path(__file__).with_name("documented_errors.json").read_text("utf-8"))
"""The error codes of each method that the app calls, from Slack's reference of May 2026."""


@pytest.mark.parametrize("method", DOCUMENTED)
def test_every_documented_code_says_what_to_do(method: str) -> None:
    for code in DOCUMENTED[method].split():
        error = slack_error(method, {"ok": False, "error": code})
        assert error.fix, f"{method}: {code} has no fix"
        assert code in error.message or code in RATE_LIMITED


@pytest.mark.parametrize("code", sorted(TRANSIENT))
def test_a_failure_of_slacks_may_have_had_an_effect_and_keeps_slacks_explanation(code: str) -> None:
    answer = {"error": code, "response_metadata": {"messages": ["[ERROR] half done", None, 5]}}
    error = slack_error("conversations.create", answer)
    assert isinstance(error, SlackUnavailableError)
    assert error.effect_possible
    assert error.message == f"Slack could not do conversations.create now: {code}: [ERROR] half done."


def test_the_tables_do_not_contradict_each_other() -> None:
    assert not CONFIGURATION_FIXES.keys() & (RATE_LIMITED | TRANSIENT)
    assert not REQUEST_FIXES.keys() & (RATE_LIMITED | TRANSIENT | CONFIGURATION_FIXES.keys())
    assert all(text.endswith(".") for text in (*CONFIGURATION_FIXES.values(), *REQUEST_FIXES.values()))
    assert all(PER_USER.values())


@pytest.mark.parametrize(
    ("messages", "message"),
    [
        (["[ERROR] missing required field: team_id"], "missing_argument: [ERROR] missing required field: team_id."),
        (["one", "two\n\nlines"], "missing_argument: one; two lines."),
        ([], "missing_argument."),
        ("not a list", "missing_argument."),
        (None, "missing_argument."),
    ],
)
def test_slacks_explanation_is_part_of_the_message(messages: object, message: str) -> None:
    answer = {"error": "missing_argument", "response_metadata": {"messages": messages}}
    error = slack_error("conversations.create", answer)
    assert isinstance(error, SlackConfigurationError)
    assert error.message == f"Slack refused conversations.create: {message}"
    assert "team_id" in (error.fix or "")


@pytest.mark.parametrize("metadata", [None, "text", [], {"messages": ["x" * 5000]}])
def test_an_odd_answer_is_still_an_error_with_a_fix(metadata: object) -> None:
    error = slack_error("chat.update", {"error": "some_new_code", "response_metadata": metadata})
    assert isinstance(error, SlackRequestError)
    assert error.fix == "Look the code up at https://docs.slack.dev/reference/methods/chat.update#errors"
    assert len(error.message) < 400


@pytest.mark.parametrize("needed", ["channels:manage", "channels:manage,channels:write.topic,groups:write"])
def test_one_missing_scope_has_one_message_whatever_the_method(needed: str) -> None:
    methods = ("conversations.setTopic", "conversations.setPurpose", "conversations.invite")
    errors = [slack_error(method, {"error": "missing_scope", "needed": needed}) for method in methods]
    assert {error.message for error in errors} == {"Slack said missing_scope: the app lacks channels:manage."}
    assert len({error.fix for error in errors}) == 1
