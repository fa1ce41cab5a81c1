"""Parse the sandbox's responses with Datadog's official client, for every endpoint that evidence uses."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from datadog_api_client import ApiClient, Configuration
from datadog_api_client.model_utils import ModelComposed, ModelNormal, UnparsedObject
from datadog_api_client.v1.api.metrics_api import MetricsApi as MetricsV1
from datadog_api_client.v1.api.monitors_api import MonitorsApi
from datadog_api_client.v2.api.dora_metrics_api import DORAMetricsApi
from datadog_api_client.v2.api.downtimes_api import DowntimesApi
from datadog_api_client.v2.api.error_tracking_api import ErrorTrackingApi
from datadog_api_client.v2.api.events_api import EventsApi
from datadog_api_client.v2.api.logs_api import LogsApi
from datadog_api_client.v2.api.metrics_api import MetricsApi as MetricsV2
from datadog_api_client.v2.api.software_catalog_api import SoftwareCatalogApi
from incident_sandbox import SandboxServer
from incident_sandbox.datadog.story import Story, load_story
from incident_sandbox.datadog.world import World

from airflow_incident_provider.evidence.calls import SERVICES, Call, Endpoint, first_calls
from airflow_incident_provider.evidence.request import EvidenceRequest

MONITOR = 148_275_309


def complete_story() -> Story:
    """Return a story for which every endpoint returns data."""
    parts = [load_story(name) for name in ("bad_deploy", "feature_flag", "planned_downtime", "all_hosts")]
    merged = {
        name: tuple(each for part in parts for each in getattr(part, name))
        for name in ("effects", "rollouts", "events", "logs", "issues", "monitors", "downtimes")
    }
    return parts[0].model_copy(update=merged)


@pytest.fixture
def world(datadog: SandboxServer) -> World:
    datadog.workspace.reset()
    return datadog.workspace.datadog.play(complete_story(), math.floor(time.time()) - 41)


@pytest.fixture
def client(datadog: SandboxServer) -> Iterator[ApiClient]:
    state = datadog.workspace.datadog
    keys = {"apiKeyAuth": state.api_key, "appKeyAuth": state.app_key}
    configuration = Configuration(host=datadog.datadog_url, api_key=keys)
    with ApiClient(configuration) as client:
        yield client


def unparsed(value: Any, path: str = "$") -> Iterator[str]:
    """Yield the paths in a response that do not match the client's models."""
    if isinstance(value, UnparsedObject) or getattr(value, "_unparsed", False):
        yield path
    elif isinstance(value, ModelNormal | ModelComposed):
        for name, member in value._data_store.items():
            yield from unparsed(member, f"{path}.{name}")
    elif isinstance(value, dict):
        for name, member in value.items():
            yield from unparsed(member, f"{path}.{name}")
    elif isinstance(value, list | tuple):
        for index, member in enumerate(value):
            yield from unparsed(member, f"{path}[{index}]")


def calls(world: World) -> dict[str, Call]:
    now = datetime.fromtimestamp(world.alerted_at + 41, tz=UTC)
    request = EvidenceRequest(
        service="checkout",
        env="prod",
        monitor_id=str(MONITOR),
        query=world.monitor_query,
        alerted_at=datetime.fromtimestamp(world.alerted_at, tz=UTC),
        now=now,
    )
    return {call.name: call for call in first_calls(request)}


def _body(model: str, call: Call) -> Any:
    """Return the request body as an instance of the client's model, which validates it."""
    import importlib

    module = "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in model).lstrip("_")
    module = module.replace("d_o_r_a", "dora")
    result = getattr(importlib.import_module(f"datadog_api_client.v2.model.{module}"), model)
    return result(**dict(call.body or {}))


READERS: dict[Endpoint, Callable[[ApiClient, Call], Any]] = {
    Endpoint.MONITOR: lambda client, call: MonitorsApi(client).get_monitor(  # noqa: ARG005
        MONITOR, group_states="all", with_downtimes=True
    ),
    Endpoint.METRIC_QUERY: lambda client, call: MetricsV1(client).query_metrics(
        _from=int(call.query["from"]), to=int(call.query["to"]), query=str(call.query["query"])
    ),
    Endpoint.TIMESERIES: lambda client, call: MetricsV2(client).query_timeseries_data(
        body=_body("TimeseriesFormulaQueryRequest", call)
    ),
    Endpoint.MONITOR_GROUPS: lambda client, call: MonitorsApi(client).search_monitor_groups(
        query=str(call.query["query"]), per_page=int(call.query["per_page"])
    ),
    Endpoint.DOWNTIMES: lambda client, call: DowntimesApi(client).list_monitor_downtimes(MONITOR),  # noqa: ARG005
    Endpoint.DEPLOYMENTS: lambda client, call: DORAMetricsApi(client).list_dora_deployments(
        body=_body("DORAListDeploymentsRequest", call)
    ),
    Endpoint.EVENTS: lambda client, call: EventsApi(client).search_events(body=_body("EventsListRequest", call)),
    Endpoint.LOGS: lambda client, call: LogsApi(client).list_logs(body=_body("LogsListRequest", call)),
    Endpoint.ERROR_TRACKING: lambda client, call: ErrorTrackingApi(client).search_issues(
        include=_include(), body=_body("IssuesSearchRequest", call)
    ),
    Endpoint.ENTITIES: lambda client, call: SoftwareCatalogApi(client).list_catalog_entity(
        filter_name=str(call.query["filter[name]"]), include=_schema()
    ),
    Endpoint.RELATIONS: lambda client, call: SoftwareCatalogApi(client).list_catalog_relation(
        filter_from_ref=str(call.query["filter[from_ref]"]), include_discovered=True
    ),
}


def _include() -> Any:
    from datadog_api_client.v2.model.search_issues_include_query_parameter_item import (
        SearchIssuesIncludeQueryParameterItem,
    )

    return [SearchIssuesIncludeQueryParameterItem.ISSUE]


def _schema() -> Any:
    from datadog_api_client.v2.model.include_type import IncludeType

    return IncludeType.SCHEMA


@pytest.mark.parametrize("endpoint", list(Endpoint))
def test_official_client_parses_every_response(endpoint: Endpoint, world: World, client: ApiClient) -> None:
    call = next(call for call in calls(world).values() if call.endpoint is endpoint)
    response = READERS[endpoint](client, call)
    assert list(unparsed(response)) == []
    assert _size(response) > 0


def _size(response: Any) -> int:
    """Return the number of rows in a response, whichever member contains them."""
    for name in ("data", "series", "groups", "name"):
        result = getattr(response, name, None)
        if result is not None:
            attributes = getattr(result, "attributes", None)
            rows = result if attributes is None else attributes.series.value
            return len(rows)
    return 0


def test_first_calls_cover_every_endpoint(world: World) -> None:
    result = calls(world)
    assert {call.endpoint for call in result.values()} == set(Endpoint)
    assert SERVICES in result
