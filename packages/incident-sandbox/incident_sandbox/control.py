"""The sandbox's own API under ``/sandbox/``: look at the workspace, change it, and order trouble."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, ConfigDict, Field

from incident_sandbox.call_log import LoggedCall
from incident_sandbox.datadog.payload import alert_payload
from incident_sandbox.datadog.playing import play_story
from incident_sandbox.datadog.story import load_story, read_story, story_names
from incident_sandbox.entities import Note, Person, Token, TokenStatus, UserGroup
from incident_sandbox.faults import Fault, ScriptedFault
from incident_sandbox.population import crowd
from incident_sandbox.seed import BOT_USER, FULL_TOKEN
from incident_sandbox.slack.channel_names import require_valid_name
from incident_sandbox.slack.errors import SlackError
from incident_sandbox.snapshot import channel_snapshot, overview, snapshot
from incident_sandbox.workspace import Workspace

POLL_SECONDS = 0.1
KEEP_ALIVE_POLLS = 150
MAX_CROWD = 200_000


class ControlRequest(BaseModel):
    """A request to the control API; unknown members are refused."""

    model_config = ConfigDict(extra="forbid")


class NewMembers(ControlRequest):
    """People to add, and a number of generated ones beside them."""

    people: list[Person] = []
    count: int = Field(default=0, ge=0, le=MAX_CROWD)


class NewChannel(ControlRequest):
    """A channel to make; the names, topic and so on are taken as they are."""

    name: str
    id: str | None = None
    creator: str = "U0DANAREYES"
    is_private: bool = False
    is_archived: bool = False
    members: list[str] = []
    topic: str = ""
    purpose: str = ""


class NewToken(ControlRequest):
    """A token to hand out, by default one of the incident bot's."""

    name: str
    value: str | None = None
    user_id: str = BOT_USER
    scopes: list[str] = []
    app_id: str = "A0WARROOM1"
    status: TokenStatus = TokenStatus.ACTIVE
    organisation_wide: bool = False


class StoryRequest(ControlRequest):
    """A story to play: one that comes with the sandbox, or the YAML of another."""

    name: str = ""
    text: str = ""


class ScriptedQuery(ControlRequest):
    """What a metrics query answers; ``*`` stands for every query without an answer of its own."""

    query: str = "*"
    series: list[dict[str, Any]]


def control_router(workspace: Workspace) -> APIRouter:
    """Return the routes under ``/sandbox/``."""
    router = APIRouter(prefix="/sandbox")
    _add_views(router, workspace)
    _add_script(router, workspace)
    _add_datadog(router, workspace)
    _add_content(router, workspace)
    return router


def _add_views(router: APIRouter, workspace: Workspace) -> None:
    @router.get("/state")
    def get_state(everybody: bool = False) -> dict[str, Any]:
        return snapshot(workspace, everybody=everybody)

    @router.get("/connections")
    def get_connections(request: Request) -> dict[str, Any]:
        """Return the Airflow connections that lead here, for ``airflow incident setup airflow --sandbox``."""
        url, datadog = str(request.base_url), workspace.datadog
        keys = {"api_key": datadog.api_key, "app_key": datadog.app_key, "api_host": url.rstrip("/")}
        return {
            "slack_api_default": {
                "conn_type": "slack",
                "password": FULL_TOKEN,
                "extra": {"base_url": f"{url}api/"},
            },
            "datadog_default": {"conn_type": "datadog", "extra": keys},
        }

    @router.get("/overview")
    def get_overview() -> dict[str, Any]:
        return overview(workspace)

    @router.get("/channels/{channel_id}")
    def get_channel(channel_id: str) -> dict[str, Any]:
        channel = workspace.channels.get(channel_id) or workspace.channel_named(channel_id)
        if channel is None:
            raise HTTPException(404, f"no channel {channel_id}")
        return channel_snapshot(workspace, channel)

    @router.get("/calls")
    def get_calls(method: str | None = None, after: int = 0) -> list[LoggedCall]:
        with workspace.lock:
            return workspace.calls.entries(method=method, after=after)

    @router.get("/events")
    async def get_events(request: Request) -> StreamingResponse:
        return StreamingResponse(_versions(workspace, request), media_type="text/event-stream")


async def _versions(workspace: Workspace, request: Request) -> AsyncIterator[str]:
    """Yield the workspace's version whenever it has changed, until the reader or the server goes."""
    sent, polls = -1, 0
    while not request.app.state.closing:
        polls += 1
        if workspace.version != sent:
            sent = workspace.version
            yield f"data: {json.dumps({'version': sent})}\n\n"
        elif polls % KEEP_ALIVE_POLLS == 0:
            yield ": still here\n\n"
        await asyncio.sleep(POLL_SECONDS)


def _add_script(router: APIRouter, workspace: Workspace) -> None:
    @router.post("/reset", status_code=204)
    def reset() -> None:
        workspace.reset()

    @router.get("/faults")
    def get_faults() -> list[ScriptedFault]:
        with workspace.lock:
            return workspace.faults.entries()

    @router.post("/faults", status_code=201)
    def add_fault(fault: Fault) -> ScriptedFault:
        with workspace.lock:
            return workspace.faults.add(fault)

    @router.delete("/faults", status_code=204)
    def clear_faults() -> None:
        with workspace.lock:
            workspace.faults.clear()

    @router.put("/settings")
    def put_settings(changes: dict[str, Any]) -> dict[str, Any]:
        with workspace.lock:
            try:
                merged = {**workspace.settings.model_dump(), **changes}
                workspace.settings = type(workspace.settings).model_validate(merged)
            except ValueError as error:
                raise HTTPException(422, str(error)) from None
            workspace.touch()
            return workspace.settings.model_dump()


def _add_datadog(router: APIRouter, workspace: Workspace) -> None:
    @router.get("/datadog/stories")
    def get_stories() -> dict[str, str]:
        return {name: load_story(name).description for name in story_names()}

    @router.post("/datadog/story", status_code=201)
    def play(requested: StoryRequest) -> dict[str, Any]:
        """Play a story, and return its alert as the webhook would send it."""
        try:
            story = read_story(requested.text) if requested.text else load_story(requested.name)
        except ValueError as error:
            raise HTTPException(422, str(error)) from None
        return alert_payload(play_story(workspace, story))

    @router.post("/datadog/queries", status_code=204)
    def script_query(script: ScriptedQuery) -> None:
        with workspace.lock:
            workspace.datadog.queries[script.query] = script.series


def _add_content(router: APIRouter, workspace: Workspace) -> None:
    @router.post("/members", status_code=201)
    def add_members(new: NewMembers) -> dict[str, int]:
        with workspace.lock:
            workspace.add_people(new.people)
            workspace.add_people(crowd(new.count, start=len(workspace.people)))
            return {"member_count": len(workspace.people)}

    @router.post("/channels", status_code=201)
    def add_channel(new: NewChannel) -> dict[str, Any]:
        with workspace.lock:
            return _make_channel(workspace, new)

    @router.post("/tokens", status_code=201)
    def add_token(new: NewToken) -> dict[str, str]:
        if new.user_id not in workspace.people:
            raise HTTPException(422, f"no user {new.user_id}")
        value = new.value or f"xoxb-sandbox-0000000000-{new.name}"
        workspace.add_token(Token(**{**new.model_dump(), "value": value}))
        return {"name": new.name, "value": value}

    @router.post("/usergroups", status_code=201)
    def add_usergroup(group: UserGroup) -> UserGroup:
        workspace.add_usergroup(group)
        return group


def _make_channel(workspace: Workspace, new: NewChannel) -> dict[str, Any]:
    try:
        require_valid_name(new.name)
    except SlackError as error:
        raise HTTPException(422, error.code) from None
    if workspace.channel_named(new.name):
        raise HTTPException(409, f"there is a channel {new.name}")
    unknown = {new.creator, *new.members} - workspace.people.keys()
    if unknown:
        raise HTTPException(422, f"no users {sorted(unknown)}")
    channel = workspace.open_channel(new.name, new.creator, private=new.is_private, channel_id=new.id)
    for user_id in new.members:
        workspace.add_member(channel, user_id)
    channel.topic = Note(new.topic, new.creator, workspace.now())
    channel.purpose = Note(new.purpose, new.creator, workspace.now())
    channel.archived = new.is_archived
    return channel_snapshot(workspace, channel)
