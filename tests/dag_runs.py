"""Runs of this repository's DAGs in this process, by ``dag.test()``."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

DAGS = Path(__file__).resolve().parents[1] / "dags"


def run_dag_file(file: str, conf: dict[str, Any] | None, *, others: tuple[str, ...] = (), retries: int = 0) -> Any:
    """Run the DAG of a file to its end and return the run.

    :param others: the files of DAGs that this one requests runs of.
    :param retries: in place of the DAG's own number of them; the time between two tries is nothing.
    """
    from airflow.dag_processing.dagbag import DagBag

    bag = DagBag(str(DAGS / file))
    assert bag.import_errors == {}
    [dag] = bag.dags.values()
    for task in dag.tasks:
        if not task.is_mapped:
            task.retries, task.retry_delay, task.retry_exponential_backoff = retries, timedelta(), 0
    with _dag_folder_of(file, *others):
        return dag.test(run_conf=conf)


@contextmanager
def _dag_folder_of(*files: str) -> Iterator[None]:
    """Let the DAG folder hold these files alone: every ``dag.test()`` parses and stores all DAGs of the folder."""
    with tempfile.TemporaryDirectory(prefix="dags-") as folder, pytest.MonkeyPatch.context() as patch:
        for file in files:
            shutil.copy(DAGS / file, folder)
        patch.setattr("airflow.settings.DAGS_FOLDER", folder)
        yield
