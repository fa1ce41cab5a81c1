"""Make calls of Datadog's API side by side, and say of each what became of it. Nothing here raises for one call.

The transport is Datadog's own client: hosts, headers, compression. Its answers are read as JSON by
:mod:`airflow_incident_provider.evidence.reading`, because the client's models refuse a whole answer for one member
they do not know.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

from airflow_incident_provider.datadog.access import DatadogAccess
from airflow_incident_provider.datadog.budget import Budgets, locked
from airflow_incident_provider.evidence.calls import Answer, Call
from airflow_incident_provider.evidence.model import ApiCall, CallOutcome
from airflow_incident_provider.evidence.reading import classify
from airflow_incident_provider.text import digest, redact

CALL_TIMEOUT_S = 8.0
DEADLINE_S = 12.0
MAX_CALLS_AT_ONCE = 16
MAX_ANSWER_BYTES = 8 * 2**20
CACHED_S = 60
_QUERY_SHOWN = 300
_TOO_MANY = 429


class DatadogClient:
    """Calls for one collection of evidence.

    :param directory: where budgets and answers are shared with other processes.
    :param deadline_s: seconds after which no call is waited for any more, from the first on.
    """

    def __init__(
        self,
        access: DatadogAccess,
        directory: Path,
        *,
        deadline_s: float = DEADLINE_S,
        call_timeout_s: float = CALL_TIMEOUT_S,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._access = access
        self._directory = directory
        self._budgets = Budgets(directory, clock=clock)
        self._clock = clock
        self._call_timeout_s = call_timeout_s
        self._ends_at = time.monotonic() + deadline_s
        self._ids = (f"d{number}" for number in count(1))
        self._api: Any = None

    def fetch(self, calls: Sequence[Call]) -> list[Answer]:
        """Make the calls side by side; what is not answered by the deadline is ``unavailable``."""
        if not calls:
            return []
        self._api = self._api or self._client()
        _forget_old_answers(self._directory, self._clock())
        asked = list(zip(calls, self._ids, strict=False))
        pool = ThreadPoolExecutor(MAX_CALLS_AT_ONCE, thread_name_prefix="datadog")
        try:
            futures = [pool.submit(self._answer, *each) for each in asked]
            wait(futures, timeout=max(0.0, self._ends_at - time.monotonic()))
            return [
                future.result() if future.done() else _failed(*each, "Datadog did not answer in time")
                for future, each in zip(futures, asked, strict=True)
            ]
        finally:
            pool.shutdown(wait=False, cancel_futures=True)

    def _client(self) -> Any:
        import urllib3
        from datadog_api_client import ApiClient, Configuration

        # No retries and no redirects: the keys go to this host only, and a call is not worth waiting twice for.
        configuration = Configuration(  # type: ignore[no-untyped-call]
            host=self._access.api_host, retry_policy=urllib3.Retry(0, redirect=False)
        )
        configuration.connection_pool_maxsize = MAX_CALLS_AT_ONCE
        return ApiClient(configuration)

    def _answer(self, call: Call, id_: str) -> Answer:
        """Return the answer of this minute if another process has it, else make the call."""
        try:
            with locked(self._directory / f"answer-{self._key(call)}.json") as file:
                kept = _kept(file.read())
                if kept is not None:
                    outcome = classify(call.endpoint, kept["status"], kept["body"])
                    recorded = _recorded(call, id_, *outcome, status=kept["status"], cached=True)
                    return Answer(recorded, kept["body"])
                answer = self._call(call, id_)
                if answer.usable:
                    file.seek(0)
                    file.truncate()
                    json.dump({"status": answer.call.status, "body": answer.body}, file)
                return answer
        except Exception as error:  # noqa: BLE001 - whatever it is, it is this one call that has no answer
            return _failed(call, id_, f"the call failed: {type(error).__name__}")

    def _key(self, call: Call) -> str:
        asked = json.dumps([call.method, call.path, dict(call.query), call.body], sort_keys=True)
        return f"{int(self._clock() // CACHED_S)}-{digest(asked, 32)}"

    def _call(self, call: Call, id_: str) -> Answer:
        refused = self._budgets.reserve(call.endpoint)
        if refused is not None:
            return Answer(_recorded(call, id_, CallOutcome.OVER_BUDGET, refused))
        started = time.monotonic()
        status, headers, body = self._send(call)
        self._budgets.record(call.endpoint, headers, refused=status == _TOO_MANY)
        duration_ms = round((time.monotonic() - started) * 1000)
        outcome = classify(call.endpoint, status, body)
        answer = Answer(_recorded(call, id_, *outcome, status=status, duration_ms=duration_ms), body)
        return answer if answer.usable else replace(answer, body=None)

    def _send(self, call: Call) -> tuple[int, Mapping[str, str], Any]:
        from datadog_api_client.exceptions import ApiException

        keys = {"DD-API-KEY": self._access.api_key, "DD-APPLICATION-KEY": self._access.app_key}
        timeout = min(self._call_timeout_s, max(0.1, self._ends_at - time.monotonic()))
        try:
            response = self._api.call_api(
                call.path,
                call.method,
                query_params=[(name, str(value)) for name, value in call.query.items()],
                header_params={**keys, "Accept": "application/json"},
                body=call.body,
                preload_content=False,
                request_timeout=timeout,
            )
        except ApiException as error:
            return int(error.status or 0) or 599, error.headers or {}, _decoded(error.body)
        try:
            raw = response.read(MAX_ANSWER_BYTES + 1, decode_content=True)
        finally:
            response.release_conn()
        return response.status, response.headers, _decoded(raw if len(raw) <= MAX_ANSWER_BYTES else b"")


def _recorded(call: Call, id_: str, outcome: CallOutcome, reason: str | None, **measured: Any) -> ApiCall:
    """Return a call as findings cite it; ``measured`` is its status and duration, and whether it was cached."""
    return ApiCall(
        id=id_,
        endpoint=call.endpoint.value,
        method=call.method,
        path=call.path,
        query=redact(call.subject)[:_QUERY_SHOWN],
        outcome=outcome,
        reason=reason,
        **measured,
    )


def _failed(call: Call, id_: str, reason: str) -> Answer:
    return Answer(_recorded(call, id_, CallOutcome.UNAVAILABLE, reason))


def _decoded(raw: Any) -> Any:
    if isinstance(raw, dict | list):
        return raw
    try:
        return json.loads(raw)
    except (TypeError, ValueError, RecursionError):
        return None


def _kept(text: str) -> dict[str, Any] | None:
    found = _decoded(text)
    return found if isinstance(found, dict) and "body" in found and isinstance(found.get("status"), int) else None


def _forget_old_answers(directory: Path, now: float) -> None:
    """Delete the answers of minutes before the last: they may hold log lines."""
    oldest = int(now // CACHED_S) - 1
    for path in directory.glob("answer-*.json"):
        minute = path.name.split("-")[1]
        if minute.isdecimal() and int(minute) < oldest:
            path.unlink(missing_ok=True)
