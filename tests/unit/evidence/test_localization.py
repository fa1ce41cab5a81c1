"""Locate the cause by walking along abnormal calls."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_incident_provider.evidence.localization import Measure, ServiceGraph, Silence, Telemetry, localize

GRAPH = ServiceGraph.of(
    [("web", "orders"), ("web", "search"), ("orders", "db"), ("search", "db"), ("db", "orders")]
)


def level(excess: float = 0.0, requests: float = 100) -> Telemetry:
    noise = random.Random(7)
    history = [0.1 + noise.uniform(-0.005, 0.005) for _ in range(120)]
    return Telemetry(history, [0.1, 0.1, 0.1 + excess, 0.1 + excess, 0.1], [requests] * 5)


def test_deepest_service_that_explains_the_excess_ranks_first() -> None:
    telemetry = {"web": level(0.3), "orders": level(0.3), "search": level(), "db": level(0.3)}
    result = localize(GRAPH, "web", telemetry, Measure.LEVEL)
    assert result.suspects[0].service == "db"
    assert result.suspects[0].path == ("web", "orders", "db")


def test_few_slow_requests_do_not_explain_many() -> None:
    telemetry = {"web": level(0.3, 1000), "orders": level(0.3, 900), "search": level(2.0, 3), "db": level()}
    assert localize(GRAPH, "web", telemetry, Measure.LEVEL).suspects[0].service == "orders"


def test_silence_has_a_reason() -> None:
    normal = {name: level() for name in ("web", "orders", "search", "db")}
    assert localize(GRAPH, "web", normal, Measure.LEVEL).silence is Silence.ALERTING_NORMAL
    only_web = {**normal, "web": level(0.3)}
    assert localize(GRAPH, "web", only_web, Measure.LEVEL).silence is Silence.CALLEES_NORMAL
    assert localize(GRAPH, "web", {}, Measure.LEVEL).silence is Silence.NO_BASELINE
    small = {**only_web, "web": level(0.3, 10_000), "orders": level(0.3, 10)}
    assert localize(GRAPH, "web", small, Measure.LEVEL).silence is Silence.UNEXPLAINED


def test_services_without_data_are_unmeasured() -> None:
    telemetry = {"web": level(0.3), "orders": level(0.3)}
    assert localize(GRAPH, "web", telemetry, Measure.LEVEL).unmeasured == ("db", "search")


def test_missing_points_are_not_failed_requests() -> None:
    history = [0.0] * 60
    telemetry = {
        "web": Telemetry(history, [0.0, 0.2, 0.2], [100, 100, 100]),
        "orders": Telemetry(history, [None, None, None], [None, None, None]),
        "search": Telemetry(history, [0.0, 0.2, 0.2], [90, 90, 90]),
    }
    assert [each.service for each in localize(GRAPH, "web", telemetry, Measure.SHARE).suspects] == ["search"]


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=60), st.sets(st.integers(0, 9)))
def test_walk_terminates_and_paths_contain_only_abnormal_services(
    edges: list[tuple[int, int]], abnormal: set[int]
) -> None:
    graph = ServiceGraph.of((f"s{a}", f"s{b}") for a, b in edges)
    telemetry = {f"s{i}": level(0.4 if i in abnormal else 0) for i in range(10)}
    for suspect in localize(graph, "s0", telemetry, Measure.LEVEL).suspects:
        assert {int(name[1:]) for name in suspect.path} <= abnormal
        assert all(b in graph.callees(a) for a, b in zip(suspect.path, suspect.path[1:], strict=False))
        assert suspect.share >= 0


@pytest.mark.parametrize("rename", [str.upper, lambda name: name[::-1] + "_x"])
def test_ranking_is_independent_of_service_names(rename: Callable[[str], str]) -> None:
    telemetry = {"web": level(0.3), "orders": level(0.3), "search": level(), "db": level(0.3)}
    graph = ServiceGraph.of((rename(a), rename(b)) for a, b in GRAPH.edges())
    renamed = {rename(name): each for name, each in telemetry.items()}
    first = localize(graph, rename("web"), renamed, Measure.LEVEL).suspects[0]
    assert first.service == rename("db")


def test_walk_continues_through_services_without_data() -> None:
    chain = ServiceGraph.of([("web", "gateway"), ("gateway", "orders"), ("orders", "db"), ("web", "search")])
    telemetry = {"web": level(0.3), "search": level(), "orders": level(0.3), "db": level()}
    result = localize(chain, "web", telemetry, Measure.LEVEL)
    assert [(each.service, each.path) for each in result.suspects] == [("orders", ("web", "gateway", "orders"))]
    assert result.unmeasured == ("gateway",)


def test_missing_point_does_not_reduce_the_share_of_the_excess() -> None:
    complete = level(0.3)
    incomplete = Telemetry(complete.history, [0.1, 0.1, None, 0.4, 0.1], [None, 100, None, 100, 100], usual=100)
    telemetry = {"web": complete, "orders": complete, "search": level(), "db": incomplete}
    assert localize(GRAPH, "web", telemetry, Measure.LEVEL).suspects[0].service == "db"


def test_service_without_new_requests_still_explains_failures() -> None:
    history = [0.0] * 60
    broken = Telemetry(history, [0.0, 0.9, 0.9, 0.9, 0.9], [100, 100, 2, 2, 2], usual=100)
    web = Telemetry(history, [0.0, 0.9, 0.9, 0.9, 0.9], [100] * 5, usual=100)
    assert localize(GRAPH, "web", {"web": web, "orders": broken}, Measure.SHARE).suspects[0].service == "orders"
