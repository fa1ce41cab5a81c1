"""
What may be said about an incident, given what the probes saw.

A table of rules over the probes' facts. Each sentence names the probes that it follows from, and no rule says
what no probe supports. If our own side is broken, nothing is said about anybody else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from airflow_incident_provider.models import Finding, Incident, Statement, Target, Verdict
from airflow_incident_provider.probes.declaration import CONTROL
from airflow_incident_provider.probes.planning import MAX_RUNS
from airflow_incident_provider.probes.services import Service, location, services
from airflow_incident_provider.probes.targets import endpoint, incident_targets

_SERVER_ERROR = 500
_PART_WORDS = {"dns": "name", "tcp": "network", "tls": "TLS"}


@dataclass(frozen=True, kw_only=True)
class Conclusions:
    """What is known, each sentence with the probes it follows from, and what is not."""

    known: tuple[Statement, ...]
    unknown: tuple[str, ...]


def conclude(incident: Incident, findings: Sequence[Finding]) -> Conclusions:
    """Return what the findings support, and what they leave open."""
    return Conclusions(known=tuple(_known(findings)), unknown=tuple(_unknown(incident, findings)))


def _known(findings: Sequence[Finding]) -> Iterator[Statement]:
    control = _control(findings)
    if control is not None and control.verdict is Verdict.FAIL:
        text = f"{control.summary}: what the other probes saw says nothing about the service"
        yield Statement(text=text, probes=(CONTROL,))
        return
    for service in services(findings):
        said = [statement for rule in RULES if (statement := rule(service)) is not None]
        yield from said or _as_found(service)


# --- the rules: each says one thing of one service, or nothing -----------------------------------------


def _no_name(service: Service) -> Statement | None:
    dns = service.failed("dns")
    if dns is None:
        return None
    if dns.facts.get("resolution") == "NXDOMAIN":
        return Statement(text=f"the name {service.host} does not exist for our name server", probes=("dns",))
    return Statement(text=f"{service.host} could not be resolved: {dns.summary}", probes=("dns",))


def _port_refused(service: Service) -> Statement | None:
    tcp = service.failed("tcp")
    if tcp is None or not tcp.facts.get("refused"):
        return None
    text = (
        f"port {service.port} of {service.host} refuses connections: the host answers, the service does not listen"
    )
    return Statement(text=text, probes=("tcp",))


def _port_silent(service: Service) -> Statement | None:
    tcp = service.failed("tcp")
    if tcp is None or tcp.facts.get("refused") or not tcp.facts.get("tries"):
        return None
    return Statement(text=f"no connection to {service.name} came about: {tcp.summary}", probes=("tcp",))


def _port_partly_open(service: Service) -> Statement | None:
    tcp = service.of("tcp", Verdict.WARN)
    if tcp is None:
        return None
    return Statement(text=f"{service.name} accepts only some connections: {tcp.summary}", probes=("tcp",))


def _server_error(service: Service) -> Statement | None:
    http = service.failed("http")
    if http is None or int(http.facts.get("status", 0)) < _SERVER_ERROR:
        return None
    text, working = f"{service.host} answers {http.facts['status']}", service.working(_PART_WORDS)
    if "tcp" not in working or service.failed("dns") or service.failed("tls"):
        return Statement(text=text, probes=("http",))
    parts = _listed([_PART_WORDS[probe] for probe in working])
    verb = "works" if len(working) == 1 else "work"
    text = f"{text} while {parts} {verb}: the fault is behind the front end, not in front of it"
    return Statement(text=text, probes=("http", *working))


def _no_http_answer(service: Service) -> Statement | None:
    http = service.failed("http")
    if http is None or http.facts.get("status") or service.failed("dns") or service.failed("tcp"):
        return None
    if service.of("tcp", Verdict.OK):
        return Statement(text=f"{service.name} accepts connections, but: {http.summary}", probes=("http", "tcp"))
    return Statement(text=f"{service.name} gives no answer: {http.summary}", probes=("http",))


def _http_warning(service: Service) -> Statement | None:
    http = service.of("http", Verdict.WARN)
    if http is None:
        return None
    return Statement(text=f"{service.host} answers, but not as it should: {http.summary}", probes=("http",))


def _certificate(service: Service) -> Statement | None:
    tls = service.failed("tls") or service.of("tls", Verdict.WARN)
    if tls is None or "not_after" not in tls.facts:
        return None
    return Statement(text=f"{service.name}: {tls.summary}", probes=("tls",))


def _no_handshake(service: Service) -> Statement | None:
    tls = service.failed("tls")
    if tls is None or "not_after" in tls.facts or service.of("tcp", Verdict.OK) is None:
        return None
    return Statement(text=f"{service.name} accepts connections, but: {tls.summary}", probes=("tls", "tcp"))


def _suspicious_name(service: Service) -> Statement | None:
    dns = service.of("dns", Verdict.WARN)
    return None if dns is None else Statement(text=f"{service.host}: {dns.summary}", probes=("dns",))


RULES: tuple[Callable[[Service], Statement | None], ...] = (
    _no_name,
    _port_refused,
    _port_silent,
    _server_error,
    _no_http_answer,
    _no_handshake,
    _certificate,
    _http_warning,
    _port_partly_open,
    _suspicious_name,
)
"""What may be said of a service, the gravest first."""


def _as_found(service: Service) -> Iterator[Statement]:
    """Say what was seen of a service that no rule has a word for: its faults, or that it has none."""
    faults = [each for each in service.findings if each.verdict in {Verdict.FAIL, Verdict.WARN}]
    for fault in faults:
        yield Statement(text=f"{fault.target}: {fault.summary}", probes=(fault.probe,))
    fine = [each for each in service.findings if each.verdict is Verdict.OK]
    if fine and not faults:
        seen = "; ".join(f"{each.probe}: {each.summary}" for each in fine)
        probes = tuple(dict.fromkeys(each.probe for each in fine))
        yield Statement(text=f"{service.name} was fine when it was checked ({seen})", probes=probes)


# --- what is left open ---------------------------------------------------------------------------------


def _unknown(incident: Incident, findings: Sequence[Finding]) -> Iterator[str]:
    if (control := _control(findings)) is None or control.verdict not in {Verdict.OK, Verdict.FAIL}:
        yield "whether our own network is fine: the control did not run to its end"
    for finding in findings:
        if finding.probe != CONTROL and finding.verdict in {Verdict.UNKNOWN, Verdict.SKIPPED}:
            yield f"{finding.probe} of {finding.target}: {finding.summary}"
    yield from _left_out(incident, findings)
    judged = {finding.verdict for finding in findings if finding.probe != CONTROL}
    if judged and judged <= {Verdict.OK}:
        yield "why the alert was raised: all that was checked was fine when it was checked"
    yield "whether a deploy preceded it, and what the metrics show now: no probe reads them"


def _left_out(incident: Incident, findings: Sequence[Finding]) -> Iterator[str]:
    targets = incident_targets(incident)
    if not targets:
        yield "how the service answers: neither the alert nor the routing table names a target"
    for target in targets:
        if not any(_concerns(finding, target) for finding in findings):
            yield f"{target}: not probed (one incident starts at most {MAX_RUNS} probes)"


def _concerns(finding: Finding, target: Target) -> bool:
    parts = endpoint(target)
    where = location(finding)
    return finding.target == str(target) or (parts is not None and where is not None and where.host == parts.host)


def _control(findings: Sequence[Finding]) -> Finding | None:
    return next((finding for finding in findings if finding.probe == CONTROL), None)


def _listed(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
