"""The endpoints of the software catalog, answered from the story that is being played.

Source: https://docs.datadoghq.com/api/latest/software-catalog/.
"""

from __future__ import annotations

from typing import Any

from incident_sandbox.datadog.requests import Json
from incident_sandbox.datadog.world import World


def entities(world: World, name: str, *, with_schema: bool) -> Json:
    """Answer GET /api/v2/catalog/entity."""
    rows: list[Json] = []
    included: list[Json] = []
    for service, each in world.services.items():
        if name and service != name:
            continue
        attributes: Json = {
            "kind": "datastore" if each.kind == "datastore" else "service",
            "name": service,
            "namespace": "default",
            "owner": each.owner or "",
            "displayName": service,
            "tags": [],
            "apiVersion": "v3",
            "description": "",
        }
        rows.append({"id": f"entity-{service}", "type": "entity", "attributes": attributes})
        included.append(_schema(service, each))
    answer: Json = {"data": rows, "meta": {"count": len(rows), "includeCount": 0}}
    if with_schema:
        answer["included"] = included
    return answer


def _schema(service: str, each: Any) -> Json:
    metadata: Json = {"name": service, "namespace": "default"}
    if each.owner:
        metadata["owner"] = each.owner
    if each.runbook:
        metadata["links"] = [{"name": "Runbook", "type": "runbook", "url": each.runbook}]
    if each.contact:
        metadata["contacts"] = [{"name": "Team", "type": "slack", "contact": each.contact}]
    schema = {"apiVersion": "v3", "kind": "service", "metadata": metadata, "spec": {"type": each.kind}}
    return {"id": f"schema-{service}", "type": "schema", "attributes": {"schema": schema}}


def relations(world: World, from_ref: str, kind: str) -> Json:
    """Answer GET /api/v2/catalog/relation."""
    wanted = from_ref.rpartition("/")[2]
    rows: list[Json] = []
    for service, each in world.services.items():
        for callee in each.depends_on if not wanted or service == wanted else ():
            relation = {
                "from": {"kind": "service", "name": service, "namespace": "default"},
                "to": {"kind": "service", "name": callee, "namespace": "default"},
                "type": "RelationTypeDependsOn",
            }
            rows.append({"id": f"{service}-{callee}", "type": "relation", "attributes": relation})
    if kind not in {"", "RelationTypeDependsOn"}:
        rows = []
    return {"data": rows, "meta": {"count": len(rows), "includeCount": 0}}
