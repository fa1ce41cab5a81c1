"""Run DAGs of this repository in this process with ``dag.test()``."""

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
    """Run the DAG of a file and return the run.

    :param others: the files of DAGs whose runs this DAG requests.
    :param retries: replaces the number of retries of each task; the delay between tries is zero.
    """
    from airflow.dag_processing.dagbag import DagBag

    bag = DagBag(str(DAGS / file))
    assert bag.import_errors == {}
    [dag] = bag.dags.values()
    for task in dag.tasks:
        if not task.is_mapped:
            task.retries, task.retry_delay, task.retry_exponential_backoff = retries, timedelta(), 0
    with _dags_folder_with(file, *others):
        return dag.test(run_conf=conf)


@contextmanager
def _dags_folder_with(*files: str) -> Iterator[None]:
    """Use a DAGs folder with only these files, because ``dag.test()`` parses and stores all DAGs of the folder."""
    with tempfile.TemporaryDirectory(prefix="dags-") as folder, pytest.MonkeyPatch.context() as patch:
        for file in files:
            shutil.copy(DAGS / file, folder)
        patch.setattr("airflow.settings.DAGS_FOLDER", folder)
        yield
