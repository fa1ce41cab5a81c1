"""Channel canvases: a document in a tab of a channel, which only paid plans are assumed to have."""

from __future__ import annotations

from incident_sandbox.entities import Canvas
from incident_sandbox.slack.call import Answer, Call, handles
from incident_sandbox.slack.errors import SlackError, explained


@handles("conversations.canvases.create")
def create_channel_canvas(call: Call) -> Answer:
    """Create the canvas of a channel; a channel has one at most."""
    channel = call.channel("channel_id")
    call.require_member(channel)
    content = call.args.structure("document_content", error="invalid_arguments") or {}
    if not isinstance(content, dict) or content.get("type", "markdown") != "markdown":
        raise explained("invalid_arguments", "must be an object of type markdown [json-pointer:/document_content]")
    if call.workspace.settings.free_plan:
        raise SlackError("team_tier_cannot_create_channel_canvases")
    if channel.canvas is not None:
        raise SlackError("channel_canvas_already_exists")
    channel.canvas = Canvas(
        id=call.workspace.new_id("F"),
        user=call.user_id,
        title=call.args.text("title"),
        markdown=str(content.get("markdown", "")),
    )
    return {"canvas_id": channel.canvas.id}
