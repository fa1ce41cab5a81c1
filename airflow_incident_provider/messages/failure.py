"""What failed in a DAG that is not ours: one line under the brief for each failure."""

from __future__ import annotations

from airflow_incident_provider.messages.blocks import sections
from airflow_incident_provider.messages.escaping import Mrkdwn, bold, code_span, inline, join, link
from airflow_incident_provider.messages.limits import Message, fallback


def task_failure(task: str, *, try_number: int, error: str | None, log_url: str | None) -> Message:
    """Return that a task failed for good.

    :param error: what is known of the error, in words that may be shown.
    """
    facts = [
        Mrkdwn(f"{bold('Task')} {code_span(task)} {bold('failed')}"),
        Mrkdwn(f"try {try_number}" if try_number > 1 else ""),
        inline(error or ""),
        link(log_url, "Log") if log_url else Mrkdwn(""),
    ]
    return Message(fallback(f"Task {task} failed"), tuple(sections([join(facts)])))


def run_failure(reason: str | None) -> Message:
    """Return that the run as a whole failed.

    :param reason: Airflow's word for it.
    """
    facts = [bold("The run failed"), inline((reason or "").replace("_", " "))]
    return Message(fallback("The run failed"), tuple(sections([join(facts)])))
