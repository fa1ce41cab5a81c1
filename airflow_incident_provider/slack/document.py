"""Share a long document in a channel: as its canvas, or as a file where Slack offers no canvas."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from airflow_incident_provider.exceptions import SlackError, SlackUnavailableError

if TYPE_CHECKING:
    from airflow_incident_provider.slack.client import LiveSlackClient


class SharedAs(StrEnum):
    """The form in which a document was shared."""

    CANVAS = "canvas"
    FILE = "file"


def share_document(
    client: LiveSlackClient, channel_id: str, *, name: str, title: str, markdown: str
) -> tuple[SharedAs, str | None]:
    """Create the channel's canvas with a document; upload it as a file if Slack refuses the canvas.

    Slack refuses a canvas on some plans, without the scope ``canvases:write``, and if the channel has one already
    (``conversations.canvases.create``): people may have written into that, so it is not replaced.

    :param name: the name of the file.
    :returns: how it was shared, and Slack's error code if not as a canvas.
    :raises SlackUnavailableError: Slack does not answer. The canvas may have been created.
    :raises SlackError: Slack accepts neither.
    """
    content = {"type": "markdown", "markdown": markdown}
    try:
        client.hook.write(
            "conversations.canvases.create", channel_id=channel_id, title=title, document_content=content
        )
    except SlackUnavailableError:
        raise
    except SlackError as error:
        client.hook.share(client.hook.upload(name, markdown.encode()), channel_id, title=title)
        return SharedAs.FILE, error.code
    return SharedAs.CANVAS, None
