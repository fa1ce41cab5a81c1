"""Environments of proxies: what a proxy says is not said by the target."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from typing import Any

from airflow_incident_provider.probes import ProbeSettings
from benchmarks.probes.environments import (
    BROKEN,
    FAIL,
    HEALTHY,
    HTTP_OK,
    HTTPS_OK,
    OK,
    OK_ANSWER,
    TIMES,
    UNCHECKED,
    UNKNOWN,
    VALID,
    WARN,
    Check,
    add,
    check,
    environment,
)
from benchmarks.probes.lab import Lab
from benchmarks.probes.servers import Script, answer, read_request, say, wait_for_end

OUTSIDE = "outside.acme.example"


def through(lab: Lab, proxy: Script, scheme: str, **more: Any) -> Check:
    """Return the check of a target that is reached through this proxy only."""
    settings = ProbeSettings(proxy=f"http://{lab.address}:{lab.serve(proxy)}", ca_pem=lab.ca_pem)
    return check(f"{scheme}://{OUTSIDE}/", settings=settings, **more)


def tunnel(lab: Lab, script: Script, *, name: str = OUTSIDE, **certificate: Any) -> Script:
    """Return a proxy whose tunnels all lead to a server with TLS that does this."""
    port = lab.serve(script, tls=lab.tls(name, **certificate))

    def proxy(connection: socket.socket) -> None:
        read_request(connection)
        with socket.create_connection((lab.address, port)) as there:
            connection.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            back = threading.Thread(target=_pump, args=(there, connection), daemon=True)
            back.start()
            _pump(connection, there)
            back.join(5)

    return proxy


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while chunk := source.recv(65536):
            sink.sendall(chunk)
        sink.shutdown(socket.SHUT_WR)


add(HEALTHY, "tunnel through the proxy", OK, HTTPS_OK, lambda lab: through(lab, tunnel(lab, OK_ANSWER), "https"))
add(
    BROKEN,
    "old certificate at the end of a tunnel",
    FAIL,
    r"certificate expired 3 days ago \(.+\)",
    lambda lab: through(lab, tunnel(lab, OK_ANSWER, days=-3.5), "https"),
)
add(
    BROKEN,
    "503 at the end of a tunnel",
    FAIL,
    f"HTTP 503{TIMES}",
    lambda lab: through(lab, tunnel(lab, answer("503 Service Unavailable")), "https"),
)
add(
    BROKEN,
    "503 that comes from the proxy",
    WARN,
    f"HTTP 503{TIMES}; the proxy may have answered so itself",
    lambda lab: through(lab, answer("503 Service Unavailable", X_Squid_Error="ERR_DNS_FAIL 0"), "http"),
    quick=True,
)
add(BROKEN, "500 through the proxy", FAIL, f"HTTP 500{TIMES}", lambda lab: through(lab, answer("500 No"), "http"))
for _scheme, _rest in (("http", "request"), ("https", "TLS, request")):
    add(
        UNCHECKED,
        f"proxy that wants a login, {_scheme}",
        UNKNOWN,
        rf"the proxy requires authentication; not reached: {_rest}",
        lambda lab, scheme=_scheme: through(lab, answer("407 Proxy Authentication Required"), scheme),
        quick=_scheme == "http",
    )
    add(
        UNCHECKED,
        f"proxy that does not answer, {_scheme}",
        UNKNOWN,
        rf"no answer came through the proxy within 10 s; not reached: {_rest}",
        lambda lab, scheme=_scheme: through(lab, wait_for_end, scheme),
    )
for _status in ("403 Forbidden", "502 Bad Gateway"):
    add(
        UNCHECKED,
        f"proxy that answers {_status} to CONNECT",
        UNKNOWN,
        rf"the proxy answers {_status[:3]} to CONNECT; not reached: TLS, request",
        lambda lab, status=_status: through(lab, answer(status), "https"),
        quick=_status.startswith("403"),
    )


@environment(HEALTHY, "target inside, next to a proxy that is gone", OK, HTTP_OK)
def _beside_proxy(lab: Lab) -> Check:
    settings = ProbeSettings(proxy=f"http://{lab.address}:{lab.refused()}", no_proxy=("lab.test",))
    return check(f"http://{lab.name()}:{lab.serve(OK_ANSWER)}/", settings=settings)


# --- what a proxy says, and what is left unsaid -----------------------------------------------------------

_MAYBE = "the proxy may have answered so itself"
for _status, _verdict in (("403 Forbidden", UNKNOWN), ("511 Network Authentication Required", WARN)):
    add(
        UNCHECKED,
        f"{_status[:3]} through the proxy, or from it",
        _verdict,
        f"HTTP {_status[:3]}{TIMES}; {_MAYBE}",
        lambda lab, status=_status: through(lab, answer(status, Via="1.1 squid"), "http"),
        quick=_status.startswith("403"),
    )
add(
    UNCHECKED,
    "portal that the proxy sends everybody to",
    UNKNOWN,
    rf"HTTP 302{TIMES}; redirects to http://portal\.acme\.example/login, which was not followed",
    lambda lab: through(lab, answer("302 Found", Location="http://portal.acme.example/login"), "http"),
)


def tunnel_to(script: Script) -> Script:
    """Return a proxy whose tunnels end in this script, without TLS."""

    def proxy(connection: socket.socket) -> None:
        read_request(connection)
        connection.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
        script(connection)

    return proxy


add(
    UNCHECKED,
    "tunnel that ends at once",
    UNKNOWN,
    r"nothing came through the tunnel of the proxy: .+; not reached: TLS, request",
    lambda lab: through(lab, tunnel_to(lambda connection: connection.recv(4096) and None), "https"),
    quick=True,
)
add(
    UNCHECKED,
    "tunnel that stays silent",
    UNKNOWN,
    r"nothing came through the tunnel of the proxy within \d+ s; not reached: TLS, request",
    lambda lab: through(lab, tunnel_to(wait_for_end), "https"),
)
add(
    BROKEN,
    "no TLS at the end of a tunnel",
    FAIL,
    r"the TLS handshake failed \(.+\); not reached: request",
    lambda lab: through(lab, tunnel_to(say(b"HTTP/1.1 400 Bad Request\r\n\r\n", then_wait=True)), "https"),
)
add(
    HEALTHY,
    "service over TLS at the end of a tunnel",
    OK,
    r"certificate valid until .+",
    lambda lab: check(f"tls://{OUTSIDE}:8443", settings=_settings(lab, tunnel(lab, wait_for_end))),
)
add(
    HEALTHY,
    "401 at the end of a tunnel",
    OK,
    f"HTTP 401{TIMES}; up, requires authentication{VALID}",
    lambda lab: through(lab, tunnel(lab, answer("401 Unauthorized")), "https"),
)
add(
    BROKEN,
    "certificate for another name at the end of a tunnel",
    FAIL,
    r"certificate is for another name \(.+\), not outside\.acme\.example",
    lambda lab: check(f"https://{OUTSIDE}/", settings=_settings(lab, tunnel(lab, OK_ANSWER, name="other.example"))),
)
add(
    UNCHECKED,
    "proxy whose name does not resolve",
    UNKNOWN,
    r"the proxy .+; not reached: request",
    lambda _lab: check(f"http://{OUTSIDE}/", settings=ProbeSettings(proxy="http://nobody.lab.test:3128")),
)


def _settings(lab: Lab, proxy: Script) -> ProbeSettings:
    return ProbeSettings(proxy=f"http://{lab.address}:{lab.serve(proxy)}", ca_pem=lab.ca_pem)


@environment(HEALTHY, "proxy that wants a login, and gets it", OK, HTTP_OK)
def _login(lab: Lab) -> Check:
    def proxy(connection: socket.socket) -> None:
        known = b"Proxy-Authorization: Basic cHJvYmU6czNjcmV0" in read_request(connection)
        status = b"200 OK" if known else b"407 Proxy Authentication Required"
        connection.sendall(b"HTTP/1.1 %s\r\nContent-Length: 0\r\nConnection: close\r\n\r\n" % status)

    address = f"http://probe:s3cret@{lab.address}:{lab.serve(proxy)}"
    return check(f"http://{OUTSIDE}/", settings=ProbeSettings(proxy=address))


def socks(lab: Lab, script: Script, *, reply: int = 0) -> Script:
    """Return a SOCKS proxy (RFC 1928) whose connections all lead to a server with TLS that does this."""
    port = lab.serve(script, tls=lab.tls(OUTSIDE))

    def proxy(connection: socket.socket) -> None:
        connection.recv(262)
        connection.sendall(b"\x05\x00")
        connection.recv(262)
        connection.sendall(bytes([5, reply, 0, 1]) + bytes(6))
        if reply:
            return
        with socket.create_connection((lab.address, port)) as there:
            back = threading.Thread(target=_pump, args=(there, connection), daemon=True)
            back.start()
            _pump(connection, there)
            back.join(5)

    return proxy


def _by_socks(lab: Lab, **options: Any) -> Check:
    port = lab.serve(socks(lab, OK_ANSWER, **options))
    settings = ProbeSettings(proxy=f"socks5h://{lab.address}:{port}", ca_pem=lab.ca_pem)
    return check(f"https://{OUTSIDE}/", settings=settings)


add(HEALTHY, "SOCKS proxy", OK, HTTPS_OK, _by_socks, quick=True)
add(
    UNCHECKED,
    "SOCKS proxy that cannot connect",
    UNKNOWN,
    r"the proxy .+|no answer came through the proxy.+",
    lambda lab: _by_socks(lab, reply=5),
)
