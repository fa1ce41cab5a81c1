"""The application under ``/incidents``: its routes, and every error as an answer in words."""

from __future__ import annotations

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from airflow_incident_provider import __version__
from airflow_incident_provider.plugins.incidents_page import routes as incidents_page
from airflow_incident_provider.plugins.webhook import alerts, health
from airflow_incident_provider.plugins.webhook.answers import Refusal, Refused
from airflow_incident_provider.plugins.webhook.reception import Reception

ROUTERS = (alerts.router, health.router, incidents_page.router)
"""What is served. Pages bring a router of their own."""


def create_app(reception: Reception | None = None) -> FastAPI:
    """Return the application.

    :param reception: takes the alerts; one of its own by default.
    """
    app = FastAPI(
        title="Incidents",
        version=__version__,
        description="Alerts become incidents. An answer of the class 4xx says that the same request will fail"
        " again; 503 says that it should be sent again.",
        # The interactive pages would load their scripts from elsewhere.
        docs_url=None,
        redoc_url=None,
    )
    app.state.reception = reception or Reception()
    app.add_exception_handler(Refused, _refused)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http_error)
    for router in ROUTERS:
        app.include_router(router)
    return app


async def _refused(_: Request, error: Exception) -> Response:
    assert isinstance(error, Refused)
    # A body that was not read to its end is still under way: the connection cannot serve another request.
    closing = {"Connection": "close"} if error.status in {408, 413} else None
    return JSONResponse(error.answer.model_dump(), status_code=error.status, headers=closing)


async def _invalid(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    place = ".".join(str(step) for step in first["loc"])
    return JSONResponse(Refusal(error=f"{place}: {first['msg']}").model_dump(), status_code=400)


async def _http_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    answer = Refusal(error=f"{error.detail}.")
    return JSONResponse(answer.model_dump(), status_code=error.status_code, headers=error.headers)
