"""An error in words that may be logged and sent elsewhere."""

from __future__ import annotations

from collections.abc import Iterator

from airflow_incident_provider.exceptions import IncidentError

LONGEST = 500
"""Characters of an error's words: an error may quote a field of the payload."""

ENDED_FROM_OUTSIDE = "ended from outside the task; Airflow's log has the reason"


def error_in_words(error: BaseException | str | None) -> str | None:
    """
    Return the class of an error, with its words only if they are ours.

    What another library says may hold a token or a password. An error of ours never does.

    :param error: what Airflow gives a listener: text where the task was ended from outside.
    """
    if error is None:
        return None
    if isinstance(error, str):
        return ENDED_FROM_OUTSIDE
    ours = next((cause for cause in _causes(error) if isinstance(cause, IncidentError)), None)
    if ours is None:
        return type(error).__name__
    return f"{type(ours).__name__}: {ours.message}"[:LONGEST]


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and what it was raised from, each once."""
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        yield current
        current = current.__cause__
