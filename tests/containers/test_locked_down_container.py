"""One container of the operators on a real engine: how it is locked down, how it ends, and that it is gone."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from incident_sandbox.demo.processes import wait_until

from airflow_incident_provider.probes import MAX_OUTPUT_BYTES, ContainerOutput

ALPINE_IMAGE = "alpine:3.23"

pytestmark = pytest.mark.docker

OWNER = "test/locked-down"
NOWHERE = "127.0.0.1:1/nope:1"
"""An image of a registry that no packet leaves this machine for, and that is not there."""


@pytest.fixture
def client(docker_engine: Any) -> Iterator[Any]:
    """The low-level client; whatever a test leaves behind is removed."""
    from airflow_incident_provider.containers import reap

    yield docker_engine.api
    reap(docker_engine.api, owner=OWNER, now=None)


@pytest.fixture
def run(client: Any) -> Callable[..., ContainerOutput]:
    from airflow_incident_provider.containers import ContainerSpec, LockedDownContainer

    def run(*command: str, image: str = ALPINE_IMAGE, **spec: Any) -> ContainerOutput:
        options = {"network": "none", "pull": "never"} | spec
        wanted = ContainerSpec(image=image, owner=OWNER, entrypoint=command, **options)
        return LockedDownContainer(client, wanted, host="here").run()

    return run


def left_behind(client: Any) -> list[str]:
    found = client.containers(all=True, filters={"label": f"airflow_incident_provider.task={OWNER}"})
    return [container["Id"] for container in found]


def first_left_behind(client: Any) -> str:
    wait_until(lambda: bool(left_behind(client)), what="the container", timeout=20)
    return left_behind(client)[0]


def test_output_exit_code_and_image_come_back(run: Callable[..., ContainerOutput], client: Any) -> None:
    output = run("sh", "-c", "echo out; echo err >&2; exit 3")
    assert set(output.stdout.split()) == {b"out", b"err"}
    assert (output.exit_code, output.timed_out, output.oom_killed, output.truncated) == (3, False, False, False)
    assert (output.image_digest or "").startswith("sha256:")
    assert output.host == "here"
    assert left_behind(client) == []


def test_hardening_as_the_engine_sees_it(run: Callable[..., ContainerOutput], client: Any) -> None:
    running = threading.Thread(target=run, args=("sleep", "5"))
    running.start()
    try:
        seen = client.inspect_container(first_left_behind(client))
        client.kill(seen["Id"])
    finally:
        running.join()
    limits, config = seen["HostConfig"], seen["Config"]
    assert limits["ReadonlyRootfs"] is True
    assert limits["CapDrop"] == ["ALL"]
    assert not limits["CapAdd"]
    assert limits["SecurityOpt"] == ["no-new-privileges:true"]
    assert limits["Privileged"] is False
    assert limits["PidsLimit"] == 64
    assert limits["Memory"] == limits["MemorySwap"] == 64 * 1024 * 1024
    assert limits["NanoCpus"] == 1_000_000_000
    assert (limits["NetworkMode"], limits["PidMode"], limits["UTSMode"]) == ("none", "", "")
    assert not limits["Binds"]
    assert not limits.get("Mounts")
    assert not limits.get("Devices")
    assert seen["Mounts"] == []
    assert config["User"] == "65534:65534"
    assert config["Labels"]["airflow_incident_provider.task"] == OWNER


def test_hardening_as_seen_from_inside(run: Callable[..., ContainerOutput]) -> None:
    script = """
        id -u; touch /etc/x 2>/dev/null && echo wrote; touch /x 2>/dev/null && echo wrote
        printf '#!/bin/sh\\necho ran' > /tmp/x; chmod +x /tmp/x; /tmp/x 2>/dev/null
        grep -E '^(CapEff|CapBnd|NoNewPrivs)' /proc/self/status; ls /var/run/docker.sock 2>/dev/null
    """
    output = run("sh", "-c", script).stdout.decode()
    assert output.split() == ["65534", "CapEff:", "0" * 16, "CapBnd:", "0" * 16, "NoNewPrivs:", "1"]


def test_time_limit_kills_from_outside(run: Callable[..., ContainerOutput], client: Any) -> None:
    output = run("sh", "-c", "trap '' TERM; echo begun; while :; do sleep 1; done", timeout_s=2)
    assert (output.timed_out, output.exit_code) == (True, None)
    assert output.stdout == b"begun\n"
    assert 2_000 <= output.duration_ms < 10_000
    assert left_behind(client) == []


def test_memory_limit(run: Callable[..., ContainerOutput]) -> None:
    output = run("awk", 'BEGIN { s = "x"; while (1) s = s s }')
    assert output.oom_killed or output.exit_code in {1, 137}


def test_process_limit(run: Callable[..., ContainerOutput]) -> None:
    output = run("sh", "-c", "i=0; while [ $i -lt 100 ]; do sleep 5 & i=$((i+1)); done; echo all", timeout_s=15)
    assert b"all" not in output.stdout
    assert b"fork" in output.stdout


def test_endless_output_is_bounded(run: Callable[..., ContainerOutput]) -> None:
    output = run("yes", "0123456789" * 10, timeout_s=2)
    assert output.timed_out
    assert output.truncated
    assert len(output.stdout) == MAX_OUTPUT_BYTES


def test_arguments_are_no_shell_line(run: Callable[..., ContainerOutput]) -> None:
    hostile = "$(id) `id` ; id | id > /tmp/x && \n id"
    assert run("echo", hostile, "$TOKEN", environment={"TOKEN": "secret"}).stdout == f"{hostile} $TOKEN\n".encode()


@pytest.mark.parametrize("pull", ["never", "missing"])
def test_image_that_is_not_there(run: Callable[..., ContainerOutput], pull: str) -> None:
    from airflow_incident_provider.engine import EngineError

    with pytest.raises(EngineError, match=f"the image {NOWHERE} is not on this engine"):
        run("true", image=NOWHERE, pull=pull)


def test_program_that_is_not_there(run: Callable[..., ContainerOutput], client: Any) -> None:
    from airflow_incident_provider.engine import EngineError

    with pytest.raises(EngineError, match="no-such-program"):
        run("no-such-program")
    assert left_behind(client) == []


def test_container_that_is_removed_by_others_while_it_runs(
    run: Callable[..., ContainerOutput], client: Any
) -> None:
    """The task ends and says so, rather than waiting or failing for another reason."""
    from airflow_incident_provider.engine import EngineError

    outcome: list[object] = []

    def attempt() -> None:
        try:
            outcome.append(run("sleep", "30"))
        except EngineError as error:
            outcome.append(error)

    running = threading.Thread(target=attempt)
    running.start()
    client.remove_container(first_left_behind(client), force=True)
    running.join(20)
    assert isinstance(outcome[0], EngineError) or outcome[0].exit_code == 137  # type: ignore[attr-defined]


# --- what a killed worker leaves --------------------------------------------------------------------

EXPIRED_S, AHEAD_S = 60, 100
"""A lifetime, and a clock that is so far ahead that it is over.

By the engine's own clock it is not, so that no investigation of another test reaps these first. Nor does this clock
end an investigation of another test: the lifetime of each is 120 s longer than it may run.
"""


@pytest.fixture
def leave(client: Any) -> Iterator[Callable[..., str]]:
    """Leave a container behind, as a worker does that is killed."""
    from airflow_incident_provider import containers

    made: list[str] = []

    def leave(*, owner: str, lifetime_s: int) -> str:
        labels = {
            containers.LABEL: containers.LABEL_VALUE,
            containers.OWNER_LABEL: owner,
            containers.LIFETIME_LABEL: str(lifetime_s),
        }
        made.append(client.create_container(ALPINE_IMAGE, ["sleep", "60"], labels=labels)["Id"])
        return made[-1]

    yield leave
    for container in made:
        if exists(client, container):
            client.remove_container(container, force=True)


def exists(client: Any, container: str) -> bool:
    return any(container == found["Id"] for found in client.containers(all=True))


def test_reaping_takes_our_own_and_the_expired(client: Any, leave: Callable[..., str]) -> None:
    from airflow_incident_provider.containers import reap

    mine = leave(owner="test/mine", lifetime_s=600)
    expired = leave(owner="test/another", lifetime_s=EXPIRED_S)
    alive = leave(owner="test/another", lifetime_s=600)
    assert reap(client, owner="test/mine", now=time.time() + AHEAD_S) >= 2
    assert [exists(client, each) for each in (mine, expired, alive)] == [False, False, True]


def test_reaping_at_the_same_time(client: Any, leave: Callable[..., str]) -> None:
    """Every probe of an incident reaps when it is done: they meet at the same expired containers."""
    import docker

    from airflow_incident_provider.containers import reap

    left = [leave(owner="test/another", lifetime_s=EXPIRED_S) for _ in range(6)]
    for container in left:
        client.start(container)
    start = threading.Barrier(4)

    def attempt(_: int) -> int:
        own = docker.from_env().api
        start.wait()
        return reap(own, owner="test/mine", now=time.time() + AHEAD_S)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(attempt, range(4)))
    assert not any(exists(client, each) for each in left)
