"""Test sharing a document as a canvas, or as a file where canvases are unavailable."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from incident_sandbox import Fault, SandboxClient, SandboxServer

from airflow_incident_provider.exceptions import SlackError, SlackUnavailableError
from airflow_incident_provider.slack.access import live_slack_client
from airflow_incident_provider.slack.document import SharedAs, share_document

TEXT = "# Postmortem draft\n\nDana wrote: naïve <!channel>\n"
Share = Callable[[], tuple[SharedAs, str | None]]


@pytest.fixture
def room(connect: Callable[..., Any]) -> str:
    connect()
    return live_slack_client("slack_api_default").create_channel("inc-1", private=False).id


@pytest.fixture
def share(room: str) -> Share:
    def share() -> tuple[SharedAs, str | None]:
        client = live_slack_client("slack_api_default")
        return share_document(client, room, name="draft.md", title="Draft", markdown=TEXT)

    return share


def files(slack: SandboxServer) -> list[bytes | None]:
    return [stored.content for stored in slack.workspace.files.values()]


def test_document_is_shared_as_canvas(
    share: Share, room: str, control: SandboxClient, slack: SandboxServer
) -> None:
    assert share() == (SharedAs.CANVAS, None)
    canvas = control.channel(room)["canvas"]
    assert (canvas["title"], canvas["markdown"]) == ("Draft", TEXT)
    assert files(slack) == []


def test_document_is_shared_as_file_on_free_plan(share: Share, slack: SandboxServer) -> None:
    slack.workspace.settings.free_plan = True
    assert share() == (SharedAs.FILE, "team_tier_cannot_create_channel_canvases")
    assert files(slack) == [TEXT.encode()]


def test_existing_canvas_is_not_overwritten(
    share: Share, room: str, control: SandboxClient, slack: SandboxServer
) -> None:
    share()
    canvas = control.channel(room)["canvas"]
    assert share() == (SharedAs.FILE, "channel_canvas_already_exists")
    assert control.channel(room)["canvas"] == canvas
    assert files(slack) == [TEXT.encode()]


def test_document_is_shared_as_file_without_canvas_scope(share: Share, slack: SandboxServer) -> None:
    for token in slack.workspace.tokens.values():
        token.scopes = [scope for scope in token.scopes if scope != "canvases:write"]
    assert share() == (SharedAs.FILE, "missing_scope")


def test_missing_canvas_and_file_scopes_raise(share: Share, slack: SandboxServer) -> None:
    for token in slack.workspace.tokens.values():
        token.scopes = [scope for scope in token.scopes if scope not in ("canvases:write", "files:write")]
    with pytest.raises(SlackError, match="files:write"):
        share()


def test_no_file_is_shared_when_canvas_may_exist(
    share: Share, control: SandboxClient, slack: SandboxServer
) -> None:
    control.add_fault(Fault(method="conversations.canvases.create", drop=True, when="after"))
    with pytest.raises(SlackUnavailableError):
        share()
    assert files(slack) == []
