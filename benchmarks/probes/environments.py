"""
What an environment is, and the parts that environments are made of.

Each is made for real: servers, resolvers, names and networks. Its expectation is a verdict and a regular expression
for the whole summary, so that a sentence that says anything else is noticed.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Protocol

from airflow_incident_provider.intake.targets import read_target
from airflow_incident_provider.models import (
    Expectation,
    Finding,
    Incident,
    ProbeRun,
    Route,
    Severity,
    Source,
    Target,
    Verdict,
)
from airflow_incident_provider.probes import (
    MAX_REDIRECTS,
    after_redirect,
    plan_probes,
    redirected_run,
    skipped_finding,
)
from airflow_incident_provider.probes.safety import INTERNAL_NETWORKS
from benchmarks.probes.lab import Lab
from benchmarks.probes.servers import Script, answer

PUBLIC_IPV6 = "2606:4700::1111"
"""An address that is public; no packet for it leaves the networks made here."""


_BUSY = re.compile(r"the machine is busy \(load .+? CPUs\); ")
"""What the control rightly says while the tests of others run: no environment is about that."""


class Group(StrEnum):
    """What an environment is an example of."""

    HEALTHY = "healthy"
    BROKEN = "broken"
    UNCHECKED = "not checkable"
    CONTROL = "our own side"


class Checkable(Protocol):
    """Something that can be checked in the lab."""

    def result(self, lab: Lab) -> Finding:
        """Return the finding."""


@dataclass(frozen=True, kw_only=True)
class Check:
    """What is probed in an environment, and from where."""

    run: ProbeRun
    options: dict[str, Any] = field(default_factory=dict)

    def result(self, lab: Lab) -> Finding:
        """Return the finding."""
        run = self.run
        finding = lab.probe(run, **self.options)
        for _ in range(MAX_REDIRECTS):
            following = redirected_run(run, finding)
            if following is None:
                break
            run = following
            last = (
                skipped_finding(run, started_at=finding.started_at)
                if run.refused
                else lab.probe(run, **self.options)
            )
            finding = after_redirect(finding, last)
        return finding


@dataclass(frozen=True, kw_only=True)
class Environment:
    """One environment and what the probe has to say about it.

    :param quick: whether it is part of the selection that runs with the tests.
    """

    name: str
    group: Group
    verdict: Verdict
    summary: str
    make: Callable[[Lab], Checkable]
    quick: bool = False

    def problems(self, found: Finding) -> list[str]:
        """Return what is wrong with a finding."""
        wrong = []
        busy = _BUSY.search(found.summary) if found.is_control else None
        summary = _BUSY.sub("", found.summary) if busy else found.summary
        if found.verdict is not self.verdict and not (busy and self.verdict is Verdict.OK):
            wrong.append(f"verdict {found.verdict}, expected {self.verdict}")
        if not re.fullmatch(self.summary, summary, re.DOTALL):
            wrong.append(f"sentence {found.summary!r}, expected {self.summary!r}")
        return wrong


Make = Callable[[Lab], Checkable]
ENVIRONMENTS: list[Environment] = []


def environment(
    group: Group, name: str, verdict: Verdict, summary: str, *, quick: bool = False
) -> Callable[[Make], Make]:
    """Add an environment that the decorated function makes."""

    def add(make: Make) -> Make:
        ENVIRONMENTS.append(
            Environment(name=name, group=group, verdict=verdict, summary=summary, make=make, quick=quick)
        )
        return make

    return add


def add(
    group: Group,
    name: str,
    verdict: Verdict,
    summary: str,
    make: Callable[[Lab], Checkable],
    *,
    quick: bool = False,
) -> None:
    """Add an environment."""
    environment(group, name, verdict, summary, quick=quick)(make)


def check(
    target: str, *, trusted: bool = True, expect: Expectation | None = None, host_only: bool = False, **options: Any
) -> Check:
    """Return the check that an investigation plans for a target of the routing table."""
    given = Target(host=target) if host_only else read_target(target, trusted=trusted)
    given = given.model_copy(update={"expect": expect or tolerant()})
    now = datetime.now(UTC)
    incident = Incident(
        key="lab",
        id="lab",
        source=Source.MANUAL,
        title="lab",
        severity=Severity.HIGH,
        occurred_at=now,
        received_at=now,
        hosts=(target,) if host_only else (),
        targets=() if trusted or host_only else (given,),
        route=Route(
            targets=(given,) if trusted and not host_only else (),
            allowed_networks=INTERNAL_NETWORKS if host_only else (),
        ),
    )
    return Check(run=plan_probes(incident)[1], options=options)


def control(**options: Any) -> Check:
    """Return the check of our own side."""
    return Check(run=ProbeRun(probe="control"), options=options)


def tolerant(**more: Any) -> Expectation:
    """Return an expectation that allows for a busy machine."""
    return Expectation(**({"slow_ms": 8_000} | more))


def http(lab: Lab, script: Script, *, path: str = "/", host: str | None = None, **more: Any) -> Check:
    """Return the check of a web server that does this."""
    return check(f"http://{host or lab.name()}:{lab.serve(script)}{path}", **more)


def https(lab: Lab, script: Script, context: ssl.SSLContext | None = None, *, host: str = "", **more: Any) -> Check:
    """Return the check of a web server with TLS."""
    name = host or lab.name()
    return check(f"https://{name}:{lab.serve(script, tls=context or lab.tls(name))}/", **more)


def on_bridge(*resolvers: str) -> dict[str, Any]:
    """Return the options of a container that asks these resolvers itself, without Docker's between."""
    return {"network": "bridge", "dns": resolvers}


OK, WARN, FAIL, UNKNOWN, SKIPPED = Verdict.OK, Verdict.WARN, Verdict.FAIL, Verdict.UNKNOWN, Verdict.SKIPPED
HEALTHY, BROKEN, UNCHECKED, CONTROL = Group.HEALTHY, Group.BROKEN, Group.UNCHECKED, Group.CONTROL
TIMES = r" in \d+ ms \(name \d+, connect \d+(?:, TLS \d+)?, first byte \d+\)"
VALID = r"; certificate valid until \d{4}-\d\d-\d\d, CN=[^;]+"
HTTP_OK = f"HTTP 200{TIMES}"
HTTPS_OK = HTTP_OK + VALID
OK_ANSWER = answer("200 OK")


def in_network6(lab: Lab) -> dict[str, Any]:
    """Return the options of a container that has IPv6."""
    return {"network": lab.network6.name, "dns": (lab.network6.addresses[0],)}


def grpc(lab: Lab, state: int | None, *, secure: bool = False, code: str | None = None) -> Check:
    """Return the check of a real gRPC server whose health service gives this state (grpc.health.v1)."""
    name = lab.name()
    port = lab.serve_grpc(state, name if secure else None, code)
    return check(f"grpc{'s' if secure else ''}://{name}:{port}")
