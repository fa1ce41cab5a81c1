"""Test authorization by responses of Slack, including incomplete ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from incident_sandbox import Fault, SandboxClient

from airflow_incident_provider.plugins.slack_requests.authorization import (
    Authorization,
    NotAuthorizedError,
    SlackMembers,
)


@pytest.fixture
def authorization(connect: Callable[..., Any]) -> Authorization:
    connect()
    return Authorization(lambda: SlackMembers(5))


def test_group_member_is_authorized(authorization: Authorization, control: SandboxClient) -> None:
    state = control.state(everybody=True)
    [group] = [usergroup for usergroup in state["usergroups"] if usergroup["handle"] == "sre-oncall"]
    authorization.require(group["users"][0], None, ["@sre-oncall"])


@pytest.mark.parametrize(
    "response", [{"ok": True}, {"ok": True, "usergroups": None}, {"ok": True, "usergroups": [{}]}]
)
def test_response_without_groups_authorizes_nobody(
    authorization: Authorization, control: SandboxClient, response: dict[str, Any]
) -> None:
    member = control.state(everybody=True)["usergroups"][0]["users"][0]
    control.add_fault(Fault(method="usergroups.list", status=200, body=response, times=None))
    with pytest.raises(NotAuthorizedError):
        authorization.require(member, None, ["@sre-oncall"])


def test_response_without_user_authorizes_nobody(authorization: Authorization, control: SandboxClient) -> None:
    member = control.state(everybody=True)["usergroups"][0]["users"][0]
    control.add_fault(Fault(method="users.info", status=200, body={"ok": True}, times=None))
    with pytest.raises(NotAuthorizedError):
        authorization.require(member, None, ["@sre-oncall"])


def test_the_groups_of_an_organisation_are_those_of_its_workspace(
    connect: Callable[..., Any], control: SandboxClient
) -> None:
    """With the token of an Enterprise Grid organisation Slack refuses the list without the workspace."""
    connect(team_id="T0ACMERETL")
    groups = control.state(everybody=True)["usergroups"]
    [group] = [each for each in groups if each["handle"] == "sre-oncall"]
    Authorization(lambda: SlackMembers(5)).require(group["users"][0], None, ["@sre-oncall"])
    [call] = control.calls("usergroups.list")
    assert call["args"]["team_id"] == "T0ACMERETL"
