"""
Takes an alert from the request to the answer.

Datadog gives up after 15 s, so everything has a bound below that, and what is not answered by then is answered 503.
Nothing blocks the API server's event loop.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import anyio
from airflow.exceptions import ParamValidationError
from anyio import CapacityLimiter, to_thread
from fastapi.responses import JSONResponse
from sqlalchemy.exc import DataError, SQLAlchemyError

from airflow_incident_provider.exceptions import InvalidPayloadError, RoutingTableError
from airflow_incident_provider.lifecycle.decision import Action
from airflow_incident_provider.lifecycle.rules import LifecycleRules
from airflow_incident_provider.lifecycle.signals import Signal, read_signal
from airflow_incident_provider.plugins.api.errors import RequestError
from airflow_incident_provider.plugins.webhook.answers import Decided
from airflow_incident_provider.plugins.webhook.authentication import Authentication
from airflow_incident_provider.plugins.webhook.body import read_json_object
from airflow_incident_provider.plugins.webhook.decision_queue import DecisionQueue
from airflow_incident_provider.registry.api_server import RegistryUnavailableError
from airflow_incident_provider.registry.decisions import Case, Outcome, act_on
from airflow_incident_provider.registry.runs import DagNotReadyError, Runs
from airflow_incident_provider.routing_file import RoutingTableFile
from airflow_incident_provider.text import one_line, shorten

if TYPE_CHECKING:
    from fastapi import Request

ANSWER_SECONDS = 12.0
READERS = 4
"""Requests whose secret and payload are checked at once."""

_NOTHING_NEW = frozenset({Action.DUPLICATE, Action.IGNORE})
_Result = TypeVar("_Result")

log = logging.getLogger(__name__)


class Reception:
    """Takes alerts.

    :param authentication: admits or refuses requests.
    :param act: decides on alerts and acts; by default in Airflow's database.
    """

    def __init__(
        self,
        authentication: Authentication | None = None,
        act: Callable[[Sequence[Case], Runs], list[Outcome | Exception]] = act_on,
    ) -> None:
        self.authentication = authentication or Authentication()
        self.routing = RoutingTableFile()
        self.runs = Runs()
        self._readers = CapacityLimiter(READERS)
        self._queue = DecisionQueue(lambda cases: act(cases, self.runs))

    async def take(
        self, request: Request, secret: str | None, conf_of: Callable[[dict[str, Any]], Mapping[str, object]]
    ) -> JSONResponse:
        """Return the answer to a request that brings an alert.

        :param conf_of: makes of the body what a run's conf would be.
        :raises RequestError: it is not taken.
        """
        address = request.client.host if request.client is not None else None
        try:
            with anyio.fail_after(ANSWER_SECONDS):
                await self._in_thread(self.authentication.admit, secret, address)
                body = await read_json_object(request)
                case = await self._in_thread(self._read, conf_of(body))
                outcome = await self._queue.outcome(case)
        except Exception as error:  # noqa: BLE001  whatever it is, the sender is told whether to come again
            _refuse(error)
        _log_decision(case.signal, outcome)
        return _answer(outcome)

    def _read(self, conf: Mapping[str, object]) -> Case:
        table = self.routing.table()
        signal = read_signal(conf, received_at=datetime.now(UTC), routing=table)
        return Case(signal, LifecycleRules.of(table))

    async def _in_thread(self, work: Callable[..., _Result], *arguments: Any) -> _Result:
        # What takes too long is abandoned, not waited for.
        return await to_thread.run_sync(partial(work, *arguments), limiter=self._readers, abandon_on_cancel=True)


def _refuse(error: Exception) -> NoReturn:
    """Raise the refusal that an error means: 400 if the same request would fail again, else 503."""
    if isinstance(error, RequestError):
        if error.may_succeed_later:
            log.error("An alert was refused: %s", error)
        raise error
    if isinstance(error, InvalidPayloadError):
        raise RequestError(400, error.message, fix=error.fix) from None
    if isinstance(error, RegistryUnavailableError | DagNotReadyError | RoutingTableError):
        log.error("An alert was refused with 503: %s", error)
        raise RequestError(503, error.message, fix=error.fix) from None
    if isinstance(error, ParamValidationError | ValueError | DataError):
        log.error("An alert was refused with 400: %s", _words(error))
        raise RequestError(400, f"The DAG does not accept this: {_words(error)}.") from None
    if isinstance(error, TimeoutError):
        log.error("An alert was refused with 503: it could not be decided on within %s s", ANSWER_SECONDS)
        raise RequestError(503, f"It could not be decided on within {ANSWER_SECONDS:.0f} s.") from None
    if isinstance(error, SQLAlchemyError):
        log.error("An alert was refused with 503: the database failed: %s", _words(error))
        raise RequestError(503, "Airflow's database cannot be reached, or is too busy.") from None
    log.error("An alert was refused with 503 because of a fault of ours", exc_info=error)
    raise RequestError(503, "A fault in the webhook; Airflow's log tells more.") from None


def _words(error: Exception) -> str:
    """Return what an error says, without the statement and the parameters of a database error."""
    said = getattr(error, "orig", None) or error
    return shorten(one_line(f"{type(said).__name__}: {said}"), 300)


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


def _answer(outcome: Outcome) -> JSONResponse:
    decision = outcome.decision
    status = 200 if decision.action in _NOTHING_NEW else 202
    answer = Decided(run_id=outcome.run_id, incident=decision.key, decision=decision.action, reason=decision.reason)
    return JSONResponse(answer.model_dump(), status_code=status)
