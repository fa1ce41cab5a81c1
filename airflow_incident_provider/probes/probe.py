"""What a probe declares about itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from airflow_incident_provider.models import ProbeRun, Stage, Target, Vantage, Verdict
from airflow_incident_provider.probes.output import ContainerOutput

CONTROL = "control"
"""The probe that checks our own side: resolvers, routes, proxy, clock and load."""

CURL_IMAGE = "curlimages/curl:8.22.0"
"""The image of the built-in probes: Alpine with curl."""

FactValue = str | int | float | bool


@dataclass(frozen=True, kw_only=True)
class Assessment:
    """What a probe's output means.

    :param summary: one plain line that claims no more than the facts show.
    :param stages: what each stage showed, for a check that has stages.
    :param command: a command that a person can paste to look for themselves.
    :param redirect: where the answer redirects to, in full.
    """

    verdict: Verdict
    summary: str
    stages: tuple[Stage, ...] = ()
    facts: Mapping[str, FactValue] = field(default_factory=dict)
    evidence: str = ""
    command: tuple[str, ...] = ()
    vantage: Vantage | None = None
    redirect: str | None = None


@dataclass(frozen=True, kw_only=True)
class ProbeSettings:
    """What an installation adds to every probe.

    :param proxy: URL of the HTTP proxy that leads out of the network, for targets that are not in ``no_proxy``.
    :param no_proxy: domains and networks that are reached without the proxy.
    :param ca_pem: certificates of authorities that are trusted besides those of the image.
    :param client_pem: certificate and key of the run's target, if its expectation names a connection.
    """

    proxy: str = ""
    no_proxy: tuple[str, ...] = ()
    ca_pem: str = ""
    client_pem: str = ""


@dataclass(frozen=True, kw_only=True)
class Probe:
    """One probe: what it applies to, what it runs, and what the output means.

    A package adds its own through the entry point group ``airflow_incident_provider.probes``.

    :param name: the name of the probe in the routing table, in findings and messages.
    :param title: what it checks, in a few words.
    :param image: the image that it runs in.
    :param select: returns the part of a target that it checks, or ``None`` if the target is not for it. A probe
        without ``select`` needs no target and runs once.
    :param command: returns the argument list of a run. Text from an alert must never become part of a shell line.
    :param environment: returns the environment of a run: the place for everything that an alert may have brought.
    :param assess: returns what the output means. It is called only for a container that came to its own end; the
        exit code is part of the output.
    :param timeout_s: seconds after which the container is killed.
    """

    name: str
    title: str
    image: str
    select: Callable[[Target], Target | None] | None
    command: Callable[[ProbeRun], Sequence[str]]
    environment: Callable[[ProbeRun, ProbeSettings], Mapping[str, str]]
    assess: Callable[[ProbeRun, ContainerOutput], Assessment]
    timeout_s: int = 25
