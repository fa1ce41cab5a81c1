"""The webhook in Airflow's API server: its secret, and whether it can be reached."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from airflow_incident_provider.commands.check.results import NotCheckableError, Results, good, wrong
from airflow_incident_provider.commands.check.site import Site
from airflow_incident_provider.commands.webhooks import served_url

REACH_SECONDS = 10.0


def secret(_: Site) -> Results:
    """Check that there is a secret, and it is long enough."""
    from airflow_incident_provider.plugins.api.errors import RequestError
    from airflow_incident_provider.plugins.webhook.authentication import Authentication

    try:
        credentials = Authentication().credentials()
    except RequestError as refused:
        yield wrong("secret", refused.answer.error, refused.answer.fix or "Run: airflow incident setup airflow")
        return
    rotating = "; a previous one is accepted too" if credentials.previous_secret else ""
    yield good("secret", f"set{rotating}")


def reachable(_: Site) -> Results:
    """Check that the API server serves the webhook, and can take alerts."""
    import httpx

    url = served_url("/health")
    if url is None:
        raise NotCheckableError("[api] base_url is not set")
    try:
        response = httpx.get(url, timeout=REACH_SECONDS)
    except httpx.HTTPError as error:
        fix = "Start the API server, or correct [api] base_url."
        yield wrong("reachable", f"{url} did not answer: {type(error).__name__}", fix)
        return
    told = _told(response)
    if told is None:
        fix = "Install this package where the API server runs, and restart it; see: airflow plugins."
        yield wrong("reachable", f"{url} is answered by something else ({response.status_code})", fix)
        return
    for failed in (one for one in told["checks"] if not one["ok"]):
        yield wrong("reachable", f"{failed['name']}: {failed['problem']}", "The API server says so: mend it there.")
    if response.status_code == HTTPStatus.OK:
        yield good("reachable", url)


def _told(response: Any) -> dict[str, Any] | None:
    """Return what the webhook's health page says; nothing if this is another page."""
    try:
        told = response.json()
        return told if isinstance(told["checks"], list) else None
    except (ValueError, KeyError, TypeError):
        return None
