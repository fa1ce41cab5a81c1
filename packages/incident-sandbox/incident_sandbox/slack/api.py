"""Slack's Web API over HTTP: one route, and the checks common to all methods."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse, PlainTextResponse

from incident_sandbox.entities import Token, TokenStatus
from incident_sandbox.exchange import Exchange, Reply
from incident_sandbox.rate_limits import MINUTE, POST_PER_CHANNEL, Quota
from incident_sandbox.slack import (  # noqa: F401 - each registers its handlers
    apps,
    canvases,
    channel_items,
    chat,
    conversations,
    files,
    history,
    membership,
    people,
    views,
)
from incident_sandbox.slack.arguments import Arguments, read_arguments
from incident_sandbox.slack.call import HANDLERS, Call
from incident_sandbox.slack.catalog import METHODS, Method
from incident_sandbox.slack.errors import SlackError, explained
from incident_sandbox.workspace import Workspace

HISTORY_METHODS = frozenset({"conversations.history", "conversations.replies"})


def slack_router(workspace: Workspace) -> APIRouter:
    """Return the routes under ``/api/`` and the upload address."""
    router = APIRouter(include_in_schema=False)

    @router.api_route("/api/{name}", methods=["GET", "POST"])
    async def call_method(name: str, request: Request) -> Response:
        try:
            args = await read_arguments(request)
        except SlackError as error:
            return JSONResponse(error.body())
        token = _bearer(request) or args.text("token")
        known = workspace.tokens.get(token)
        exchange = Exchange(workspace, name, args.values, caller=known.name if known else None)
        root_url = str(request.base_url).rstrip("/")
        return await exchange.run(lambda: answer(workspace, name, token, args, root_url))

    @router.post("/upload/v1/{upload_key}")
    async def upload(upload_key: str, request: Request) -> Response:
        content = await _upload_content(request)

        def effect() -> Reply:
            found = files.receive_bytes(workspace, upload_key, content)
            text = f"OK - {len(content)}" if found else "no such upload"
            return Reply(PlainTextResponse(text, status_code=200 if found else 404), "ok" if found else "http_404")

        return await Exchange(workspace, "files.upload", {"length": len(content)}, caller=None).run(effect)

    return router


async def _upload_content(request: Request) -> bytes:
    """Return the file's bytes, sent as the body or as the file of a multipart form."""
    if not request.headers.get("content-type", "").startswith("multipart/form-data"):
        return await request.body()
    form = await request.form()
    parts = [part for part in form.values() if not isinstance(part, str)]
    return await parts[0].read() if parts else b""


def _bearer(request: Request) -> str:
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def answer(workspace: Workspace, name: str, token_value: str, args: Arguments, root_url: str) -> Reply:
    """Answer a call: check token, rate limit, scopes and arguments, then run the handler."""
    method = METHODS.get(name)
    headers: dict[str, str] = {}
    try:
        if method is None:
            raise SlackError("unknown_method", req_method=name)
        if not method.authenticated:
            return _reply(_echo(args), headers)
        token = _authenticate(workspace, token_value)
        headers = {
            "x-oauth-scopes": ",".join(token.scopes),
            "x-accepted-oauth-scopes": ",".join(method.scopes),
        }
        call = Call(workspace, method, token, args, root_url)
        wait = _wait(call)
        if wait:
            refusal = {"ok": False, "error": "ratelimited"}
            return _reply(refusal, {**headers, "retry-after": str(wait)}, status=429)
        _require_scope_and_arguments(call)
        return _reply({"ok": True, **HANDLERS[name](call)}, headers)
    except SlackError as error:
        _require_documented(method, error)
        return _reply(error.body(), headers)


def _reply(body: dict[str, Any], headers: dict[str, str], *, status: int = 200) -> Reply:
    outcome = "ok" if body["ok"] else body["error"]
    return Reply(JSONResponse(body, status_code=status, headers=headers), outcome)


def _echo(args: Arguments) -> dict[str, Any]:
    """Answer ``api.test``, which returns its arguments."""
    sent = {name: value for name, value in args.values.items() if name != "token"}
    body: dict[str, Any] = {"ok": "error" not in args}
    if "error" in args:
        body["error"] = args.text("error")
    return {**body, "args": sent} if sent else body


def _authenticate(workspace: Workspace, value: str) -> Token:
    if not value:
        raise SlackError("not_authed")
    token = workspace.tokens.get(value)
    if token is None:
        raise SlackError("invalid_auth")
    if token.status is not TokenStatus.ACTIVE:
        raise SlackError(token.status.value)
    if workspace.people[token.user_id].deleted:
        raise SlackError("account_inactive")
    return token


def _wait(call: Call) -> int:
    """Return the seconds until the rate limits allow the call; 0 if they do."""
    settings, name = call.workspace.settings, call.method.name
    demands: dict[tuple[str, ...], Quota] = {}
    if settings.rate_limits:
        demands[call.token.app_id, name] = Quota(call.method.tier.value, MINUTE)
    if settings.history_calls_per_minute and name in HISTORY_METHODS:
        demands[call.token.app_id, name] = Quota(settings.history_calls_per_minute, MINUTE)
    if name == "chat.postMessage" and call.workspace.settings.rate_limits:
        demands[call.token.app_id, name, call.args.text("channel")] = POST_PER_CHANNEL
    return call.workspace.limiter.admit(demands)


def _require_scope_and_arguments(call: Call) -> None:
    if call.token.is_app_level is not call.method.app_level:
        raise SlackError("not_allowed_token_type")
    call.require_scope(*call.method.scopes)
    if call.token.organisation_wide and call.method.per_team:
        if "team_id" not in call.args:
            raise explained("missing_argument", "missing required field: team_id")
        if call.args.text("team_id") != call.workspace.team_id:
            raise SlackError("team_access_not_granted")
    for argument, error in call.method.required.items():
        if argument in call.args:
            continue
        if error == "invalid_arguments":
            raise explained(error, f"missing required field: {argument}")
        raise SlackError(error)


def _require_documented(method: Method | None, error: SlackError) -> None:
    if method is not None and not method.may_answer(error.code):
        raise RuntimeError(f"the sandbox has no {error.code} in its table of {method.name}")
