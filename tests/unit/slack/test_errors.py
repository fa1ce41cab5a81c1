"""Test the errors made from responses of Slack: their class, message and fix."""

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
"""Map each method that the app calls to its error codes, from Slack's reference of May 2026."""


@pytest.mark.parametrize("method", DOCUMENTED)
def test_every_documented_code_has_a_fix(method: str) -> None:
    for code in DOCUMENTED[method].split():
        error = slack_error(method, {"ok": False, "error": code})
        assert error.fix, f"{method}: {code} has no fix"
        assert code in error.message or code in RATE_LIMITED


@pytest.mark.parametrize("code", sorted(TRANSIENT))
def test_transient_error_may_have_had_an_effect(code: str) -> None:
    response = {"error": code, "response_metadata": {"messages": ["[ERROR] half done", None, 5]}}
    error = slack_error("conversations.create", response)
    assert isinstance(error, SlackUnavailableError)
    assert error.effect_possible
    assert error.message == f"Slack could not process conversations.create: {code}: [ERROR] half done."


def test_error_tables_are_disjoint() -> None:
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
def test_error_message_includes_response_metadata(messages: object, message: str) -> None:
    response = {"error": "missing_argument", "response_metadata": {"messages": messages}}
    error = slack_error("conversations.create", response)
    assert isinstance(error, SlackConfigurationError)
    assert error.message == f"Slack refused conversations.create: {message}"
    assert "team_id" in (error.fix or "")


@pytest.mark.parametrize("metadata", [None, "text", [], {"messages": ["x" * 5000]}])
def test_invalid_response_metadata_is_ignored(metadata: object) -> None:
    error = slack_error("chat.update", {"error": "some_new_code", "response_metadata": metadata})
    assert isinstance(error, SlackRequestError)
    assert error.fix == "Look the code up at https://docs.slack.dev/reference/methods/chat.update#errors"
    assert len(error.message) < 400


@pytest.mark.parametrize("needed", ["channels:manage", "channels:manage,channels:write.topic,groups:write"])
def test_missing_scope_message_is_the_same_for_every_method(needed: str) -> None:
    methods = ("conversations.setTopic", "conversations.setPurpose", "conversations.invite")
    errors = [slack_error(method, {"error": "missing_scope", "needed": needed}) for method in methods]
    assert {error.message for error in errors} == {"Slack returned missing_scope: the app lacks channels:manage."}
    assert len({error.fix for error in errors}) == 1
