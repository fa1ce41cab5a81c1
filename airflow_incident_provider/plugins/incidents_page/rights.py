"""Who may see which incidents: whoever may read the runs of their DAG, and what the steps left in XCom."""

from __future__ import annotations

from typing import Annotated

from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.auth.managers.models.base_user import BaseUser
from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity, DagDetails
from airflow.api_fastapi.common.db.common import SessionDep
from airflow.api_fastapi.core_api.security import GetUserDep
from airflow.models.dag import DagModel
from fastapi import Depends, HTTPException
from starlette.status import HTTP_403_FORBIDDEN

from airflow_incident_provider.plugins.run_history import incident_dag_ids

_SHOWN = (DagAccessEntity.RUN, DagAccessEntity.XCOM)
_REFUSED = "You may not read the runs and XComs of any DAG with the tag incident"


def readable_dag_ids(user: GetUserDep, session: SessionDep) -> list[str]:
    """
    Return the incident DAGs that a user may read, in the order of their names; none if there is none at all.

    :raises HTTPException: 401 without a valid session or token, 403 if there are DAGs and the user may read none.
    """
    there = incident_dag_ids(session)
    readable = [dag_id for dag_id in there if _may_read(user, dag_id)]
    if not readable and (there or not _may_read(user, None)):
        raise HTTPException(HTTP_403_FORBIDDEN, _REFUSED)
    return readable


ReadableDagIds = Annotated[list[str], Depends(readable_dag_ids)]


def _may_read(user: BaseUser, dag_id: str | None) -> bool:
    details = DagDetails(id=dag_id, team_name=DagModel.get_team_name(dag_id)) if dag_id else None
    return all(
        get_auth_manager().is_authorized_dag(method="GET", access_entity=entity, details=details, user=user)
        for entity in _SHOWN
    )
