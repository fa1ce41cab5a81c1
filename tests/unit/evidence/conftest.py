"""Fixtures for evidence tests: one sandbox, which each played story resets."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from incident_sandbox import SandboxServer

from .story_play import PlayedStory, play


@pytest.fixture(scope="package")
def datadog() -> Iterator[SandboxServer]:
    with SandboxServer() as sandbox:
        yield sandbox


@pytest.fixture(scope="package")
def play_once(datadog: SandboxServer, tmp_path_factory: pytest.TempPathFactory) -> object:
    """Return a function that plays a story and caches its result for read-only tests."""

    @cache
    def play_cached(name: str) -> PlayedStory:
        state: Path = tmp_path_factory.mktemp(name)
        return play(datadog, state, name)

    return play_cached
