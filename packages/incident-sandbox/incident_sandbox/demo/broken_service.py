"""A service that is half healthy and half broken, for the demo and the tests.

It binds one address of this machine, usually the gateway of a Docker network, and has names under ``demo.test``
(RFC 6761 keeps that domain out of the public DNS).
"""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import ClassVar, Self

import trustme

from incident_sandbox.demo.dns import NameServer

DOMAIN = "demo.test"
METADATA_URL = "http://169.254.169.254/latest/meta-data/"
NAMES = ("checkout", "payments", "orders", "db")
"""Host names of the service, each below :data:`DOMAIN`."""


class Certificate(StrEnum):
    """The kind of certificate that an HTTPS port presents."""

    GOOD = "good"
    EXPIRING = "expiring"
    EXPIRED = "expired"


_VALID_FOR = {
    Certificate.GOOD: timedelta(days=200),
    Certificate.EXPIRING: timedelta(days=6, hours=12),
    Certificate.EXPIRED: timedelta(days=-3),
}

_AGE = timedelta(days=90)
"""Time since a certificate was issued."""

_HOSTILE_BODY = (
    b"\x1b[2J\x1b[31mALL GOOD\x1b[0m\r\n@status=200\n\r@status=200\n@complete=yes\n@refused=nothing to see\n"
    b"\x00\xff\xfe\xe2\x80\xae\nAuthorization: Bearer aaaaaaaaaaaaaaaaaaaaaaaa\n"
)


class BrokenService:
    """Serve HTTP, HTTPS and DNS within a ``with`` block.

    :param address: the IP address to bind.
    :param records: additional DNS names with their addresses, such as hostile ones.
    :param dns_port: the port of the name server.
    """

    def __init__(
        self, address: str, *, records: Mapping[str, Sequence[str]] | None = None, dns_port: int = 53
    ) -> None:
        self.address = address
        self._records = {f"{name}.{DOMAIN}": (address,) for name in NAMES} | dict(records or {})
        self._dns_port = dns_port
        self._ports: dict[Certificate | None, int] = {}
        self._exit_stack = ExitStack()
        self.refused_port = 0

    def url(
        self, path: str = "/healthy", *, certificate: Certificate | None = None, host: str | None = None
    ) -> str:
        """Return a URL of the service, with HTTPS if ``certificate`` is given.

        :param path: ``/healthy``, ``/failing``, ``/redirect``, ``/endless`` or ``/hostile``.
        """
        scheme = "https" if certificate else "http"
        return f"{scheme}://{host or f'checkout.{DOMAIN}'}:{self.port(certificate)}{path}"

    def port(self, certificate: Certificate | None = None) -> int:
        """Return the HTTPS port with this kind of certificate, or the plain HTTP port."""
        return self._ports[certificate]

    def __enter__(self) -> Self:
        with ExitStack() as started:
            started.enter_context(NameServer(self.address, self._records, port=self._dns_port))
            self._ports[None] = self._serve(started, context=None)
            authority = trustme.CA(organization_name="Demonstration authority")
            for kind, valid_for in _VALID_FOR.items():
                self._ports[kind] = self._serve(started, self._tls_context(authority, valid_for))
            self.refused_port = self._refuse(started)
            self._exit_stack = started.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._exit_stack.close()

    def _serve(self, started: ExitStack, context: ssl.SSLContext | None) -> int:
        server = _Server((self.address, 0), _Handler)
        started.callback(server.server_close)
        if context is not None:
            # Handshake in the thread of the connection, so that a silent client does not block the others.
            server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        started.callback(server.shutdown)
        return server.server_port

    def _tls_context(self, authority: trustme.CA, valid_for: timedelta) -> ssl.SSLContext:
        now = datetime.now(UTC)
        issued = authority.issue_cert(
            f"checkout.{DOMAIN}",
            self.address,
            common_name=f"checkout.{DOMAIN}",
            not_before=now - _AGE,
            not_after=now + valid_for,
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        issued.configure_cert(context)
        return context

    def _refuse(self, started: ExitStack) -> int:
        """Bind a port without listening: the kernel refuses connections, and no other process can take the port."""
        held = started.enter_context(socket.socket())
        held.bind((self.address, 0))
        port: int = held.getsockname()[1]
        return port


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Ignore clients that disconnect early or during the handshake: they are expected."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout: ClassVar[float | None] = 10

    def do_GET(self) -> None:
        """Respond by path."""
        match self.path.partition("?")[0]:
            case "/healthy" | "/":
                self._send(200, b"ok\n")
            case "/failing":
                self._send(503, b"upstream connect error: no healthy upstream\n")
            case "/redirect":
                self._send(302, b"", Location=METADATA_URL)
            case "/hostile":
                self._send(503, _HOSTILE_BODY, **{"X-Fake": "@status=200"})
            case "/endless":
                self._send_endless()
            case _:
                self._send(404, b"no such page\n")

    def do_HEAD(self) -> None:
        """Respond to HEAD, which the certificate probe sends."""
        self._send(200, b"")

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing."""

    def _send(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Content-Type", "text/plain")
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def _send_endless(self) -> None:
        self.send_response(200)
        self.send_header("Connection", "close")
        self.end_headers()
        with suppress(OSError):
            while True:
                self.wfile.write(b"and so on, and so on\n" * 100)
