"""
Permissions of the incidents page, from Airflow's auth manager.

A user sees the incidents of the DAGs whose runs and XComs they may read, and may dismiss reports if they may
trigger one of these DAGs.
"""

from __future__ import annotations

from typing import Annotated, Literal

from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.auth.managers.models.base_user import BaseUser
from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity, DagDetails
from airflow.api_fastapi.common.db.common import SessionDep
from airflow.api_fastapi.core_api.security import GetUserDep
from airflow.models.dag import DagModel
from fastapi import Depends, Header, HTTPException
from starlette.status import HTTP_403_FORBIDDEN

from airflow_incident_provider.plugins.run_history import incident_dag_ids

PAGE_HEADER = "X-Requested-With"
"""A header that a form or link of another site cannot send; a script of another site needs a preflight for it."""

_SHOWN = (DagAccessEntity.RUN, DagAccessEntity.XCOM)
_MAY_NOT_READ = "You may not read the runs and XComs of any DAG with the tag incident"
_MAY_NOT_TRIGGER = "You may not trigger any DAG with the tag incident"


def readable_dag_ids(user: GetUserDep, session: SessionDep) -> list[str]:
    """
    Return the incident DAGs that a user may read, sorted; none if no incident DAG exists.

    :raises HTTPException: 401 without a valid session or token, 403 if incident DAGs exist and the user may read
        none.
    """
    existing = incident_dag_ids(session)
    readable = [dag_id for dag_id in existing if _may_read(user, dag_id)]
    if not readable and (existing or not _may_read(user, None)):
        raise HTTPException(HTTP_403_FORBIDDEN, _MAY_NOT_READ)
    return readable


ReadableDagIds = Annotated[list[str], Depends(readable_dag_ids)]


def require_page_or_token(
    page: Annotated[str | None, Header(alias=PAGE_HEADER)] = None,
    token: Annotated[str | None, Header(alias="Authorization")] = None,
) -> None:
    """
    Require that a request comes from the page, or carries a token of its own and no session cookie's authority.

    :raises HTTPException: 403.
    """
    if page is None and token is None:
        raise HTTPException(HTTP_403_FORBIDDEN, f"The header {PAGE_HEADER} is missing")


def may_trigger(user: BaseUser, dag_id: str) -> bool:
    """Return whether a user may start runs of a DAG."""
    return _is_authorized(user, "POST", DagAccessEntity.RUN, dag_id)


def require_trigger(
    user: GetUserDep,
    dag_ids: ReadableDagIds,
    page: Annotated[str | None, Header(alias=PAGE_HEADER)] = None,
) -> None:
    """
    Require that a user may trigger an incident DAG, and that the request comes from the page.

    :raises HTTPException: 403.
    """
    if page is None:
        raise HTTPException(HTTP_403_FORBIDDEN, f"The header {PAGE_HEADER} is missing")
    if not any(_is_authorized(user, "POST", DagAccessEntity.RUN, dag_id) for dag_id in dag_ids):
        raise HTTPException(HTTP_403_FORBIDDEN, _MAY_NOT_TRIGGER)


def _may_read(user: BaseUser, dag_id: str | None) -> bool:
    return all(_is_authorized(user, "GET", entity, dag_id) for entity in _SHOWN)


def _is_authorized(
    user: BaseUser, method: Literal["GET", "POST"], entity: DagAccessEntity, dag_id: str | None
) -> bool:
    details = DagDetails(id=dag_id, team_name=DagModel.get_team_name(dag_id)) if dag_id else None
    return get_auth_manager().is_authorized_dag(method=method, access_entity=entity, details=details, user=user)
