"""Servers and resolvers that behave as a case asks, on the addresses of a Docker network made for them."""

from __future__ import annotations

import socket
import ssl
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Any

from dnslib import AAAA, CNAME, NS, QTYPE, RCODE, RR, A, DNSRecord

Script = Callable[[socket.socket], None]
"""What a server does with one connection."""

SERVER_TIMEOUT_S = 15
_MAX_ALIASES = 10
_LARGEST_UDP = 512
"""RFC 1035, 4.2.1; nobody who asks here says that it takes more."""


def read_request(connection: socket.socket) -> bytes:
    """Return the head of an HTTP request."""
    received = b""
    while b"\r\n\r\n" not in received:
        chunk = connection.recv(65536)
        if not chunk:
            break
        received += chunk
    return received


def answer(status: str, body: bytes = b"ok\n", *, delay_s: float = 0, **headers: str) -> Script:
    """Return a script that answers every request with this status, such as ``503 Service Unavailable``."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Connection: close"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return raw_answer("\r\n".join([*lines, "", ""]).encode() + body, delay_s=delay_s)


def raw_answer(answered: bytes, *, delay_s: float = 0) -> Script:
    """Return a script that reads a request and answers with these bytes."""

    def script(connection: socket.socket) -> None:
        request = read_request(connection)
        if delay_s:
            time.sleep(delay_s)
        head, _, body = answered.partition(b"\r\n\r\n")
        connection.sendall(head + b"\r\n\r\n" if request.startswith(b"HEAD ") else head + b"\r\n\r\n" + body)

    return script


def say(text: bytes, *, then_wait: bool = False) -> Script:
    """Return a script that says something at once, as a mail or database server does."""

    def script(connection: socket.socket) -> None:
        connection.sendall(text)
        if then_wait:
            wait_for_end(connection)

    return script


def wait_for_end(connection: socket.socket) -> None:
    """Read and say nothing until the other side goes."""
    with suppress(OSError):
        while connection.recv(4096):
            pass


def hang_up(_connection: socket.socket) -> None:
    """Close the connection at once."""


def stream(head: bytes, chunk: bytes, *, pause_s: float = 0.05) -> Script:
    """Return a script whose answer never ends."""

    def script(connection: socket.socket) -> None:
        read_request(connection)
        connection.sendall(head)
        while True:
            connection.sendall(chunk)
            time.sleep(pause_s)

    return script


class Server:
    """A TCP server of one address and port.

    :param script: what is done with each connection.
    :param context: makes it a TLS server.
    :param deaf: connections are accepted by the kernel until its queue is full, and then left unanswered.
    """

    def __init__(
        self, address: str, script: Script, context: ssl.SSLContext | None = None, *, port: int = 0
    ) -> None:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self._listener = socket.create_server((address, port), family=family, backlog=64)
        self._script, self._context = script, context
        self.port = int(self._listener.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        connection.settimeout(SERVER_TIMEOUT_S)
        with suppress(OSError), connection:
            if self._context is None:
                self._script(connection)
                return
            with self._context.wrap_socket(connection, server_side=True) as encrypted:
                self._script(encrypted)
                with suppress(OSError):
                    encrypted.unwrap()

    def close(self) -> None:
        """Stop listening."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


def refused_port(address: str, stack: ExitStack) -> int:
    """Return a port that nothing listens on, and that nobody else gets."""
    held = stack.enter_context(socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET))
    held.bind((address, 0))
    return int(held.getsockname()[1])


def silent_port(address: str, stack: ExitStack) -> int:
    """Return a port whose queue of connections is full: the kernel drops whoever comes, as a firewall does."""
    listener = stack.enter_context(socket.socket())
    listener.bind((address, 0))
    listener.listen(0)
    port = int(listener.getsockname()[1])
    for _ in range(4):
        waiting = stack.enter_context(socket.socket())
        waiting.setblocking(False)
        waiting.connect_ex((address, port))
    return port


# --- resolvers ----------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Behaviour:
    """How a resolver answers for one name.

    :param records: its addresses.
    :param cut: whether the last bytes of its records are missing.
    :param codes: the return code of a record type (``A``, ``AAAA``), such as ``SERVFAIL``; ``DROP`` for silence.
    :param alias: the name that it is an alias of; that may be unknown, or be an alias itself, even of this name.
    :param failures: how many questions for each type are answered SERVFAIL before the first right answer.
    """

    records: Sequence[str] = ()
    codes: Mapping[str, str] = field(default_factory=dict)
    delay_s: float = 0
    truncate: bool = False
    cut: bool = False
    alias: str | None = None
    failures: int = 0


class Resolver:
    """A DNS server of UDP and TCP on one address.

    :param zone: behaviours by name in lower case, without the last dot; shared, so that names can be added.
    :param everything: return code of every answer, whatever the question; ``GARBAGE`` for bytes that are no DNS.
    :param root: return code for the root's name servers.
    :param tcp: whether TCP is answered.
    :param delay_s: how long every answer takes.
    """

    def __init__(
        self,
        address: str,
        zone: Mapping[str, Behaviour],
        *,
        everything: str | None = None,
        root: str = "NOERROR",
        tcp: bool = True,
        delay_s: float = 0,
    ) -> None:
        self._zone, self._everything, self._root, self._delay_s = zone, everything, root, delay_s
        self._asked: Counter[tuple[str, str]] = Counter()
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self._udp = socket.socket(family, socket.SOCK_DGRAM)
        self._udp.bind((address, 53))
        threading.Thread(target=self._serve_udp, daemon=True).start()
        self._tcp = Server(address, self._serve_tcp, port=53) if tcp else None

    def close(self) -> None:
        """Stop answering."""
        self._udp.close()
        if self._tcp is not None:
            self._tcp.close()

    def _serve_udp(self) -> None:
        with suppress(OSError):
            while True:
                question, client = self._udp.recvfrom(4096)
                threading.Thread(target=self._answer_udp, args=(question, client), daemon=True).start()

    def _answer_udp(self, question: bytes, client: Any) -> None:
        answered = self._answer(question, udp=True)
        with suppress(OSError):
            if answered is not None:
                self._udp.sendto(answered, client)

    def _serve_tcp(self, connection: socket.socket) -> None:
        (length,) = struct.unpack("!H", connection.recv(2))
        answered = self._answer(connection.recv(length), udp=False)
        if answered is not None:
            connection.sendall(struct.pack("!H", len(answered)) + answered)

    def _answer(self, question: bytes, *, udp: bool) -> bytes | None:
        time.sleep(self._delay_s)
        if self._everything == "DROP":
            return None
        if self._everything == "GARBAGE":
            return b"this is not a DNS message at all"
        request = DNSRecord.parse(question)
        reply = request.reply()
        name = str(request.q.qname).rstrip(".").lower()
        kind = QTYPE[request.q.qtype]
        if self._everything is not None:
            reply.header.rcode = getattr(RCODE, self._everything)
            return bytes(reply.pack())
        if not name:
            reply.header.rcode = getattr(RCODE, self._root)
            if self._root == "NOERROR" and kind == "NS":
                reply.add_answer(RR(".", QTYPE.NS, ttl=60, rdata=NS("a.root-servers.test")))
            return bytes(reply.pack())
        return self._answer_name(reply, name, kind, udp=udp)

    def _answer_name(self, reply: Any, name: str, kind: str, *, udp: bool) -> bytes | None:
        behaviour = self._zone.get(name)
        if behaviour is None:
            reply.header.rcode = RCODE.NXDOMAIN
            return bytes(reply.pack())
        if behaviour.delay_s:
            time.sleep(behaviour.delay_s)
        self._asked[name, kind] += 1
        failed = self._asked[name, kind] <= behaviour.failures
        code = "SERVFAIL" if failed else behaviour.codes.get(kind, "NOERROR")
        if code == "DROP":
            return None
        reply.header.rcode = getattr(RCODE, code)
        if code != "NOERROR":
            return bytes(reply.pack())
        if behaviour.truncate and udp:
            reply.header.tc = 1
            return bytes(reply.pack())
        self._add_records(reply, behaviour, kind)
        packed = bytes(reply.pack())
        if udp and len(packed) > _LARGEST_UDP:
            reply.rr, reply.header.tc = [], 1
            return bytes(reply.pack())
        return packed[:-6] if behaviour.cut and reply.rr else packed

    def _add_records(self, reply: Any, behaviour: Behaviour, kind: str) -> None:
        """Add the aliases of the question's name, and the addresses that they end at."""
        owner, followed = reply.q.qname, 0
        while behaviour.alias and followed < _MAX_ALIASES:
            reply.add_answer(RR(owner, QTYPE.CNAME, ttl=5, rdata=CNAME(behaviour.alias)))
            owner, followed = behaviour.alias, followed + 1
            known = self._zone.get(behaviour.alias.rstrip("."))
            if known is None:
                reply.header.rcode = RCODE.NXDOMAIN
            behaviour = known or Behaviour()
        for address in behaviour.records:
            record = "AAAA" if ip_address(address).version == 6 else "A"
            if record == kind:
                data = AAAA(address) if record == "AAAA" else A(address)
                reply.add_answer(RR(owner, getattr(QTYPE, record), ttl=5, rdata=data))
