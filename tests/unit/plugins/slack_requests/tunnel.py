"""An HTTP proxy on loopback that forwards requests and opens tunnels, and can drop what is sent through them."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx


class Proxy:
    """A running proxy.

    :param tunnels: the targets of the tunnels that were opened.
    """

    def __init__(self) -> None:
        self.url = ""
        self.requests: list[str] = []
        self.tunnels: list[str] = []
        self._silent = threading.Event()

    def silence(self) -> None:
        """Drop all data of open tunnels without closing them."""
        self._silent.set()
        self._silent = threading.Event()

    def relay(self, source: socket.socket, target: socket.socket, silent: threading.Event) -> None:
        """Copy bytes until either side closes."""
        with contextlib.suppress(OSError):
            while data := source.recv(65_536):
                if not silent.is_set():
                    target.sendall(data)
        for sock in (source, target):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    def tunnel(self, client: socket.socket, address: str) -> None:
        """Relay between a client and ``address`` until either side closes."""
        host, _, port = address.partition(":")
        self.tunnels.append(address)
        with socket.create_connection((host, int(port))) as target:
            back = threading.Thread(target=self.relay, args=(target, client, self._silent), daemon=True)
            back.start()
            self.relay(client, target, self._silent)
            back.join()


@contextlib.contextmanager
def running_proxy() -> Iterator[Proxy]:
    """Run a proxy for the length of a ``with`` block."""
    proxy = Proxy()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            proxy.requests.append(self.path)
            response = httpx.post(self.path, content=body, headers=dict(self.headers), timeout=30)
            self.send_response(response.status_code)
            self.send_header("Content-Type", response.headers["Content-Type"])
            self.send_header("Content-Length", str(len(response.content)))
            self.end_headers()
            self.wfile.write(response.content)

        def do_CONNECT(self) -> None:
            self.send_response(200)
            self.end_headers()
            proxy.tunnel(self.connection, self.path)
            self.close_connection = True

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        proxy.url = f"http://127.0.0.1:{server.server_address[1]}"
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield proxy
        server.shutdown()
