"""The sandbox as a server: an application, a context manager for tests, and a blocking call for a command line."""

from __future__ import annotations

import contextlib
import socket
import threading
from types import TracebackType
from typing import Self

import uvicorn  # noqa: TID253 - nothing imports this module but those who start the server
from fastapi import FastAPI

from incident_sandbox.control import control_router
from incident_sandbox.datadog.api import datadog_router
from incident_sandbox.interaction_routes import interaction_router
from incident_sandbox.page import add_page
from incident_sandbox.seed import FULL_TOKEN
from incident_sandbox.slack.api import slack_router
from incident_sandbox.socket_mode import socket_router
from incident_sandbox.transport import AbortableProtocol
from incident_sandbox.workspace import Workspace

START_SECONDS = 15.0
STOP_SECONDS = 10.0


def create_app(workspace: Workspace) -> FastAPI:
    """Return the application that serves one workspace: Slack, Datadog, the control API and the page."""
    app = FastAPI(title="Incident sandbox", docs_url=None, redoc_url=None, openapi_url=None)
    app.state.closing = False
    routers = (slack_router, datadog_router, control_router, interaction_router, socket_router)
    for router in routers:
        app.include_router(router(workspace))
    add_page(app)
    return app


class SandboxServer:
    """A sandbox on a local port, for the length of a ``with`` block.

    :param workspace: the workspace to serve; a fresh one by default.
    :param port: 0 takes any free port.
    """

    def __init__(self, workspace: Workspace | None = None, *, host: str = "127.0.0.1", port: int = 0) -> None:
        self.workspace = workspace or Workspace()
        self.token = FULL_TOKEN
        self._app = create_app(self.workspace)
        self._socket = socket.create_server((host, port))
        self._host, self._port = self._socket.getsockname()[:2]
        self._server = _Server(self._app)
        self._thread = threading.Thread(target=self.run, name="incident-sandbox", daemon=True)

    @property
    def url(self) -> str:
        """The server's root, where the page is."""
        return f"http://{self._host}:{self._port}"

    @property
    def slack_base_url(self) -> str:
        """The ``base_url`` for Slack's clients."""
        return f"{self.url}/api/"

    @property
    def datadog_url(self) -> str:
        """The ``api_host`` for Datadog's clients."""
        return self.url

    def connect_app(self, airflow_url: str) -> None:
        """Send interactions and commands to the incidents app of an Airflow."""
        interactivity = self.workspace.interactivity
        interactivity.request_url = f"{airflow_url}/incidents/slack/actions"
        interactivity.command_url = f"{airflow_url}/incidents/slack/commands"

    def __enter__(self) -> Self:
        """Start, and return once requests are answered."""
        self._thread.start()
        if not self._server.ready.wait(START_SECONDS):
            raise TimeoutError(f"the sandbox did not start within {START_SECONDS:.0f} s")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop, and return once the port is free."""
        self._server.should_exit = True
        self._thread.join(STOP_SECONDS)
        self._socket.close()

    def run(self) -> None:
        """Serve in the calling thread until stopped."""
        self._server.run(sockets=[self._socket])


class _Server(uvicorn.Server):
    """uvicorn's server, which says when it is ready and lets endless answers end when it stops."""

    def __init__(self, app: FastAPI) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                http=AbortableProtocol,
                ws="websockets-sansio",
                log_level="warning",
                access_log=False,
                timeout_graceful_shutdown=1,
            )
        )
        self.ready = threading.Event()
        self._state = app.state

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, then set ``ready``."""
        await super().startup(sockets)
        self.ready.set()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End the event streams, then stop."""
        self._state.closing = True
        await super().shutdown(sockets)


def serve(host: str = "127.0.0.1", port: int = 8765, *, latency_ms: int = 0) -> None:
    """Serve a fresh workspace until interrupted, after printing where everything is."""
    server = SandboxServer(host=host, port=port)
    server.workspace.settings.latency_ms = latency_ms
    print(_addresses(server), flush=True)
    with contextlib.suppress(KeyboardInterrupt):
        server.run()


def _addresses(server: SandboxServer) -> str:
    datadog = server.workspace.datadog
    return "\n".join(
        (
            "A stand-in for Slack and Datadog; nothing here reaches either of them.",
            f"  the workspace    {server.url}/",
            f"  Slack base_url   {server.slack_base_url}",
            f"  Slack token      {server.token}",
            f"  Datadog api_host {server.datadog_url}",
            f"  Datadog keys     api_key={datadog.api_key} app_key={datadog.app_key}",
            f"To connect Airflow: airflow incident setup airflow --sandbox {server.url} --yes",
        )
    )
