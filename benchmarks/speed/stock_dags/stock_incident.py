"""The same first minutes of an incident as a DAG that a user would write from stock operators and hooks."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from airflow.providers.docker.operators.docker import DockerOperator
from airflow.providers.slack.hooks.slack import SlackHook
from airflow.sdk import dag, task
from docker.types import Mount  # noqa: TID253 - as a user would write it today

JOB = json.loads(Path(os.environ["SPEED_JOB"]).read_text())


@dag(dag_id="stock_incident", schedule=None, catchup=False, max_active_runs=100, max_active_tasks=100)
def stock_incident() -> None:
    """Compose the same seven steps."""

    @task
    def parse_incident_event(*, dag_run: Any) -> dict[str, Any]:
        alert = dag_run.conf["datadog"]["alert"]
        return {
            "key": f"dd.{alert['id']}.{alert['cycle_key']}",
            "title": alert["title"],
            "name": f"inc-{alert['cycle_key']}",
        }

    @task
    def setup_slack_integration(incident: dict[str, Any]) -> dict[str, Any]:
        SlackHook(slack_conn_id="slack_api_default").client.auth_test()
        return incident

    @task
    def resolve_slack_users(incident: dict[str, Any]) -> list[str]:  # noqa: ARG001 - it makes the order
        slack = SlackHook(slack_conn_id="slack_api_default").client
        return [slack.users_lookupByEmail(email=email)["user"]["id"] for email in JOB["people"]]

    @task
    def create_war_room(incident: dict[str, Any], users: list[str]) -> dict[str, str]:
        slack = SlackHook(slack_conn_id="slack_api_default").client
        channel = slack.conversations_create(name=incident["name"])["channel"]["id"]
        brief = _post(slack, channel, incident["title"], f"{incident['key']}/brief")
        slack.conversations_setPurpose(channel=channel, purpose=f"{incident['title']} (key {incident['key']})")
        slack.conversations_invite(channel=channel, users=",".join(users), force=True)
        slack.conversations_setTopic(channel=channel, topic=incident["title"])
        slack.pins_add(channel=channel, timestamp=brief)
        for label, url in JOB["bookmarks"]:
            slack.bookmarks_add(channel_id=channel, title=label, type="link", link=url)
        slack.conversations_members(channel=channel)
        slack.chat_getPermalink(channel=channel, message_ts=brief)
        slack.chat_update(channel=channel, ts=brief, text=f"{incident['title']}: {len(users)} people are here")
        return {"channel": channel, "brief": brief}

    @task
    def post_investigation_updates(incident: dict[str, Any], room: dict[str, str], *, ti: Any) -> int:
        slack = SlackHook(slack_conn_id="slack_api_default").client
        outputs = ti.xcom_pull(task_ids=[f"investigate_{spec['name']}" for spec in JOB["containers"]])
        text = "\n".join(str(output) for output in outputs)
        key = f"{incident['key']}/run/post_investigation_updates/0"
        _post(slack, room["channel"], text, key, thread_ts=room["brief"])
        return len(outputs)

    @task
    def final_summary(incident: dict[str, Any], room: dict[str, str], count: int) -> None:
        slack = SlackHook(slack_conn_id="slack_api_default").client
        slack.conversations_members(channel=room["channel"])
        text = f"{incident['title']}: {count} probes have run"
        _post(slack, room["channel"], text, f"{incident['key']}/run/summary/0")
        slack.chat_update(channel=room["channel"], ts=room["brief"], text=f"{incident['title']}: done")

    incident = parse_incident_event()
    ready = setup_slack_integration(incident)
    room = create_war_room(incident, resolve_slack_users(ready))
    findings = [_investigate(spec) for spec in JOB["containers"]]
    updates = post_investigation_updates(incident, room)
    room >> findings >> updates
    final_summary(incident, room, updates)


def _investigate(spec: dict[str, Any]) -> DockerOperator:
    return DockerOperator(
        task_id=f"investigate_{spec['name']}",
        image=spec["image"],
        entrypoint=spec["entrypoint"],
        environment=spec["environment"],
        network_mode=spec["network"],
        dns=[JOB["dns"]],
        user="65534:65534",
        mem_limit="64m",
        mounts=[Mount(target="/tmp", source=None, type="tmpfs", tmpfs_size=8_000_000)],
        mount_tmp_dir=False,
        auto_remove="force",
        xcom_all=True,
    )


def _post(slack: Any, channel: str, text: str, key: str, *, thread_ts: str | None = None) -> str:
    metadata = {"event_type": "airflow_incident", "event_payload": {"key": key}}
    answer = slack.chat_postMessage(channel=channel, text=text[:3000], metadata=metadata, thread_ts=thread_ts)
    return str(answer["ts"])


stock_incident()
