"""Alerts that go into the stack, and what must have come out: everything, once."""

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

from .stack import Stack  # isort: skip

DAG_ID = "incident_response"
SENDER_PATIENCE = 180.0
"""Seconds that a sender tries for: Datadog repeats what was not answered well."""


@dataclass(frozen=True)
class Sent:
    """An alert that was taken, and the run that it started."""

    service: str
    run_id: str
    seconds: float


@dataclass(frozen=True)
class Room:
    """A room as people find it.

    :param messages: how often each key was posted, with the run's id left out of the keys.
    """

    name: str
    members: frozenset[str]
    messages: Counter[str]
    texts: tuple[str, ...]


def payload(service: str) -> dict[str, Any]:
    """Return an alert of a service that no earlier alert named."""
    body = alert()
    body["tags"] = f"env:prod,monitor,service:{service}"
    title = f"[P1] [Triggered] {service} is down"
    scope = f"env:prod,service:{service}"
    body["alert"] |= {"id": str(abs(hash(service)) % 10**9), "title": title, "scope": scope}
    body["title"] = title
    return body


def send(stack: Stack, service: str) -> Sent:
    """Post one alert until it is taken, as Datadog does."""
    began = time.monotonic()
    body, headers = payload(service), {"X-Incident-Secret": stack.secrets["INCIDENT_WEBHOOK_SECRET"]}
    said = ""
    while time.monotonic() - began < SENDER_PATIENCE:
        try:
            answer = httpx.post(f"{stack.url}/incidents/webhook/datadog", json=body, headers=headers, timeout=15)
        except httpx.TransportError as error:
            said = repr(error)
        else:
            if answer.is_success:
                return Sent(service, answer.json()["run_id"], time.monotonic() - began)
            assert answer.status_code == httpx.codes.SERVICE_UNAVAILABLE, answer.text
            said = answer.text
        time.sleep(1)
    raise AssertionError(f"the alert of {service} was never taken: {said}")


def send_all(stack: Stack, services: Sequence[str]) -> list[Sent]:
    """Post alerts side by side."""
    with ThreadPoolExecutor(len(services)) as threads:
        return list(threads.map(lambda service: send(stack, service), services))


def finish(stack: Stack, sent: Sequence[Sent], *, timeout: float) -> dict[str, dict[str, Any]]:
    """Wait until the runs have ended, whatever is restarting meanwhile, and return them by service."""
    deadline = time.monotonic() + timeout
    ended: dict[str, dict[str, Any]] = {}
    api = stack.api
    while len(ended) < len(sent):
        for each in sent:
            if each.service not in ended and (run := _run(api, each.run_id))["state"] in FINAL_RUN_STATES:
                ended[each.service] = run
        left = sorted({each.service for each in sent} - ended.keys())
        assert time.monotonic() < deadline, f"still not done: {left}: {_states(api, sent, left)}"
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
    """Return the rooms of an incident: those whose name has the service's."""
    return [
        _room(control.channel(channel["id"]), sent)
        for channel in control.state()["channels"]
        if channel["creator"] == BOT_USER and f"-{sent.service}-" in f"{channel['name']}-"
    ]


def _room(channel: dict[str, Any], sent: Sent) -> Room:
    top = channel["messages"]
    messages = [*top, *(reply for each in top for reply in each["replies"]), *channel["orphans"]]
    ours = [each for each in messages if each["user"] == BOT_USER and each.get("subtype") is None]
    keys = [each["metadata"]["event_payload"]["key"] for each in ours]
    return Room(
        name=channel["name"],
        members=frozenset(channel["members"]),
        messages=Counter(_anonymous(key, sent) for key in keys),
        texts=tuple(str(each["text"]) for each in ours),
    )


def _anonymous(key: str, sent: Sent) -> str:
    return key.replace(sent.run_id, "RUN")


def wrong(
    control: SandboxClient, sent: Sequence[Sent], ended: dict[str, dict[str, Any]], clean: Room
) -> Iterator[str]:
    """Yield what was lost and what was doubled, held against a room of an incident that nothing disturbed."""
    for each in sent:
        if (state := ended[each.service]["state"]) != "success":
            yield f"{each.service}: the run ended as {state}"
        found = rooms(control, each)
        if len(found) != 1:
            yield f"{each.service}: {len(found)} rooms"
        for room in found:
            yield from (f"{each.service}: {what}" for what in _wrong_in(room, clean))


def _wrong_in(room: Room, clean: Room) -> Iterator[str]:
    for key in sorted(room.messages.keys() | clean.messages.keys()):
        if room.messages[key] != clean.messages[key]:
            yield f"{key} is there {room.messages[key]} times, not {clean.messages[key]}"
    if room.members != clean.members:
        yield f"the members are {sorted(room.members)}, not {sorted(clean.members)}"
