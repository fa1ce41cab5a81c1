"""Environments of what the routing table expects: statuses, bodies, times and redirects."""

from __future__ import annotations

import codecs
import gzip
import socket
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
    UNCHECKED,
    UNKNOWN,
    WARN,
    Check,
    add,
    environment,
    http,
    tolerant,
)
from benchmarks.probes.lab import Lab
from benchmarks.probes.servers import Script, answer, read_request

_KB = 1024
_MANY = b"nothing to see\n"

# --- bodies -----------------------------------------------------------------------------------------------


def in_pieces(head: bytes, *pieces: bytes) -> Script:
    """Return a script whose body comes in pieces, each in a packet of its own."""

    def script(connection: socket.socket) -> None:
        read_request(connection)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.sendall(head)
        for piece in pieces:
            connection.sendall(piece)
            time.sleep(0.1)

    return script


_CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n"
_ZIPPED = gzip.compress(b'{"status": "up"}')
for _name, _script, _pattern in (
    (
        "pattern across two chunks",
        in_pieces(_CHUNKED + b"\r\n", b"5\r\nall i\r\n", b"6\r\ns well\r\n", b"0\r\n\r\n"),
        "^all is well$",
    ),
    (
        "pattern in gzip that is cut into chunks",
        in_pieces(
            _CHUNKED + b"Content-Encoding: gzip\r\n\r\n",
            b"7\r\n" + _ZIPPED[:7] + b"\r\n",
            b"%x\r\n" % len(_ZIPPED[7:]) + _ZIPPED[7:] + b"\r\n0\r\n\r\n",
        ),
        '"status": "up"',
    ),
    (
        "pattern in Latin-1",
        answer("200 OK", "Zustand: grün".encode("latin-1"), Content_Type="text/plain; charset=ISO-8859-1"),
        "grün$",
    ),
    (
        "pattern in a charset in quotes",
        answer("200 OK", "état: prêt €".encode("cp1252"), Content_Type='text/html;charset="windows-1252"'),
        "prêt €",
    ),
    (
        "pattern in UTF-16",
        answer("200 OK", "all is well".encode("utf-16"), Content_Type="text/plain; charset=utf-16"),
        "^all is well$",
    ),
    ("pattern after a byte order mark", answer("200 OK", codecs.BOM_UTF8 + b"up"), "^up$"),
    ("pattern before a carriage return", answer("200 OK", b"status\r\nup\r\n"), "(?m)^up$"),
    (
        "pattern in a charset that nobody knows",
        answer("200 OK", b"up", Content_Type="text/plain; charset=klingon"),
        "^up$",
    ),
    ("pattern in what is not text", answer("200 OK", bytes(range(256)) + b"up"), "up$"),
    ("pattern for an empty body", answer("204 No Content", b""), "^$"),
    (
        "pattern before a character that is cut at 32 KB",
        answer("200 OK", b"up\n" + b"x" * (32 * _KB - 4) + "ß".encode() * 20),
        "^up$|^up\n",
    ),
):
    add(
        HEALTHY,
        _name,
        OK,
        f"HTTP 20[04]{TIMES}",
        lambda lab, script=_script, pattern=_pattern: http(lab, script, expect=tolerant(body=pattern)),
        quick="Latin" in _name,
    )
add(
    UNCHECKED,
    "pattern behind the first 32 KB of the body",
    UNKNOWN,
    rf"HTTP 200{TIMES}; the first 32 KB of the body do not match 'all is well', and the rest was not read",
    lambda lab: http(lab, answer("200 OK", _MANY * 3_000 + b"all is well"), expect=tolerant(body="all is well")),
    quick=True,
)
add(
    BROKEN,
    "pattern that a body of exactly 32 KB lacks",
    FAIL,
    rf"HTTP 200{TIMES}; the body does not match 'all is well'",
    lambda lab: http(lab, answer("200 OK", b"x" * 32 * _KB), expect=tolerant(body="all is well")),
)
add(
    BROKEN,
    "empty body where one is expected",
    FAIL,
    rf"HTTP 204{TIMES}; the body does not match '\.'",
    lambda lab: http(lab, answer("204 No Content", b""), expect=tolerant(body=".")),
)
add(
    BROKEN,
    "page of an error that is answered 200",
    FAIL,
    rf"HTTP 200{TIMES}; the body does not match '\"status\": \"up\"'",
    lambda lab: http(
        lab, answer("200 OK", b"<h1>Whoops, something went wrong</h1>"), expect=tolerant(body='"status": "up"')
    ),
)
add(
    BROKEN,
    "body that matches, of an answer that is 503",
    FAIL,
    f"HTTP 503{TIMES}",
    lambda lab: http(lab, answer("503 Service Unavailable", b"up"), expect=tolerant(body="up")),
)

# --- statuses ---------------------------------------------------------------------------------------------

for _status, _patterns in (
    ("299 Last", ("200-299",)),
    ("200 First", ("200-299",)),
    ("503 Service Unavailable", ("2xx", "503")),
    ("404 Not Found", ("4XX",)),
    ("301 Moved Permanently", ("3xx",)),
    ("405 Method Not Allowed", ("200", "405-405")),
):
    add(
        HEALTHY,
        f"{_status} where {', '.join(_patterns)} is expected",
        OK,
        f"HTTP {_status[:3]}{TIMES}",
        lambda lab, status=_status, patterns=_patterns: http(
            lab, answer(status, Location="/else"), expect=tolerant(statuses=patterns)
        ),
    )
for _status, _patterns in (
    ("300 Multiple Choices", ("200-299",)),
    ("401 Unauthorized", ("2xx",)),
    ("404 Not Found", ("2xx", "403")),
    ("201 Created", ("200",)),
):
    add(
        BROKEN,
        f"{_status} where {', '.join(_patterns)} is expected",
        FAIL,
        rf"HTTP {_status[:3]}{TIMES}; expected {', '.join(_patterns)}",
        lambda lab, status=_status, patterns=_patterns: http(
            lab, answer(status), expect=tolerant(statuses=patterns)
        ),
    )

# --- times ------------------------------------------------------------------------------------------------

add(
    BROKEN,
    "limit of one millisecond",
    WARN,
    rf"HTTP 200{TIMES}; slow: the limit is 1 ms",
    lambda lab: http(lab, answer("200 OK", delay_s=0.1), expect=tolerant(slow_ms=1)),
)
add(
    HEALTHY,
    "three seconds, and a limit of a minute",
    OK,
    HTTP_OK,
    lambda lab: http(lab, answer("200 OK", delay_s=3), expect=tolerant(slow_ms=60_000)),
)
add(
    BROKEN,
    "slow answer with a status that is not expected, and a body that does not match",
    FAIL,
    rf"HTTP 500{TIMES}; expected 200; slow: the limit is 300 ms",
    lambda lab: http(
        lab,
        answer("500 Internal Server Error", delay_s=0.6),
        expect=tolerant(statuses=("200",), slow_ms=300, body="up"),
    ),
)

# --- redirects --------------------------------------------------------------------------------------------

_LEADS = r"redirects to http://[^ ]+"


def _at(path: bytes, body: bytes = b"all is well") -> Script:
    """Return a script that answers 200 to this path and query, and 400 to any other."""

    def script(connection: socket.socket) -> None:
        asked = read_request(connection).split(b" ")[1]
        status = b"200 OK" if asked == path else b"400 Bad Request"
        connection.sendall(b"HTTP/1.1 %s\r\nContent-Length: %d\r\n\r\n" % (status, len(body)) + body)

    return script


def redirect(lab: Lab, path: str, *, status: str = "302 Found", start: str = "http:", **expected: Any) -> Check:
    """Return the check of a redirect that is followed, to a server that knows this path only."""
    location = f"{start}//{lab.name()}:{lab.serve(_at(path.partition('#')[0].encode()))}{path}"
    return http(lab, answer(status, Location=location), expect=tolerant(follow_redirects=True, **expected))


for _name, _path, _options in (
    ("with a body pattern", "/end", {"body": "^all is well$"}),
    ("with an expected status", "/end", {"statuses": ("200",)}),
    ("with a limit", "/end", {"slow_ms": 7_000}),
    ("without a scheme", "/end", {"start": ""}),
    ("with a part of the page", "/end#part", {}),
    ("with a query of 3 KB", f"/sso?SAMLRequest={'Zm9v' * 750}", {}),
    ("with a token in its query", "/sso?token=s3cr3ts3cr3ts3cr3t&x=1", {}),
    ("by 308", "/end", {"status": "308 Permanent Redirect"}),
    ("by 303", "/end", {"status": "303 See Other"}),
):
    add(
        HEALTHY,
        f"redirect that is followed, {_name}",
        OK,
        rf"{_LEADS}: {HTTP_OK}",
        lambda lab, path=_path, options=_options: redirect(lab, path, **options),
        quick=_name == "with a body pattern",
    )


@environment(HEALTHY, "redirect to a path that is not ASCII", OK, rf"{_LEADS}: {HTTP_OK}")
def _not_ascii(lab: Lab) -> Check:
    port = lab.serve(_at(b"/gr%C3%B6%C3%9Fe%20x"))
    location = f"http://{lab.name()}:{port}/größe x".encode()
    moved = b"HTTP/1.1 302 Found\r\nLocation: " + location + b"\r\nContent-Length: 0\r\n\r\n"
    return http(lab, in_pieces(moved), expect=tolerant(follow_redirects=True))


@environment(BROKEN, "redirect to what is no URL", UNKNOWN, r"redirects to http://\[bad/: the URL cannot be read")
def _no_url(lab: Lab) -> Check:
    return http(lab, answer("302 Found", Location="http://[bad/ "), expect=tolerant(follow_redirects=True))


@environment(
    BROKEN,
    "redirect that is followed, and the body does not match",
    FAIL,
    rf"{_LEADS}: HTTP 200{TIMES}; the body .+",
)
def _followed_no_match(lab: Lab) -> Check:
    return redirect(lab, "/end", body="^never$")


@environment(
    UNCHECKED,
    "six redirects, one after the other",
    UNKNOWN,
    rf"{_LEADS}: HTTP 302{TIMES}; redirects to [^ ]+/n/6, which was not followed",
)
def _six(lab: Lab) -> Check:
    def script(connection: socket.socket) -> None:
        number = int(read_request(connection).split(b" ")[1].rpartition(b"/")[2] or b"0")
        head = b"HTTP/1.1 200 OK" if number >= 9 else b"HTTP/1.1 302 Found\r\nLocation: /n/%d" % (number + 1)
        connection.sendall(head + b"\r\nContent-Length: 0\r\n\r\n")

    return http(lab, script, expect=tolerant(follow_redirects=True))


@environment(
    UNCHECKED,
    "redirect of 5 KB that is not followed",
    UNKNOWN,
    rf"HTTP 302{TIMES}; redirects to https://login\.acme\.example/\?next=[x.]{{1,400}}, which was not followed",
)
def _long_location(lab: Lab) -> Check:
    return http(lab, answer("302 Found", Location=f"https://login.acme.example/?next={'x' * 5_000}"))


@environment(
    UNCHECKED,
    "redirect of a target of the alert, to a private address",
    UNKNOWN,
    r"redirects to http://10\.1\.2\.3/: 10\.1\.2\.3 \(private\) may not be probed",
)
def _to_private(lab: Lab) -> Check:
    made = http(lab, answer("302 Found", Location="http://10.1.2.3/"), expect=tolerant(follow_redirects=True))
    run = made.run
    assert run.target is not None
    target = run.target.model_copy(update={"trusted": False})
    network = lab.network.subnet
    return Check(
        run=run.model_copy(update={"target": target, "allowed_networks": (network,)}), options=made.options
    )


add(
    HEALTHY,
    "redirect that is expected as such, with the body of a redirect",
    OK,
    f"HTTP 302{TIMES}",
    lambda lab: http(
        lab,
        answer("302 Found", b"see there", Location="/login"),
        expect=tolerant(statuses=("302",), body="see there"),
    ),
)
add(
    HEALTHY,
    "host and port in a redirect in capitals",
    OK,
    rf"redirects to [^ ]+: {HTTP_OK}",
    lambda lab: http(
        lab,
        answer("301 Moved Permanently", Location=f"HTTP://{lab.name().upper()}.:{lab.serve(OK_ANSWER)}/"),
        expect=tolerant(follow_redirects=True),
    ),
)
add(
    BROKEN,
    "redirect to a port that refuses, by HTTPS",
    FAIL,
    r"redirects to https://[^ ]+: port \d+: connection refused at [0-9.]+; not reached: TLS, request",
    lambda lab: http(
        lab,
        answer("301 Moved Permanently", Location=f"https://{lab.name()}:{lab.refused()}/"),
        expect=tolerant(follow_redirects=True),
    ),
)
add(
    HEALTHY,
    "401 after a redirect",
    OK,
    rf"redirects to [^ ]+: HTTP 401{TIMES}; up, requires authentication",
    lambda lab: http(
        lab,
        answer("302 Found", Location=f"http://{lab.name()}:{lab.serve(answer('401 Unauthorized'))}/"),
        expect=tolerant(follow_redirects=True),
    ),
)
