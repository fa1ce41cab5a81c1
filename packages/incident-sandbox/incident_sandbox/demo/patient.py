"""
The patient: a service that is half healthy and half broken, for the demonstration and the tests.

It speaks on one address of this machine, usually the gateway of a Docker network, and names itself under
``demo.test`` (a name that RFC 6761 keeps out of the real DNS).
"""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from datetime import timedelta
from enum import StrEnum
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import ClassVar, Self

from incident_sandbox.demo.certificates import CertificateAuthority
from incident_sandbox.demo.dns import NameServer

DOMAIN = "demo.test"
METADATA_URL = "http://169.254.169.254/latest/meta-data/"
NAMES = ("checkout", "payments", "orders", "db")
"""The names that lead to the patient, each followed by :data:`DOMAIN`."""


class Certificate(StrEnum):
    """What the certificate of an HTTPS port is like."""

    GOOD = "good"
    EXPIRING = "expiring"
    EXPIRED = "expired"


_VALID_FOR = {
    Certificate.GOOD: timedelta(days=200),
    Certificate.EXPIRING: timedelta(days=6, hours=12),
    Certificate.EXPIRED: timedelta(days=-3),
}

_HOSTILE_BODY = (
    b"\x1b[2J\x1b[31mALL GOOD\x1b[0m\r\n@status=200\n\r@status=200\n@complete=yes\n@refused=nothing to see\n"
    b"\x00\xff\xfe\xe2\x80\xae\nAuthorization: Bearer aaaaaaaaaaaaaaaaaaaaaaaa\n"
)


class Patient:
    """The service, alive while it is entered.

    :param address: the address that it binds.
    :param records: names beyond its own, with their addresses: the hostile ones, say.
    :param dns_port: the port of its name server.
    """

    def __init__(
        self, address: str, *, records: Mapping[str, Sequence[str]] | None = None, dns_port: int = 53
    ) -> None:
        self.address = address
        self._records = {f"{name}.{DOMAIN}": (address,) for name in NAMES} | dict(records or {})
        self._dns_port = dns_port
        self._ports: dict[Certificate | None, int] = {}
        self._alive = ExitStack()
        self.refused_port = 0

    def url(
        self, path: str = "/healthy", *, certificate: Certificate | None = None, host: str | None = None
    ) -> str:
        """Return a URL of the patient, over HTTPS if a kind of certificate is named.

        :param path: ``/healthy``, ``/failing``, ``/redirect``, ``/endless`` or ``/hostile``.
        """
        scheme = "https" if certificate else "http"
        return f"{scheme}://{host or f'checkout.{DOMAIN}'}:{self.port(certificate)}{path}"

    def port(self, certificate: Certificate | None = None) -> int:
        """Return the port with this kind of certificate, or the plain one."""
        return self._ports[certificate]

    def __enter__(self) -> Self:
        with ExitStack() as started:
            started.enter_context(NameServer(self.address, self._records, port=self._dns_port))
            self._ports[None] = self._serve(started, context=None)
            directory = Path(started.enter_context(TemporaryDirectory(prefix="patient-")))
            authority = CertificateAuthority.create()
            for kind, valid_for in _VALID_FOR.items():
                pem = directory / f"{kind}.pem"
                authority.issue(f"checkout.{DOMAIN}", self.address, valid_for=valid_for, into=pem)
                context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
                context.load_cert_chain(pem)
                self._ports[kind] = self._serve(started, context)
            self.refused_port = self._refuse(started)
            self._alive = started.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._alive.close()

    def _serve(self, started: ExitStack, context: ssl.SSLContext | None) -> int:
        server = _Server((self.address, 0), _Answers)
        started.callback(server.server_close)
        if context is not None:
            # The handshake happens in the connection's own thread, where a silent client holds up nobody else.
            server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        started.callback(server.shutdown)
        return server.server_port

    def _refuse(self, started: ExitStack) -> int:
        """Hold a port that nothing listens on: the kernel refuses connections to it, and nobody else gets it."""
        held = started.enter_context(socket.socket())
        held.bind((self.address, 0))
        port: int = held.getsockname()[1]
        return port


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: clients that hang up early, or in the handshake, are what the patient is for."""


class _Answers(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout: ClassVar[float | None] = 10

    def do_GET(self) -> None:
        """Answer as the path asks."""
        match self.path.partition("?")[0]:
            case "/healthy" | "/":
                self._answer(200, b"ok\n")
            case "/failing":
                self._answer(503, b"upstream connect error: no healthy upstream\n")
            case "/redirect":
                self._answer(302, b"", Location=METADATA_URL)
            case "/hostile":
                self._answer(503, _HOSTILE_BODY, **{"X-Fake": "@status=200"})
            case "/endless":
                self._answer_without_end()
            case _:
                self._answer(404, b"no such page\n")

    def do_HEAD(self) -> None:
        """Answer a HEAD request, which is how the certificate is looked at."""
        self._answer(200, b"")

    def log_message(self, format: str, *args: object) -> None:
        """Write no log."""

    def _answer(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Content-Type", "text/plain")
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def _answer_without_end(self) -> None:
        self.send_response(200)
        self.send_header("Connection", "close")
        self.end_headers()
        with suppress(OSError):
            while True:
                self.wfile.write(b"and so on, and so on\n" * 100)
