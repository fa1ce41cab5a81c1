"""Airflow's DAG folder with few files in it."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def dag_folder_of(*files: Path) -> Iterator[None]:
    """Let the DAG folder hold these files alone: every ``dag.test()`` parses and stores all DAGs of the folder."""
    with tempfile.TemporaryDirectory(prefix="dags-") as folder, pytest.MonkeyPatch.context() as patch:
        for file in files:
            shutil.copy(file, folder)
        patch.setattr("airflow.settings.DAGS_FOLDER", folder)
        yield
