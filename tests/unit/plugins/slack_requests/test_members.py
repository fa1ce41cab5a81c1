"""Who may act, by Slack's own answers: also those that lack what they should contain."""

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


def test_a_member_of_a_group_may_act(authorization: Authorization, control: SandboxClient) -> None:
    people = control.state(everybody=True)
    [group] = [each for each in people["usergroups"] if each["handle"] == "sre-oncall"]
    authorization.require(group["users"][0], None, ["@sre-oncall"])


@pytest.mark.parametrize(
    "answer", [{"ok": True}, {"ok": True, "usergroups": None}, {"ok": True, "usergroups": [{}]}]
)
def test_an_answer_without_groups_authorizes_no_one(
    authorization: Authorization, control: SandboxClient, answer: dict[str, Any]
) -> None:
    member = control.state(everybody=True)["usergroups"][0]["users"][0]
    control.add_fault(Fault(method="usergroups.list", status=200, body=answer, times=None))
    with pytest.raises(NotAuthorizedError):
        authorization.require(member, None, ["@sre-oncall"])


def test_an_answer_without_a_person_authorizes_no_one(authorization: Authorization, control: SandboxClient) -> None:
    member = control.state(everybody=True)["usergroups"][0]["users"][0]
    control.add_fault(Fault(method="users.info", status=200, body={"ok": True}, times=None))
    with pytest.raises(NotAuthorizedError):
        authorization.require(member, None, ["@sre-oncall"])
