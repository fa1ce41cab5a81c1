"""Who may post an alert."""

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


class Store:
    """A secrets backend with one connection, which counts how often it is asked."""

    def __init__(self, password: str | None = CURRENT, **extra: Any) -> None:
        self.connection: Connection | None = Connection(
            conn_id="incident_webhook", conn_type="generic", password=password, extra=json.dumps(extra)
        )
        self.asked = 0
        self.failure: Exception | None = None
        self.hang: threading.Event | None = None
        self.is_reading = threading.Event()

    def __call__(self) -> Connection:
        self.asked += 1
        if self.hang is not None:
            self.is_reading.set()
            assert self.hang.wait(timeout=60)
        if self.failure is not None:
            raise self.failure
        if self.connection is None:
            raise LookupError("no such connection, and the password was " + CURRENT)
        return self.connection


def refusal(authentication: Authentication, secret: str | None, address: str | None = "10.1.2.3") -> RequestError:
    with pytest.raises(RequestError) as caught:
        authentication.admit(secret, address)
    assert CURRENT not in f"{caught.value} {caught.value.answer}"
    return caught.value


def test_the_current_secret_is_admitted_and_others_are_not() -> None:
    authentication = Authentication(Store())
    authentication.admit(CURRENT, "10.1.2.3")
    for wrong in (CURRENT[:-1], CURRENT + "x", CURRENT.upper(), PREVIOUS, "", "\xff"):
        assert refusal(authentication, wrong).status == 401
    assert "missing" in refusal(authentication, None).answer.error


def test_without_a_previous_secret_an_empty_one_is_wrong() -> None:
    assert refusal(Authentication(Store(previous_secret="")), "").status == 401


def test_a_secret_beyond_ascii_is_compared_as_the_bytes_that_were_sent() -> None:
    secret = "schlüssel-des-alarms-01"
    Authentication(Store(secret)).admit(secret.encode().decode("latin-1"), None)


def test_both_secrets_are_valid_while_they_rotate() -> None:
    authentication = Authentication(Store(previous_secret=PREVIOUS))
    authentication.admit(CURRENT, None)
    authentication.admit(PREVIOUS, None)
    assert refusal(authentication, "another-secret-of-all").status == 401


@pytest.mark.parametrize("networks", [["10.0.0.0/8", "2001:db8::/32"], "10.0.0.0/8, 2001:db8::/32"])
def test_only_allowed_networks_may_try_secrets(networks: Any) -> None:
    authentication = Authentication(Store(allowed_networks=networks))
    for address in ("10.9.9.9", "::ffff:10.1.1.1", "2001:db8::1"):
        authentication.admit(CURRENT, address)
    for address in ("11.0.0.1", "::1", "testclient", None):
        assert refusal(authentication, CURRENT, address).status == 403
    assert refusal(authentication, "wrong", "11.0.0.1").status == 403, "it does not tell that the secret is wrong"


@pytest.mark.parametrize(
    "store", [Store(None), Store("short"), Store(previous_secret="short"), Store(allowed_networks=["10.0.0.0/99"])]
)
def test_a_connection_that_is_wrong_admits_nobody(store: Store) -> None:
    for secret in (CURRENT, "short", "", None):
        refused = refusal(Authentication(store), secret)
        assert refused.status == 503
        assert "incident_webhook cannot be used" in refused.answer.error


def test_a_missing_connection_is_reported_and_looked_for_again() -> None:
    now = 100.0
    store = Store()
    connection, store.connection = store.connection, None
    authentication = Authentication(store, clock=lambda: now)
    for _ in range(3):
        assert "not configured" in refusal(authentication, CURRENT).answer.error
    assert store.asked == 1
    store.connection = connection
    now += REREAD_SECONDS
    authentication.admit(CURRENT, None)


def test_a_rotated_secret_is_admitted_at_once_and_wrong_ones_cost_one_read_a_second() -> None:
    now = 100.0
    store = Store()
    authentication = Authentication(store, clock=lambda: now)
    authentication.admit(CURRENT, None)
    store.connection = Store(PREVIOUS).connection
    now += 5
    authentication.admit(PREVIOUS, None)
    assert refusal(authentication, CURRENT).status == 401
    now += REREAD_SECONDS
    for _ in range(20):
        assert refusal(authentication, "a-wrong-secret-of-all").status == 401
    assert store.asked == 3


def test_the_last_good_secret_stays_valid_while_the_backend_fails() -> None:
    now = 100.0
    store = Store()
    authentication = Authentication(store, clock=lambda: now)
    authentication.admit(CURRENT, None)
    store.failure = ConnectionError("the vault does not answer")
    for _ in range(5):
        now += CACHE_SECONDS
        authentication.admit(CURRENT, None)
    now += GRACE_SECONDS
    assert refusal(authentication, CURRENT).status == 503
    store.failure = None
    now += REREAD_SECONDS
    authentication.admit(CURRENT, None)


def test_a_hanging_backend_blocks_nobody_who_was_admitted_before() -> None:
    now = 100.0
    store = Store()
    authentication = Authentication(store, clock=lambda: now)
    authentication.admit(CURRENT, None)
    now += CACHE_SECONDS
    store.hang = threading.Event()
    reader = threading.Thread(target=authentication.admit, args=(CURRENT, None))
    reader.start()
    assert store.is_reading.wait(timeout=60)
    authentication.admit(CURRENT, None)
    assert reader.is_alive()
    store.hang.set()
    reader.join(timeout=60)


def test_the_connection_is_read_once_in_a_while_and_a_revoked_secret_ends() -> None:
    now = 100.0
    store = Store()
    authentication = Authentication(store, clock=lambda: now)
    for _ in range(5):
        authentication.admit(CURRENT, None)
    assert store.asked == 1
    store.connection = Store(PREVIOUS).connection
    now += CACHE_SECONDS
    assert refusal(authentication, CURRENT).status == 401
    authentication.admit(PREVIOUS, None)
    store.connection = None
    now += CACHE_SECONDS
    assert refusal(authentication, PREVIOUS).status == 503
