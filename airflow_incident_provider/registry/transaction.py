"""
The registry within one database transaction, locked for a decision or open for reading.

Decisions about alerts are serialized, whatever the number of API servers and workers: each sees what the previous
one committed. The transaction holds the lock, so the lock ends with it, however that ends.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow.models.asset import AssetModel
from airflow.state import get_state_backend
from airflow.state.metastore import MetastoreBackend
from sqlalchemy import func, or_, select, text, update

from airflow_incident_provider.exceptions import RegistryUnavailableError
from airflow_incident_provider.registry.keys import REGISTRY, REPORTS
from airflow_incident_provider.registry.store import Registry

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

LOCK_ID = 0x1C1DE7A1E27
"""The advisory lock's number in PostgreSQL: any constant that nothing else in Airflow's database uses."""

LOCK_SECONDS = 6
"""How long a decision waits for those before it; then the sender is asked to retry."""


def locked(session: Session) -> Registry:
    """Return the registry, locked until the session's transaction ends.

    To be called before anything else in the transaction.

    PostgreSQL: an advisory lock of the transaction, which no other part of Airflow waits for. MySQL: a write of
    the registry's own row in ``asset``, which locks that row; tasks that report to the registry wait for it too.
    SQLite: the same write, which locks the database.

    :raises RegistryUnavailableError: no DAG has registered the asset yet, or the state is kept elsewhere.
    :raises sqlalchemy.exc.DBAPIError: the database cannot be reached, or others held the lock for too long.
    """
    _require_metastore()
    dialect = session.get_bind().dialect.name
    if dialect == "postgresql":
        session.execute(text(f"SET LOCAL lock_timeout = '{LOCK_SECONDS}s'"))
        session.execute(select(func.pg_advisory_xact_lock(LOCK_ID)))
    elif dialect == "mysql":
        # The variable belongs to the pooled connection: reset it for the next user of that connection.
        session.execute(text(f"SET SESSION innodb_lock_wait_timeout = {LOCK_SECONDS}"))
        try:
            _lock_asset_row(session)
        finally:
            session.execute(text("SET SESSION innodb_lock_wait_timeout = @@GLOBAL.innodb_lock_wait_timeout"))
    else:
        _lock_asset_row(session)
    return opened(session)


def opened(session: Session) -> Registry:
    """Return the registry for reading, without a lock.

    :raises RegistryUnavailableError: no DAG has registered the asset yet, or the state is kept elsewhere.
    """
    _require_metastore()
    rows = session.execute(
        select(AssetModel.name, AssetModel.id).where(
            or_(*((AssetModel.name == a.name) & (AssetModel.uri == a.uri) for a in (REGISTRY, REPORTS))),
            AssetModel.active.has(),
        )
    )
    ids: dict[str, int] = {row.name: row.id for row in rows}
    if REGISTRY.name not in ids:
        raise RegistryUnavailableError(
            f"Airflow does not know the asset {REGISTRY.name} yet.",
            fix="It does once a DAG was parsed that names it as an inlet, as incident_response does.",
        )
    return Registry(session, ids[REGISTRY.name], ids.get(REPORTS.name))


def _lock_asset_row(session: Session) -> None:
    session.execute(
        update(AssetModel)
        .where(AssetModel.name == REGISTRY.name, AssetModel.uri == REGISTRY.uri)
        .values(updated_at=AssetModel.updated_at)
        .execution_options(synchronize_session=False)
    )


def _require_metastore() -> None:
    if not isinstance(get_state_backend(), MetastoreBackend):
        raise RegistryUnavailableError(
            "Airflow keeps asset state outside its database, where a decision cannot be atomic.",
            fix="Leave [state_store] backend at its default.",
        )
