"""
Python runs this at its start: it hides this package's entry points, so that Airflow is as if it were not installed.

The stock DAG is measured so: it would otherwise profit from what this package's plugin imports ahead.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Iterator
from types import ModuleType
from typing import Any

HIDDEN = "airflow-incident-provider"


def _hide(module: ModuleType) -> None:
    everything = module.distributions

    def others(**options: Any) -> Iterator[Any]:
        return (found for found in everything(**options) if found.metadata["Name"] != HIDDEN)

    module.distributions = others  # type: ignore[attr-defined]


_hide(importlib.metadata)
try:
    import importlib_metadata
except ImportError:
    pass
else:
    _hide(importlib_metadata)
