"""How soon a step comes when there is more to do than there are slots, among incidents of one severity."""

from __future__ import annotations

ROOM_FIRST = 1000
"""The least weight of a step that a room waits for; more than any severity adds to one that reports."""
