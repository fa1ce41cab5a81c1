"""Environments of HTTP in forms that are rare: allowed by the standards, common in the field, or neither."""

from __future__ import annotations

import gzip
import socket
import time
import zlib
from typing import Any

from benchmarks.probes.answers import only_http2, reset
from benchmarks.probes.environments import (
    BROKEN,
    FAIL,
    HEALTHY,
    HTTP_OK,
    OK,
    TIMES,
    WARN,
    Check,
    add,
    check,
    environment,
    http,
    https,
    tolerant,
)
from benchmarks.probes.lab import Lab
from benchmarks.probes.servers import Script, answer, read_request, stream, wait_for_end

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_BROKE_OFF = "the answer broke off: the connection ended before the answer was complete"


def exactly(answered: bytes, *, then_wait: bool = False, first: bool = False) -> Script:
    """Return a script that answers with these bytes and nothing else.

    :param then_wait: whether the connection stays open afterwards.
    :param first: whether it answers before it reads the request.
    """

    def script(connection: socket.socket) -> None:
        if first:
            connection.sendall(answered)
        read_request(connection)
        if not first:
            connection.sendall(answered)
        if then_wait:
            wait_for_end(connection)

    return script


_RAW_DEFLATE = zlib.compressobj(wbits=-zlib.MAX_WBITS)
_DEFLATED = _RAW_DEFLATE.compress(b"all is well") + _RAW_DEFLATE.flush()
_LONG = b"X-Long: " + b"x" * 9_000 + b"\r\n"

for _name, _bytes in (
    ("status line without a reason", b"HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nok"),
    ("line feeds without carriage returns", b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok"),
    ("folded header", b"HTTP/1.1 200 OK\r\nX-Folded: one,\r\n two\r\nContent-Length: 2\r\n\r\nok"),
    ("reason phrase in Latin-1", "HTTP/1.1 200 Schön\r\nContent-Length: 2\r\n\r\nok".encode("latin-1")),
    (
        "content type whose bytes are no UTF-8",
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain; name=größe\r\nContent-Length: 2\r\n\r\nok".encode("latin-1"),
    ),
    (
        "quotes and backslashes in the content type",
        b'HTTP/1.1 200 OK\r\nContent-Type: a/"\\b\r\nContent-Length: 0\r\n\r\n',
    ),
    (
        "chunks with extensions and trailers",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: CHUNKED\r\n\r\n"
        b"2;a=b\r\nok\r\n0;last\r\nX-Checksum: 1\r\nStatus: 500\r\n\r\n",
    ),
    (
        "chunks, and a length that is wrong",
        b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    ),
    ("the same length twice", b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok"),
    ("no length, no chunks, and the end of the connection", b"HTTP/1.1 200 OK\r\nX-A: b\r\n\r\nall is well"),
    ("empty body that is called gzip", b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 0\r\n\r\n"),
    (
        "three informational answers before the last",
        b"HTTP/1.1 100 Continue\r\n\r\n" * 3 + b"HTTP/1.1 200 OK\r\n\r\n",
    ),
    (
        "informational answer of HTTP/1.0",
        b"HTTP/1.0 102 Processing\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    ),
):
    add(HEALTHY, _name, OK, HTTP_OK, lambda lab, answered=_bytes: http(lab, exactly(answered)))
for _name, _encoding, _body in (
    ("deflate without zlib's header", "deflate", _DEFLATED),
    ("deflate with zlib's header", "deflate", zlib.compress(b"all is well")),
    ("gzip with a name of the file", "x-gzip", gzip.compress(b"all is well")),
    ("gzip in gzip", "gzip, gzip", gzip.compress(gzip.compress(b"all is well"))),
    ("identity, by name", "identity", b"all is well"),
):
    add(
        HEALTHY,
        f"body in {_name}",
        OK,
        HTTP_OK,
        lambda lab, body=_body, encoding=_encoding: http(
            lab, answer("200 OK", body, Content_Encoding=encoding), expect=tolerant(body="^all is well$")
        ),
    )
for _status, _header in (
    ("202 Accepted", "Retry_After"),
    ("203 Non-Authoritative Information", "Warning"),
    ("207 Multi-Status", "Allow"),
    ("226 IM Used", "IM"),
    ("299 Something", "Sunset"),
):
    add(
        HEALTHY,
        f"status {_status}",
        OK,
        f"HTTP {_status[:3]}{TIMES}",
        lambda lab, status=_status, header=_header: http(lab, answer(status, **{header: "120"})),
    )
add(
    HEALTHY,
    "204 with a body all the same",
    OK,
    f"HTTP 204{TIMES}",
    lambda lab: http(lab, exactly(b"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\nhello")),
)
add(
    HEALTHY,
    "connection that stays open after the answer",
    OK,
    HTTP_OK,
    lambda lab: http(
        lab, exactly(b"HTTP/1.1 200 OK\r\nKeep-Alive: timeout=60\r\nContent-Length: 2\r\n\r\nok", then_wait=True)
    ),
)
add(
    HEALTHY,
    "answer that comes before the request",
    OK,
    HTTP_OK,
    lambda lab: http(lab, exactly(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", first=True)),
)
add(
    HEALTHY,
    "stream whose type comes after 9 KB of headers",
    OK,
    HTTP_OK,
    lambda lab: http(
        lab,
        stream(
            b"HTTP/1.1 200 OK\r\n" + _LONG + b"Content-Type: text/event-stream\r\n\r\n", b"data: 1\n\n", pause_s=1
        ),
    ),
)
add(
    HEALTHY,
    "403 with a header in the words of curl's trace",
    OK,
    f"HTTP 403{TIMES}; up, requires authentication",
    lambda lab: http(
        lab, answer("403 Forbidden", X_Note="* TLSv1.3 (IN), TLS handshake, Request CERT (13): failed: refused")
    ),
)


def strict_http2(connection: socket.socket) -> None:
    """Answer 200 over HTTP/2; hang up on whoever begins with anything else, without a word."""
    begun = connection.recv(len(_PREFACE), socket.MSG_PEEK)
    if _PREFACE.startswith(begun) or begun.startswith(_PREFACE):
        only_http2(connection)


add(
    HEALTHY,
    "HTTP/2 only, and the end of the connection for HTTP/1",
    OK,
    HTTP_OK,
    lambda lab: http(lab, strict_http2),
    quick=True,
)

# --- broken ---------------------------------------------------------------------------------------------

for _status, _verdict in (
    ("503 Service Unavailable", FAIL),
    ("520 Web Server Returned an Unknown Error", FAIL),
    ("429 Too Many Requests", WARN),
    ("425 Too Early", WARN),
    ("421 Misdirected Request", WARN),
    ("408 Request Timeout", WARN),
):
    add(
        BROKEN,
        f"status {_status}, to be tried again later",
        _verdict,
        f"HTTP {_status[:3]}{TIMES}",
        lambda lab, status=_status: http(lab, answer(status, Retry_After="120")),
    )
add(
    BROKEN,
    "chunk whose length is no number",
    WARN,
    rf"HTTP 200{TIMES}; the answer breaks the rules of HTTP",
    lambda lab: http(lab, exactly(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\nok\r\n0\r\n\r\n")),
    quick=True,
)
add(
    BROKEN,
    "chunks that end with the connection",
    WARN,
    rf"HTTP 200{TIMES}; {_BROKE_OFF}",
    lambda lab: http(lab, exactly(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n")),
)
add(
    BROKEN,
    "slow first byte",
    WARN,
    rf"HTTP 200{TIMES}; slow: the limit is 700 ms",
    lambda lab: http(lab, exactly_after(1.0), expect=tolerant(slow_ms=700)),
)
add(
    BROKEN,
    "101 that nobody asked for",
    FAIL,
    r"[^;]+; HTTP 101 was all that came",
    lambda lab: http(lab, exactly(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n")),
)
add(
    BROKEN,
    "answer of a radio server",
    FAIL,
    r"the answer is not HTTP",
    lambda lab: http(lab, exactly(b"ICY 200 OK\r\nicy-name: radio\r\n\r\n\xff\xfb" * 3)),
)
add(
    BROKEN,
    "hangs up after the TLS handshake",
    FAIL,
    r"the server closed the connection without an answer",
    lambda lab: https(lab, lambda _connection: None),
)
add(
    BROKEN,
    "100 Continue without end, as fast as they go",
    FAIL,
    r"[^;]+; HTTP 100 was all that came",
    lambda lab: http(
        lab, stream(b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 100 Continue\r\n\r\n" * 500, pause_s=0)
    ),
)


def exactly_after(seconds: float) -> Script:
    """Return a script that takes this long to begin its answer."""

    def script(connection: socket.socket) -> None:
        read_request(connection)
        time.sleep(seconds)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    return script


def _frame(kind: int, payload: bytes, stream_id: int) -> bytes:
    """Return a frame of HTTP/2 (RFC 9113, 4.1)."""
    return len(payload).to_bytes(3, "big") + bytes([kind, 0]) + stream_id.to_bytes(4, "big") + payload


def over_http2(*frames: bytes) -> Script:
    """Return a script that answers the first request of HTTP/2 with these frames."""

    def script(connection: socket.socket) -> None:
        connection.sendall(_frame(4, b"", 0))
        connection.recv(65536)
        time.sleep(0.1)
        connection.sendall(b"".join(frames))
        time.sleep(0.3)

    return script


_GO_AWAY, _RESET = 7, 3
for _name, _script, _words in (
    ("goes away at once", over_http2(_frame(_GO_AWAY, bytes(4) + (11).to_bytes(4, "big"), 0)), r"the .+"),
    ("refuses the stream", over_http2(_frame(_RESET, (7).to_bytes(4, "big"), 1)), r"the .+"),
    ("speaks HTTP/1", answer("200 OK"), r"the answer breaks the rules of HTTP/2"),
    (
        "sends a frame that is too large",
        over_http2(b"\xff\xff\xff" + bytes(6)),
        r"the answer breaks the rules of HTTP/2",
    ),
):

    @environment(BROKEN, f"server that agreed on HTTP/2 and {_name}", FAIL, _words)
    def _agreed(lab: Lab, script: Any = _script) -> Check:
        name = lab.name()
        context = lab.tls(name)
        context.set_alpn_protocols(["h2"])
        return https(lab, script, context, host=name)


@environment(
    BROKEN, "connection that is reset after the TLS handshake", FAIL, r"the (?:connection broke|server closed) .+"
)
def _reset_after_handshake(lab: Lab) -> Check:
    return https(lab, reset())


@environment(HEALTHY, "scheme and host in capitals, and a port with zeros", OK, HTTP_OK)
def _capitals(lab: Lab) -> Check:
    return check(f"HTTP://{lab.name().upper()}:0{lab.serve(answer('200 OK'))}/")


@environment(HEALTHY, "path with dots, braces, brackets and percent signs", OK, HTTP_OK)
def _odd_path(lab: Lab) -> Check:
    def script(connection: socket.socket) -> None:
        well = b"/a/{b}/[1-3]/%2e%2f?q[]=%25&x={y} " in read_request(connection).lower()
        connection.sendall(b"HTTP/1.1 %s\r\nContent-Length: 0\r\n\r\n" % (b"200 OK" if well else b"500 No"))

    return http(lab, script, path="/a/{b}/[1-3]/%2e%2F?q[]=%25&x={y}#part")


for _encoding in ("UTF-8", "iso-8859-1", "aws-chunked"):
    add(
        HEALTHY,
        f"{_encoding} as the encoding of a plain body",
        OK,
        HTTP_OK,
        lambda lab, encoding=_encoding: http(
            lab, answer("200 OK", **{"Content-Encoding": encoding}), expect=tolerant(body="ok")
        ),
        quick=_encoding == "UTF-8",
    )
