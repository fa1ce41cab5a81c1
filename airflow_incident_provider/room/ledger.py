"""What a step has begun and done, so that a second attempt finishes the work and repeats none of it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Protocol

from pydantic import JsonValue

_STORE_KEY = "side_effects"


class Store(Protocol):
    """What is used of Airflow's task state store (``context["task_state_store"]``)."""

    def get(self, key: str, default: JsonValue = None) -> JsonValue:
        """Return a stored value."""

    def set(self, key: str, value: JsonValue) -> None:
        """Store a value."""


class Ledger:
    """The side effects of one task instance, each with a key, written down before and after.

    Airflow keeps the task state store by run, task and map index. It outlives the attempt, the worker and a
    cleared task; it does not know whether an intended effect happened. Whoever finds an intention without a
    result looks at the outside world first. So does whoever tries again and finds nothing at all: Airflow forgets
    a task's state after a while, or with its success (``[state_store] clear_on_success``).

    :param context: the task's context. Without a store (an operator run by hand) nothing is remembered.
    """

    def __init__(self, context: Mapping[str, Any]) -> None:
        self._store: Store | None = context.get("task_state_store")
        stored = self._store.get(_STORE_KEY) if self._store is not None else None
        self._entries: dict[str, Any] = dict(stored) if isinstance(stored, dict) else {}
        self.may_have_forgotten = not self._entries and getattr(context.get("ti"), "try_number", 1) > 1

    def result(self, key: str) -> JsonValue:
        """Return what the effect came to, or ``None`` if it is not known to have happened."""
        result: JsonValue = self._entries.get(key, {}).get("result")
        return result

    def intended_at(self, key: str) -> datetime | None:
        """Return when an earlier attempt first set out to do it, or ``None`` if none did."""
        said = self._entries.get(key, {}).get("intended_at")
        return datetime.fromisoformat(said) if said else None

    def intend(self, *keys: str) -> None:
        """Write down what is about to be done, in one go; what was intended before keeps its first time."""
        now = datetime.now(UTC).isoformat()
        for key in keys:
            self._entries.setdefault(key, {"intended_at": now})
        self._save()

    def record(self, results: Mapping[str, JsonValue]) -> None:
        """Write down what was done."""
        self.remember(results)
        self._save()

    def remember(self, results: Mapping[str, JsonValue]) -> None:
        """Keep what was done, to be written down with what is intended or done next: nothing is lost by that."""
        for key, result in results.items():
            self._entries.setdefault(key, {})["result"] = result

    def _save(self) -> None:
        if self._store is not None:
            self._store.set(_STORE_KEY, self._entries)
