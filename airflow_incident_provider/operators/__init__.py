"""The operators: each reads its input, calls the domain, and returns a model as XCom."""

from __future__ import annotations

import warnings
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .close_incident import ArchiveWarRoomOperator as ArchiveWarRoomOperator
    from .close_incident import ResolveIncidentOperator as ResolveIncidentOperator
    from .collect_evidence import CollectEvidenceOperator as CollectEvidenceOperator
    from .create_war_room import CreateWarRoomOperator as CreateWarRoomOperator
    from .due_tasks import ScheduleNextCheckOperator as ScheduleNextCheckOperator
    from .due_tasks import SelectDueTasksOperator as SelectDueTasksOperator
    from .final_summary import FinalSummaryOperator as FinalSummaryOperator
    from .incident_update import PostIncidentUpdateOperator as PostIncidentUpdateOperator
    from .incident_update import PostRemindersOperator as PostRemindersOperator
    from .incident_update import RecoverIncidentOperator as RecoverIncidentOperator
    from .investigate import InvestigateInContainerOperator as InvestigateInContainerOperator
    from .parse_incident import ParseIncidentOperator as ParseIncidentOperator
    from .plan_investigation import PlanInvestigationOperator as PlanInvestigationOperator
    from .plan_investigation import PlanRecheckOperator as PlanRecheckOperator
    from .post_thread_update import PostThreadUpdateOperator as PostThreadUpdateOperator
    from .resolve_slack_users import RefreshSlackDirectoryOperator as RefreshSlackDirectoryOperator
    from .resolve_slack_users import ResolveSlackUsersOperator as ResolveSlackUsersOperator
    from .setup_slack import SetupSlackOperator as SetupSlackOperator
    from .write_ai_summary import WriteAiSummaryOperator as WriteAiSummaryOperator

MODULES = {
    "ParseIncidentOperator": "parse_incident",
    "SetupSlackOperator": "setup_slack",
    "ResolveSlackUsersOperator": "resolve_slack_users",
    "CreateWarRoomOperator": "create_war_room",
    "CollectEvidenceOperator": "collect_evidence",
    "PlanInvestigationOperator": "plan_investigation",
    "InvestigateInContainerOperator": "investigate",
    "PostThreadUpdateOperator": "post_thread_update",
    "FinalSummaryOperator": "final_summary",
    "WriteAiSummaryOperator": "write_ai_summary",
    "SelectDueTasksOperator": "due_tasks",
    "PostIncidentUpdateOperator": "incident_update",
    "PostRemindersOperator": "incident_update",
    "RecoverIncidentOperator": "incident_update",
    "ScheduleNextCheckOperator": "due_tasks",
    "PlanRecheckOperator": "plan_investigation",
    "ResolveIncidentOperator": "close_incident",
    "ArchiveWarRoomOperator": "close_incident",
    "RefreshSlackDirectoryOperator": "resolve_slack_users",
}
"""The module of each operator. They are imported when first used (PEP 562): one of them imports docker."""

_RENAMED = {"WhatIsDueOperator": "SelectDueTasksOperator", "LookAgainOperator": "ScheduleNextCheckOperator"}


def __getattr__(name: str) -> object:
    """Import an operator."""
    if name in _RENAMED:
        warnings.warn(f"{name} was renamed to {_RENAMED[name]}", DeprecationWarning, stacklevel=2)
        name = _RENAMED[name]
    if name not in MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{MODULES[name]}"), name)


def __dir__() -> list[str]:
    """Return the names of the operators."""
    return sorted(MODULES)
