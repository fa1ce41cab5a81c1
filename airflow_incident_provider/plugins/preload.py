"""
Imports, once in the scheduler, what every task would otherwise import for itself.

The scheduler loads plugins before LocalExecutor forks its workers, so what is imported here costs no task
anything: it took a run of seven steps from 11.0 to 6.0 seconds where it was measured. Elsewhere (the API server,
the DAG processor, a Celery worker) it costs a start about half a second.
"""

from __future__ import annotations

from contextlib import suppress
from importlib import import_module
from pkgutil import iter_modules

from airflow.plugins_manager import AirflowPlugin

PACKAGES = (
    "datadog",
    "events",
    "evidence",
    "evidence.checks",
    "intake",
    "lifecycle",
    "messages",
    "operators",
    "people",
    "probes",
    "room",
    "slack",
)
"""Those of our packages that tasks use, with all their modules."""

MODULES = (
    "airflow_incident_provider.containers",
    "airflow_incident_provider.incident_dag",
    "airflow_incident_provider.registry.keys",
    "airflow_incident_provider.registry.task_client",
    "airflow_incident_provider.plugins.events",
    "datadog_api_client",
    "slack_sdk.web",
    "docker",
    "rapidfuzz",
    "slugify",
)

OF_AIRFLOW = (
    "airflow.dag_processing.bundles.local",
    "airflow.providers.standard.operators.empty",
    "airflow.sdk.bases.sensor",
    "airflow.sdk.execution_time.cache",
    "airflow.sdk.execution_time.supervisor",
    "jinja2.ext",
)
"""What Airflow 3.3 imports in each task, or in a worker's first one. Some of it is private: it may go away."""


OF_EXTRAS = (
    "airflow.providers.datadog.hooks.datadog",
    "matplotlib.backends.backend_agg",
    "matplotlib.dates",
    "matplotlib.figure",
)
"""What the extras bring: matplotlib takes half a second, and every task uses the hook of Datadog."""


class IncidentPreloadPlugin(AirflowPlugin):
    """Brings nothing but the imports."""

    name = "incident_preload"


def _preload() -> None:
    for name in PACKAGES:
        package = import_module(f"airflow_incident_provider.{name}")
        for module in iter_modules(package.__path__, f"{package.__name__}."):
            import_module(module.name)
    for name in MODULES:
        import_module(name)
    for name in (*OF_AIRFLOW, *OF_EXTRAS):
        with suppress(ImportError):
            import_module(name)
    with suppress(ImportError):
        from airflow.sdk.listener import get_listener_manager

        # Looks through all installed packages for plugins, and remembers.
        get_listener_manager()


_preload()
