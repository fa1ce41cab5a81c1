"""From an alert to a staffed Slack war room with evidence in it, on Apache Airflow."""

from __future__ import annotations

__version__ = "0.1.0"
