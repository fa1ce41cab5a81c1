"""Test precision and recall of name matching on pairs of names in many languages."""

from __future__ import annotations

from collections import Counter

import pytest

from benchmarks.name_matching.__main__ import PAGE, Outcome, Result, match_pairs, read_pairs, render


@pytest.fixture(scope="module")
def results() -> list[Result]:
    return match_pairs(read_pairs())


def test_no_pair_resolves_to_the_wrong_person(results: list[Result]) -> None:
    assert [result.pair for result in results if result.is_wrong] == []


def test_recall_of_name_matching(results: list[Result]) -> None:
    outcomes = Counter(result.outcome for result in results if result.pair.same)
    assert outcomes[Outcome.NOT_FOUND] / outcomes.total() < 0.03
    assert outcomes[Outcome.INVITED] / outcomes.total() > 0.45


def test_name_pairs_cover_many_languages(results: list[Result]) -> None:
    assert len(results) >= 300
    assert len({result.pair.language for result in results}) >= 12


def test_published_table_is_current(results: list[Result]) -> None:
    assert PAGE.read_text(encoding="utf-8") == render(results), "run python -m benchmarks.name_matching"
