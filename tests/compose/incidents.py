"""Send alerts to the stack and check that each step's effects exist exactly once."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import httpx
from incident_sandbox import SandboxClient
from incident_sandbox.demo.alert import alert
from incident_sandbox.seed import BOT_USER

from airflow_incident_provider.cli.airflow_api import FINAL_RUN_STATES, AirflowApi, AirflowApiError

from .stack import Stack

DAG_ID = "incident_response"
SENDER_TIMEOUT = 180.0
"""Seconds for which a delivery is repeated, as Datadog does after errors."""


@dataclass(frozen=True)
class Sent:
    """An accepted alert and the run that it started."""

    service: str
    run_id: str
    seconds: float


@dataclass(frozen=True)
class Room:
    """The state of a room.

    :param messages: how often each key was posted, with the run's ID replaced.
    """

    name: str
    members: frozenset[str]
    messages: Counter[str]
    texts: tuple[str, ...]


def payload(service: str) -> dict[str, Any]:
    """Return a new alert of a service."""
    body = alert()
    body["tags"] = f"env:prod,monitor,service:{service}"
    title = f"[P1] [Triggered] {service} is down"
    scope = f"env:prod,service:{service}"
    body["alert"] |= {"id": str(abs(hash(service)) % 10**9), "title": title, "scope": scope}
    body["title"] = title
    return body


def send(stack: Stack, service: str) -> Sent:
    """Post an alert until it is accepted, as Datadog does."""
    started = time.monotonic()
    body, headers = payload(service), {"X-Incident-Secret": stack.secrets["INCIDENT_WEBHOOK_SECRET"]}
    error_text = ""
    while time.monotonic() - started < SENDER_TIMEOUT:
        try:
            response = httpx.post(f"{stack.url}/incidents/webhook/datadog", json=body, headers=headers, timeout=15)
        except httpx.TransportError as error:
            error_text = repr(error)
        else:
            if response.is_success:
                return Sent(service, response.json()["run_id"], time.monotonic() - started)
            assert response.status_code == httpx.codes.SERVICE_UNAVAILABLE, response.text
            error_text = response.text
        time.sleep(1)
    raise AssertionError(f"the alert of {service} was never accepted: {error_text}")


def send_all(stack: Stack, services: Sequence[str]) -> list[Sent]:
    """Post alerts concurrently."""
    with ThreadPoolExecutor(len(services)) as threads:
        return list(threads.map(lambda service: send(stack, service), services))


def wait_for_runs(stack: Stack, sent: Sequence[Sent], *, timeout: float) -> dict[str, dict[str, Any]]:
    """Wait until the runs have ended and return them by service. Services may restart in the meantime."""
    deadline = time.monotonic() + timeout
    ended: dict[str, dict[str, Any]] = {}
    api = stack.api
    while len(ended) < len(sent):
        for each in sent:
            if each.service not in ended and (run := _run(api, each.run_id))["state"] in FINAL_RUN_STATES:
                ended[each.service] = run
        left = sorted({each.service for each in sent} - ended.keys())
        assert time.monotonic() < deadline, f"not finished: {left}: {_states(api, sent, left)}"
        time.sleep(1)
    api.close()
    return ended


def _run(api: AirflowApi, run_id: str) -> dict[str, Any]:
    try:
        return api.run(DAG_ID, run_id)
    except AirflowApiError:
        return {"state": "unknown"}


def _states(api: AirflowApi, sent: Sequence[Sent], services: Sequence[str]) -> dict[str, dict[str, str]]:
    return {
        each.service: {
            f"{task['task_id']}[{task['map_index']}]": f"{task['state']} try {task['try_number']}"
            for task in api.task_instances(DAG_ID, each.run_id)
        }
        for each in sent
        if each.service in services
    }


def rooms(control: SandboxClient, sent: Sent) -> list[Room]:
    """Return the rooms of an incident, whose names contain the service."""
    return [
        _room(control.channel(channel["id"]), sent)
        for channel in control.state()["channels"]
        if channel["creator"] == BOT_USER and f"-{sent.service}-" in f"{channel['name']}-"
    ]


def _room(channel: dict[str, Any], sent: Sent) -> Room:
    top = channel["messages"]
    messages = [*top, *(reply for each in top for reply in each["replies"]), *channel["orphans"]]
    app_messages = [each for each in messages if each["user"] == BOT_USER and each.get("subtype") is None]
    keys = [each["metadata"]["event_payload"]["key"] for each in app_messages]
    return Room(
        name=channel["name"],
        members=frozenset(channel["members"]),
        messages=Counter(_without_run_id(key, sent) for key in keys),
        texts=tuple(str(each["text"]) for each in app_messages),
    )


def _without_run_id(key: str, sent: Sent) -> str:
    return key.replace(sent.run_id, "RUN")


def violations(
    control: SandboxClient, sent: Sequence[Sent], ended: dict[str, dict[str, Any]], clean: Room
) -> Iterator[str]:
    """Yield what is lost or duplicated, compared with the room of an undisturbed incident."""
    for each in sent:
        if (state := ended[each.service]["state"]) != "success":
            yield f"{each.service}: the run ended as {state}"
        found = rooms(control, each)
        if len(found) != 1:
            yield f"{each.service}: {len(found)} rooms"
        for room in found:
            yield from (f"{each.service}: {what}" for what in _room_violations(room, clean))


def _room_violations(room: Room, clean: Room) -> Iterator[str]:
    for key in sorted(room.messages.keys() | clean.messages.keys()):
        if room.messages[key] != clean.messages[key]:
            yield f"{key} exists {room.messages[key]} times, not {clean.messages[key]}"
    if room.members != clean.members:
        yield f"the members are {sorted(room.members)}, not {sorted(clean.members)}"
