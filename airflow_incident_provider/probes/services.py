"""The findings of one investigation, gathered by the service that they are about."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from airflow_incident_provider.models import Finding, Target, Verdict
from airflow_incident_provider.probes.declaration import CONTROL
from airflow_incident_provider.probes.targets import Endpoint, endpoint


@dataclass(frozen=True, kw_only=True)
class Service:
    """A host and port, or a host alone, with all that was found about it."""

    host: str
    port: int | None
    findings: tuple[Finding, ...]

    @property
    def name(self) -> str:
        """The service as a person would write it."""
        return Endpoint(host=self.host, port=self.port).authority

    def of(self, probe: str, verdict: Verdict) -> Finding | None:
        """Return the first finding of this probe with this verdict, if there is one."""
        return next((each for each in self.findings if each.probe == probe and each.verdict is verdict), None)

    def failed(self, probe: str) -> Finding | None:
        """Return the first finding of this probe that failed, if there is one."""
        return self.of(probe, Verdict.FAIL)

    def working(self, probes: Iterable[str]) -> tuple[str, ...]:
        """Return which of these probes found all in order; a warning of the certificate's age is in order."""
        return tuple(probe for probe in probes if self.of(probe, Verdict.OK) or self._handshake_stood(probe))

    def _handshake_stood(self, probe: str) -> bool:
        return probe == "tls" and self.of(probe, Verdict.WARN) is not None


def services(findings: Sequence[Finding]) -> tuple[Service, ...]:
    """Return the services that were looked at, in the order in which they first appear.

    What was found about a name counts for every port of that name; a name alone is a service only if none of
    its ports was looked at.
    """
    located = [(finding, location(finding)) for finding in findings if finding.probe != CONTROL]
    keys = dict.fromkeys((where.host, where.port) for _, where in located if where is not None)
    with_port = {host for host, port in keys if port is not None}
    return tuple(
        Service(
            host=host,
            port=port,
            findings=tuple(
                f for f, where in located if where and where.host == host and where.port in {None, port}
            ),
        )
        for host, port in keys
        if port is not None or host not in with_port
    )


def location(finding: Finding) -> Endpoint | None:
    """Return the host and port that a finding's target names."""
    if "://" in finding.target:
        return endpoint(Target(url=finding.target))
    host, colon, port = finding.target.rpartition(":")
    if colon and port.isdecimal() and finding.probe != "dns":
        return Endpoint(host=host, port=int(port))
    return Endpoint(host=finding.target)
