"""
Handles an alert from the request to the response.

Datadog gives up after 15 s, so every step is bounded below that; what is not decided by then is answered 503.
Nothing blocks the API server's event loop, and the number of threads is bounded even when a backend hangs.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, TypeVar

import anyio
from airflow.exceptions import ParamValidationError
from fastapi.responses import JSONResponse
from sqlalchemy.exc import SQLAlchemyError

from airflow_incident_provider.exceptions import (
    IncidentError,
    InvalidPayloadError,
    RegistryUnavailableError,
    RoutingTableError,
)
from airflow_incident_provider.intake.request_body import extract, parse_body
from airflow_incident_provider.lifecycle.decision import Action
from airflow_incident_provider.lifecycle.signals import Signal, read_signal
from airflow_incident_provider.plugins.api.errors import RequestError
from airflow_incident_provider.plugins.webhook.authentication import Authentication
from airflow_incident_provider.plugins.webhook.body import BodyError, decompress, read_body
from airflow_incident_provider.plugins.webhook.responses import Decided
from airflow_incident_provider.registry.decisions import Outcome, PendingAlert, act_on, reject
from airflow_incident_provider.registry.records import Rejection
from airflow_incident_provider.registry.runs import DagNotReadyError, Runs
from airflow_incident_provider.routing_file import RoutingTableFile
from airflow_incident_provider.text import digest, one_line, shorten

if TYPE_CHECKING:
    from fastapi import Request

ANSWER_SECONDS = 12.0
RECORD_SECONDS = 2.0
"""For the record of a refused alert."""

MAX_READERS = 4
"""Requests whose secret and payload are checked concurrently."""

MAX_BATCH = 32
"""Alerts of one transaction: while it runs, alerts in other workers wait."""

MAX_BATCHES = 4
"""Transactions that may hang in the database before no further one is started."""

_NOTHING_NEW = frozenset({Action.DUPLICATE, Action.IGNORE})
_Result = TypeVar("_Result")

log = logging.getLogger(__name__)


class AlertReceiver:
    """Receives alerts.

    :param authentication: admits or refuses requests.
    :param act: decides on alerts and acts on the decisions; by default in Airflow's database.
    :param reject: records an alert that is refused for good; by default in Airflow's database.
    """

    def __init__(
        self,
        authentication: Authentication | None = None,
        act: Callable[[Sequence[PendingAlert], Runs], list[Outcome | Exception]] = act_on,
        reject: Callable[[Rejection], None] = reject,
    ) -> None:
        self._reject = reject
        self.refused: Counter[int] = Counter()
        self.authentication = authentication or Authentication()
        self.routing = RoutingTableFile()
        self.runs = Runs()
        self._readers = ThreadPoolExecutor(MAX_READERS, thread_name_prefix="incident-reader")
        self._queue = DecisionQueue(lambda alerts: act(alerts, self.runs))

    async def receive(
        self, request: Request, secret: str | None, conf_of: Callable[[dict[str, Any]], Mapping[str, object]]
    ) -> JSONResponse:
        """Return the response to a request with an alert.

        :param conf_of: makes a run's conf of the body.
        :raises RequestError: it is refused.
        """
        address = request.client.host if request.client is not None else None
        body: bytes | None = None
        try:
            with anyio.fail_after(ANSWER_SECONDS):
                await self._in_thread(self.authentication.admit, secret, address)
                body = decompress(await read_body(request), request.headers.get("content-encoding", ""))
                alert = await self._in_thread(self._parse, conf_of, body)
                outcome = await self._queue.outcome(alert)
        except Exception as error:
            refusal = refusal_of(error)
            self.refused[refusal.status] += 1
            log.error("An alert to %s was refused: %s", request.url.path, refusal, exc_info=_bug(error))
            body = refusal.received if isinstance(refusal, BodyError) else body
            if body is not None and not refusal.may_succeed_later:
                await self._record_rejection(request.url.path, body, refusal)
            raise refusal from None
        _log_decision(alert.signal, outcome)
        return _response(outcome)

    async def _record_rejection(self, source: str, body: bytes, refusal: RequestError) -> None:
        """Record an alert that will not be sent again, for the incidents page."""
        rejection = rejection_of(source, body, refusal)
        try:
            with anyio.fail_after(RECORD_SECONDS):
                await self._in_thread(self._reject, rejection)
        except Exception as error:  # noqa: BLE001  the log has it
            log.error("The refused alert %r is not on the incidents page: %s", rejection.title, _text(error))

    def _parse(self, conf_of: Callable[[dict[str, Any]], Mapping[str, object]], body: bytes) -> PendingAlert:
        conf = conf_of(parse_body(body))
        table = self.routing.table()
        return PendingAlert(read_signal(conf, received_at=datetime.now(UTC), routing=table), table)

    async def _in_thread(self, work: Callable[..., _Result], *arguments: Any) -> _Result:
        # Work that takes too long is abandoned by its request, and keeps its thread until it ends.
        return await asyncio.get_running_loop().run_in_executor(self._readers, partial(work, *arguments))


@dataclass(eq=False)
class _Waiting:
    """An alert and the future of its outcome."""

    alert: PendingAlert
    outcome: asyncio.Future[Outcome]


class DecisionQueue:
    """Batches concurrent alerts so that one transaction decides all of them.

    Decisions are serial in the database, so a worker runs one transaction at a time, with the alerts that wait at
    its start. Each alert waits with its own deadline; a batch does not end with any of its requests. Lives in one
    event loop.

    :param act_on: decides on alerts, in a thread; returns an outcome or an error for each.
    """

    def __init__(self, act_on: Callable[[Sequence[PendingAlert]], list[Outcome | Exception]]) -> None:
        self._act_on = act_on
        self._waiting: deque[_Waiting] = deque()
        self._threads = ThreadPoolExecutor(MAX_BATCHES, thread_name_prefix="incident-decision")
        self._started: dict[asyncio.Task[None], float] = {}

    async def outcome(self, alert: PendingAlert) -> Outcome:
        """Return the outcome of an alert.

        :raises Exception: what ``act_on`` raised, or returned for this alert.
        """
        waiting = _Waiting(alert, asyncio.get_running_loop().create_future())
        self._waiting.append(waiting)
        self._start_batch()
        return await waiting.outcome

    def _start_batch(self) -> None:
        """Start the next batch, unless one is running. One that hangs does not hold up the others."""
        now = time.monotonic()
        if len(self._started) >= MAX_BATCHES or any(now - at < ANSWER_SECONDS for at in self._started.values()):
            return
        batch: list[_Waiting] = []
        while self._waiting and len(batch) < MAX_BATCH:
            waiting = self._waiting.popleft()
            if not waiting.outcome.done():
                batch.append(waiting)
        if batch:
            task = asyncio.get_running_loop().create_task(self._decide(batch))
            self._started[task] = now
            task.add_done_callback(self._finished)

    def _finished(self, task: asyncio.Task[None]) -> None:
        del self._started[task]
        self._start_batch()

    async def _decide(self, batch: Sequence[_Waiting]) -> None:
        alerts = [waiting.alert for waiting in batch]
        results: Sequence[Outcome | Exception]
        try:
            results = await asyncio.get_running_loop().run_in_executor(self._threads, self._act_on, alerts)
        except Exception as error:  # noqa: BLE001  it is the result of each alert
            results = [error] * len(batch)
        for waiting, result in zip(batch, results, strict=True):
            if waiting.outcome.done():
                continue
            if isinstance(result, Exception):
                waiting.outcome.set_exception(result)
            else:
                waiting.outcome.set_result(result)


def refusal_of(error: Exception) -> RequestError:
    """Return the refusal that an error means: 400 only if the same request is known to fail again, else 503."""
    bad, unavailable = HTTPStatus.BAD_REQUEST, HTTPStatus.SERVICE_UNAVAILABLE
    match error:
        case RequestError():
            return error
        case InvalidPayloadError():
            return RequestError(bad, error.message, fix=error.fix)
        case ParamValidationError():
            return RequestError(bad, f"The DAG does not accept this: {_text(error)}.")
        case RegistryUnavailableError() | DagNotReadyError() | RoutingTableError():
            refusal = RequestError(unavailable, error.message, fix=error.fix)
        case TimeoutError():
            refusal = RequestError(unavailable, f"It could not be decided within {ANSWER_SECONDS:.0f} s.")
        case SQLAlchemyError():
            log.error("The database failed: %s", _text(error))
            refusal = RequestError(unavailable, "Airflow's database cannot be reached, or is too busy.")
        case _:
            refusal = RequestError(unavailable, "An internal error; see the log of Airflow's API server.")
    return refusal


def _bug(error: Exception) -> Exception | None:
    """Return the error if it is a defect of this package, which needs its traceback in the log."""
    expected = RequestError | IncidentError | ParamValidationError | TimeoutError | SQLAlchemyError
    return None if isinstance(error, expected) else error


def rejection_of(source: str, body: bytes, refusal: RequestError) -> Rejection:
    """Return the record of a refused alert, with what can be extracted of it."""
    text = body.decode("utf-8", "replace")
    monitor = _MONITOR_URL.search(text)
    return Rejection(
        id=digest(text),
        at=datetime.now(UTC),
        source=source,
        title=shorten(extract(text)["title"], 200),
        reason=refusal.answer.error,
        monitor_url=monitor[0] if monitor else None,
    )


_MONITOR_URL = re.compile(r"https://[a-z0-9.-]{1,60}/monitors/\d{1,20}")


def _text(error: Exception) -> str:
    """Return the message of an error, without the statement and the parameters of a database error."""
    cause = getattr(error, "orig", None) or error
    return shorten(one_line(f"{type(cause).__name__}: {cause}"), 300)


def _log_decision(signal: Signal, outcome: Outcome) -> None:
    decision = outcome.decision
    entry = {
        "event": "incident_decision",
        "decision": decision.action,
        "incident": decision.key,
        "reason": decision.reason,
        "alert": signal.alert_key,
        "transition": signal.kind,
        "inputs": decision.inputs,
        "rules": [rule.rule for rule in decision.rules if rule.held],
        "run_id": outcome.run_id,
        "runs_started": list(outcome.started),
    }
    log.info("%s", json.dumps(entry))


def _response(outcome: Outcome) -> JSONResponse:
    decision = outcome.decision
    status = 200 if decision.action in _NOTHING_NEW else 202
    body = Decided(run_id=outcome.run_id, incident=decision.key, decision=decision.action, reason=decision.reason)
    return JSONResponse(body.model_dump(), status_code=status)
