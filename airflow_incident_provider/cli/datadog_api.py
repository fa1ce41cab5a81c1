"""The part of Datadog's API that the commands use: keys, webhooks, custom variables.

Airflow's Datadog hook covers metrics and events only, and turns every error into a ``KeyError``.

Source: https://docs.datadoghq.com/api/latest/webhooks-integration/
"""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

import httpx

from airflow_incident_provider.config import DEFAULT_DATADOG_CONN_ID
from airflow_incident_provider.exceptions import IncidentError

DEFAULT_HOST = "https://api.datadoghq.com"
TIMEOUT_SECONDS = 15.0

_CONFIGURATION = "/api/v1/integration/webhooks/configuration"
WEBHOOKS = f"{_CONFIGURATION}/webhooks"
VARIABLES = f"{_CONFIGURATION}/custom-variables"


_CORRECT_KEYS = (
    f"Correct api_key and app_key in the extra of the connection {DEFAULT_DATADOG_CONN_ID}, "
    "and the site in api_host."
)


class DatadogError(IncidentError):
    """Datadog did not answer, or refused a call."""


class DatadogKeysError(DatadogError):
    """Datadog rejects the keys."""


class DatadogApi:
    """A client of Datadog's API.

    :param extra: the extra of the Airflow connection: ``api_key``, ``app_key``, and optionally ``api_host``,
        such as ``https://api.datadoghq.eu``. No key is part of an error.
    :raises DatadogKeysError: a key is missing, or has characters that no key has.
    """

    def __init__(self, extra: Mapping[str, Any]) -> None:
        self.host = (extra.get("api_host") or DEFAULT_HOST).rstrip("/")
        keys: dict[str, str] = {}
        for name, header in (("api_key", "DD-API-KEY"), ("app_key", "DD-APPLICATION-KEY")):
            key = keys[header] = extra.get(name) or ""
            if not key:
                raise DatadogKeysError(
                    f"The connection {DEFAULT_DATADOG_CONN_ID} has no {name}.",
                    fix="Add it to its extra, or run: airflow incident setup airflow",
                )
            if not key.isascii():
                raise DatadogKeysError("A key of Datadog has characters that no key has.", fix=_CORRECT_KEYS)
        self._http = httpx.Client(base_url=self.host, headers=keys, timeout=TIMEOUT_SECONDS)

    def validate(self) -> None:
        """Return if the API key is valid.

        :raises DatadogKeysError: it is not.
        """
        self._answer("GET", "/api/v1/validate")

    def find(self, path: str, name: str) -> dict[str, Any] | None:
        """Return a webhook's settings, or a custom variable, whose value Datadog hides; ``None`` without one.

        :param path: :data:`WEBHOOKS` or :data:`VARIABLES`. Both need both keys.
        """
        response = self._send("GET", f"{path}/{quote(name, safe='')}")
        return None if response.status_code == HTTPStatus.NOT_FOUND else dict(_checked(response).json())

    def put(self, path: str, settings: Mapping[str, Any]) -> None:
        """Create a webhook or a custom variable, or replace the one of this name."""
        name = settings["name"]
        if self.find(path, name) is None:
            self._answer("POST", path, json=dict(settings))
        else:
            self._answer("PUT", f"{path}/{quote(name, safe='')}", json=dict(settings))

    def delete(self, path: str, name: str) -> None:
        """Delete a webhook or a custom variable."""
        self._answer("DELETE", f"{path}/{quote(name, safe='')}")

    def _answer(self, verb: str, path: str, **request: Any) -> httpx.Response:
        return _checked(self._send(verb, path, **request))

    def _send(self, verb: str, path: str, **request: Any) -> httpx.Response:
        try:
            return self._http.request(verb, path, **request)
        except httpx.HTTPError as error:
            raise DatadogError(
                f"Datadog at {self.host} did not answer: {type(error).__name__}.",
                fix="Correct api_host in the connection's extra, or see whether this machine reaches it.",
            ) from error


def _checked(response: httpx.Response) -> httpx.Response:
    call = f"{response.request.method} {response.request.url.path}"
    if response.status_code in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
        raise DatadogKeysError(
            f"Datadog refused {call}: the API key or the application key is wrong, or may not do this.",
            fix=_CORRECT_KEYS,
        )
    if response.status_code == HTTPStatus.NOT_FOUND or not _is_json(response):
        raise DatadogError(
            f"{response.request.url.host} answered {call} with {response.status_code}, and not as Datadog does.",
            fix="Correct api_host in the connection's extra, such as https://api.datadoghq.eu.",
        )
    if not response.is_success:
        raise DatadogError(f"Datadog answered {call} with {response.status_code}: {_errors(response)}.")
    return response


def _is_json(response: httpx.Response) -> bool:
    try:
        response.json()
    except ValueError:
        return response.is_server_error or not response.content
    return True


def _errors(response: httpx.Response) -> str:
    """Return what Datadog says is wrong; it does not repeat keys or values there."""
    try:
        return "; ".join(str(error) for error in response.json()["errors"])[:300]
    except (ValueError, KeyError, TypeError):
        return "without a reason"
