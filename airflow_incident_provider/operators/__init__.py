"""One operator a step: each reads its input, calls the domain, and returns a model as XCom."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from airflow_incident_provider.operators.create_war_room import CreateWarRoomOperator
    from airflow_incident_provider.operators.final_summary import FinalSummaryOperator
    from airflow_incident_provider.operators.investigate import InvestigateInContainerOperator
    from airflow_incident_provider.operators.parse_incident import ParseIncidentOperator
    from airflow_incident_provider.operators.plan_investigation import PlanInvestigationOperator
    from airflow_incident_provider.operators.post_thread_update import PostThreadUpdateOperator
    from airflow_incident_provider.operators.resolve_slack_users import ResolveSlackUsersOperator
    from airflow_incident_provider.operators.setup_slack import SetupSlackOperator

_MODULES = {
    "ParseIncidentOperator": "parse_incident",
    "SetupSlackOperator": "setup_slack",
    "ResolveSlackUsersOperator": "resolve_slack_users",
    "CreateWarRoomOperator": "create_war_room",
    "PlanInvestigationOperator": "plan_investigation",
    "InvestigateInContainerOperator": "investigate",
    "PostThreadUpdateOperator": "post_thread_update",
    "FinalSummaryOperator": "final_summary",
}

__all__ = [
    "CreateWarRoomOperator",
    "FinalSummaryOperator",
    "InvestigateInContainerOperator",
    "ParseIncidentOperator",
    "PlanInvestigationOperator",
    "PostThreadUpdateOperator",
    "ResolveSlackUsersOperator",
    "SetupSlackOperator",
]


def __getattr__(name: str) -> object:
    """Import an operator when it is first asked for (PEP 562): a DAG that uses one pays for one."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
