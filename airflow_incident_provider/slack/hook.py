"""Calls to Slack's Web API that know which of them may be sent twice."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable, Mapping
from http.client import HTTPException
from typing import TYPE_CHECKING, Any
from urllib.error import URLError

from airflow.providers.slack.hooks.slack import SlackHook
from slack_sdk.errors import SlackApiError  # noqa: TID253 - this module is only imported inside execute
from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_exception,
    stop_after_attempt,
    stop_before_delay,
    wait_exponential,
    wait_random,
)

from airflow_incident_provider.exceptions import IncidentError, SlackUnavailableError
from airflow_incident_provider.slack.errors import RATE_LIMITED, TIMED_OUT, TRANSIENT, slack_error

if TYPE_CHECKING:
    from airflow.sdk import Connection
    from slack_sdk.web import SlackResponse

ATTEMPTS = 4
"""How often one call is sent at the most before the task's own retry takes over."""

LONGEST_WAIT = 8.0
"""Seconds that a call may wait for Slack while it holds a worker; a longer wait is left to the task's retry."""

LONGEST_CALL = 20.0
"""Seconds after which one call, with all its attempts and waits, is not sent again while it holds a worker."""

RETRY_AFTER_UNSAID = 1.0
"""Seconds to wait when Slack says "too fast" without saying for how long."""

ANSWER_WITHIN_S = 10
"""Seconds that one call may take, unless the connection's ``timeout`` says otherwise; the client's own are 30."""

_SERVER_ERROR = 500
_TOO_MANY_REQUESTS = 429
_ERROR_CODE = re.compile(r"[a-z0-9_]{1,80}")
_backoff = wait_exponential(multiplier=0.2, max=2.0) + wait_random(0, 0.1)


class IncidentSlackHook(SlackHook):
    """Airflow's Slack hook with a policy for what to do when a call goes wrong.

    The client's own retry handlers are switched off: by default it sends a ``chat.postMessage`` again when the
    connection drops, which posts it twice. :meth:`read` and :meth:`put` send again whenever that may help;
    :meth:`write` only when nothing can have happened (a rate limit, a connection that was never made).

    :param slack_conn_id: an Airflow connection of type ``slack`` with a bot token as its password.
    :param attempts: how often one call is sent at the most.
    """

    def __init__(
        self, slack_conn_id: str = SlackHook.default_conn_name, *, attempts: int = ATTEMPTS, **kwargs: Any
    ) -> None:
        super().__init__(slack_conn_id=slack_conn_id, retry_handlers=[], **kwargs)
        self._attempts = attempts

    def _get_conn_params(self, conn: Connection) -> dict[str, Any]:
        return {"timeout": ANSWER_WITHIN_S, **super()._get_conn_params(conn)}

    def read(self, method: str, **arguments: Any) -> SlackResponse:
        """Call a method that changes nothing, as often as may help.

        :param method: the API method, e.g. ``users.info``.
        :param arguments: its arguments, sent form-encoded as Slack's reference has them.
        :raises SlackConfigurationError: when a person has to mend the app or its token.
        :raises SlackRequestError: when Slack refuses the arguments.
        :raises SlackUnavailableError: when Slack still does not answer.
        """
        return self._send(lambda: self._once(method, data=arguments), may_send_again=_worth_another_try)

    def write(self, method: str, **arguments: Any) -> SlackResponse:
        """Call a method that changes something, again only when Slack did nothing the time before.

        :param method: the API method, e.g. ``chat.postMessage``.
        :param arguments: its arguments, sent as JSON.
        :raises SlackUnavailableError: with ``effect_possible`` when it may have happened all the same:
            the caller looks before it calls again. Other errors as for :meth:`read`.
        """
        return self._send(lambda: self._once(method, json=arguments), may_send_again=_certainly_without_effect)

    def put(self, method: str, **arguments: Any) -> SlackResponse:
        """Call a method that leaves things the same done twice as done once, as often as may help.

        :param method: the API method, e.g. ``chat.update``.
        :param arguments: its arguments, sent as JSON.
        :raises SlackRequestError: also with what Slack says to a repetition, such as ``already_pinned``. Other
            errors as for :meth:`read`.
        """
        return self._send(lambda: self._once(method, json=arguments), may_send_again=_worth_another_try)

    def _send(
        self, call: Callable[[], SlackResponse], *, may_send_again: Callable[[BaseException], bool]
    ) -> SlackResponse:
        retrying = Retrying(
            stop=stop_after_attempt(self._attempts) | stop_before_delay(LONGEST_CALL),
            wait=_wait,
            retry=retry_if_exception(may_send_again),
            reraise=True,
        )
        return retrying(call)

    def _once(self, method: str, **request: Any) -> SlackResponse:
        try:
            return self.client.api_call(method, **request)
        except SlackApiError as error:
            raise _from_answer(method, error) from None
        except (URLError, HTTPException, OSError) as error:
            raise _from_transport(method, error) from error


def _from_answer(method: str, error: SlackApiError) -> IncidentError:
    """Return what an answer that is not ``ok`` means; the answer may be HTML from something in between."""
    response = error.response
    status = getattr(response, "status_code", None) or 200
    body = response.data if isinstance(getattr(response, "data", None), dict) else {}
    code = _code(body)
    if status == _TOO_MANY_REQUESTS or code in RATE_LIMITED:
        return SlackUnavailableError(
            f"Slack is asked too often: {method} is rate limited.",
            code="ratelimited",
            retry_after=_retry_after(response),
        )
    if status >= _SERVER_ERROR or code is None or code in TRANSIENT:
        said = code if code in TRANSIENT else f"HTTP {status}"
        return SlackUnavailableError(f"Slack could not do {method} now: {said}.", code=said, effect_possible=True)
    return slack_error(method, body)


def _code(body: Mapping[str, Any]) -> str | None:
    """Return Slack's error code; the client puts a page of something in between there too, which is none."""
    code = body.get("error")
    return code if isinstance(code, str) and _ERROR_CODE.fullmatch(code) else None


def _from_transport(method: str, error: Exception) -> SlackUnavailableError:
    """Return what a call without an answer means: only a connection never made is surely without effect."""
    reason = error.reason if isinstance(error, URLError) else error
    return SlackUnavailableError(
        f"Slack did not answer {method}: {type(reason).__name__}.",
        code=TIMED_OUT if isinstance(reason, TimeoutError) else type(reason).__name__,
        effect_possible=not isinstance(reason, (ConnectionRefusedError, socket.gaierror)),
    )


def _retry_after(response: object) -> float:
    """Return Slack's ``Retry-After`` in seconds: an integer by its reference, a fraction has been seen."""
    headers = getattr(response, "headers", None) or {}
    said = next((value for name, value in headers.items() if name.lower() == "retry-after"), None)
    try:
        return max(0.0, float(str(said)))
    except ValueError:
        return RETRY_AFTER_UNSAID


def _waits_too_long(error: SlackUnavailableError) -> bool:
    return error.retry_after is not None and error.retry_after > LONGEST_WAIT


def _worth_another_try(error: BaseException) -> bool:
    return isinstance(error, SlackUnavailableError) and not _waits_too_long(error)


def _certainly_without_effect(error: BaseException) -> bool:
    return isinstance(error, SlackUnavailableError) and not (error.effect_possible or _waits_too_long(error))


def _wait(state: RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome else None
    if isinstance(error, SlackUnavailableError) and error.retry_after is not None:
        return error.retry_after
    return _backoff(state)
