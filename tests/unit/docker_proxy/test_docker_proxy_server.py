"""The proxy between a client and a fake engine on real sockets."""

from __future__ import annotations

import asyncio
import json
import logging
import subprocess
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from incident_docker_proxy.engine import Engine
from incident_docker_proxy.policy import Policy
from incident_docker_proxy.server import LARGEST_REQUEST_BODY, Proxy
from incident_docker_proxy.streams import UnixAddress

SECONDS = 10
LABELS = {"airflow_incident_provider": "investigation"}
INVESTIGATION = json.dumps({"Id": "f" * 64, "Config": {"Labels": LABELS}}).encode()
OTHER_CONTAINER = json.dumps({"Id": "e" * 64, "Config": {"Labels": {}}}).encode()


def http(body: bytes, status: str = "200 OK") -> bytes:
    return b"HTTP/1.1 %s\r\nContent-Length: %d\r\n\r\n%s" % (status.encode(), len(body), body)


@dataclass
class FakeEngine:
    """An engine with a configured response for each request line; records what it receives."""

    responses: dict[str, bytes]
    requests: list[str] = field(default_factory=list)
    received: bytes = b""
    kept_open: frozenset[str] = frozenset()
    disconnected: asyncio.Event = field(default_factory=asyncio.Event)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        line = head.split(b" HTTP/1.1", 1)[0].decode()
        self.requests.append(line)
        self.received += head
        writer.write(self.responses.get(line, http(b"{}", "404 Not Found")))
        await writer.drain()
        if line in self.kept_open:
            self.received += await reader.read()
            self.disconnected.set()
        writer.close()


@dataclass
class ProxyClient:
    """A client of a proxy in front of an engine."""

    proxy: Path

    async def open(self, message: bytes) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_unix_connection(str(self.proxy))
        writer.write(message)
        return reader, writer

    async def request(self, message: bytes) -> tuple[int, bytes]:
        """Send a request and return the status and everything after the head."""
        reader, writer = await self.open(message)
        response = await reader.read()
        writer.close()
        head, _, rest = response.partition(b"\r\n\r\n")
        return int(head.split(b" ")[1]) if head else 0, rest


def run(
    tmp_path: Path, policy: Policy, engine: FakeEngine | None, scenario: Callable[[ProxyClient], Awaitable[Any]]
) -> Any:
    """Run a scenario with a proxy client; without an engine, nothing listens on its socket."""

    async def main() -> Any:
        upstream, listening = UnixAddress(tmp_path / "engine.sock"), UnixAddress(tmp_path / "proxy.sock")
        servers = [await listening.listen(Proxy(policy, Engine(upstream)).serve)]
        if engine is not None:
            servers.append(await upstream.listen(engine.serve))
        try:
            async with asyncio.timeout(SECONDS):
                return await scenario(ProxyClient(listening.path))
        finally:
            for server in servers:
                server.close()

    return asyncio.run(main())


def get(target: str, method: str = "GET", headers: str = "") -> bytes:
    return f"{method} {target} HTTP/1.1\r\nHost: docker\r\n{headers}\r\n".encode()


def test_refused_request_returns_403_and_does_not_reach_the_engine(tmp_path: Path, policy: Policy) -> None:
    engine = FakeEngine({})
    status, body = run(
        tmp_path, policy, engine, lambda client: client.request(get("/v1.41/volumes/create", "POST"))
    )
    assert (status, engine.requests) == (403, [])
    assert "volumes are out of reach" in json.loads(body)["message"]


def test_refusal_is_logged_as_one_json_line_without_the_query(
    tmp_path: Path, policy: Policy, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "incident_docker_proxy"):
        run(tmp_path, policy, FakeEngine({}), lambda client: client.request(get("/build?token=hunter2", "POST")))
    (line,) = (record.getMessage() for record in caplog.records if record.name.endswith("docker_proxy"))
    assert json.loads(line) == {
        "event": "refused",
        "method": "POST",
        "path": "/build",
        "reason": "no image is built",
    }


def test_call_is_forwarded_with_the_full_container_id(tmp_path: Path, policy: Policy) -> None:
    full_id = "f" * 64
    engine = FakeEngine(
        {
            "GET /containers/probe/json": http(INVESTIGATION),
            f"POST /containers/{full_id}/start": http(b"", "200 OK"),
        }
    )
    status, _ = run(tmp_path, policy, engine, lambda client: client.request(get("/containers/probe/start", "POST")))
    assert (status, engine.requests[-1]) == (200, f"POST /containers/{full_id}/start")


@pytest.mark.parametrize("call", ["DELETE ", "GET /json", "GET /logs", "POST /attach", "POST /start", "POST /wait"])
def test_other_container_is_only_inspected(call: str, tmp_path: Path, policy: Policy) -> None:
    method, rest = call.split(" ")
    engine = FakeEngine({"GET /containers/db/json": http(OTHER_CONTAINER)})
    status, body = run(
        tmp_path, policy, engine, lambda client: client.request(get(f"/containers/db{rest}", method))
    )
    assert (status, engine.requests) == (403, ["GET /containers/db/json"])
    assert b"not an investigation's" in body


def test_engine_error_is_returned(tmp_path: Path, policy: Policy) -> None:
    status, _ = run(tmp_path, policy, FakeEngine({}), lambda client: client.request(get("/containers/gone/json")))
    assert status == 404


def test_output_is_raw_and_client_input_is_discarded(tmp_path: Path, policy: Policy) -> None:
    attach = f"POST /containers/{'f' * 64}/attach?stream=1"
    raw = b"HTTP/1.1 200 OK\r\nContent-Type: application/vnd.docker.raw-stream\r\n\r\n"
    engine = FakeEngine(
        {"GET /containers/probe/json": http(INVESTIGATION), attach: raw + b"output"}, kept_open=frozenset({attach})
    )

    async def scenario(client: ProxyClient) -> tuple[bytes, bytes]:
        upgrade = "Connection: Upgrade\r\nUpgrade: tcp\r\nContent-Length: 0\r\n"
        reader, writer = await client.open(get("/containers/probe/attach?stream=1", "POST", upgrade))
        head = await reader.readuntil(b"\r\n\r\n")
        output = await reader.readexactly(len(b"output"))
        writer.write(get("/containers/create", "POST") + b"typed")
        await writer.drain()
        writer.close()
        await engine.disconnected.wait()
        return head, output

    head, output = run(tmp_path, policy, engine, scenario)
    assert head.startswith(b"HTTP/1.1 101 ")
    assert output == b"output"
    assert len(engine.requests) == 2
    assert b"typed" not in engine.received


def test_engine_connection_closes_when_the_client_disconnects(tmp_path: Path, policy: Policy) -> None:
    wait = f"POST /containers/{'f' * 64}/wait"
    endless = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    engine = FakeEngine(
        {"GET /containers/probe/json": http(INVESTIGATION), wait: endless}, kept_open=frozenset({wait})
    )

    async def scenario(client: ProxyClient) -> None:
        reader, writer = await client.open(get("/containers/probe/wait", "POST"))
        await reader.readuntil(b"\r\n\r\n")
        writer.close()
        await engine.disconnected.wait()

    run(tmp_path, policy, engine, scenario)
    assert engine.disconnected.is_set()


def test_second_request_on_a_connection_is_not_read(tmp_path: Path, policy: Policy) -> None:
    engine = FakeEngine({"GET /_ping": http(b"OK"), "GET /version": http(b"{}")})
    status, rest = run(tmp_path, policy, engine, lambda client: client.request(get("/_ping") + get("/version")))
    assert (status, rest, engine.requests) == (200, b"OK", ["GET /_ping"])


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ("Content-Length: 4\r\nTransfer-Encoding: chunked\r\n", 403),
        ("Transfer-Encoding: chunked\r\n", 403),
        ("Content-Length: 4\r\nContent-Length: 5\r\n", 400),
        ("Content-Length: +4\r\n", 400),
        ("Transfer-Encoding: xchunked\r\n", 400),
        ("Content-Length : 4\r\n", 400),
        ("Upgrade: h2c\r\nConnection: Upgrade\r\n", 403),
    ],
)
def test_message_with_ambiguous_framing_is_refused(
    headers: str, expected: int, tmp_path: Path, policy: Policy
) -> None:
    request = get("/containers/create", "POST", headers) + b"0\r\n\r\n"
    engine = FakeEngine({})
    status, _ = run(tmp_path, policy, engine, lambda client: client.request(request))
    assert (status, engine.requests) == (expected, [])


def test_oversized_body_is_refused(tmp_path: Path, policy: Policy) -> None:
    size = LARGEST_REQUEST_BODY + 1
    request = get("/containers/create", "POST", f"Content-Length: {size}\r\n") + b" " * size
    status, body = run(tmp_path, policy, FakeEngine({}), lambda client: client.request(request))
    assert status == 403
    assert b"too large" in body


def test_head_request_is_refused_without_a_body(tmp_path: Path, policy: Policy) -> None:
    request = get("/containers/probe/archive?path=/etc/shadow", "HEAD")
    assert run(tmp_path, policy, FakeEngine({}), lambda client: client.request(request)) == (403, b"")


def test_only_allowed_images_are_shown(tmp_path: Path, policy: Policy) -> None:
    ours, theirs = {"Id": "1", "RepoTags": ["alpine:3.23"]}, {"Id": "2", "RepoTags": ["secret:1"]}
    engine = FakeEngine(
        {
            "GET /images/json": http(json.dumps([ours, theirs]).encode()),
            "GET /images/1/json": http(json.dumps(ours).encode()),
            "GET /images/2/json": http(json.dumps(theirs).encode()),
        }
    )
    assert json.loads(run(tmp_path, policy, engine, lambda client: client.request(get("/images/json")))[1]) == [
        ours
    ]
    assert run(tmp_path, policy, engine, lambda client: client.request(get("/images/1/json")))[0] == 200
    assert run(tmp_path, policy, engine, lambda client: client.request(get("/images/2/json")))[0] == 403


@pytest.mark.parametrize("target", ["/_ping", "/_proxy/health", "/containers/probe/json"])
def test_unreachable_engine_is_reported(target: str, tmp_path: Path, policy: Policy) -> None:
    status, body = run(tmp_path, policy, None, lambda client: client.request(get(target)))
    assert (status, json.loads(body)["message"]) == (502, "the Docker Engine cannot be reached")


def test_invalid_engine_response_is_a_bad_gateway(tmp_path: Path, policy: Policy) -> None:
    engine = FakeEngine({"GET /_ping": b"nonsense\r\n\r\n", "GET /images/json": http(b"nonsense")})
    assert run(tmp_path, policy, engine, lambda client: client.request(get("/_ping")))[0] == 502
    assert run(tmp_path, policy, engine, lambda client: client.request(get("/images/json")))[0] == 502


def test_health_check_pings_the_engine(tmp_path: Path, policy: Policy) -> None:
    engine = FakeEngine({"GET /_ping": http(b"OK")})
    assert run(tmp_path, policy, engine, lambda client: client.request(get("/_proxy/health")))[0] == 200
    assert engine.requests == ["GET /_ping"]


def test_import_loads_neither_airflow_nor_a_docker_client() -> None:
    code = (
        "import sys, incident_docker_proxy.command_line\n"
        "heavy = {'airflow', 'docker', 'pydantic', 'requests'} & {m.split('.')[0] for m in sys.modules}\n"
        "sys.exit(str(heavy) if heavy else 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
