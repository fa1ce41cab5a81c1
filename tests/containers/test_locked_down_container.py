"""A container of the operators on a real engine: its restrictions, its end and its removal."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from incident_sandbox.demo.processes import wait_until

from airflow_incident_provider.probes import MAX_OUTPUT_BYTES, ContainerOutput

from ..conftest import ALPINE_IMAGE

pytestmark = pytest.mark.docker

OWNER = "test/locked-down"
MISSING_IMAGE = "127.0.0.1:1/nope:1"
"""An image in an unreachable registry on this machine."""


@pytest.fixture
def client(docker_engine: Any) -> Iterator[Any]:
    """The low-level client. Removes the containers of a test at the end."""
    from airflow_incident_provider.containers import reap

    yield docker_engine.api
    reap(docker_engine.api, owner=OWNER, now=None)


@pytest.fixture
def run(client: Any) -> Callable[..., ContainerOutput]:
    from airflow_incident_provider.containers import ContainerSpec, LockedDownContainer

    def run(*command: str, image: str = ALPINE_IMAGE, **spec: Any) -> ContainerOutput:
        options = {"network": "none", "pull": "never"} | spec
        container_spec = ContainerSpec(image=image, owner=OWNER, entrypoint=command, **options)
        return LockedDownContainer(client, container_spec, host="here").run()

    return run


def remaining_containers(client: Any) -> list[str]:
    found = client.containers(all=True, filters={"label": f"airflow_incident_provider.task={OWNER}"})
    return [container["Id"] for container in found]


def wait_for_container(client: Any) -> str:
    wait_until(lambda: bool(remaining_containers(client)), what="the container", timeout=20)
    return remaining_containers(client)[0]


def test_run_returns_output_exit_code_and_image(run: Callable[..., ContainerOutput], client: Any) -> None:
    output = run("sh", "-c", "echo out; echo err >&2; exit 3")
    assert set(output.stdout.split()) == {b"out", b"err"}
    assert (output.exit_code, output.timed_out, output.oom_killed, output.truncated) == (3, False, False, False)
    assert (output.image_digest or "").startswith("sha256:")
    assert output.host == "here"
    assert remaining_containers(client) == []


def test_hardening_in_the_engine(run: Callable[..., ContainerOutput], client: Any) -> None:
    running = threading.Thread(target=run, args=("sleep", "5"))
    running.start()
    try:
        seen = client.inspect_container(wait_for_container(client))
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


def test_hardening_inside_the_container(run: Callable[..., ContainerOutput]) -> None:
    script = """
        id -u; touch /etc/x 2>/dev/null && echo wrote; touch /x 2>/dev/null && echo wrote
        printf '#!/bin/sh\\necho ran' > /tmp/x; chmod +x /tmp/x; /tmp/x 2>/dev/null
        grep -E '^(CapEff|CapBnd|NoNewPrivs)' /proc/self/status; ls /var/run/docker.sock 2>/dev/null
    """
    output = run("sh", "-c", script).stdout.decode()
    assert output.split() == ["65534", "CapEff:", "0" * 16, "CapBnd:", "0" * 16, "NoNewPrivs:", "1"]


def test_timeout_kills_the_container(run: Callable[..., ContainerOutput], client: Any) -> None:
    output = run("sh", "-c", "trap '' TERM; echo begun; while :; do sleep 1; done", timeout_s=2)
    assert (output.timed_out, output.exit_code) == (True, None)
    assert output.stdout == b"begun\n"
    assert 2_000 <= output.duration_ms < 10_000
    assert remaining_containers(client) == []


def test_memory_limit(run: Callable[..., ContainerOutput]) -> None:
    output = run("awk", 'BEGIN { s = "x"; while (1) s = s s }')
    assert output.oom_killed or output.exit_code in {1, 137}


def test_process_limit(run: Callable[..., ContainerOutput]) -> None:
    output = run("sh", "-c", "i=0; while [ $i -lt 100 ]; do sleep 5 & i=$((i+1)); done; echo all", timeout_s=15)
    assert b"all" not in output.stdout
    assert b"fork" in output.stdout


def test_endless_output_is_truncated(run: Callable[..., ContainerOutput]) -> None:
    output = run("yes", "0123456789" * 10, timeout_s=2)
    assert output.timed_out
    assert output.truncated
    assert len(output.stdout) == MAX_OUTPUT_BYTES


def test_arguments_are_not_interpreted_by_a_shell(run: Callable[..., ContainerOutput]) -> None:
    hostile = "$(id) `id` ; id | id > /tmp/x && \n id"
    assert run("echo", hostile, "$TOKEN", environment={"TOKEN": "secret"}).stdout == f"{hostile} $TOKEN\n".encode()


@pytest.mark.parametrize("pull", ["never", "missing"])
def test_missing_image_is_an_error(run: Callable[..., ContainerOutput], pull: str) -> None:
    from airflow_incident_provider.engine import EngineError

    with pytest.raises(EngineError, match=f"the image {MISSING_IMAGE} is not on this engine"):
        run("true", image=MISSING_IMAGE, pull=pull)


def test_missing_program_is_an_error(run: Callable[..., ContainerOutput], client: Any) -> None:
    from airflow_incident_provider.engine import EngineError

    with pytest.raises(EngineError, match="no-such-program"):
        run("no-such-program")
    assert remaining_containers(client) == []


def test_removed_container_ends_the_run(run: Callable[..., ContainerOutput], client: Any) -> None:
    from airflow_incident_provider.engine import EngineError

    outcome: list[object] = []

    def attempt() -> None:
        try:
            outcome.append(run("sleep", "30"))
        except EngineError as error:
            outcome.append(error)

    running = threading.Thread(target=attempt)
    running.start()
    client.remove_container(wait_for_container(client), force=True)
    running.join(20)
    assert isinstance(outcome[0], EngineError) or outcome[0].exit_code == 137  # type: ignore[attr-defined]


# --- containers of killed workers --------------------------------------------------------------------

EXPIRED_S, AHEAD_S = 60, 100
"""A lifetime, and an offset of the clock after which it has expired.

By the engine's clock it has not, so that no concurrent test reaps these containers first. The offset does not
affect the containers of concurrent tests either: their lifetime is 120 s longer than their timeout.
"""


@pytest.fixture
def create_container(client: Any) -> Iterator[Callable[..., str]]:
    """Create a container, as a killed worker leaves it."""
    from airflow_incident_provider import containers

    created: list[str] = []

    def create_container(*, owner: str, lifetime_s: int) -> str:
        labels = {
            containers.LABEL: containers.LABEL_VALUE,
            containers.OWNER_LABEL: owner,
            containers.LIFETIME_LABEL: str(lifetime_s),
        }
        created.append(client.create_container(ALPINE_IMAGE, ["sleep", "60"], labels=labels)["Id"])
        return created[-1]

    yield create_container
    for container in created:
        if exists(client, container):
            client.remove_container(container, force=True)


def exists(client: Any, container: str) -> bool:
    return any(container == found["Id"] for found in client.containers(all=True))


def test_reap_removes_own_and_expired_containers(client: Any, create_container: Callable[..., str]) -> None:
    from airflow_incident_provider.containers import reap

    mine = create_container(owner="test/mine", lifetime_s=600)
    expired = create_container(owner="test/another", lifetime_s=EXPIRED_S)
    alive = create_container(owner="test/another", lifetime_s=600)
    assert reap(client, owner="test/mine", now=time.time() + AHEAD_S) >= 2
    assert [exists(client, each) for each in (mine, expired, alive)] == [False, False, True]


def test_concurrent_reaping(client: Any, create_container: Callable[..., str]) -> None:
    """The probes of an incident reap the same expired containers."""
    import docker

    from airflow_incident_provider.containers import reap

    left = [create_container(owner="test/another", lifetime_s=EXPIRED_S) for _ in range(6)]
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
