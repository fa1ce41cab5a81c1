"""What is probed and what was found: the values of ``plan_investigation`` and ``investigate``."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from airflow_incident_provider.models.incident import Target
from airflow_incident_provider.models.values import Model, UtcDatetime, Verdict, XComValue


class ProbeRun(XComValue):
    """One probe against one target, as ``plan_investigation`` decided it; each becomes one container.

    ``refused`` is why the target must not be probed; such a probe is reported as skipped.
    ``identifier`` marks a host name that only came with the alert: monitoring systems make up names that no
    resolver knows, so a name that does not exist is not a failure.
    """

    probe: str
    target: Target | None = None
    allowed_networks: tuple[str, ...] = ()
    refused: str | None = None
    identifier: bool = False


class StageName(StrEnum):
    """The stages of a check, in the order in which a client goes through them."""

    NAME = "name"
    CONNECTION = "connection"
    TLS = "TLS"
    REQUEST = "request"


class Stage(Model):
    """What one stage of a check showed; ``SKIPPED`` when an earlier stage kept it from being reached."""

    name: StageName
    verdict: Verdict
    summary: str
    duration_ms: Annotated[int, Field(ge=0)] | None = None


class Vantage(Model):
    """Where a check was made from: the container's network, addresses, resolvers and usable address families."""

    network: str | None = None
    addresses: tuple[str, ...] = ()
    resolvers: tuple[str, ...] = ()
    families: tuple[str, ...] = ()


CONTROL_PROBES = frozenset({"control", "host_facts"})
"""The probe that checks our own side; version 0.1.0 called it ``host_facts``."""


class Finding(XComValue):
    """The result of one check. The value of each ``investigate`` task.

    ``facts`` are machine-readable (text, numbers, booleans); ``evidence`` is the redacted output of
    the container, at most 4 KB; ``summary`` is one plain line that claims no more than the facts show.
    ``command`` repeats the check on a command line; ``exit_code`` is that of a custom image.
    ``calls`` are the ids of the recorded API calls that a finding of the monitoring follows from.
    ``redirect`` is where an answer leads, for the check that follows it: it may hold a secret, and is in no XCom.
    """

    probe: str
    target: str
    verdict: Verdict
    summary: str
    stages: tuple[Stage, ...] = ()
    facts: dict[str, str | int | float | bool] = Field(default_factory=dict)
    evidence: str = ""
    command: tuple[str, ...] = ()
    exit_code: int | None = None
    started_at: UtcDatetime
    duration_ms: Annotated[int, Field(ge=0)] = 0
    image: str | None = None
    image_digest: str | None = None
    host: str | None = None
    calls: tuple[str, ...] = ()
    vantage: Vantage | None = None
    redirect: str | None = Field(default=None, exclude=True, repr=False)

    @property
    def is_control(self) -> bool:
        """Whether it is about our own network, and so not evidence about a target."""
        return self.probe in CONTROL_PROBES
