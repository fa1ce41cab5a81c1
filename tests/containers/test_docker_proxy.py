"""The proxy in front of a real engine: an investigation runs through it, and every way out is shut."""

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

ALPINE_IMAGE = "alpine:3.23"

pytestmark = pytest.mark.docker

MARK = f"escape-{uuid.uuid4().hex[:12]}"
"""Every attempt names what it would make by this, so that the engine can be searched for it."""
LABELS = {"airflow_incident_provider": "investigation"}


@dataclass(frozen=True)
class Proxy:
    """A running proxy: its socket, and the lines that it wrote."""

    path: Path
    journal: queue.Queue[str]

    def send(self, method: str, target: str, body: bytes = b"", **headers: str) -> tuple[int, str]:
        """Send a request as it stands and return the status and the message of the answer."""
        with closing(http.client.HTTPConnection("docker")) as connection:
            connection.sock = socket.socket(socket.AF_UNIX)
            connection.sock.settimeout(20)
            connection.sock.connect(str(self.path))
            connection.putrequest(method, target, skip_accept_encoding=True)
            for name, value in {"Content-Length": str(len(body)), **headers}.items():
                connection.putheader(name, value)
            connection.endheaders(body)
            answer = connection.getresponse()
            text = answer.read().decode()
        return answer.status, json.loads(text).get("message", "") if text else ""


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
    """Docker's own client, with the proxy for an engine."""
    import docker

    with closing(docker.APIClient(base_url=f"unix://{proxy.path}", version="auto", timeout=20)) as through:
        yield through


@pytest.fixture(scope="module")
def foreign(docker_engine: Any) -> Iterator[Any]:
    """A container that is none of ours."""
    container = docker_engine.containers.run(
        ALPINE_IMAGE, ["sleep", "600"], name=f"{MARK}-foreign", detach=True, network_mode="none", init=True
    )
    container.reload()
    yield container
    for made in docker_engine.containers.list(all=True, filters={"name": MARK}):
        made.remove(force=True)


def body_of(client: Any, script: str) -> dict[str, Any]:
    """Return what a create of the operators sends."""
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


def investigation(client: Any, script: str) -> str:
    """Create a container as the operators do and return its id."""
    return str(client.create_container_from_config(body_of(client, script))["Id"])


# --- investigations run -----------------------------------------------------------------------------


def test_the_operators_container_runs_and_is_found_again(client: Any) -> None:
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


def test_the_operators_time_limit_holds(client: Any) -> None:
    spec = ContainerSpec(image=ALPINE_IMAGE, owner="o", entrypoint=["sleep", "600"], network="none", timeout_s=1)
    assert LockedDownContainer(client, spec, host="worker-1").run().timed_out


def test_each_call_that_an_investigation_may_make_works(client: Any) -> None:
    assert client.ping()
    assert client.info()["OSType"] == "linux"
    assert client.images(name=ALPINE_IMAGE)
    container = investigation(client, 'echo "$TARGET_HOST as $(id -u)"; touch /x; exit 3')
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


def test_much_output_comes_through_whole(client: Any) -> None:
    container = investigation(client, "seq 200000")
    try:
        output = client.attach(container, stdout=True, stderr=True, stream=True)
        client.start(container)
        assert b"".join(output).split() == [b"%d" % number for number in range(1, 200_001)]
    finally:
        client.remove_container(container, force=True)


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_a_hanging_investigation_is_ended_and_its_logs_followed(end: str, client: Any) -> None:
    container = investigation(client, "echo up; sleep 600")
    try:
        client.start(container)
        lines = client.logs(container, stream=True, follow=True)
        assert next(lines) == b"up\n"
        getattr(client, end)(container)
        assert list(lines) == []
        assert client.wait(container)["StatusCode"] in (137, 143)
    finally:
        client.remove_container(container, force=True)


def test_only_investigations_are_listed(client: Any, foreign: Any) -> None:
    container = investigation(client, "true")
    try:
        assert foreign.id not in [found["Id"] for found in client.containers(all=True)]
        listed = client.containers(all=True, filters={"label": ["airflow_incident_provider"]})
        assert container in [found["Id"] for found in listed]
    finally:
        client.remove_container(container)


# --- nothing else does ------------------------------------------------------------------------------

Change = Callable[[dict[str, Any]], object]

PRIVILEGED = {"Privileged": True}
ROOT_BIND = ["/:/host"]


def host(**settings: Any) -> Change:
    """Change settings of the host's side."""
    return lambda body: body["HostConfig"].update(settings)


def container(**settings: Any) -> Change:
    """Change settings of the container's side."""
    return lambda body: body.update(settings)


CREATES: dict[str, Change] = {
    "privileged": host(**PRIVILEGED),
    "privileged in small letters": host(privileged=True),
    "binds with a long s": host(**{"Bind\u017f": ROOT_BIND}),
    "second host configuration in small letters": container(hostconfig=PRIVILEGED),
    "root file system bound": host(Binds=ROOT_BIND),
    "docker socket bound": host(Binds=["/var/run/docker.sock:/var/run/docker.sock"]),
    "bind by mount": host(Mounts=[{"Type": "bind", "Source": "/", "Target": "/host"}]),
    "named volume": host(Mounts=[{"Type": "volume", "Source": MARK, "Target": "/data"}]),
    "anonymous volume": container(Volumes={"/data": {}}),
    "another container's volumes": host(VolumesFrom=[f"{MARK}-foreign"]),
    "device": host(Devices=[{"PathOnHost": "/dev/mem", "PathInContainer": "/dev/mem", "CgroupPermissions": "rwm"}]),
    "device rule": host(DeviceCgroupRules=["a *:* rwm"]),
    "added capability": host(CapAdd=["SYS_ADMIN"]),
    "capabilities kept": host(CapDrop=None),
    "host network": host(NetworkMode="host"),
    "host network by endpoint": container(NetworkingConfig={"EndpointsConfig": {"host": {}}}),
    "another container's network": host(NetworkMode=f"container:{MARK}-foreign"),
    "host processes": host(PidMode="host"),
    "another container's processes": host(PidMode=f"container:{MARK}-foreign"),
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
def new_body(client: Any) -> dict[str, Any]:
    return body_of(client, "true")


def create(proxy: Proxy, body: bytes) -> tuple[int, str]:
    target = f"/v1.41/containers/create?name={MARK}-{uuid.uuid4().hex[:8]}"
    return proxy.send("POST", target, body, **{"Content-Type": "application/json"})


def test_the_body_that_attempts_start_from_is_taken(
    proxy: Proxy, new_body: dict[str, Any], docker_engine: Any
) -> None:
    assert create(proxy, json.dumps(new_body).encode()) == (201, "")
    (made,) = docker_engine.containers.list(all=True, filters={"name": f"{MARK}-", "status": "created"})
    made.remove()


def test_the_engine_itself_takes_any_spelling(docker_engine: Any) -> None:
    body = {"image": ALPINE_IMAGE, "HOSTCONFIG": {"privileged": True, "networkMODE": "none"}}
    made = docker_engine.api.create_container_from_config(body, name=f"{MARK}-spelling")
    try:
        assert docker_engine.api.inspect_container(made["Id"])["HostConfig"]["Privileged"] is True
    finally:
        docker_engine.api.remove_container(made["Id"])


@pytest.mark.parametrize("change", CREATES.values(), ids=CREATES)
def test_a_create_that_could_escape_is_refused(change: Change, proxy: Proxy, new_body: dict[str, Any]) -> None:
    change(new_body)
    assert_refused(create(proxy, json.dumps(new_body).encode()))


RAW_BODIES: dict[str, Callable[[str], str]] = {
    "two host configurations": lambda body: body[:-1] + ', "HostConfig": {"Privileged": true}}',
    "two of a setting": lambda body: body.replace('"CapDrop"', '"CapDrop": ["ALL"], "CapDrop"', 1),
    "a second document": lambda body: body + '{"HostConfig": {"Privileged": true}}',
    "an escaped letter": lambda body: body[:-1] + ', "Host\\u0043onfig": {"Privileged": true}}',
    "not UTF-8": lambda body: body[:-1] + ', "\udc80": 1}',
    "too large": lambda body: body + " " * 70_000,
}


@pytest.mark.parametrize("rewrite", RAW_BODIES.values(), ids=RAW_BODIES)
def test_a_body_that_can_be_read_in_two_ways_is_refused(
    rewrite: Callable[[str], str], proxy: Proxy, new_body: dict[str, Any]
) -> None:
    assert_refused(create(proxy, rewrite(json.dumps(new_body)).encode("utf-8", "surrogateescape")))


CALLS: dict[str, tuple[str, str, Any]] = {
    "run in another container": ("POST", "/containers/{foreign}/exec", {"Cmd": ["id"]}),
    "look at another container": ("GET", "/containers/{foreign}/json", None),
    "another container by a part of its id": ("GET", "/containers/{short}/json", None),
    "another container by its name": ("GET", f"/containers/{MARK}-foreign/json", None),
    "logs of another container": ("GET", "/containers/{foreign}/logs?stdout=1", None),
    "stop another container": ("POST", "/containers/{foreign}/stop", None),
    "remove another container": ("DELETE", "/containers/{foreign}?force=1", None),
    "update another container": ("POST", "/containers/{foreign}/update", {"Memory": 0}),
    "read a file of another container": ("GET", "/containers/{foreign}/archive?path=/etc/passwd", None),
    "write a file into another container": ("PUT", "/containers/{foreign}/archive?path=/", {}),
    "prune containers": ("POST", "/containers/prune", None),
    "commit a container": ("POST", f"/commit?container={{foreign}}&repo={MARK}", {}),
    "start with host settings": ("POST", "/containers/{foreign}/start", {"Privileged": True}),
    "create a volume": ("POST", "/volumes/create", {"Name": MARK}),
    "build an image": ("POST", f"/build?t={MARK}&remote=http://127.0.0.1/x", None),
    "load an image": ("POST", "/images/load", {}),
    "pull an image": ("POST", f"/images/create?fromImage={MARK}&tag=1", None),
    "remove an image": ("DELETE", f"/images/{ALPINE_IMAGE}", None),
    "look at another image": ("GET", "/images/curlimages/curl:8.22.0/json", None),
    "create a network": ("POST", "/networks/create", {"Name": MARK}),
    "join a network": ("POST", "/networks/bridge/connect", {"Container": "{foreign}"}),
    "install a plugin": ("POST", f"/plugins/pull?remote={MARK}", []),
    "watch events": ("GET", "/events?until=1", None),
    "encoded slash": ("GET", "/containers/x%2F..%2F..%2Fvolumes/json", None),
    "dot segments": ("GET", "/containers/../volumes", None),
    "encoded dot segments": ("GET", "/containers/%2e%2e/volumes", None),
    "dot segments in an image's name": ("GET", "/images/x/../../containers/{foreign}/json", None),
    "double slash": ("GET", "//volumes", None),
    "absolute form": ("GET", "http://docker/volumes", None),
    "old API": ("GET", "/v1.23/containers/json", None),
    "capitals": ("GET", "/Containers/json", None),
    "query twice": ("GET", "/containers/json?all=0&all=1", None),
    "method in small letters": ("get", "/containers/json", None),
    "method of its own": ("CONNECT", "/containers/json", None),
}


@pytest.mark.parametrize(("method", "target", "body"), CALLS.values(), ids=CALLS)
def test_a_call_that_no_investigation_needs_is_refused(
    method: str, target: str, body: Any, proxy: Proxy, foreign: Any
) -> None:
    filled = target.replace("{foreign}", foreign.id).replace("{short}", foreign.id[:12])
    document = b"" if body is None else json.dumps(body).replace("{foreign}", foreign.id).encode()
    assert_refused(proxy.send(method, filled, document, **{"Content-Type": "application/json"}))


def test_an_investigation_cannot_be_entered_either(client: Any) -> None:
    from docker.errors import APIError

    running = investigation(client, "sleep 600")
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


def test_after_all_attempts_the_engine_has_nothing_new(docker_engine: Any, foreign: Any) -> None:
    """Runs last in this file: searches the engine for what the attempts would have left."""
    made = docker_engine.containers.list(all=True, filters={"name": MARK})
    assert [container.id for container in made] == [foreign.id]
    assert docker_engine.volumes.list(filters={"name": MARK}) == []
    assert docker_engine.networks.list(names=[MARK]) == []
    assert docker_engine.images.list(name=MARK) == []
    before = foreign.attrs
    foreign.reload()
    assert foreign.attrs == before


def test_each_refusal_was_written_down_without_values(proxy: Proxy) -> None:
    lines = [json.loads(proxy.journal.get_nowait()) for _ in range(proxy.journal.qsize())]
    refusals = [line for line in lines if line["event"] == "refused"]
    assert len(refusals) >= len(CREATES) + len(RAW_BODIES)
    assert all(set(line) == {"event", "method", "path", "reason"} and line["reason"] for line in refusals)
    assert "checkout.example.com" not in json.dumps(lines)


def assert_refused(answer: tuple[int, str]) -> None:
    status, message = answer
    assert status == 403
    assert message.startswith("refused by the investigations' Docker proxy: ")
