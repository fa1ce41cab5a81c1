"""Who may post an alert."""

from __future__ import annotations

import json
from typing import Any

import pytest
from airflow.sdk import Connection

from airflow_incident_provider.plugins.api.errors import RequestError
from airflow_incident_provider.plugins.webhook.authentication import CACHE_SECONDS, Authentication

CURRENT, PREVIOUS = "the-current-secret-of-all", "the-previous-secret-of-all"


class Store:
    """A secrets backend with one connection, which counts how often it is asked."""

    def __init__(self, password: str | None = CURRENT, **extra: Any) -> None:
        self.connection: Connection | None = Connection(
            conn_id="incident_webhook", conn_type="generic", password=password, extra=json.dumps(extra)
        )
        self.asked = 0

    def __call__(self) -> Connection:
        self.asked += 1
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


def test_no_connection_is_said_and_looked_for_again() -> None:
    store = Store()
    connection, store.connection = store.connection, None
    authentication = Authentication(store)
    assert "not configured" in refusal(authentication, CURRENT).answer.error
    store.connection = connection
    authentication.admit(CURRENT, None)


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
