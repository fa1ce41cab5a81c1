"""What one installation allows: images, networks, and the most that a container may use."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

LABEL_NAME = "airflow_incident_provider"
LABEL_VALUE = "investigation"
"""The label that marks a container as an investigation's. A container without it cannot be touched."""

MIB = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The operator's choices.

    :param images: patterns of image references as Docker shows them (``alpine:3.23``). ``*`` matches any
        part of a name but a slash, so it never reaches into another repository's path.
    :param networks: networks that a container may join; ``none`` is always allowed.
    :param pull: whether an allowed image may be pulled.
    :param memory: the most memory of a container, in bytes.
    :param nano_cpus: the most CPU of a container, in billionths of a core.
    :param pids: the most processes and threads of a container.
    :raises ValueError: if no image is allowed, or a network is one that would lift the container's isolation.
    """

    images: tuple[str, ...]
    networks: tuple[str, ...] = ("bridge",)
    pull: bool = False
    memory: int = 256 * MIB
    nano_cpus: int = 1_000_000_000
    pids: int = 256
    _image_pattern: re.Pattern[str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not self.images:
            raise ValueError("no image is allowed: name at least one")
        for network in self.networks:
            if network == "host" or not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", network):
                raise ValueError(f"the network {network!r} cannot be allowed: it is no network of its own")
        alternatives = "|".join(re.escape(image).replace(r"\*", "[A-Za-z0-9._:@-]*") for image in self.images)
        object.__setattr__(self, "_image_pattern", re.compile(alternatives))

    def allows_image(self, reference: str) -> bool:
        """Return whether an image may be used under this reference."""
        return self._image_pattern.fullmatch(reference) is not None

    def allows_network(self, mode: str) -> bool:
        """Return whether ``mode`` is a network that a container may join (``default`` is the bridge)."""
        name = "bridge" if mode == "default" else mode
        return name == "none" or name in self.networks
