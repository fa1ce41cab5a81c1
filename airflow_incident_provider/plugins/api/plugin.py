"""
The plugin that mounts the application.

Plugins are loaded in schedulers and workers too, so the application is built on the first request.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

from airflow.plugins_manager import AirflowPlugin

if TYPE_CHECKING:
    from fastapi import FastAPI
    from starlette.types import Receive, Scope, Send

URL_PREFIX = "/incidents"


class IncidentsApp:
    """An ASGI application that imports and builds the FastAPI application on the first request."""

    @cached_property
    def app(self) -> FastAPI:
        """The FastAPI application."""
        from airflow_incident_provider.plugins.api.app import create_app

        return create_app()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request."""
        await self.app(scope, receive, send)


class IncidentApiPlugin(AirflowPlugin):
    """Mounts the application in the API server."""

    name = "incident_api"
    fastapi_apps: list[Any] = [  # noqa: RUF012  Airflow's own declaration is a plain class attribute
        {"app": IncidentsApp(), "url_prefix": URL_PREFIX, "name": "Incidents"}
    ]
