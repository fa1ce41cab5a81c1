"""The result of the policy: a rebuilt call for the engine, or a refusal with its reason."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto


class RefusedError(Exception):
    """A request breaks a rule.

    :param reason: the violated rule, for the person whose call is refused. It names settings and never
        repeats their values, because a value may be a secret.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Answer(Enum):
    """How the engine's answer is brought back."""

    RELAY = auto()
    """As it comes."""
    OUTPUT_STREAM = auto()
    """As raw bytes on an upgraded connection, from the engine to the client only."""
    ALLOWED_IMAGES = auto()
    """A list of images, of which the allowed ones are shown."""
    ALLOWED_IMAGE = auto()
    """One image, shown if it is an allowed one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Allow:
    """A request that may pass, as it is to be sent.

    ``path`` has the place ``{container}`` when the call touches a container: the sender fills in the full id
    of the container that ``container`` names, once it has seen that this is an investigation's.
    """

    method: str
    version: str
    path: str
    query: str = ""
    body: bytes = b""
    container: str | None = None
    answer: Answer = Answer.RELAY
    registry_auth: str | None = None

    def engine_target(self, container_id: str = "") -> str:
        """Return the request target for the engine, about the container with this id."""
        path = self.version + self.path.replace("{container}", container_id)
        return f"{path}?{self.query}" if self.query else path
