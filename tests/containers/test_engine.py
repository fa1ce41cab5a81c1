"""Connections to the engine by TLS and SSH, unsupported limits, pulls, and registries."""

from __future__ import annotations

import http.server
import json
import logging
import os
import shutil
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import paramiko
import pytest
import trustme

from airflow_incident_provider.containers import ContainerSpec, LockedDownContainer
from airflow_incident_provider.engine import EngineAddress, EngineError, log_in

pytestmark = pytest.mark.docker

SOCKET = Path("/var/run/docker.sock")


class TlsProxy:
    """A TLS proxy for the engine that requires a client certificate, like ``dockerd --tlsverify``."""

    def __init__(self, folder: Path) -> None:
        authority = trustme.CA()
        authority.cert_pem.write_to_path(folder / "ca.pem")
        client = authority.issue_cert("worker@acme.example")
        client.private_key_pem.write_to_path(folder / "key.pem")
        client.cert_chain_pems[0].write_to_path(folder / "cert.pem")
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("127.0.0.1").configure_cert(self.context)
        authority.configure_trust(self.context)
        self.context.verify_mode = ssl.CERT_REQUIRED
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self.listener.accept()
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with suppress(OSError), connection, self.context.wrap_socket(connection, server_side=True) as client_side:
            engine_side = socket.socket(socket.AF_UNIX)
            engine_side.connect(str(SOCKET))
            threading.Thread(target=self._pump, args=(engine_side, client_side), daemon=True).start()
            self._pump(client_side, engine_side)

    @staticmethod
    def _pump(source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError, EOFError):
            while chunk := source.recv(65536):
                sink.sendall(chunk)
            sink.shutdown(socket.SHUT_WR)


@pytest.fixture
def tls_proxy(docker_engine: Any, tmp_path: Path) -> Iterator[TlsProxy]:
    if not SOCKET.is_socket():
        pytest.skip("the engine is at another address")
    tls_proxy = TlsProxy(tmp_path)
    yield tls_proxy
    tls_proxy.listener.close()


def test_tls_engine_from_environment_variables(
    tls_proxy: TlsProxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"tcp://127.0.0.1:{tls_proxy.port}")
    monkeypatch.setenv("DOCKER_TLS_VERIFY", "1")
    monkeypatch.setenv("DOCKER_CERT_PATH", str(tmp_path))
    client = EngineAddress().connect()
    spec = ContainerSpec(image="alpine:3.23", owner="test/tls", entrypoint=["echo", "here"], network="none")
    assert LockedDownContainer(client, spec, host="here").run().stdout == b"here\n"


def test_tls_engine_from_connection_files(tls_proxy: TlsProxy, tmp_path: Path) -> None:
    files = {"ca_cert": "ca.pem", "client_cert": "cert.pem", "client_key": "key.pem"}
    paths = {name: str(tmp_path / file) for name, file in files.items()}
    assert EngineAddress(url=f"tcp://127.0.0.1:{tls_proxy.port}", **paths).connect().version()


class SshServer(paramiko.ServerInterface):
    """An SSH server for one key that only runs ``docker system dial-stdio``."""

    def __init__(self, folder: Path) -> None:
        host_key, self.key = paramiko.RSAKey.generate(2048), paramiko.RSAKey.generate(2048)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.key.write_private_key_file(str(folder / "key"))
        (folder / "known_hosts").write_text(
            f"[127.0.0.1]:{self.port} {host_key.get_name()} {host_key.get_base64()}\n"
        )
        files = f"IdentityFile {folder}/key\nUserKnownHostsFile {folder}/known_hosts\n"
        (folder / "config").write_text(f"Host *\n{files}BatchMode yes\n")
        client = folder / "bin" / "ssh"
        client.parent.mkdir()
        client.write_text(f'#!/bin/sh\nexec {shutil.which("ssh")} -F {folder}/config "$@"\n')
        client.chmod(0o755)
        self.commands: list[str] = []
        threading.Thread(target=self._accept, args=(host_key,), daemon=True).start()

    def _accept(self, host_key: paramiko.PKey) -> None:
        with suppress(OSError):
            while True:
                transport = paramiko.Transport(self.listener.accept()[0])
                transport.add_server_key(host_key)
                transport.start_server(server=self)

    def get_allowed_auths(self, username: str) -> str:  # noqa: ARG002 - the interface
        return "publickey"

    def check_auth_publickey(self, username: str, key: paramiko.PKey) -> int:
        known = username == "worker" and key.get_base64() == self.key.get_base64()
        return paramiko.AUTH_SUCCESSFUL if known else paramiko.AUTH_FAILED

    def check_channel_request(self, kind: str, chanid: int) -> int:  # noqa: ARG002 - the interface
        return paramiko.OPEN_SUCCEEDED

    def check_channel_exec_request(self, channel: paramiko.Channel, command: bytes) -> bool:
        self.commands.append(command.decode())
        threading.Thread(target=self._dial, args=(channel,), daemon=True).start()
        return True

    @staticmethod
    def _dial(channel: paramiko.Channel) -> None:
        """Forward the channel to the engine, like ``docker system dial-stdio``."""
        with suppress(OSError), socket.socket(socket.AF_UNIX) as engine:
            engine.connect(str(SOCKET))
            back = threading.Thread(target=TlsProxy._pump, args=(engine, channel), daemon=True)
            back.start()
            while chunk := channel.recv(65536):
                engine.sendall(chunk)
            engine.shutdown(socket.SHUT_WR)
            back.join(10)


@pytest.fixture
def ssh_server(docker_engine: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SshServer]:
    if not SOCKET.is_socket() or shutil.which("ssh") is None:
        pytest.skip("the engine is at another address, or there is no SSH client")
    # Its threads outlive the test, and would log to a closed stream.
    logging.getLogger("paramiko").setLevel(logging.CRITICAL)
    ssh_server = SshServer(tmp_path)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    yield ssh_server
    ssh_server.listener.close()


def test_ssh_engine(ssh_server: SshServer, monkeypatch: pytest.MonkeyPatch) -> None:
    url = f"ssh://worker@127.0.0.1:{ssh_server.port}"
    client = EngineAddress(url=url).connect()
    spec = ContainerSpec(image="alpine:3.23", owner="test/ssh", entrypoint=["echo", "here"], network="none")
    assert LockedDownContainer(client, spec, host="here").run().stdout == b"here\n"
    assert set(ssh_server.commands) == {"docker system dial-stdio"}
    monkeypatch.setenv("DOCKER_HOST", url)
    assert EngineAddress().connect().version()


def test_ssh_engine_that_rejects_the_user_is_reported(ssh_server: SshServer) -> None:
    with pytest.raises(EngineError, match=rf"no Docker Engine answers at ssh://.*127\.0\.0\.1:{ssh_server.port}: "):
        EngineAddress(url=f"ssh://stranger@127.0.0.1:{ssh_server.port}").connect(timeout_s=5)


def test_ssh_engine_without_extra_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("airflow_incident_provider.engine.find_spec", lambda _name: None)
    with pytest.raises(EngineError, match=r"needs the extra ssh: pip install 'airflow-incident-provider\[ssh\]'"):
        EngineAddress(url="ssh://worker@127.0.0.1").connect()


def test_unreachable_engine_is_reported_with_reason(tls_proxy: TlsProxy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DOCKER_TLS_VERIFY", raising=False)
    with pytest.raises(EngineError, match=rf"no Docker Engine answers at tcp://127\.0\.0\.1:{tls_proxy.port}: "):
        EngineAddress(url=f"tcp://127.0.0.1:{tls_proxy.port}").connect(timeout_s=5)
    with pytest.raises(EngineError, match=r"no Docker Engine answers at unix:///nowhere\.sock"):
        EngineAddress(url="unix:///nowhere.sock").connect()


# --- limits, images and registries -------------------------------------------------------------------


class FakeEngine:
    """An HTTP server that responds like an engine."""

    def __init__(self, answer: Callable[[str, str, dict[str, Any]], tuple[int, Any]]) -> None:
        engine = self
        self.create_requests: list[dict[str, Any]] = []

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                self._answer({})

            def do_POST(self) -> None:
                size = int(self.headers.get("Content-Length") or 0)
                body = json.loads(self.rfile.read(size) or b"{}") if size else {}
                if "containers/create" in self.path:
                    engine.create_requests.append(body)
                self._answer(body)

            def do_DELETE(self) -> None:
                self._answer({})

            def _answer(self, body: dict[str, Any]) -> None:
                path = self.path.partition("?")[0].partition("/v1.41")[2] or self.path
                status, value = (
                    (200, {"ApiVersion": "1.41"}) if path == "/version" else answer(self.command, path, body)
                )
                content = value if isinstance(value, bytes) else json.dumps(value).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                if path == "/images/create":
                    self.send_header("Transfer-Encoding", "chunked")
                    content = b"%x\r\n%s\r\n0\r\n\r\n" % (len(content), content)
                else:
                    self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, format: str, *args: object) -> None:
                """Disable logging."""

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def client(self) -> Any:
        return EngineAddress(url=f"tcp://127.0.0.1:{self.server.server_port}").connect()


@pytest.fixture
def fake_engine() -> Iterator[Callable[..., FakeEngine]]:
    engines: list[FakeEngine] = []

    def fake_engine(answer: Callable[[str, str, dict[str, Any]], tuple[int, Any]]) -> FakeEngine:
        engines.append(FakeEngine(answer))
        return engines[-1]

    yield fake_engine
    for engine in engines:
        engine.server.shutdown()
        engine.server.server_close()


SPEC = ContainerSpec(image="alpine:3.23", owner="test/odd", entrypoint=["true"])


@pytest.mark.parametrize(
    ("limit", "message"),
    [
        ("NanoCpus", "NanoCPUs can not be set, as your kernel does not support CPU CFS scheduler"),
        ("PidsLimit", "Your kernel does not support pids limit capabilities or the cgroup is not mounted"),
        ("MemorySwap", "Your kernel does not support swap limit capabilities"),
    ],
)
def test_unsupported_limit_is_dropped_and_reported(
    fake_engine: Callable[..., FakeEngine], limit: str, message: str
) -> None:
    def answer(_method: str, path: str, body: dict[str, Any]) -> tuple[int, Any]:
        if path == "/containers/create":
            refused = (body.get("HostConfig") or {}).get(limit)
            return (400, {"message": message}) if refused else (201, {"Id": "0123456789ab"})
        return 200, {}

    engine = fake_engine(answer)
    container = LockedDownContainer(engine.client, SPEC, host="here")
    container._start()
    assert len(container.dropped_limits) == 1
    host = engine.create_requests[-1]["HostConfig"]
    assert not host.get(limit)
    assert (host["ReadonlyRootfs"], host["CapDrop"]) == (True, ["ALL"])
    assert host["SecurityOpt"] == ["no-new-privileges:true"]


def test_other_refusal_is_an_error(fake_engine: Callable[..., FakeEngine]) -> None:
    message = "read-only root filesystem is not supported on this platform"
    engine = fake_engine(
        lambda _m, path, _b: (
            (400, {"message": message}) if path == "/containers/create" else (200, {"Id": "sha256:1"})
        )
    )
    with pytest.raises(EngineError, match="read-only root filesystem"):
        LockedDownContainer(engine.client, SPEC, host="here").run()
    assert len(engine.create_requests) == 1


def test_pull_error_of_the_engine_is_reported(fake_engine: Callable[..., FakeEngine]) -> None:
    stream = (
        b'{"status":"Pulling from library/alpine"}\r\n{"error":"toomanyrequests: You have reached your limit"}\r\n'
    )

    def answer(_method: str, path: str, _body: dict[str, Any]) -> tuple[int, Any]:
        return (200, stream) if path == "/images/create" else (404, {"message": "No such image: alpine:3.23"})

    with pytest.raises(EngineError, match="toomanyrequests: You have reached your limit"):
        LockedDownContainer(fake_engine(answer).client, SPEC, host="here").run()


def test_pull_times_out(fake_engine: Callable[..., FakeEngine], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("airflow_incident_provider.containers.PULL_TIMEOUT_S", -1)

    def answer(_method: str, path: str, _body: dict[str, Any]) -> tuple[int, Any]:
        return (
            (200, b'{"status":"Downloading"}\r\n' * 3)
            if path == "/images/create"
            else (404, {"message": "No such image: x"})
        )

    with pytest.raises(EngineError, match="could not be pulled within"):
        LockedDownContainer(fake_engine(answer).client, SPEC, host="here").run()


def test_refused_registry_login_is_reported(fake_engine: Callable[..., FakeEngine]) -> None:
    engine = fake_engine(lambda _m, _p, _b: (401, {"message": "unauthorized: incorrect username or password"}))
    with pytest.raises(
        EngineError, match=r"registry registry\.acme\.example refuses the login: unauthorized"
    ) as refused:
        log_in(engine.client, registry="registry.acme.example", username="bot", password="hunter2")
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize(
    ("image", "reference"),
    [
        ("alpine:3.23", "mirror.acme.example/dockerhub/alpine:3.23"),
        ("curlimages/curl:8.22.0", "mirror.acme.example/dockerhub/curlimages/curl:8.22.0"),
        ("registry.acme.example/team/probe:1", "registry.acme.example/team/probe:1"),
        ("localhost/probe:1", "localhost/probe:1"),
        ("127.0.0.1:5000/probe:1", "127.0.0.1:5000/probe:1"),
    ],
)
def test_mirror_is_used_for_images_without_registry(image: str, reference: str) -> None:
    spec = ContainerSpec(image=image, owner="a", mirror="mirror.acme.example/dockerhub/")
    assert spec.reference == reference
    assert ContainerSpec(image=image, owner="a").reference == image
