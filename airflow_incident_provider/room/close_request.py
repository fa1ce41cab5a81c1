"""That a person wants an incident resolved, or its room archived: what the conf of a run says of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pydantic import ValidationError

from airflow_incident_provider.config import ConfKey
from airflow_incident_provider.exceptions import InvalidPayloadError
from airflow_incident_provider.lifecycle.closing import Closing
from airflow_incident_provider.models import Model

if TYPE_CHECKING:
    from airflow.sdk import Context


class AskedClosing(Model):
    """What is wanted.

    ``dag_id`` and ``run_id`` are the incident's first run, for an incident that the registry does not know: one
    that a person started.
    """

    closing: Literal[Closing.RESOLVE, Closing.ARCHIVE]
    dag_id: str | None = None
    run_id: str | None = None

    def as_conf(self) -> dict[str, Any]:
        """Return what goes into the conf of the run, beside the incident's key."""
        return {ConfKey.CLOSE_REQUEST: self.model_dump(mode="json", exclude_none=True)}


def asked_closing(context: Context) -> AskedClosing | None:
    """Return what a person asked this run for, if one did.

    :raises InvalidPayloadError: the conf says something there that cannot be read.
    """
    told = (context["dag_run"].conf or {}).get(ConfKey.CLOSE_REQUEST)
    if told is None:
        return None
    try:
        return AskedClosing.model_validate(told)
    except ValidationError:
        raise InvalidPayloadError(
            f"{ConfKey.CLOSE_REQUEST}: not what airflow incident resolve and archive write there.",
            fix="Use these commands.",
        ) from None


def who_asked(context: Context) -> str | None:
    """Return who started this run, as Airflow knows them: nobody can give another name."""
    name: str | None = getattr(context["dag_run"], "triggering_user_name", None)
    return name
