"""
Admit only requests that Slack signed with the app's signing secret within the last five minutes.

The connection's extra holds it as ``signing_secret``. ``app_id`` and ``team_id`` there, if set, must match too.
Source: https://docs.slack.dev/authentication/verifying-requests-from-slack
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from airflow.sdk import BaseHook

from airflow_incident_provider.config import DEFAULT_SLACK_CONN_ID
from airflow_incident_provider.plugins.api.errors import RequestError

if TYPE_CHECKING:
    from airflow.sdk import Connection

    from airflow_incident_provider.interaction.requests import SlackRequest

CACHE_SECONDS = 30.0


@dataclass(frozen=True)
class SlackApp:
    """What the connection says of the app. The secret stays out of its representation."""

    signing_secret: str = field(repr=False)
    app_id: str | None = None
    team_id: str | None = None

    @classmethod
    def from_connection(cls, connection: Connection) -> SlackApp:
        """Read a connection.

        :raises RequestError: (503) it has no signing secret.
        """
        extra = connection.extra_dejson
        secret = extra.get("signing_secret")
        if not isinstance(secret, str) or not secret.strip():
            raise RequestError(
                503,
                f"The connection {DEFAULT_SLACK_CONN_ID} has no signing secret.",
                fix='Put the app\'s "Signing Secret" into signing_secret of its extra.',
            )
        return cls(secret.strip(), _text(extra.get("app_id")), _text(extra.get("team_id")))


class Verification:
    """Admits Slack's requests.

    :param load: returns the Slack connection; raises if there is none.
    :param clock: seconds since the epoch, for the age of a request.
    """

    def __init__(
        self, load: Callable[[], Connection] | None = None, *, clock: Callable[[], float] = time.time
    ) -> None:
        self._load = load or _connection
        self._clock = clock
        self._lock = threading.Lock()
        self._known: tuple[float, SlackApp] | None = None

    def admit(self, body: bytes, headers: Mapping[str, str]) -> SlackApp:
        """Return the app if the request is signed by Slack for it.

        May read a secrets backend: not for an event loop.

        :raises RequestError: 401 if it is not signed or too old; 503 if the signing secret cannot be read.
        """
        app = self.app()
        if not self._is_signed(app, body, headers):
            # The secret may have been rotated since it was read.
            app = self.app(fresh=True)
            if not self._is_signed(app, body, headers):
                raise RequestError(401, "The request is not signed for this app, or is older than 5 minutes.")
        return app

    def app(self, *, fresh: bool = False) -> SlackApp:
        """Return what the connection says, read at most every :data:`CACHE_SECONDS`, or every second if ``fresh``.

        :raises RequestError: (503) it cannot be read.
        """
        with self._lock:
            age = self._clock() - self._known[0] if self._known is not None else None
            if self._known is not None and age is not None and 0 <= age < (1.0 if fresh else CACHE_SECONDS):
                return self._known[1]
            try:
                connection = self._load()
            except Exception as error:
                raise RequestError(
                    503, f"The connection {DEFAULT_SLACK_CONN_ID} cannot be read.", fix="Add it to Airflow."
                ) from error
            app = SlackApp.from_connection(connection)
            self._known = (self._clock(), app)
            return app

    def _is_signed(self, app: SlackApp, body: bytes, headers: Mapping[str, str]) -> bool:
        # slack_sdk is slow to import; the API server needs it for the first of these requests only.
        from slack_sdk.signature import Clock, SignatureVerifier

        now = self._clock

        class OurClock(Clock):
            def now(self) -> float:
                return now()

        verifier = SignatureVerifier(app.signing_secret, clock=OurClock())
        given = {name.lower(): value for name, value in headers.items()}
        timestamp = given.get("x-slack-request-timestamp", "")
        if not timestamp.isascii() or not timestamp.isdecimal() or len(timestamp) > len("99999999999"):
            return False
        try:
            return verifier.is_valid(body, timestamp, given.get("x-slack-signature", ""))
        except (TypeError, ValueError, UnicodeError):
            return False


def require_own(app: SlackApp, request: SlackRequest) -> None:
    """Refuse a request for another app or from another workspace.

    :raises RequestError: (403) it is not for this app and workspace.
    """
    if app.app_id is not None and request.app_id != app.app_id:
        raise RequestError(403, "The request is for another Slack app.")
    if app.team_id is not None and request.team_id not in (None, app.team_id):
        raise RequestError(403, "The request is from another Slack workspace.")


def _text(value: object) -> str | None:
    return value.strip() or None if isinstance(value, str) else None


def _connection() -> Connection:
    return BaseHook.get_connection(DEFAULT_SLACK_CONN_ID)
