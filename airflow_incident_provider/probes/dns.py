"""DNS messages (RFC 1035) that the built-in probe sends as they are, and what their replies say."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from ipaddress import ip_address

_HEADER_BYTES = 12
_POINTER = 0xC0
_QUERY_ID = 0x1DC0
_RECURSION_DESIRED = 0x0100
_INTERNET = 1
_TYPES = {"a": 1, "ns": 2, "cname": 5, "aaaa": 28}
_MAX_LABELS = 128
_CODES = {0: "NOERROR", 1: "FORMERR", 2: "SERVFAIL", 3: "NXDOMAIN", 4: "NOTIMP", 5: "REFUSED"}

KNOWN = "known"
"""The name of the query for the root's name servers, which every working recursive resolver can answer."""


class ReplyCode(StrEnum):
    """What a resolver replied; ``TIMEOUT`` if it did not, ``MALFORMED`` if it was no DNS message."""

    NOERROR = "NOERROR"
    FORMERR = "FORMERR"
    SERVFAIL = "SERVFAIL"
    NXDOMAIN = "NXDOMAIN"
    NOTIMP = "NOTIMP"
    REFUSED = "REFUSED"
    OTHER = "OTHER"
    TIMEOUT = "TIMEOUT"
    MALFORMED = "MALFORMED"

    @property
    def is_answer(self) -> bool:
        """Whether it says something about the name, and not about the resolver."""
        return self in {ReplyCode.NOERROR, ReplyCode.NXDOMAIN}


@dataclass(frozen=True, kw_only=True)
class Reply:
    """What one resolver replied to one query.

    :param addresses: the addresses among the answers. A container without IPv6 does not look any up.
    :param alias: what the name is an alias of in the end, if it is one.
    """

    query: str
    server: str
    code: ReplyCode
    truncated: bool = False
    addresses: tuple[str, ...] = ()
    alias: str | None = None


def query(name: str, record: str) -> bytes:
    """Return a DNS query for a name, which is taken as it is, without a search domain.

    :raises ValueError: the name has a label that DNS cannot carry.
    """
    labels = [label.encode("ascii") for label in name.removesuffix(".").split(".") if label]
    if any(len(label) > 63 for label in labels):  # noqa: PLR2004 - RFC 1035
        raise ValueError(f"{name!r} has a label of more than 63 bytes")
    words = (_QUERY_ID, _RECURSION_DESIRED, 1, 0, 0, 0)
    header = b"".join(word.to_bytes(2, "big") for word in words)
    question = b"".join(bytes([len(label)]) + label for label in labels) + b"\0"
    return header + question + _TYPES[record].to_bytes(2, "big") + _INTERNET.to_bytes(2, "big")


def queries(host: str | None) -> str:
    """Return the queries of a run, as the probe reads them: both record types of the host, and a known name."""
    wanted = {KNOWN: query("", "ns")}
    if host is not None:
        wanted |= {"a": query(host, "a"), "aaaa": query(host, "aaaa")}
    return " ".join(f"{name}:{message.hex()}" for name, message in wanted.items())


def read_reply(key: str, message: bytes) -> Reply:
    """Return what a reply says; ``key`` is ``QUERY-SERVER``."""
    name, _, server = key.partition("-")
    if not message:
        return Reply(query=name, server=server, code=ReplyCode.TIMEOUT)
    flags = int.from_bytes(message[2:4], "big")
    is_reply = len(message) >= _HEADER_BYTES and flags & 0x8000 and message[:2] == _QUERY_ID.to_bytes(2, "big")
    if not is_reply:
        return Reply(query=name, server=server, code=ReplyCode.MALFORMED)
    code = ReplyCode(_CODES.get(flags & 0x000F, ReplyCode.OTHER))
    truncated = bool(flags & 0x0200)
    addresses, alias, end = _answers(message)
    if end > len(message) and not truncated:
        code, addresses, alias = ReplyCode.MALFORMED, (), None
    return Reply(query=name, server=server, code=code, truncated=truncated, addresses=addresses, alias=alias)


def _answers(message: bytes) -> tuple[tuple[str, ...], str | None, int]:
    """Return the addresses among the answers, the last alias, and where they end by what the message says."""
    questions, answers = int.from_bytes(message[4:6], "big"), int.from_bytes(message[6:8], "big")
    at, found, alias = _HEADER_BYTES, [], None
    for _ in range(questions):
        at = _after_name(message, at) + 4
    for _ in range(answers):
        at = _after_name(message, at)
        kind, length = int.from_bytes(message[at : at + 2], "big"), int.from_bytes(message[at + 8 : at + 10], "big")
        data = message[at + 10 : at + 10 + length]
        if (kind, len(data)) in {(_TYPES["a"], 4), (_TYPES["aaaa"], 16)}:
            found.append(str(ip_address(data)))
        elif kind == _TYPES["cname"]:
            alias = _name_at(message, at + 10) or alias
        at += 10 + length
    return tuple(found), alias, at


def _name_at(message: bytes, at: int) -> str:
    """Return the name at a position, its pointers followed."""
    labels: list[str] = []
    for _ in range(_MAX_LABELS):
        length = message[at] if at < len(message) else 0
        if not length:
            break
        if length >= _POINTER:
            at = int.from_bytes(message[at : at + 2], "big") & 0x3FFF
        else:
            labels.append(message[at + 1 : at + 1 + length].decode("latin-1"))
            at += 1 + length
    return ".".join(labels)


def _after_name(message: bytes, at: int) -> int:
    """Return the position behind a name: labels that end with an empty one, or with a pointer."""
    while at < len(message) and message[at]:
        if message[at] >= _POINTER:
            return at + 2
        at += 1 + message[at]
    return at + 1


def is_ipv6(address: str) -> bool:
    """Return whether an address in text is IPv6."""
    return ip_address(address).version == 6  # noqa: PLR2004
