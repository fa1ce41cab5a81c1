"""Play a story: every endpoint of the sandbox's Datadog answers from it, and fails as it says."""

from __future__ import annotations

from incident_sandbox.datadog.story import Story, load_story
from incident_sandbox.datadog.world import World
from incident_sandbox.faults import Fault
from incident_sandbox.workspace import Workspace

ALERTED_BEFORE_S = 41
"""How long before now the alert of a story is, unless it is said otherwise."""


def play_story(workspace: Workspace, story: Story | str, *, alerted_at: float | None = None) -> World:
    """Load a story into a workspace's Datadog.

    :param alerted_at: Unix seconds of its alert.
    :raises ValueError: there is no story of this name.
    """
    played = load_story(story) if isinstance(story, str) else story
    with workspace.lock:
        at = workspace.clock() - ALERTED_BEFORE_S if alerted_at is None else alerted_at
        world = workspace.datadog.play(played, at)
        for name in played.limits.failing:
            workspace.faults.add(
                Fault(method=f"datadog.{name}", status=502, body="<html>502 Bad Gateway</html>", times=None)
            )
        for name, delay in played.limits.delay_ms.items():
            workspace.faults.add(Fault(method=f"datadog.{name}", delay_ms=delay, times=None))
    # Made once here: the first answer would be late otherwise.
    _ = world.series
    return world
