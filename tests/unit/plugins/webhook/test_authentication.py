"""Test the authentication of webhook requests."""

from __future__ import annotations

import json
import threading
from typing import Any

import pytest
from airflow.sdk import Connection

from airflow_incident_provider.plugins.api.errors import RequestError
from airflow_incident_provider.plugins.webhook.authentication import (
    CACHE_SECONDS,
    GRACE_SECONDS,
    REREAD_SECONDS,
    Authentication,
)

CURRENT, PREVIOUS = "the-current-secret-of-all", "the-previous-secret-of-all"


class SecretsBackend:
    """A secrets backend with one connection that counts its reads."""

    def __init__(self, password: str | None = CURRENT, **extra: Any) -> None:
        self.connection: Connection | None = Connection(
            conn_id="incident_webhook", conn_type="generic", password=password, extra=json.dumps(extra)
        )
        self.reads = 0
        self.failure: Exception | None = None
        self.blocked: threading.Event | None = None
        self.is_reading = threading.Event()

    def __call__(self) -> Connection:
        self.reads += 1
        if self.blocked is not None:
            self.is_reading.set()
            assert self.blocked.wait(timeout=60)
        if self.failure is not None:
            raise self.failure
        if self.connection is None:
            raise LookupError("no such connection, and the password was " + CURRENT)
        return self.connection


def admission_error(
    authentication: Authentication, secret: str | None, address: str | None = "10.1.2.3"
) -> RequestError:
    with pytest.raises(RequestError) as exc_info:
        authentication.admit(secret, address)
    assert CURRENT not in f"{exc_info.value} {exc_info.value.answer}"
    return exc_info.value


def test_only_the_current_secret_is_admitted() -> None:
    authentication = Authentication(SecretsBackend())
    authentication.admit(CURRENT, "10.1.2.3")
    for secret in (CURRENT[:-1], CURRENT + "x", CURRENT.upper(), PREVIOUS, "", "\xff"):
        assert admission_error(authentication, secret).status == 401
    assert "missing" in admission_error(authentication, None).answer.error


def test_empty_previous_secret_is_not_admitted() -> None:
    assert admission_error(Authentication(SecretsBackend(previous_secret="")), "").status == 401


def test_non_ascii_secret_is_admitted() -> None:
    secret = "schlüssel-des-alarms-01"
    Authentication(SecretsBackend(secret)).admit(secret.encode().decode("latin-1"), None)


def test_current_and_previous_secrets_are_admitted() -> None:
    authentication = Authentication(SecretsBackend(previous_secret=PREVIOUS))
    authentication.admit(CURRENT, None)
    authentication.admit(PREVIOUS, None)
    assert admission_error(authentication, "another-secret-of-all").status == 401


@pytest.mark.parametrize("networks", [["10.0.0.0/8", "2001:db8::/32"], "10.0.0.0/8, 2001:db8::/32"])
def test_only_allowed_networks_are_admitted(networks: Any) -> None:
    authentication = Authentication(SecretsBackend(allowed_networks=networks))
    for address in ("10.9.9.9", "::ffff:10.1.1.1", "2001:db8::1"):
        authentication.admit(CURRENT, address)
    for address in ("11.0.0.1", "::1", "testclient", None):
        assert admission_error(authentication, CURRENT, address).status == 403
    assert admission_error(authentication, "wrong", "11.0.0.1").status == 403, (
        "the response must not reveal that the secret is wrong"
    )


@pytest.mark.parametrize(
    "backend",
    [
        SecretsBackend(None),
        SecretsBackend("short"),
        SecretsBackend(previous_secret="short"),
        SecretsBackend(allowed_networks=["10.0.0.0/99"]),
    ],
)
def test_invalid_connection_admits_nobody(backend: SecretsBackend) -> None:
    for secret in (CURRENT, "short", "", None):
        error = admission_error(Authentication(backend), secret)
        assert error.status == 503
        assert "incident_webhook cannot be used" in error.answer.error


def test_missing_connection_is_reported_and_read_again() -> None:
    now = 100.0
    backend = SecretsBackend()
    connection, backend.connection = backend.connection, None
    authentication = Authentication(backend, clock=lambda: now)
    for _ in range(3):
        assert "not configured" in admission_error(authentication, CURRENT).answer.error
    assert backend.reads == 1
    backend.connection = connection
    now += REREAD_SECONDS
    authentication.admit(CURRENT, None)


def test_rotated_secret_is_admitted_at_once() -> None:
    now = 100.0
    backend = SecretsBackend()
    authentication = Authentication(backend, clock=lambda: now)
    authentication.admit(CURRENT, None)
    backend.connection = SecretsBackend(PREVIOUS).connection
    now += 5
    authentication.admit(PREVIOUS, None)
    assert admission_error(authentication, CURRENT).status == 401
    now += REREAD_SECONDS
    for _ in range(20):
        assert admission_error(authentication, "a-wrong-secret-of-all").status == 401
    assert backend.reads == 3


def test_cached_secret_stays_valid_while_backend_fails() -> None:
    now = 100.0
    backend = SecretsBackend()
    authentication = Authentication(backend, clock=lambda: now)
    authentication.admit(CURRENT, None)
    backend.failure = ConnectionError("the vault does not answer")
    for _ in range(5):
        now += CACHE_SECONDS
        authentication.admit(CURRENT, None)
    now += GRACE_SECONDS
    assert admission_error(authentication, CURRENT).status == 503
    backend.failure = None
    now += REREAD_SECONDS
    authentication.admit(CURRENT, None)


def test_hanging_backend_does_not_block_cached_secret() -> None:
    now = 100.0
    backend = SecretsBackend()
    authentication = Authentication(backend, clock=lambda: now)
    authentication.admit(CURRENT, None)
    now += CACHE_SECONDS
    backend.blocked = threading.Event()
    reader = threading.Thread(target=authentication.admit, args=(CURRENT, None))
    reader.start()
    assert backend.is_reading.wait(timeout=60)
    authentication.admit(CURRENT, None)
    assert reader.is_alive()
    backend.blocked.set()
    reader.join(timeout=60)


def test_connection_is_cached_until_it_expires() -> None:
    now = 100.0
    backend = SecretsBackend()
    authentication = Authentication(backend, clock=lambda: now)
    for _ in range(5):
        authentication.admit(CURRENT, None)
    assert backend.reads == 1
    backend.connection = SecretsBackend(PREVIOUS).connection
    now += CACHE_SECONDS
    assert admission_error(authentication, CURRENT).status == 401
    authentication.admit(PREVIOUS, None)
    backend.connection = None
    now += CACHE_SECONDS
    assert admission_error(authentication, PREVIOUS).status == 503
