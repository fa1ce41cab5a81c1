"""Environments of servers whose answers are unusual HTTP, or none."""

from __future__ import annotations

import gzip
import socket
import struct
import time
from typing import Any

from benchmarks.probes.environments import (
    BROKEN,
    FAIL,
    HEALTHY,
    HTTP_OK,
    OK,
    OK_ANSWER,
    TIMES,
    WARN,
    Check,
    add,
    check,
    environment,
    http,
    tolerant,
)
from benchmarks.probes.lab import Lab
from benchmarks.probes.servers import (
    Script,
    answer,
    raw_answer,
    read_request,
    say,
    stream,
    wait_for_end,
)

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_HEADERS = 1
_SETTINGS = b"\x00\x00\x00\x04\x00\x00\x00\x00\x00"
_STATUS_200 = b"\x00\x00\x01\x01\x05\x00\x00\x00\x01\x88"
"""HEADERS of stream 1 that end it, with the indexed ":status: 200" (RFC 7541, appendix A)."""


def only_http2(connection: socket.socket) -> None:
    """Answer 200 to whoever begins with the preface of HTTP/2, as servers without TLS and without HTTP/1 do."""
    connection.sendall(_SETTINGS)
    received = b""
    while _HEADERS not in _frame_types(received):
        if not (chunk := connection.recv(65536)) or not (received + chunk).startswith(
            _PREFACE[: len(received + chunk)]
        ):
            return
        received += chunk
    connection.sendall(_STATUS_200)
    wait_for_end(connection)


def _frame_types(received: bytes) -> set[int]:
    """Return the types of the frames after the preface (RFC 9113, 4.1)."""
    at, types = len(_PREFACE), set()
    while at + 9 <= len(received):
        types.add(received[at + 3])
        at += 9 + int.from_bytes(received[at : at + 3], "big")
    return types


def reset(after: bytes = b"") -> Script:
    """Return a script that reads a request, sends these bytes, and resets the connection."""

    def script(connection: socket.socket) -> None:
        read_request(connection)
        connection.sendall(after)
        time.sleep(0.2 if after else 0)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.close()

    return script


add(HEALTHY, "HTTP/2 only, without TLS", OK, HTTP_OK, lambda lab: http(lab, only_http2), quick=True)
add(HEALTHY, "206 of a range", OK, f"HTTP 206{TIMES}", lambda lab: http(lab, answer("206 Partial Content")))
add(HEALTHY, "205", OK, f"HTTP 205{TIMES}", lambda lab: http(lab, answer("205 Reset Content", b"")))
add(
    HEALTHY,
    "201 that names a location",
    OK,
    f"HTTP 201{TIMES}",
    lambda lab: http(lab, answer("201 Created", Location="/new")),
)
add(
    HEALTHY,
    "304 that nobody asked for",
    OK,
    f"HTTP 304{TIMES}",
    lambda lab: http(lab, raw_answer(b"HTTP/1.1 304 Not Modified\r\nETag: x\r\n\r\n")),
)
add(
    HEALTHY,
    "body of which more comes than was announced",
    OK,
    HTTP_OK,
    lambda lab: http(lab, raw_answer(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok and more")),
)
add(
    HEALTHY,
    "200 MB that are compressed into 200 KB",
    OK,
    HTTP_OK,
    lambda lab: http(lab, answer("200 OK", gzip.compress(bytes(200_000_000), 6), Content_Encoding="gzip")),
)
add(
    HEALTHY,
    "markup and control characters in headers",
    OK,
    HTTP_OK,
    lambda lab: http(
        lab,
        raw_answer(b"HTTP/1.1 200 OK\r\nServer: <!channel> \x1b[31m \xff *b* `x`\r\nContent-Length: 2\r\n\r\nok"),
    ),
)
for _status in ("418 I'm a teapot", "451 Unavailable For Legal Reasons"):
    add(
        BROKEN, f"status {_status}", WARN, f"HTTP {_status[:3]}{TIMES}", lambda lab, s=_status: http(lab, answer(s))
    )
for _status in ("600 Unheard Of", "999 Request Denied"):
    add(
        BROKEN, f"status {_status}", FAIL, f"HTTP {_status[:3]}{TIMES}", lambda lab, s=_status: http(lab, answer(s))
    )
add(
    BROKEN,
    "status of two digits",
    FAIL,
    r"the answer is not HTTP",
    lambda lab: http(lab, raw_answer(b"HTTP/1.1 99 Hm\r\nContent-Length: 0\r\n\r\n")),
)
add(
    BROKEN,
    "answer of HTTP/0.9, without a status",
    FAIL,
    r"the answer is not HTTP",
    lambda lab: http(lab, raw_answer(b"all is well\n")),
)
for _status in ("100 Continue", "103 Early Hints"):
    add(
        BROKEN,
        f"{_status}, and then nothing",
        FAIL,
        rf"the server closed the connection without an answer; HTTP {_status[:3]} was all that came",
        lambda lab, status=_status: http(lab, raw_answer(f"HTTP/1.1 {status}\r\n\r\n".encode())),
        quick=_status.startswith("103"),
    )
add(
    BROKEN,
    "100 Continue again and again",
    FAIL,
    r"no answer within 10 s; HTTP 100 was all that came",
    lambda lab: http(lab, stream(b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 100 Continue\r\n\r\n", pause_s=0.2)),
)
add(
    BROKEN,
    "headers that never end",
    WARN,
    rf"HTTP 200{TIMES}; the answer did not end within 10 s; slow: .+",
    lambda lab: http(lab, stream(b"HTTP/1.1 200 OK\r\n", b"X-A: b\r\n", pause_s=1)),
)
add(
    BROKEN,
    "headers without end, as fast as they go",
    WARN,
    rf"HTTP 200{TIMES}; the answer's headers are larger than curl takes",
    lambda lab: http(lab, stream(b"HTTP/1.1 200 OK\r\n", b"X-A: " + b"b" * 8000 + b"\r\n", pause_s=0)),
)
add(
    BROKEN,
    "one header of 300 KB",
    WARN,
    rf"HTTP 200{TIMES}; the answer's headers are larger than curl takes",
    lambda lab: http(lab, answer("200 OK", X_A="a" * 299_000)),
)
for _name, _header in (
    ("negative length", b"Content-Length: -5"),
    ("two lengths", b"Content-Length: 2\r\nContent-Length: 9"),
    ("zero byte in a header", b"X-A: a\x00b"),
):
    add(
        BROKEN,
        f"200 with a {_name}" if not _name.startswith("two") else f"200 with {_name}",
        WARN,
        rf"HTTP 200{TIMES}; the answer breaks the rules of HTTP",
        lambda lab, header=_header: http(lab, raw_answer(b"HTTP/1.1 200 OK\r\n" + header + b"\r\n\r\nok")),
    )
for _name, _encoding in (("plain text that is called gzip", "gzip"), ("encoding that nobody knows", "rot13")):
    add(
        BROKEN,
        _name,
        WARN,
        rf"HTTP 200{TIMES}; the answer is not in an encoding that clients know",
        lambda lab, encoding=_encoding: http(lab, answer("200 OK", Content_Encoding=encoding)),
    )
add(BROKEN, "reset after the request", FAIL, r"the connection broke .+", lambda lab: http(lab, reset()))
add(
    BROKEN,
    "reset after the headers",
    WARN,
    rf"HTTP 200{TIMES}; the answer broke off: the connection broke before the answer was complete",
    lambda lab: http(lab, reset(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n")),
)
add(
    BROKEN,
    "chunks without end",
    WARN,
    rf"HTTP 200{TIMES}; the answer did not end within 10 s; slow: .+",
    lambda lab: http(
        lab, stream(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"2\r\nok\r\n", pause_s=0.5)
    ),
)
for _kind in ("application/x-ndjson", "audio/mpeg", "text/event-stream; charset=utf-8"):
    add(
        HEALTHY,
        f"stream of {_kind}",
        OK,
        HTTP_OK,
        lambda lab, kind=_kind: http(
            lab, stream(f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\n\r\n".encode(), b"{}\n", pause_s=1)
        ),
    )
add(
    BROKEN,
    "body that drips",
    WARN,
    rf"HTTP 200{TIMES}; slow: the limit is 500 ms",
    lambda lab: http(lab, drip, expect=tolerant(slow_ms=500)),
)


def drip(connection: Any) -> None:
    """Answer a byte at a time."""
    read_request(connection)
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n")
    for _ in range(10):
        connection.sendall(b"x")
        time.sleep(0.1)


for _status in (
    "500 Internal Server Error",
    "501 Not Implemented",
    "502 Bad Gateway",
    "503 Service Unavailable",
    "504 Gateway Timeout",
    "505 HTTP Version Not Supported",
    "511 Network Authentication Required",
):
    add(
        BROKEN,
        f"status {_status}",
        FAIL,
        f"HTTP {_status[:3]}{TIMES}",
        lambda lab, status=_status: http(lab, answer(status)),
        quick=_status.startswith("503"),
    )
for _status in ("400 Bad Request", "404 Not Found", "410 Gone", "429 Too Many Requests"):
    add(
        BROKEN,
        f"status {_status}",
        WARN,
        f"HTTP {_status[:3]}{TIMES}",
        lambda lab, status=_status: http(lab, answer(status)),
    )
add(
    BROKEN,
    "200 where the table expects 204",
    FAIL,
    f"HTTP 200{TIMES}; expected 204",
    lambda lab: http(lab, OK_ANSWER, expect=tolerant(statuses=("204",))),
)
add(
    BROKEN,
    "body that does not match",
    FAIL,
    f"HTTP 200{TIMES}; the body does not match '\\^up\\$'",
    lambda lab: http(lab, OK_ANSWER, expect=tolerant(body="^up$")),
)
add(
    BROKEN,
    "slow answer",
    WARN,
    f"HTTP 200{TIMES}; slow: the limit is 500 ms",
    lambda lab: http(lab, answer("200 OK", delay_s=1), expect=tolerant(slow_ms=500)),
)
add(BROKEN, "no answer to the request", FAIL, r"no answer within 10 s", lambda lab: http(lab, wait_for_end))
add(
    BROKEN,
    "hangs up after the request",
    FAIL,
    r"the server closed the connection without an answer",
    lambda lab: http(lab, lambda connection: read_request(connection) and None),
    quick=True,
)
add(
    BROKEN,
    "answer that breaks off",
    WARN,
    rf"HTTP 200{TIMES}; the answer broke off: .+",
    lambda lab: http(lab, raw_answer(b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\nbegin")),
)
add(
    BROKEN,
    "answer that stops halfway",
    WARN,
    rf"HTTP 200{TIMES}; the answer did not end within 10 s; slow: .+",
    lambda lab: http(lab, stalled),
)
add(
    BROKEN,
    "something else than HTTP",
    FAIL,
    r"the answer is not HTTP",
    lambda lab: http(lab, say(b"220 mail.acme.example ESMTP\r\n" * 4, then_wait=True)),
)


def stalled(connection: Any) -> None:
    """Answer half of what was announced, and then nothing."""
    read_request(connection)
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\nbegin")
    wait_for_end(connection)


def two(lab: Lab, one: Script, other: Script, **more: Any) -> Check:
    """Return the check of a name with two addresses that answer differently."""
    here, there = lab.network.addresses[:2]
    port = lab.serve(one, at=here)
    lab.serve(other, at=there, port=port)
    return check(f"http://{lab.name(here, there)}:{port}/", **more)


_AT = r"at 1 of 2 addresses \([0-9.]+\): "


@environment(
    BROKEN, "one of two addresses answers 404, the other 503", FAIL, rf"{_AT}HTTP 503{TIMES}; {_AT}HTTP 404{TIMES}"
)
def _two_faults(lab: Lab) -> Check:
    return two(lab, answer("404 Not Found"), answer("503 Service Unavailable"))


@environment(BROKEN, "two addresses answer 500 and 502", FAIL, rf"{_AT}HTTP 50[02]{TIMES}; {_AT}HTTP 50[02]{TIMES}")
def _two_errors(lab: Lab) -> Check:
    return two(lab, answer("500 Internal Server Error"), answer("502 Bad Gateway"))


@environment(BROKEN, "one of two addresses never answers", WARN, rf"{_AT}no answer within 10 s")
def _one_hangs(lab: Lab) -> Check:
    return two(lab, OK_ANSWER, wait_for_end)


@environment(
    HEALTHY,
    "four addresses, of which not all are contacted",
    OK,
    rf"{HTTP_OK} at [0-9.]+; the same verdict at 3 addresses; 1 more address was not contacted",
)
def _four_addresses(lab: Lab) -> Check:
    addresses = lab.network.addresses
    port = lab.serve(OK_ANSWER, at=addresses[0])
    for address in addresses[1:]:
        lab.serve(OK_ANSWER, at=address, port=port)
    return check(f"http://{lab.name(*addresses)}:{port}/")
