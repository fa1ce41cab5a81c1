"""
The rows of an asset's state in Airflow's database, read and written in bulk.

Airflow's own :class:`~airflow.state.metastore.MetastoreBackend` stores one entry per statement; a batch of alerts
needs few statements.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar

from airflow.models.asset_state_store import AssetStateStoreModel as Row
from pydantic import ValidationError
from sqlalchemy import delete, or_, select
from sqlalchemy.dialects import mysql, postgresql, sqlite

from airflow_incident_provider.models import Model

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

CHUNK = 500
"""Keys of one statement."""

log = logging.getLogger(__name__)

_Entry = TypeVar("_Entry", bound=Model)


class Rows:
    """The entries of one asset, within one transaction.

    :param asset_id: the asset; ``None`` for an asset that is not registered yet, which has no entries.
    """

    def __init__(self, session: Session, asset_id: int | None) -> None:
        self._session = session
        self._asset_id = asset_id

    def values(self, keys: Iterable[str]) -> dict[str, str]:
        """Return the values of these keys; a key without an entry is left out."""
        found: dict[str, str] = {}
        for part in _chunks(list(keys)):
            rows = select(Row.key, Row.value).where(Row.asset_id == self._asset_id, Row.key.in_(part))
            found |= {row.key: row.value for row in self._session.execute(rows)}
        return found

    def locked_value(self, key: str) -> dict[str, str]:
        """Return the value of a key, and lock its row until the transaction ends."""
        row = select(Row.key, Row.value).where(Row.asset_id == self._asset_id, Row.key == key)
        return {row.key: row.value for row in self._session.execute(row.with_for_update())}

    def oldest(self, limit: int) -> dict[str, str]:
        """Return the entries that were written first."""
        return self._in_order(Row.updated_at, limit)

    def latest(self, limit: int) -> dict[str, str]:
        """Return the entries that were written last."""
        return self._in_order(Row.updated_at.desc(), limit)

    def _in_order(self, order: Any, limit: int) -> dict[str, str]:
        rows = select(Row.key, Row.value).where(Row.asset_id == self._asset_id)
        return {row.key: row.value for row in self._session.execute(rows.order_by(order).limit(limit))}

    def existing(self, keys: Collection[str]) -> set[str]:
        """Return the keys that have an entry."""
        found: set[str] = set()
        for part in _chunks(list(keys)):
            found |= set(
                self._session.scalars(select(Row.key).where(Row.asset_id == self._asset_id, Row.key.in_(part)))
            )
        return found

    def with_prefix(self, *prefixes: str) -> list[str]:
        """Return all keys with one of these prefixes, sorted."""
        rows = select(Row.key).where(Row.asset_id == self._asset_id, _starts_with(prefixes))
        return sorted(self._session.scalars(rows))

    def unchanged_since(self, moment: datetime, *prefixes: str) -> dict[str, str]:
        """Return the entries with one of these prefixes that were last written before a moment."""
        rows = select(Row.key, Row.value).where(
            Row.asset_id == self._asset_id, Row.updated_at < moment, _starts_with(prefixes)
        )
        return {row.key: row.value for row in self._session.execute(rows)}

    def delete(self, keys: Collection[str], *, unchanged_since: datetime | None = None) -> None:
        """Delete entries.

        :param unchanged_since: delete only those that were last written before this moment.
        """
        for part in _chunks(sorted(keys)):
            statement = delete(Row).where(Row.asset_id == self._asset_id, Row.key.in_(part))
            if unchanged_since is not None:
                statement = statement.where(Row.updated_at < unchanged_since)
            self._session.execute(statement.execution_options(synchronize_session=False))

    def upsert(self, values: Mapping[str, str]) -> None:
        """Insert or replace entries."""
        for part in _chunks(sorted(values)):
            self._upsert({key: values[key] for key in part})

    def _upsert(self, values: Mapping[str, str]) -> None:
        now = datetime.now(UTC)
        rows = [
            {"asset_id": self._asset_id, "key": key, "value": value, "updated_at": now}
            for key, value in values.items()
        ]
        statement: Any
        dialect = self._session.get_bind().dialect.name
        if dialect == "mysql":
            statement = mysql.insert(Row).values(rows)
            statement = statement.on_duplicate_key_update(value=statement.inserted.value, updated_at=now)
        else:
            statement = (postgresql if dialect == "postgresql" else sqlite).insert(Row).values(rows)
            statement = statement.on_conflict_do_update(
                index_elements=["asset_id", "key"], set_={"value": statement.excluded.value, "updated_at": now}
            )
        self._session.execute(statement)


def read_entry(model: type[_Entry], key: str, stored: Mapping[str, str]) -> _Entry | None:
    """Return an entry, or ``None`` if there is none. A damaged entry is logged and does not affect the others."""
    if key not in stored:
        return None
    try:
        return model.model_validate_json(stored[key])
    except ValidationError as error:
        log.error("The registry's entry %s is damaged and ignored: %s", key, error.errors(include_input=False))
        return None


def _starts_with(prefixes: Iterable[str]) -> Any:
    return or_(*(Row.key.startswith(prefix) for prefix in prefixes))


def _chunks(keys: list[str]) -> Iterator[list[str]]:
    return (keys[start : start + CHUNK] for start in range(0, len(keys), CHUNK))
