"""The Docker proxy with a real engine: investigations run, and every escape is refused."""

from __future__ import annotations

import http.client
import json
import queue
import socket
import subprocess
import sys
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from airflow_incident_provider.containers import ContainerSpec, LockedDownContainer, reap

from ..conftest import ALPINE_IMAGE

pytestmark = pytest.mark.docker

MARK = f"escape-{uuid.uuid4().hex[:12]}"
"""The prefix of all names in the attempts, to search the engine for them."""
LABELS = {"airflow_incident_provider": "investigation"}


@dataclass(frozen=True)
class Proxy:
    """A running proxy: its socket and its log lines."""

    path: Path
    log_lines: queue.Queue[str]

    def send(self, method: str, target: str, body: bytes = b"", **headers: str) -> tuple[int, str]:
        """Send a request unmodified and return the status and the message of the response."""
        with closing(http.client.HTTPConnection("docker")) as connection:
            connection.sock = socket.socket(socket.AF_UNIX)
            connection.sock.settimeout(20)
            connection.sock.connect(str(self.path))
            connection.putrequest(method, target, skip_accept_encoding=True)
            for name, value in {"Content-Length": str(len(body)), **headers}.items():
                connection.putheader(name, value)
            connection.endheaders(body)
            response = connection.getresponse()
            text = response.read().decode()
        return response.status, json.loads(text).get("message", "") if text else ""


@pytest.fixture(scope="module")
def proxy(docker_engine: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    path = tmp_path_factory.mktemp("proxy") / "docker.sock"
    command = [sys.executable, "-m", "incident_docker_proxy", "--listen", f"unix://{path}"]
    with subprocess.Popen([*command, "--allow-image", ALPINE_IMAGE], stderr=subprocess.PIPE, text=True) as process:
        lines: queue.Queue[str] = queue.Queue()
        reading = threading.Thread(target=lambda: [lines.put(line) for line in process.stderr or ()])
        reading.start()
        try:
            assert json.loads(lines.get(timeout=20))["event"] == "started"
            yield Proxy(path, lines)
        finally:
            process.terminate()
            reading.join()
    assert process.returncode == 0


@pytest.fixture(scope="module")
def client(proxy: Proxy) -> Iterator[Any]:
    """A Docker client connected to the proxy."""
    import docker

    with closing(docker.APIClient(base_url=f"unix://{proxy.path}", version="auto", timeout=20)) as api_client:
        yield api_client


@pytest.fixture(scope="module")
def other_container(docker_engine: Any) -> Iterator[Any]:
    """A container that is not an investigation."""
    container = docker_engine.containers.run(
        ALPINE_IMAGE, ["sleep", "600"], name=f"{MARK}-other", detach=True, network_mode="none", init=True
    )
    container.reload()
    yield container
    for remaining in docker_engine.containers.list(all=True, filters={"name": MARK}):
        remaining.remove(force=True)


def create_body(client: Any, script: str) -> dict[str, Any]:
    """Return the body of the operators' create request."""
    from docker.types import LogConfig

    host_config = client.create_host_config(
        read_only=True,
        cap_drop=["ALL"],
        security_opt=["no-new-privileges:true"],
        pids_limit=64,
        mem_limit="64m",
        memswap_limit="64m",
        nano_cpus=500_000_000,
        init=True,
        tmpfs={"/tmp": "rw,noexec,nosuid,size=8m"},
        network_mode="none",
        dns=["127.0.0.1"],
        auto_remove=False,
        log_config=LogConfig(type="json-file", config={"max-size": "1m"}),
    )
    config = client.create_container_config(
        ALPINE_IMAGE,
        command=None,
        entrypoint=["/bin/sh", "-c", script],
        environment={"TARGET_HOST": "checkout.example.com"},
        user="65534:65534",
        host_config=host_config,
        labels=LABELS,
        stop_timeout=1,
    )
    return dict(config)


def create_investigation(client: Any, script: str) -> str:
    """Create a container as the operators do and return its id."""
    return str(client.create_container_from_config(create_body(client, script))["Id"])


# --- investigations ----------------------------------------------------------------------------------


def test_container_of_the_operators_runs_and_is_removed(client: Any) -> None:
    spec = ContainerSpec(
        image=ALPINE_IMAGE,
        owner="dag/run/task",
        entrypoint=["/bin/sh", "-c", "echo $TARGET_HOST; exit 3"],
        environment={"TARGET_HOST": "checkout.example.com"},
        network="none",
        dns=["127.0.0.1"],
    )
    output = LockedDownContainer(client, spec, host="worker-1").run()
    assert (output.stdout, output.exit_code) == (b"checkout.example.com\n", 3)
    assert reap(client, owner="dag/run/task", now=None) == 0


def test_timeout_of_the_operators(client: Any) -> None:
    spec = ContainerSpec(image=ALPINE_IMAGE, owner="o", entrypoint=["sleep", "600"], network="none", timeout_s=1)
    assert LockedDownContainer(client, spec, host="worker-1").run().timed_out


def test_allowed_calls(client: Any) -> None:
    assert client.ping()
    assert client.info()["OSType"] == "linux"
    assert client.images(name=ALPINE_IMAGE)
    container = create_investigation(client, 'echo "$TARGET_HOST as $(id -u)"; touch /x; exit 3')
    try:
        output = client.attach(container, stdout=True, stderr=True, stream=True)
        client.start(container)
        attached = b"".join(output)
        assert b"checkout.example.com as 65534\n" in attached
        assert b"Read-only file system" in attached
        assert client.wait(container)["StatusCode"] == 3
        assert client.logs(container, stdout=True, stderr=False) == b"checkout.example.com as 65534\n"
        inspected = client.inspect_container(container)
        assert inspected["HostConfig"]["CapDrop"] == ["ALL"]
        assert ALPINE_IMAGE in client.inspect_image(inspected["Image"])["RepoTags"]
    finally:
        client.remove_container(container, force=True)
    assert container not in [found["Id"] for found in client.containers(all=True)]


def test_large_output_is_complete(client: Any) -> None:
    container = create_investigation(client, "seq 200000")
    try:
        output = client.attach(container, stdout=True, stderr=True, stream=True)
        client.start(container)
        assert b"".join(output).split() == [b"%d" % number for number in range(1, 200_001)]
    finally:
        client.remove_container(container, force=True)


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_hanging_investigation_is_ended_and_its_logs_followed(end: str, client: Any) -> None:
    container = create_investigation(client, "echo up; sleep 600")
    try:
        client.start(container)
        lines = client.logs(container, stream=True, follow=True)
        assert next(lines) == b"up\n"
        getattr(client, end)(container)
        assert list(lines) == []
        assert client.wait(container)["StatusCode"] in (137, 143)
    finally:
        client.remove_container(container, force=True)


def test_only_investigations_are_listed(client: Any, other_container: Any) -> None:
    container = create_investigation(client, "true")
    try:
        assert other_container.id not in [found["Id"] for found in client.containers(all=True)]
        listed = client.containers(all=True, filters={"label": ["airflow_incident_provider"]})
        assert container in [found["Id"] for found in listed]
    finally:
        client.remove_container(container)


# --- refused requests --------------------------------------------------------------------------------

Change = Callable[[dict[str, Any]], object]

PRIVILEGED = {"Privileged": True}
ROOT_BIND = ["/:/host"]


def host(**settings: Any) -> Change:
    """Change settings of the host configuration."""
    return lambda body: body["HostConfig"].update(settings)


def container(**settings: Any) -> Change:
    """Change settings of the container configuration."""
    return lambda body: body.update(settings)


CREATE_CHANGES: dict[str, Change] = {
    "privileged": host(**PRIVILEGED),
    "privileged in small letters": host(privileged=True),
    "binds with a long s": host(**{"Bind\u017f": ROOT_BIND}),
    "second host configuration in small letters": container(hostconfig=PRIVILEGED),
    "root file system bound": host(Binds=ROOT_BIND),
    "docker socket bound": host(Binds=["/var/run/docker.sock:/var/run/docker.sock"]),
    "bind by mount": host(Mounts=[{"Type": "bind", "Source": "/", "Target": "/host"}]),
    "named volume": host(Mounts=[{"Type": "volume", "Source": MARK, "Target": "/data"}]),
    "anonymous volume": container(Volumes={"/data": {}}),
    "another container's volumes": host(VolumesFrom=[f"{MARK}-other"]),
    "device": host(Devices=[{"PathOnHost": "/dev/mem", "PathInContainer": "/dev/mem", "CgroupPermissions": "rwm"}]),
    "device rule": host(DeviceCgroupRules=["a *:* rwm"]),
    "added capability": host(CapAdd=["SYS_ADMIN"]),
    "capabilities kept": host(CapDrop=None),
    "host network": host(NetworkMode="host"),
    "host network by endpoint": container(NetworkingConfig={"EndpointsConfig": {"host": {}}}),
    "another container's network": host(NetworkMode=f"container:{MARK}-other"),
    "host processes": host(PidMode="host"),
    "another container's processes": host(PidMode=f"container:{MARK}-other"),
    "host ipc": host(IpcMode="host"),
    "seccomp off": host(SecurityOpt=["no-new-privileges:true", "seccomp=unconfined"]),
    "new privileges": host(SecurityOpt=[]),
    "kernel setting": host(Sysctls={"net.ipv4.ip_forward": "1"}),
    "proc unmasked": host(MaskedPaths=[], ReadonlyPaths=["/none"]),
    "root user": container(User="0:0"),
    "writable root": host(ReadonlyRootfs=False),
    "memory without end": host(Memory=0, MemorySwap=0),
    "processes without end": host(PidsLimit=-1),
    "tmpfs over proc": host(Tmpfs={"/proc/sys": "rw,noexec,nosuid,size=1m"}),
    "restart for ever": host(RestartPolicy={"Name": "always"}),
    "metadata by another name": host(ExtraHosts=["x:169.254.169.254"]),
    "working directory in proc": container(WorkingDir="/proc/self/fd/8"),
    "other image": container(Image="curlimages/curl:8.22.0"),
    "no label": container(Labels={}),
}


@pytest.fixture
def valid_body(client: Any) -> dict[str, Any]:
    return create_body(client, "true")


def create(proxy: Proxy, body: bytes) -> tuple[int, str]:
    target = f"/v1.41/containers/create?name={MARK}-{uuid.uuid4().hex[:8]}"
    return proxy.send("POST", target, body, **{"Content-Type": "application/json"})


def test_unchanged_create_request_is_accepted(proxy: Proxy, valid_body: dict[str, Any], docker_engine: Any) -> None:
    assert create(proxy, json.dumps(valid_body).encode()) == (201, "")
    (created,) = docker_engine.containers.list(all=True, filters={"name": f"{MARK}-", "status": "created"})
    created.remove()


def test_engine_accepts_keys_in_any_case(docker_engine: Any) -> None:
    body = {"image": ALPINE_IMAGE, "HOSTCONFIG": {"privileged": True, "networkMODE": "none"}}
    created = docker_engine.api.create_container_from_config(body, name=f"{MARK}-spelling")
    try:
        assert docker_engine.api.inspect_container(created["Id"])["HostConfig"]["Privileged"] is True
    finally:
        docker_engine.api.remove_container(created["Id"])


@pytest.mark.parametrize("change", CREATE_CHANGES.values(), ids=CREATE_CHANGES)
def test_escape_in_create_request_is_refused(change: Change, proxy: Proxy, valid_body: dict[str, Any]) -> None:
    change(valid_body)
    assert_refused(create(proxy, json.dumps(valid_body).encode()))


RAW_BODIES: dict[str, Callable[[str], str]] = {
    "two host configurations": lambda body: body[:-1] + ', "HostConfig": {"Privileged": true}}',
    "two of a setting": lambda body: body.replace('"CapDrop"', '"CapDrop": ["ALL"], "CapDrop"', 1),
    "a second document": lambda body: body + '{"HostConfig": {"Privileged": true}}',
    "an escaped letter": lambda body: body[:-1] + ', "Host\\u0043onfig": {"Privileged": true}}',
    "not UTF-8": lambda body: body[:-1] + ', "\udc80": 1}',
    "too large": lambda body: body + " " * 70_000,
}


@pytest.mark.parametrize("rewrite", RAW_BODIES.values(), ids=RAW_BODIES)
def test_ambiguous_body_is_refused(rewrite: Callable[[str], str], proxy: Proxy, valid_body: dict[str, Any]) -> None:
    assert_refused(create(proxy, rewrite(json.dumps(valid_body)).encode("utf-8", "surrogateescape")))


CALLS: dict[str, tuple[str, str, Any]] = {
    "run in another container": ("POST", "/containers/{other}/exec", {"Cmd": ["id"]}),
    "look at another container": ("GET", "/containers/{other}/json", None),
    "another container by a part of its id": ("GET", "/containers/{short}/json", None),
    "another container by its name": ("GET", f"/containers/{MARK}-other/json", None),
    "logs of another container": ("GET", "/containers/{other}/logs?stdout=1", None),
    "stop another container": ("POST", "/containers/{other}/stop", None),
    "remove another container": ("DELETE", "/containers/{other}?force=1", None),
    "update another container": ("POST", "/containers/{other}/update", {"Memory": 0}),
    "read a file of another container": ("GET", "/containers/{other}/archive?path=/etc/passwd", None),
    "write a file into another container": ("PUT", "/containers/{other}/archive?path=/", {}),
    "prune containers": ("POST", "/containers/prune", None),
    "commit a container": ("POST", f"/commit?container={{other}}&repo={MARK}", {}),
    "start with host settings": ("POST", "/containers/{other}/start", {"Privileged": True}),
    "create a volume": ("POST", "/volumes/create", {"Name": MARK}),
    "build an image": ("POST", f"/build?t={MARK}&remote=http://127.0.0.1/x", None),
    "load an image": ("POST", "/images/load", {}),
    "pull an image": ("POST", f"/images/create?fromImage={MARK}&tag=1", None),
    "remove an image": ("DELETE", f"/images/{ALPINE_IMAGE}", None),
    "look at another image": ("GET", "/images/curlimages/curl:8.22.0/json", None),
    "create a network": ("POST", "/networks/create", {"Name": MARK}),
    "join a network": ("POST", "/networks/bridge/connect", {"Container": "{other}"}),
    "install a plugin": ("POST", f"/plugins/pull?remote={MARK}", []),
    "watch events": ("GET", "/events?until=1", None),
    "encoded slash": ("GET", "/containers/x%2F..%2F..%2Fvolumes/json", None),
    "dot segments": ("GET", "/containers/../volumes", None),
    "encoded dot segments": ("GET", "/containers/%2e%2e/volumes", None),
    "dot segments in an image's name": ("GET", "/images/x/../../containers/{other}/json", None),
    "double slash": ("GET", "//volumes", None),
    "absolute form": ("GET", "http://docker/volumes", None),
    "old API": ("GET", "/v1.23/containers/json", None),
    "capitals": ("GET", "/Containers/json", None),
    "query twice": ("GET", "/containers/json?all=0&all=1", None),
    "method in small letters": ("get", "/containers/json", None),
    "method of its own": ("CONNECT", "/containers/json", None),
}


@pytest.mark.parametrize(("method", "target", "body"), CALLS.values(), ids=CALLS)
def test_unneeded_call_is_refused(method: str, target: str, body: Any, proxy: Proxy, other_container: Any) -> None:
    filled = target.replace("{other}", other_container.id).replace("{short}", other_container.id[:12])
    document = b"" if body is None else json.dumps(body).replace("{other}", other_container.id).encode()
    assert_refused(proxy.send(method, filled, document, **{"Content-Type": "application/json"}))


def test_exec_and_copy_in_investigation_are_refused(client: Any) -> None:
    from docker.errors import APIError

    running = create_investigation(client, "sleep 600")
    try:
        client.start(running)
        for attempt in (
            lambda: client.exec_create(running, ["id"]),
            lambda: client.put_archive(running, "/tmp", b""),
            lambda: client.get_archive(running, "/etc/passwd"),
            lambda: client.update_container(running, mem_limit="1g"),
            lambda: client.commit(running, MARK),
        ):
            with pytest.raises(APIError, match="refused by the investigations' Docker proxy"):
                attempt()
    finally:
        client.remove_container(running, force=True)


def test_refused_attempts_leave_nothing_on_the_engine(docker_engine: Any, other_container: Any) -> None:
    """Runs after the attempts and searches the engine for their results."""
    remaining = docker_engine.containers.list(all=True, filters={"name": MARK})
    assert [container.id for container in remaining] == [other_container.id]
    assert docker_engine.volumes.list(filters={"name": MARK}) == []
    assert docker_engine.networks.list(names=[MARK]) == []
    assert docker_engine.images.list(name=MARK) == []
    before = other_container.attrs
    other_container.reload()
    assert other_container.attrs == before


def test_refusals_are_logged_without_values(proxy: Proxy) -> None:
    lines = [json.loads(proxy.log_lines.get_nowait()) for _ in range(proxy.log_lines.qsize())]
    refusals = [line for line in lines if line["event"] == "refused"]
    assert len(refusals) >= len(CREATE_CHANGES) + len(RAW_BODIES)
    assert all(set(line) == {"event", "method", "path", "reason"} and line["reason"] for line in refusals)
    assert "checkout.example.com" not in json.dumps(lines)


def assert_refused(response: tuple[int, str]) -> None:
    status, message = response
    assert status == 403
    assert message.startswith("refused by the investigations' Docker proxy: ")
