"""What a probe declares about itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from math import isfinite

from airflow_incident_provider.models import ProbeRun, Target, Verdict

CONTROL = "host_facts"
"""The probe that looks at our own network, so that its faults are not blamed on the target."""

ALPINE_IMAGE = "alpine:3.23"
CURL_IMAGE = "curlimages/curl:8.22.0"

FactValue = str | int | float | bool


@dataclass(frozen=True, kw_only=True)
class ProbeOutput:
    """What a probe's script printed, when it ran to its end.

    :param facts: the ``@name=value`` lines, as text.
    :param at: when the probe started; expiry is reckoned from it.
    """

    facts: Mapping[str, str]
    at: datetime

    def has(self, name: str) -> bool:
        """Return whether the script printed this fact with a value."""
        return bool(self.facts.get(name))

    def text(self, name: str) -> str:
        """Return a fact as text; empty if it was not printed."""
        return self.facts.get(name, "")

    def required(self, name: str) -> str:
        """Return a fact as text.

        :raises MissingFactError: the fact was not printed, or is empty.
        """
        if not self.has(name):
            raise MissingFactError(name)
        return self.facts[name]

    def number(self, name: str) -> int:
        """Return a fact as a whole number.

        :raises MissingFactError: the fact was not printed, or is no number.
        """
        try:
            return int(self.facts[name])
        except (KeyError, ValueError) as error:
            raise MissingFactError(name) from error

    def decimal(self, name: str) -> float:
        """Return a fact as a finite number.

        :raises MissingFactError: the fact was not printed, or is no number.
        """
        numbers = self.numbers(name)
        if len(numbers) != 1:
            raise MissingFactError(name)
        return numbers[0]

    def numbers(self, name: str) -> tuple[float, ...]:
        """Return a fact that is a list of finite numbers separated by spaces.

        :raises MissingFactError: one of them is no number.
        """
        try:
            numbers = tuple(float(word) for word in self.words(name))
        except ValueError as error:
            raise MissingFactError(name) from error
        if not all(map(isfinite, numbers)):
            raise MissingFactError(name)
        return numbers

    def words(self, name: str) -> tuple[str, ...]:
        """Return a fact that is a list separated by spaces."""
        return tuple(self.text(name).split())


class MissingFactError(LookupError):
    """A script ended without a fact that its reading depends on; the finding becomes ``unknown``."""


@dataclass(frozen=True, kw_only=True)
class Reading:
    """What a probe's output means.

    :param summary: one plain line that claims no more than ``facts`` show.
    """

    verdict: Verdict
    summary: str
    facts: Mapping[str, FactValue] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Probe:
    """One probe of the catalogue: ``catalogue/NAME.py`` declares it, ``catalogue/NAME.sh`` is what runs.

    :param name: the name of both files, and of the probe in the routing table.
    :param title: what it looks at, in a few words.
    :param image: the image whose tools the script uses.
    :param aim: which part of a target of the incident it looks at, or None if the target is not for it. A probe
        without ``aim`` needs no target and runs once.
    :param environment: what the script is told about its target: the only way that alert text gets in.
    :param parse: what the printed facts mean.
    :param needs_network: whether the container has to be given a network.
    :param timeout_s: seconds after which the script is ended from inside the container.
    """

    name: str
    title: str
    image: str
    aim: Callable[[Target], Target | None] | None
    environment: Callable[[ProbeRun], dict[str, str]]
    parse: Callable[[ProbeRun, ProbeOutput], Reading]
    needs_network: bool = True
    timeout_s: int = 20
