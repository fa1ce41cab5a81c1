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
    WARN,
    Check,
    add,
    check,
    environment,
)
from benchmarks.probes.lab import Lab
from benchmarks.probes.servers import Script, answer, read_request, wait_for_end

OUTSIDE = "outside.acme.example"


def through(lab: Lab, proxy: Script, scheme: str, **more: Any) -> Check:
    """Return the check of a target that is reached through this proxy only."""
    settings = ProbeSettings(proxy=f"http://{lab.address}:{lab.serve(proxy)}", ca_pem=lab.ca_pem)
    return check(f"{scheme}://{OUTSIDE}/", settings=settings, **more)


def tunnel(lab: Lab, script: Script, **certificate: Any) -> Script:
    """Return a proxy whose tunnels all lead to a server with TLS that does this."""
    port = lab.serve(script, tls=lab.tls(OUTSIDE, **certificate))

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
