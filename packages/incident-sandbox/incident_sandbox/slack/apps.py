"""The app itself: ``apps.connections.open``."""

from __future__ import annotations

from urllib.parse import urlencode

from incident_sandbox.interactivity import APP_ID
from incident_sandbox.slack.call import Answer, Call, handles


@handles("apps.connections.open")
def open_connection(call: Call) -> Answer:
    """Return the address of a WebSocket; it opens one connection."""
    sockets = call.workspace.sockets
    sockets.app_sees = call.root_url
    query = urlencode({"ticket": sockets.new_ticket(), "app_id": APP_ID})
    return {"url": f"{call.root_url.replace('http', 'ws', 1)}/link/?{query}"}
