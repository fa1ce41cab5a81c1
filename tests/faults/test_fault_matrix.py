"""Every call that a run makes to Slack goes wrong in every way, one at a time; the outcome is as if none had."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest

from .cases import CALLS, FAULTS, PERMITTED, Case, all_cases  # isort: skip
from .invariants import violations  # isort: skip
from .running import Bench  # isort: skip


@pytest.mark.parametrize("scenario", CALLS)
def test_calls_of_the_matrix_are_those_of_a_run(bench: Bench, scenario: str) -> None:
    """A call that is new, or gone, belongs into the table: what is not there is not tried."""
    assert dict(bench.clean(scenario).calls) == CALLS[scenario]
