"""
The floor: the same calls and containers as the DAG, one after another, without an orchestrator.

``python plain_script.py JOB ALERT`` prints when it had been loaded, in seconds since the epoch.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import docker  # noqa: TID253 - a script of its own
from slack_sdk import WebClient  # noqa: TID253


def main(job: dict[str, Any], alert: dict[str, Any]) -> None:
    """Open the room, investigate, tell what was found, and sum up."""
    key = f"dd.{alert['alert']['id']}.{alert['alert']['cycle_key']}"
    slack = WebClient(job["slack_token"], base_url=job["slack_url"])
    slack.auth_test()
    users = [slack.users_lookupByEmail(email=email)["user"]["id"] for email in job["people"]]
    channel = slack.conversations_create(name=f"inc-{alert['alert']['cycle_key']}")["channel"]["id"]
    title = alert["alert"]["title"]
    brief = post(slack, channel, title, f"{key}/brief")
    slack.conversations_setPurpose(channel=channel, purpose=f"{title} (key {key})")
    slack.conversations_invite(channel=channel, users=",".join(users), force=True)
    slack.conversations_setTopic(channel=channel, topic=title)
    slack.pins_add(channel=channel, timestamp=brief)
    for label, url in job["bookmarks"]:
        slack.bookmarks_add(channel_id=channel, title=label, type="link", link=url)
    slack.conversations_members(channel=channel)
    slack.chat_getPermalink(channel=channel, message_ts=brief)
    slack.chat_update(channel=channel, ts=brief, text=f"{title}: {len(users)} people are here")
    outputs = [run_container(spec, job) for spec in job["containers"]]
    post(slack, channel, "\n".join(outputs), f"{key}/run/post_investigation_updates/0", thread_ts=brief)
    slack.conversations_members(channel=channel)
    post(slack, channel, f"{title}: {len(outputs)} probes have run", f"{key}/run/summary/0")
    slack.chat_update(channel=channel, ts=brief, text=f"{title}: done")


def post(slack: WebClient, channel: str, text: str, key: str, *, thread_ts: str | None = None) -> str:
    """Post a message that carries a key and return its timestamp."""
    metadata = {"event_type": "airflow_incident", "event_payload": {"key": key}}
    answer = slack.chat_postMessage(channel=channel, text=text[:3000], metadata=metadata, thread_ts=thread_ts)
    return str(answer["ts"])


def run_container(spec: dict[str, Any], job: dict[str, Any]) -> str:
    """Run one container to its end, remove it, and return its output."""
    client = docker.from_env()
    container = client.containers.run(
        spec["image"],
        entrypoint=spec["entrypoint"],
        environment=spec["environment"],
        network=spec["network"],
        dns=[job["dns"]],
        user="65534:65534",
        mem_limit="64m",
        read_only=True,
        cap_drop=["ALL"],
        tmpfs={"/tmp": "rw,noexec,nosuid,nodev,size=8m"},
        detach=True,
    )
    container.wait()
    output = container.logs()
    container.remove()
    return f"{spec['name']}: {output.decode(errors='replace')}"


if __name__ == "__main__":
    print(time.time(), flush=True)
    main(json.loads(Path(sys.argv[1]).read_text()), json.loads(Path(sys.argv[2]).read_text()))
