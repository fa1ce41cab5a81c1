"""The FastAPI application: routers and error handlers."""

from __future__ import annotations

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from airflow_incident_provider import __version__
from airflow_incident_provider.plugins.api import actions
from airflow_incident_provider.plugins.api.errors import ErrorResponse, RequestError
from airflow_incident_provider.plugins.incidents_page import routes as incidents_page
from airflow_incident_provider.plugins.slack_requests import routes as slack_requests
from airflow_incident_provider.plugins.slack_requests.service import SlackService
from airflow_incident_provider.plugins.webhook import routes as webhook
from airflow_incident_provider.plugins.webhook.receiver import AlertReceiver

ROUTERS = (webhook.router, webhook.health_router, slack_requests.router, actions.router, incidents_page.router)


def create_app(receiver: AlertReceiver | None = None, slack: SlackService | None = None) -> FastAPI:
    """Return the application.

    :param receiver: receives the alerts; a new one by default.
    :param slack: receives Slack's requests; a new one by default.
    """
    app = FastAPI(
        title="Incidents",
        version=__version__,
        description="Turns alerts into incidents. A 4xx response means that the same request would fail again; 503"
        " means that the client should retry it.",
        # The interactive documentation would load scripts from another host.
        docs_url=None,
        redoc_url=None,
    )
    app.state.receiver = receiver or AlertReceiver()
    app.state.slack = slack or SlackService()
    app.add_exception_handler(RequestError, _rejected)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http_error)
    for router in ROUTERS:
        app.include_router(router)
    return app


async def _rejected(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestError)
    # The rest of an unread body is still in transit: the connection cannot serve another request.
    closing = {"Connection": "close"} if error.closes_connection else None
    return JSONResponse(error.answer.model_dump(), status_code=error.status, headers=closing)


async def _invalid(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    place = ".".join(str(step) for step in first["loc"])
    return JSONResponse(ErrorResponse(error=f"{place}: {first['msg']}").model_dump(), status_code=400)


async def _http_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    answer = ErrorResponse(error=f"{error.detail}.")
    return JSONResponse(answer.model_dump(), status_code=error.status_code, headers=error.headers)
