"""The entry in Airflow's menu. The routes are part of the application under ``/incidents``."""

from __future__ import annotations

from typing import Any

from airflow.plugins_manager import AirflowPlugin

# Relative: Airflow resolves it against its own base path.
_STATIC = "incidents/static"


class IncidentsPagePlugin(AirflowPlugin):
    """
    Shows the page inside Airflow's UI, as a component of it.

    The other way, an external view, is a frame in which Airflow allows no link to open a window or to leave the
    frame: a room could not be reached from it.
    """

    name = "incidents_page"
    react_apps: list[Any] = [  # noqa: RUF012 - Airflow's own declaration is a plain class attribute
        {
            "name": "Incidents",
            "url_route": "incidents",
            "bundle_url": f"{_STATIC}/airflow.js",
            "icon": f"{_STATIC}/icon.svg",
            "icon_dark_mode": f"{_STATIC}/icon-dark.svg",
            "destination": "nav",
            "nav_top_level": True,
        }
    ]
