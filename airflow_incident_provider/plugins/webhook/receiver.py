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
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, TypeVar

import anyio
from airflow.exceptions import ParamValidationError
from sqlalchemy.exc import SQLAlchemyError

from airflow_incident_provider.exceptions import (
    IncidentError,
    InvalidPayloadError,
    RegistryUnavailableError,
    RoutingTableError,
)
from airflow_incident_provider.intake.body_text import decoded
from airflow_incident_provider.intake.conf import reading_notes
from airflow_incident_provider.intake.request_body import LOST_KEY, UnreadableBodyError, extract, parse_body
from airflow_incident_provider.lifecycle.signals import Signal, read_signal
from airflow_incident_provider.plugins.api.errors import RequestError
from airflow_incident_provider.plugins.webhook.authentication import Authentication
from airflow_incident_provider.plugins.webhook.body import BodyError, decompress, read_body
from airflow_incident_provider.plugins.webhook.responses import response_of
from airflow_incident_provider.registry.decisions import Outcome, PendingAlert, act_on, reject
from airflow_incident_provider.registry.records import PRIVATE_ALERT, Rejection
from airflow_incident_provider.registry.runs import DagNotReadyError, Runs
from airflow_incident_provider.routing_file import RoutingTableFile
from airflow_incident_provider.text import digest, one_line, shorten

if TYPE_CHECKING:
    from fastapi import Request
    from fastapi.responses import JSONResponse

ANSWER_SECONDS = 12.0
RECORD_SECONDS = 2.0
"""For the record of a refused alert."""

MAX_READERS = 4
"""Requests whose secret and payload are checked concurrently."""

MAX_BATCH = 32
"""Alerts of one transaction: while it runs, alerts in other workers wait."""

MAX_BATCHES = 4
"""Transactions that may hang in the database before no further one is started."""

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
        """Return the response to a request with an alert, or with several, of which each is decided by itself.

        :param conf_of: makes a run's conf of an alert.
        :raises RequestError: it is refused, and with it the only alert, or all.
        """
        address = request.client.host if request.client is not None else None
        content_type = request.headers.get("content-type", "")
        received: bytes | None = None
        cut: BodyError | None = None
        try:
            with anyio.fail_after(ANSWER_SECONDS):
                await self._in_thread(self.authentication.admit, secret, address)
                received, cut = await _received(request)
                parts = await self._in_thread(self._parse, conf_of, received, content_type, cut is not None)
                if cut is not None:
                    parts = _with_cut(parts, cut)
                results = await self._queue.outcomes([part.alert for part in parts])
        except Exception as error:  # noqa: BLE001  every error has a response
            text = _text_received(error, received, content_type)
            [refusal] = await self._refuse(request.url.path, [(text, _cause(error, cut))])
            raise refusal from None
        pairs = list(zip(parts, results, strict=True))
        refused = [(part.text, one) for part, one in pairs if isinstance(one, Exception)]
        refusals = iter(await self._refuse(request.url.path, refused))
        decided: list[Outcome | RequestError] = []
        for part, one in pairs:
            if isinstance(one, Exception):
                decided.append(next(refusals))
                continue
            assert isinstance(part.alert, PendingAlert)
            signal = part.alert.signal
            _log_decision(signal, one)
            decided.append(replace(one, notes=reading_notes(signal.conf, signal.incident)))
        return response_of(decided, closes_connection=cut is not None)

    def _parse(
        self,
        conf_of: Callable[[dict[str, Any]], Mapping[str, object]],
        body: bytes,
        content_type: str,
        is_cut: bool,
    ) -> list[_Part]:
        table = self.routing.table()
        received_at = datetime.now(UTC)
        parts: list[_Part] = []
        contents = parse_body(body, content_type, is_cut=is_cut)
        for content in contents:
            if isinstance(content, UnreadableBodyError):
                parts.append(_Part(content.text, content))
                continue
            alert: PendingAlert | Exception
            try:
                signal = read_signal(conf_of(content), received_at=received_at, routing=table)
                alert = PendingAlert(signal, table)
            except Exception as error:  # noqa: BLE001  a defect that one alert meets must not cost the others
                alert = error
            # What was damaged says more as it came.
            is_whole = len(contents) > 1 or LOST_KEY not in content
            text = json.dumps(content, ensure_ascii=False) if is_whole else decoded(body, content_type, [])
            parts.append(_Part(text, alert))
        return parts

    async def _refuse(self, source: str, refused: Sequence[tuple[str | None, Exception]]) -> list[RequestError]:
        """Count, log and record refused alerts; return why.

        An alert that will not be sent again is recorded for the incidents page.

        :param refused: the text of each, if it is known, and the error.
        """
        refusals: list[RequestError] = []
        final: list[tuple[str, RequestError]] = []
        for text, error in refused:
            refusal = refusal_of(error)
            refusals.append(refusal)
            self.refused[refusal.status] += 1
            log.error("An alert to %s was refused: %s", source, refusal, exc_info=_bug(error))
            if text is not None and not refusal.may_succeed_later:
                final.append((text, refusal))
        if not final:
            return refusals
        try:
            with anyio.fail_after(RECORD_SECONDS):
                await self._in_thread(self._record, source, final)
        except Exception as error:  # noqa: BLE001  the log has it
            log.error("%d refused alerts may not be on the incidents page: %s", len(final), _text(error))
        return refusals

    def _record(self, source: str, refused: Sequence[tuple[str, RequestError]]) -> None:
        """Record refused alerts for the incidents page, which shows no text of those that may be private."""
        for text, refusal in refused:
            self._reject(rejection_of(source, text, refusal, is_private=self._may_be_private(text)))

    def _may_be_private(self, text: str) -> bool:
        try:
            return self.routing.table().text_may_be_private(text)
        except RoutingTableError:
            return True

    async def _in_thread(self, work: Callable[..., _Result], *arguments: Any) -> _Result:
        # Work that takes too long is abandoned by its request, and keeps its thread until it ends.
        return await asyncio.get_running_loop().run_in_executor(self._readers, partial(work, *arguments))


@dataclass(frozen=True)
class _Part:
    """The text of one alert of a body, and the alert, or why it is none."""

    text: str
    alert: PendingAlert | Exception


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

    async def outcomes(self, alerts: Sequence[PendingAlert | Exception]) -> list[Outcome | Exception]:
        """Return the outcome of each alert of a body, or why it has none: an error stays as it is."""
        loop = asyncio.get_running_loop()
        futures: list[asyncio.Future[Outcome]] = []
        for alert in alerts:
            future = loop.create_future()
            futures.append(future)
            if isinstance(alert, Exception):
                future.set_exception(alert)
            else:
                self._waiting.append(_Waiting(alert, future))
        self._start_batch()
        results: list[Outcome | Exception] = []
        for one in await asyncio.gather(*futures, return_exceptions=True):
            if isinstance(one, BaseException) and not isinstance(one, Exception):
                raise one
            results.append(one)
        return results

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


def rejection_of(source: str, text: str, refusal: RequestError, *, is_private: bool) -> Rejection:
    """Return the record of a refused alert, with what can be extracted of its text, unless it may be private."""
    monitor = _MONITOR_URL.search(text)
    return Rejection(
        id=digest(text),
        at=datetime.now(UTC),
        source=source,
        title=PRIVATE_ALERT if is_private else shorten(extract(text)["title"], 200),
        reason=refusal.answer.error,
        monitor_url=monitor[0] if monitor else None,
    )


async def _received(request: Request) -> tuple[bytes, BodyError | None]:
    """Return the body; or its beginning, which may identify the alert, and why there is no more.

    :raises BodyError: nothing of it can be used, or the sender should send it again.
    """
    try:
        return decompress(await read_body(request), request.headers.get("content-encoding", "")), None
    except BodyError as error:
        if not error.is_cut:
            raise
        return error.received, error


def _with_cut(parts: Sequence[_Part], cut: BodyError) -> list[_Part]:
    """Return the alerts of the beginning of a body. Behind several, more may have been lost with the rest.

    :raises BodyError: it holds no alert.
    """
    if not any(isinstance(part.alert, PendingAlert) for part in parts):
        raise cut
    alerts = [part for part in parts if isinstance(part.alert, PendingAlert)]
    return alerts if len(parts) == 1 else [*alerts, _Part(parts[-1].text, cut)]


def _cause(error: Exception, cut: BodyError | None) -> Exception:
    """Return why a body is refused: what was cut off cannot be read because it was."""
    return cut if cut is not None and isinstance(error, UnreadableBodyError) else error


def _text_received(error: Exception, received: bytes | None, content_type: str) -> str | None:
    """Return the text of a body that is refused as a whole, as far as it arrived; ``None`` if none did."""
    if isinstance(error, UnreadableBodyError):
        return error.text
    received = error.received if isinstance(error, BodyError) else received
    return None if received is None else decoded(received, content_type, [])


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
