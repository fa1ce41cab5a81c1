"""One operator a step: each reads its input, calls the domain, and returns a model as XCom."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from airflow_incident_provider.operators.archive_war_room import ArchiveWarRoomOperator
    from airflow_incident_provider.operators.create_war_room import CreateWarRoomOperator
    from airflow_incident_provider.operators.final_summary import FinalSummaryOperator
    from airflow_incident_provider.operators.investigate import InvestigateInContainerOperator
    from airflow_incident_provider.operators.look_again import LookAgainOperator
    from airflow_incident_provider.operators.parse_incident import ParseIncidentOperator
    from airflow_incident_provider.operators.plan_investigation import PlanInvestigationOperator
    from airflow_incident_provider.operators.plan_recheck import PlanRecheckOperator
    from airflow_incident_provider.operators.post_incident_update import PostIncidentUpdateOperator
    from airflow_incident_provider.operators.post_thread_update import PostThreadUpdateOperator
    from airflow_incident_provider.operators.recover_incident import RecoverIncidentOperator
    from airflow_incident_provider.operators.refresh_slack_directory import RefreshSlackDirectoryOperator
    from airflow_incident_provider.operators.resolve_incident import ResolveIncidentOperator
    from airflow_incident_provider.operators.resolve_slack_users import ResolveSlackUsersOperator
    from airflow_incident_provider.operators.setup_slack import SetupSlackOperator
    from airflow_incident_provider.operators.what_is_due import WhatIsDueOperator

_MODULES = {
    "ParseIncidentOperator": "parse_incident",
    "SetupSlackOperator": "setup_slack",
    "ResolveSlackUsersOperator": "resolve_slack_users",
    "CreateWarRoomOperator": "create_war_room",
    "PlanInvestigationOperator": "plan_investigation",
    "InvestigateInContainerOperator": "investigate",
    "PostThreadUpdateOperator": "post_thread_update",
    "FinalSummaryOperator": "final_summary",
    "WhatIsDueOperator": "what_is_due",
    "PostIncidentUpdateOperator": "post_incident_update",
    "PlanRecheckOperator": "plan_recheck",
    "RecoverIncidentOperator": "recover_incident",
    "ResolveIncidentOperator": "resolve_incident",
    "ArchiveWarRoomOperator": "archive_war_room",
    "LookAgainOperator": "look_again",
    "RefreshSlackDirectoryOperator": "refresh_slack_directory",
}

__all__ = [
    "ArchiveWarRoomOperator",
    "CreateWarRoomOperator",
    "FinalSummaryOperator",
    "InvestigateInContainerOperator",
    "LookAgainOperator",
    "ParseIncidentOperator",
    "PlanInvestigationOperator",
    "PlanRecheckOperator",
    "PostIncidentUpdateOperator",
    "PostThreadUpdateOperator",
    "RecoverIncidentOperator",
    "RefreshSlackDirectoryOperator",
    "ResolveIncidentOperator",
    "ResolveSlackUsersOperator",
    "SetupSlackOperator",
    "WhatIsDueOperator",
]


def __getattr__(name: str) -> object:
    """Import an operator when it is first asked for (PEP 562): a DAG that uses one pays for one."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
