"""
Python runs this at its start: it hides this package's entry points, so that Airflow is as if it were not installed.

The stock DAG is measured so: it would otherwise profit from what this package's plugin imports ahead.
"""

from __future__ import annotations

import importlib.metadata

_HIDDEN = "airflow-incident-provider"
_distributions = importlib.metadata.distributions


def _others(**options: object) -> object:
    return (found for found in _distributions(**options) if found.metadata["Name"] != _HIDDEN)  # type: ignore[arg-type]


importlib.metadata.distributions = _others  # type: ignore[assignment]
