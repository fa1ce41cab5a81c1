"""A name server for the demonstration: it knows the names it is given, and denies all others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from ipaddress import IPv4Address, ip_address
from types import TracebackType
from typing import Any, Self

from dnslib import AAAA, QTYPE, RCODE, RR, A
from dnslib.server import BaseResolver, DNSLogger, DNSServer


class NameServer:
    """Answers over UDP and TCP while it is entered.

    :param records: fully qualified names without the last dot, and their addresses.
    """

    def __init__(self, address: str, records: Mapping[str, Sequence[str]], *, port: int = 53) -> None:
        resolver = _Resolver(records)
        silent = DNSLogger(log="", logf=lambda _line: None)  # type: ignore[no-untyped-call]
        self._servers: list[Any] = [
            DNSServer(resolver, address=address, port=port, tcp=tcp, logger=silent)  # type: ignore[no-untyped-call]
            for tcp in (False, True)
        ]

    def __enter__(self) -> Self:
        for server in self._servers:
            server.start_thread()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for server in self._servers:
            server.stop()
            server.server.server_close()


class _Resolver(BaseResolver):
    def __init__(self, records: Mapping[str, Sequence[str]]) -> None:
        self._records = {name.lower(): tuple(map(ip_address, each)) for name, each in records.items()}

    def resolve(self, request: Any, handler: object) -> Any:  # noqa: ARG002 - dnslib has no types
        reply = request.reply()
        name = str(request.q.qname).lower().rstrip(".")
        if name not in self._records:
            reply.header.rcode = RCODE.NXDOMAIN
            return reply
        for address in self._records[name]:
            kind, record = (QTYPE.A, A) if isinstance(address, IPv4Address) else (QTYPE.AAAA, AAAA)
            if request.q.qtype == kind:
                answer = RR(request.q.qname, kind, ttl=5, rdata=record(str(address)))  # type: ignore[no-untyped-call]
                reply.add_answer(answer)
        return reply
