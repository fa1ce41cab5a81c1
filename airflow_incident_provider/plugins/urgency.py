"""Temporary: entry point of installations made before the rename to :mod:`.priority_policy`."""

from airflow_incident_provider.plugins.priority_policy import task_instance_mutation_hook

__all__ = ["task_instance_mutation_hook"]
