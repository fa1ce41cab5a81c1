"""One request and its answer: the latency, the scripted fault and the log, around the effect itself."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from fastapi import Response
from fastapi.responses import JSONResponse

from incident_sandbox.call_log import CallLog, LoggedCall, without_credentials
from incident_sandbox.faults import Fault, When
from incident_sandbox.transport import DroppedConnection
from incident_sandbox.workspace import Workspace


@dataclass(frozen=True)
class Reply:
    """An answer with the word that the log keeps for it."""

    response: Response
    outcome: str


class Exchange:
    """A call on its way through the sandbox.

    :param method: the name that faults and the log know the call by.
    :param args: what the caller sent; credentials among them are not kept.
    :param caller: the name of the token, if it is a known one.
    """

    def __init__(self, workspace: Workspace, method: str, args: dict[str, Any], *, caller: str | None) -> None:
        self._workspace = workspace
        self._method = method
        self._args = without_credentials(args)
        self._caller = caller

    async def run(self, effect: Callable[[], Reply]) -> Response:
        """Let the call take effect, or not, and return what the caller gets."""
        workspace = self._workspace
        with workspace.lock:
            # A reset replaces the log: a call that it overtakes is no call of the new workspace.
            log = workspace.calls
            seq = log.next_seq()
            fault = workspace.faults.take(self._method)
            latency = workspace.settings.latency_ms
        arrived, clock = datetime.now(UTC), time.monotonic()
        await _pause(latency)
        reply = await self._answer(effect, fault, log)
        with workspace.lock:
            log.add(
                LoggedCall(
                    seq=seq,
                    method=self._method,
                    at=arrived,
                    args=self._args,
                    token=self._caller,
                    outcome=reply.outcome,
                    status=None if isinstance(reply.response, DroppedConnection) else reply.response.status_code,
                    duration_ms=(time.monotonic() - clock) * 1000,
                )
            )
        return reply.response

    async def _answer(self, effect: Callable[[], Reply], fault: Fault | None, log: CallLog) -> Reply:
        if fault is not None and fault.when is When.BEFORE:
            await _pause(fault.delay_ms)
            if fault.answers:
                return _fault_reply(fault)
        with self._workspace.lock:
            if self._workspace.calls is not log:
                return Reply(Response(status_code=503), "overtaken by a reset")
            reply = effect()
        if fault is not None and fault.when is When.AFTER:
            await _pause(fault.delay_ms)
            if fault.answers:
                return _fault_reply(fault)
        return reply


async def _pause(milliseconds: int) -> None:
    if milliseconds:
        await asyncio.sleep(milliseconds / 1000)


def _fault_reply(fault: Fault) -> Reply:
    if fault.drop:
        return Reply(DroppedConnection(), "dropped")
    if fault.error is not None:
        body = {"ok": False, "error": fault.error, **fault.fields}
        return Reply(JSONResponse(body, headers=fault.headers), fault.error)
    status = fault.status or 500
    if isinstance(fault.body, dict | list):
        content, kind = json.dumps(fault.body), "application/json"
    else:
        content, kind = fault.body or "", "text/html"
    response = Response(content, status_code=status, headers=fault.headers, media_type=kind)
    return Reply(response, f"http_{status}")
