"""Airflow's Slack hook with a retry policy that never sends a message twice."""

from __future__ import annotations

import copy
import re
import socket
import ssl
import time
from collections.abc import Callable, Mapping
from email.utils import parsedate_to_datetime
from functools import cached_property
from http.client import HTTPException, InvalidURL
from typing import TYPE_CHECKING, Any, Self, TypeVar
from urllib.error import HTTPError, URLError
from urllib.request import Request

from airflow.providers.slack.hooks.slack import SlackHook
from slack_sdk import WebClient  # noqa: TID253 - this module is only imported inside functions
from slack_sdk.errors import SlackApiError, SlackClientError  # noqa: TID253
from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_exception,
    stop_after_attempt,
    stop_before_delay,
    wait_exponential,
    wait_random,
)

from airflow_incident_provider.exceptions import SlackConfigurationError, SlackError, SlackUnavailableError
from airflow_incident_provider.slack.errors import (
    RATE_LIMITED,
    TIMED_OUT,
    TRANSIENT,
    rate_limited,
    slack_error,
    unavailable,
)
from airflow_incident_provider.slack.responses import not_slack, required_text

if TYPE_CHECKING:
    from airflow.sdk import Connection
    from slack_sdk.web import SlackResponse

MAX_ATTEMPTS = 4
"""How often one call is sent at most; after that the task's own retry takes over."""

MAX_WAIT_S = 8.0
"""Longest ``Retry-After`` in seconds that is waited for in the worker; a longer one is left to the task's retry."""

MAX_CALL_S = 20.0
"""Seconds after which a call, with all its attempts and waits, is not sent again."""

DEFAULT_RETRY_AFTER_S = 1.0
"""Seconds to wait after a rate limit without ``Retry-After``."""

REQUEST_TIMEOUT_S = 10
"""Seconds for one request, unless the connection's ``timeout`` says otherwise; slack_sdk's default is 30."""

_SERVER_ERROR = 500
_TOO_MANY_REQUESTS = 429
_PROXY_AUTHENTICATION_REQUIRED = 407
_MIN_REQUEST_S = 0.05
_UPLOAD = "files.getUploadURLExternal"
_ERROR_CODE = re.compile(r"[a-z0-9_]{1,80}")
_TUNNEL_REFUSED = re.compile(r"Tunnel connection failed: (\d{3})")
_backoff = wait_exponential(multiplier=0.2, max=2.0) + wait_random(0, 0.1)

_Result = TypeVar("_Result")


class IncidentSlackHook(SlackHook):
    """Airflow's Slack hook with a retry policy of its own and an optional time budget.

    slack_sdk's retry handlers are disabled: by default they send a ``chat.postMessage`` again when the connection
    drops, which posts it twice. :meth:`read` and :meth:`put` retry whenever that may help; :meth:`write` only when
    the call certainly had no effect (a rate limit, a connection that was never made).

    The connection's extra may hold, besides ``base_url``, ``timeout`` and ``proxy`` of Airflow's Slack hook:

    - ``team_id``: the workspace, for an app that is installed for a whole Enterprise Grid organisation;
    - ``signing_secret``: the app's signing secret; with it, messages have buttons;
    - ``app_token``: the app-level token of Socket Mode;
    - ``ca_bundle``: path of a PEM file with the certificate authorities of a proxy or gateway.

    :param slack_conn_id: an Airflow connection of type ``slack`` with a bot token as its password.
    :param attempts: how often one call is sent at most.
    """

    def __init__(
        self, slack_conn_id: str = SlackHook.default_conn_name, *, attempts: int = MAX_ATTEMPTS, **kwargs: Any
    ) -> None:
        super().__init__(slack_conn_id=slack_conn_id, retry_handlers=[], **kwargs)
        self._team_id: str | None = None
        self.interactive = False
        self._attempts = attempts
        self._deadline: float | None = None

    def _get_conn_params(self, conn: Connection) -> dict[str, Any]:
        extra = conn.extra_dejson
        self._team_id = str(extra.get("team_id") or "").strip() or None
        self.interactive = bool(extra.get("signing_secret"))
        params = {"timeout": REQUEST_TIMEOUT_S, **super()._get_conn_params(conn)}
        if ca_bundle := extra.get("ca_bundle"):
            params["ssl"] = _ssl_context(str(ca_bundle))
        return params

    @cached_property
    def client(self) -> SlackWebClient:
        """slack_sdk's client, configured from the connection.

        :raises SlackConfigurationError: ``ca_bundle`` in the connection's extra cannot be read.
        """
        return self._client_of(self.get_connection(self.slack_conn_id))

    def _client_of(self, conn: Connection) -> SlackWebClient:
        params = self._get_conn_params(conn)
        client = SlackWebClient(**params)
        if "proxy" not in params:
            # slack_sdk heeds HTTPS_PROXY but not NO_PROXY; urllib, which sends the requests, heeds both.
            client.proxy = None
        return client

    @property
    def team_id(self) -> str | None:
        """``team_id`` of the connection's extra."""
        self.client  # noqa: B018 - reads the connection
        return self._team_id

    def within(self, seconds: float) -> Self:
        """Return a hook of the same connection whose calls end within ``seconds`` from now, retries included.

        A call that is made after that fails at once with :class:`SlackUnavailableError`.
        """
        self.client  # noqa: B018 - the copy shares it
        bounded = copy.copy(self)
        deadline = time.monotonic() + seconds
        bounded._deadline = deadline if self._deadline is None else min(deadline, self._deadline)
        return bounded

    def read(self, method: str, **arguments: Any) -> SlackResponse:
        """Call a method that changes nothing; retry whenever that may help.

        :param method: the API method, e.g. ``users.info``.
        :param arguments: its arguments, sent form-encoded as in Slack's reference.
        :raises SlackConfigurationError: a person has to fix the app, its token or the connection.
        :raises SlackRequestError: Slack refuses the arguments.
        :raises SlackUnavailableError: Slack still does not answer.
        """
        return self._send(lambda: self._once(method, data=arguments), should_retry=_may_pass)

    def write(self, method: str, **arguments: Any) -> SlackResponse:
        """Call a method that changes something; retry only if the call certainly had no effect.

        :param method: the API method, e.g. ``chat.postMessage``.
        :param arguments: its arguments, sent as JSON.
        :raises SlackUnavailableError: with ``effect_possible`` if the call may have taken effect: the caller looks
            before it calls again. Other errors as for :meth:`read`.
        """
        return self._send(lambda: self._once(method, json=arguments), should_retry=_had_no_effect)

    def put(self, method: str, **arguments: Any) -> SlackResponse:
        """Call an idempotent method; retry whenever that may help.

        :param method: the API method, e.g. ``chat.update``.
        :param arguments: its arguments, sent as JSON.
        :raises SlackRequestError: also with Slack's answer to a repetition, such as ``already_pinned``. Other
            errors as for :meth:`read`.
        """
        return self._send(lambda: self._once(method, json=arguments), should_retry=_may_pass)

    def upload(self, name: str, content: bytes, *, alt_text: str | None = None) -> str:
        """Upload a file and return its id: ``files.getUploadURLExternal``, then the bytes.

        Nobody sees it until it is shared; Slack discards it if that never happens.

        :raises SlackError: as for :meth:`write`.
        """
        return _calling(_UPLOAD, lambda: self._client_for(_UPLOAD).upload(name, content, alt_text))

    def share(self, file_id: str, channel_id: str, *, title: str, thread_ts: str | None = None) -> None:
        """Share an uploaded file in a channel or thread: ``files.completeUploadExternal``.

        Nothing is sent twice: after an error that may have had an effect, the caller goes without the file.

        :raises SlackError: as for :meth:`write`.
        """
        method = "files.completeUploadExternal"
        files: list[dict[str, str | None]] = [{"id": file_id, "title": title}]
        _calling(
            method,
            lambda: self._client_for(method).files_completeUploadExternal(
                files=files, channel_id=channel_id, thread_ts=thread_ts
            ),
        )

    def _send(
        self, call: Callable[[], SlackResponse], *, should_retry: Callable[[BaseException], bool]
    ) -> SlackResponse:
        seconds = min(MAX_CALL_S, self._remaining_s())
        retrying = Retrying(
            stop=stop_after_attempt(self._attempts) | stop_before_delay(seconds),
            wait=_wait,
            retry=retry_if_exception(should_retry),
            reraise=True,
        )
        return retrying(call)

    def _remaining_s(self) -> float:
        return float("inf") if self._deadline is None else self._deadline - time.monotonic()

    def _once(self, method: str, **request: Any) -> SlackResponse:
        return _calling(method, lambda: self._client_for(method).api_call(method, **request))

    def _client_for(self, method: str) -> SlackWebClient:
        if self._deadline is None:
            return self.client
        remaining = self._remaining_s()
        if remaining < _MIN_REQUEST_S:
            raise SlackUnavailableError(
                f"Slack was not asked for {method}: the time for it was used up.", code=TIMED_OUT
            )
        bounded = copy.copy(self.client)
        bounded.timeout = min(bounded.timeout, remaining)  # type: ignore[assignment]
        return bounded


class SlackWebClient(WebClient):
    """slack_sdk's client, but a gateway that redirects a call does not receive the token.

    ``files_upload_v2`` uploads and shares in one; here they are two steps, the first of which nobody sees.
    """

    def upload(self, name: str, content: bytes, alt_text: str | None) -> str:
        """Upload a file as the first two calls of ``files_upload_v2`` do, and return its id."""
        reserved = self.files_getUploadURLExternal(filename=name, length=len(content), alt_txt=alt_text)
        file_id, url = (required_text(reserved, _UPLOAD, field) for field in ("file_id", "upload_url"))
        if not url.startswith(("https://", "http://")):
            raise not_slack(_UPLOAD, "its upload_url is no web address")
        self._upload_file(  # raises an HTTPError unless it succeeds
            url=url,
            data=content,
            logger=self._logger,
            timeout=self.timeout,
            proxy=self.proxy,
            ssl=self.ssl,
        )
        return file_id

    def _perform_urllib_http_request_internal(self, url: str, req: Request) -> dict[str, Any]:
        # urllib sends every header to the target of a redirect, whatever its host, but those that it may not.
        if token := req.headers.pop("Authorization", None):
            req.add_unredirected_header("Authorization", token)
        return super()._perform_urllib_http_request_internal(url, req)


def _calling(method: str, call: Callable[[], _Result]) -> _Result:
    """Return the result of a call of slack_sdk.

    :raises SlackError: it failed.
    """
    try:
        return call()
    except SlackApiError as error:
        raise _from_response(method, error) from None
    except (UnicodeDecodeError, LookupError) as error:
        raise not_slack(method, "it cannot be decoded") from error
    except (SlackClientError, HTTPException, OSError, ValueError) as error:
        raise _from_transport(method, error) from error
    except AttributeError as error:  # slack_sdk expects an object, and a gateway may answer with a list
        raise not_slack(method, "JSON that is no object") from error


def _ssl_context(ca_bundle: str) -> ssl.SSLContext:
    context = ssl.create_default_context()
    try:
        context.load_verify_locations(cafile=ca_bundle)
    except (OSError, ssl.SSLError) as error:
        raise SlackConfigurationError(
            f"ca_bundle in the extra of the Slack connection cannot be read: {ca_bundle!r}: {error.strerror}.",
            fix="Give the path of a PEM file with certificates, readable on every worker.",
        ) from error
    return context


def _from_response(method: str, error: SlackApiError) -> SlackError:
    """Return the error for a response that is not ``ok``; it may be HTML of a proxy or gateway."""
    response = error.response
    status = getattr(response, "status_code", None) or 200
    body = response.data if isinstance(getattr(response, "data", None), dict) else {}
    code = _code(body)
    if status == _TOO_MANY_REQUESTS or code in RATE_LIMITED:
        return rate_limited(method, retry_after=_retry_after(response))
    if status == _PROXY_AUTHENTICATION_REQUIRED:
        return _proxy_refusal(method, status)
    if status >= _SERVER_ERROR and code not in TRANSIENT:
        return unavailable(method, f"HTTP {status}")
    if code is None:
        return not_slack(method, f"HTTP {status}, without an error code of Slack")
    return slack_error(method, body)


def _code(body: Mapping[str, Any]) -> str | None:
    """Return Slack's error code; slack_sdk puts the text of a page that is not JSON in the same place."""
    code = body.get("error")
    return code if isinstance(code, str) and _ERROR_CODE.fullmatch(code) else None


def _from_transport(method: str, error: Exception) -> SlackError:
    """Return the error for a call without a response."""
    reason = error.reason if isinstance(error, URLError) else error
    if isinstance(reason, ssl.SSLCertVerificationError):
        return SlackConfigurationError(
            f"The certificate of Slack's API, or of a proxy before it, is not trusted: {reason.verify_message}.",
            code="certificate_verify_failed",
            fix="Put the path of the certificate authority's PEM file as ca_bundle into the extra of the Airflow "
            "connection, or into the environment variable SSL_CERT_FILE.",
        )
    if isinstance(error, HTTPError):  # of an upload: api_call returns a response
        return unavailable(method, f"HTTP {error.code}")
    if refused := _TUNNEL_REFUSED.search(str(reason)):
        return _proxy_refusal(method, int(refused[1]))
    if isinstance(error, (InvalidURL, SlackClientError, ValueError)):
        return SlackConfigurationError(
            f"The address of Slack's API is not valid: {type(error).__name__}.",
            code="invalid_url",
            fix="Correct base_url and proxy in the extra of the Airflow connection; "
            "the default base_url is https://slack.com/api/ (GovSlack: https://slack-gov.com/api/).",
        )
    not_connected = isinstance(reason, (ConnectionRefusedError, socket.gaierror))
    return SlackUnavailableError(
        f"Slack did not answer {method}: {type(reason).__name__}.",
        code=TIMED_OUT if isinstance(reason, TimeoutError) else type(reason).__name__,
        fix="Check the network, and base_url and proxy in the connection's extra." if not_connected else None,
        # Only a connection that was never made is certainly without effect.
        effect_possible=not not_connected,
    )


def _proxy_refusal(method: str, status: int) -> SlackConfigurationError:
    return SlackConfigurationError(
        f"The proxy refused {method}: HTTP {status}.",
        code=f"proxy_{status}",
        fix="Correct proxy in the extra of the Airflow connection, or HTTPS_PROXY, and allow the API's host there.",
    )


def _retry_after(response: object) -> float:
    """Return ``Retry-After`` in seconds: an integer by Slack's reference, but gateways send fractions and dates."""
    headers = getattr(response, "headers", None) or {}
    value = str(next((value for name, value in headers.items() if name.lower() == "retry-after"), None))
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except ValueError:
        return DEFAULT_RETRY_AFTER_S


def _may_pass(error: BaseException) -> bool:
    return isinstance(error, SlackUnavailableError) and (error.retry_after or 0) <= MAX_WAIT_S


def _had_no_effect(error: BaseException) -> bool:
    return _may_pass(error) and not getattr(error, "effect_possible", False)


def _wait(state: RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome else None
    if isinstance(error, SlackUnavailableError) and error.retry_after is not None:
        return error.retry_after
    return _backoff(state)
