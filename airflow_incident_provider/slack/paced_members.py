"""
All members of a workspace at the pace that Slack grants: for a task that may take minutes, not for an incident.

``users.list`` is of Tier 2: twenty calls a minute are sure (https://docs.slack.dev/apis/web-api/rate-limits), so
50,000 members take two to three minutes.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from typing import Any

from airflow_incident_provider.exceptions import SlackUnavailableError
from airflow_incident_provider.slack.hook import IncidentSlackHook

CALLS_A_MINUTE = 20
MINUTE = 60.0

REFUSALS = 10
"""How often one page is asked for again because Slack says "too fast", before the task's own retry takes over."""

LONGEST_WAIT_S = 120.0
"""Seconds that one refusal is obeyed for; Slack's own say at most a minute."""

log = logging.getLogger(__name__)


class PacedMembers:
    """Calls ``users.list``: never more often than Slack grants, and after a refusal when it says so.

    :param hook: sends the calls.
    """

    def __init__(self, hook: IncidentSlackHook) -> None:
        self._hook = hook
        self._called: deque[float] = deque(maxlen=CALLS_A_MINUTE)

    def __call__(self, *, cursor: str, limit: int) -> Any:
        """Return one page, sooner or later.

        :raises SlackUnavailableError: Slack does not answer, or refuses again and again.
        """
        for _ in range(REFUSALS):
            self._wait_for_its_turn()
            try:
                return self._hook.read("users.list", cursor=cursor, limit=limit)
            except SlackUnavailableError as error:
                if error.retry_after is None:
                    raise
                log.info("Slack asked to wait %.0f s before the next page of members", error.retry_after)
                time.sleep(min(error.retry_after, LONGEST_WAIT_S))
        raise SlackUnavailableError(
            f"Slack refused {REFUSALS} times in a row to list members: it is asked too often."
        )

    def _wait_for_its_turn(self) -> None:
        if len(self._called) == CALLS_A_MINUTE:
            time.sleep(max(0.0, self._called[0] + MINUTE - time.monotonic()))
        self._called.append(time.monotonic())
