"""One sandbox for the tests of evidence; each story starts it over."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from incident_sandbox import SandboxServer

from .story_play import Played, play


@pytest.fixture(scope="package")
def datadog() -> Iterator[SandboxServer]:
    with SandboxServer() as sandbox:
        yield sandbox


@pytest.fixture(scope="package")
def played(datadog: SandboxServer, tmp_path_factory: pytest.TempPathFactory) -> object:
    """Play a story once for all tests that only read what came of it."""

    @cache
    def once(name: str) -> Played:
        state: Path = tmp_path_factory.mktemp(name)
        return play(datadog, state, name)

    return once
