"""The probes that there are: the built-in ones, and those that installed packages add.

Each built-in one checks a target from its name to the last stage that its kind has.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import timedelta
from functools import cache
from importlib.metadata import entry_points

from airflow_incident_provider.models import ProbeRun, Stage, StageName, Target, Vantage, Verdict
from airflow_incident_provider.probes.dns import KNOWN, Reply, ReplyCode
from airflow_incident_provider.probes.exchange import Exchange, assess_proxy, assess_tls
from airflow_incident_provider.probes.output import (
    ContainerOutput,
    Measurements,
    MissingMeasurementError,
    engine_ahead_s,
    evidence_text,
    read_measurements,
)
from airflow_incident_provider.probes.probe import CONTROL, CURL_IMAGE, Assessment, FactValue, Probe
from airflow_incident_provider.probes.reachability import (
    Attempt,
    Outcome,
    Resolution,
    assess_connection,
    assess_name,
    not_reached,
    read_attempts,
    read_replies,
    read_resolution,
    read_vantage,
)
from airflow_incident_provider.probes.request import assess_request
from airflow_incident_provider.probes.safety import IN_ALLOWED_NETWORKS, literal_address
from airflow_incident_provider.probes.script import (
    TIMEOUT_S,
    endpoint_of,
    pasteable_command,
    probe_command,
    probe_environment,
    speaks_tls,
)
from airflow_incident_provider.probes.targets import Endpoint, endpoint

BUSY_LOAD_PER_CPU = 4.0
"""From which load (1 min, for each CPU) on measured times say little about a target."""

LITTLE_MEMORY_PERCENT = 5
CLOCK_SKEW_S = 60
"""Seconds between the clocks of the worker and of the engine from which on expiry dates are doubtful."""


def assess_control(_run: ProbeRun, output: ContainerOutput) -> Assessment:
    """Return what of our own side works and what does not; it claims nothing about what it did not check."""
    measured = read_measurements(output.stdout)
    vantage = read_vantage(measured, output.network)
    replies = tuple(reply for reply in read_replies(measured) if reply.query == KNOWN)
    facts: dict[str, FactValue] = {
        "addresses": " ".join(vantage.addresses),
        "families": " ".join(vantage.families) or "none",
        "resolvers": ", ".join(f"{reply.server} {reply.code}" for reply in replies) or "none",
    }
    faults = [*_faults(vantage, replies), *_proxy_faults(measured, facts)]
    doubts = [f"resolver {each.server} does not answer" for each in replies if not _answers(each)]
    doubts += [*_load(measured, facts), *_clock(measured, output, facts)]
    if faults:
        return Assessment(verdict=Verdict.FAIL, summary="; ".join(faults), facts=facts, vantage=vantage)
    summary = "; ".join((*doubts, _in_order(vantage, replies, facts)))
    return Assessment(verdict=Verdict.WARN if doubts else Verdict.OK, summary=summary, facts=facts, vantage=vantage)


def _answers(reply: Reply) -> bool:
    """Return whether a resolver is there: any DNS reply shows that, also one that declines the question."""
    return reply.code not in {ReplyCode.TIMEOUT, ReplyCode.MALFORMED}


def _faults(vantage: Vantage, replies: tuple[Reply, ...]) -> list[str]:
    servers = ", ".join(vantage.resolvers) or "none is configured"
    checked = (
        (vantage.addresses, "the container has no address"),
        (vantage.families, "the container has no route"),
        (any(map(_answers, replies)), f"no resolver answers ({servers})"),
    )
    return [fault for works, fault in checked if not works]


def _in_order(vantage: Vantage, replies: tuple[Reply, ...], facts: dict[str, FactValue]) -> str:
    working = ", ".join(reply.server for reply in replies if _answers(reply))
    proxy = "; the proxy answers" if "proxy" in facts else ""
    families = " and ".join(vantage.families)
    return (
        f"resolver {working} answers; routes for {families}{proxy}; load {facts['load_1m']} on {facts['cpus']} CPUs"
    )


def _proxy_faults(measured: Measurements, facts: dict[str, FactValue]) -> list[str]:
    if not measured.has("proxy"):
        return []
    answer = measured.json("proxy")
    facts["proxy"] = int(answer.get("http_code") or 0)
    return [] if answer.get("http_code") else ["the proxy that leads out of the network does not answer"]


def _load(measured: Measurements, facts: dict[str, FactValue]) -> list[str]:
    """Return what makes measured times doubtful.

    :raises MissingMeasurementError: the container could not read its own state.
    """
    rows = measured.rows("load")
    try:
        load, cpus = float(rows[0][0]), int(rows[1][0])
        memory = {row[0]: int(row[1]) for row in rows[2:]}
        free = round(100 * memory["MemAvailable:"] / max(memory["MemTotal:"], 1))
    except (IndexError, KeyError, ValueError) as error:
        raise MissingMeasurementError("load") from error
    facts |= {"load_1m": load, "cpus": cpus, "memory_available_percent": free}
    busy = [f"the machine is busy (load {load} on {cpus} CPUs)"] if load > BUSY_LOAD_PER_CPU * cpus else []
    return [*busy, *([f"the machine has {free}% of its memory left"] if free < LITTLE_MEMORY_PERCENT else [])]


def _clock(measured: Measurements, output: ContainerOutput, facts: dict[str, FactValue]) -> list[str]:
    ahead = engine_ahead_s(measured, output)
    facts["clock_ahead_s"] = ahead
    if abs(ahead) < CLOCK_SKEW_S:
        return []
    return [f"the engine's clock is {abs(ahead)} s {'ahead of' if ahead > 0 else 'behind'} the worker's"]


_STAGES = {
    "dns": (StageName.NAME,),
    "tcp": (StageName.NAME, StageName.CONNECTION),
    "tls": (StageName.NAME, StageName.CONNECTION, StageName.TLS),
    "http": (StageName.NAME, StageName.CONNECTION, StageName.TLS, StageName.REQUEST),
    "grpc": (StageName.NAME, StageName.CONNECTION, StageName.TLS, StageName.REQUEST),
}
_MAX_EVIDENCE_HEAD, _MAX_EVIDENCE_BODY = 1_200, 1_600


def assess_target(run: ProbeRun, output: ContainerOutput) -> Assessment:
    """Return what a built-in probe saw of its target, stage by stage.

    :raises MissingMeasurementError: the probe ended without something that a stage needs.
    """
    measured = read_measurements(output.stdout)
    vantage = read_vantage(measured, output.network)
    found = Resolution(addresses=(), literal=True)
    if measured.text("address-1") != "proxy":
        found = read_resolution(run, measured, internal=output.internal)
    at = output.started_at + timedelta(milliseconds=output.duration_ms)
    engine_at = at + timedelta(seconds=engine_ahead_s(measured, output))
    if run.probe != "dns" and (forbidden := found.refused) is not None:
        where = f"{endpoint_of(run).host} is at {forbidden.address} ({forbidden.kind})"
        summary = f"refused: {where}, which may not be probed"
        return Assessment(verdict=Verdict.SKIPPED, summary=summary, vantage=vantage)
    attempts = read_attempts(found, measured)
    opened = (each for each in attempts if each.outcome is Outcome.OPEN and each.transfer is not None)
    made = [Exchange(run, each, found.lookup_ms, at, engine_at) for each in opened]
    stages = _stages(run, found, attempts, made)
    verdict, summary = _summary(stages)
    return Assessment(
        verdict=verdict,
        summary=summary,
        stages=stages,
        facts=_facts(found, attempts, made),
        evidence=evidence_text(_evidence(found, attempts, made)),
        command=pasteable_command(run),
        vantage=vantage,
        redirect=made[0].location if made else None,
    )


def _stages(
    run: ProbeRun, found: Resolution, attempts: Sequence[Attempt], made: Sequence[Exchange]
) -> tuple[Stage, ...]:
    left_out = {StageName.TLS} if not speaks_tls(run, endpoint_of(run)) else set()
    if found.literal:
        left_out.add(StageName.NAME)
    wanted = [name for name in _STAGES[run.probe] if name not in left_out]
    if attempts and attempts[0].proxied:
        # The proxy resolves the name and connects: of neither anything was seen.
        wanted = [name for name in wanted if name in {StageName.TLS, StageName.REQUEST}]
        if (fault := assess_proxy(next(iter(made), None))) is not None:
            return (fault, *not_reached(wanted, fault))
    assess: dict[StageName, Callable[[], Stage]] = {
        StageName.NAME: lambda: _dns_only(run, found) if run.probe == "dns" else assess_name(run, found),
        StageName.CONNECTION: lambda: assess_connection(run, found, attempts),
        StageName.TLS: lambda: assess_tls(made),
        StageName.REQUEST: lambda: assess_request(run, made),
    }
    stages: list[Stage] = []
    for position, name in enumerate(wanted):
        stages.append(assess[name]())
        if _ends_here(stages[-1], made, attempts):
            return (*stages, *not_reached(wanted[position + 1 :], stages[-1]))
    return tuple(stages)


def _ends_here(stage: Stage, made: Sequence[Exchange], attempts: Sequence[Attempt]) -> bool:
    """Return whether no later stage was reached."""
    match stage.name:
        case StageName.NAME:
            return stage.verdict in {Verdict.FAIL, Verdict.UNKNOWN}
        case StageName.CONNECTION:
            return not any(each.outcome is Outcome.OPEN for each in attempts)
        case StageName.TLS:
            return all(each.status == 0 and each.handshake_ms is None for each in made)
        case StageName.REQUEST:
            return True


def _dns_only(run: ProbeRun, found: Resolution) -> Stage:
    stage = assess_name(run, found)
    if (odd := found.refused) is None or odd.kind in IN_ALLOWED_NETWORKS:
        return stage
    summary = f"{stage.summary}; {odd.address} ({odd.kind}) is no address of a service"
    return stage.model_copy(update={"verdict": Verdict.WARN, "summary": summary})


def _summary(stages: Sequence[Stage]) -> tuple[Verdict, str]:
    """Return the verdict of the worst stage, with every fault, the worst first; or what the last stage showed."""
    reached = [stage for stage in stages if stage.verdict is not Verdict.SKIPPED]
    faults = [stage for stage in reached if stage.verdict is not Verdict.OK]
    faults.sort(key=lambda stage: list(Verdict).index(stage.verdict))
    if not faults:
        return Verdict.OK, _with_notes(reached)
    blocked = [str(stage.name) for stage in stages if stage.verdict is Verdict.SKIPPED]
    summary = "; ".join((*(stage.summary for stage in faults), *_not_contacted(reached)))
    return faults[0].verdict, f"{summary}; not reached: {', '.join(blocked)}" if blocked else summary


def _with_notes(reached: Sequence[Stage]) -> str:
    """Return what the last stage showed, the certificate's validity, and what the connection did not check."""
    *earlier, last = reached
    certificate = (stage.summary for stage in earlier if stage.name is StageName.TLS)
    return "; ".join((last.summary, *certificate, *_not_contacted(earlier)))


def _not_contacted(stages: Sequence[Stage]) -> list[str]:
    """Return what a connection that is in order says about addresses that were not contacted."""
    sound = (stage for stage in stages if stage.name is StageName.CONNECTION and stage.verdict is Verdict.OK)
    return [stage.summary.partition("; ")[2] for stage in sound if "; " in stage.summary]


def _facts(found: Resolution, attempts: Sequence[Attempt], made: Sequence[Exchange]) -> dict[str, FactValue]:
    facts: dict[str, FactValue] = {}
    if found.addresses:
        facts["addresses"] = " ".join(each.address for each in found.addresses)[:1000]
    if not found.literal:
        facts["lookup_ms"] = found.lookup_ms
    if attempts:
        facts["addresses_tried"] = len(attempts)
        facts["addresses_open"] = sum(each.outcome is Outcome.OPEN for each in attempts)
    if not made:
        return facts
    first = made[0]
    if first.status:
        facts |= {"status": first.status, "total_ms": first.total_ms}
        facts["http_version"] = str(first.transfer.get("http_version") or "")
    facts["curl_exit_code"] = first.exit_code
    if first.location:
        facts["location"] = first.location[:1000]
    if (certificate := first.certificate) is not None:
        facts |= {
            "certificate_subject": certificate.subject[:200],
            "certificate_issuer": certificate.issuer[:200],
            "certificate_not_after": certificate.not_after.isoformat(),
            "certificate_days_left": certificate.days_left(first.at),
            "certificate_verification": certificate.verification,
        }
    return facts


def _evidence(found: Resolution, attempts: Sequence[Attempt], made: Sequence[Exchange]) -> bytes:
    """Return what a person would look at: replies of resolvers where the name failed, and the server's answer."""
    parts = []
    if not found.addresses:
        replies = (reply for reply in found.replies if reply.query != KNOWN)
        parts += [f"{reply.query.upper()} from {reply.server}: {reply.code}".encode() for reply in replies]
    parts += [
        f"{each.address.address}: {each.outcome}".encode() for each in attempts if each.outcome is not Outcome.OPEN
    ]
    for each in made:
        if len(made) > 1:
            parts.append(f"--- {each.attempt.address.address}".encode())
        if (certificate := each.certificate) is not None:
            validity = f"{certificate.not_before:%Y-%m-%d} to {certificate.not_after:%Y-%m-%d}"
            names = ", ".join((*certificate.names, *certificate.addresses)[:10])
            text = f"CN={certificate.subject}, issuer {certificate.issuer}, valid {validity}, for {names}"
            parts.append(f"certificate {text}".encode())
        if each.exit_code and (message := each.transfer.get("errormsg")):
            parts.append(f"curl: {message}".encode())
        parts += [each.attempt.headers[:_MAX_EVIDENCE_HEAD].strip(), each.attempt.body[:_MAX_EVIDENCE_BODY].strip()]
    return b"\n".join(part for part in parts if part)


# --- which part of a target each probe checks ---------------------------------------------------------


def _select(
    check: Callable[[Endpoint], bool], *, keep: Callable[[Target, Endpoint], Target]
) -> Callable[[Target], Target | None]:
    def select(target: Target) -> Target | None:
        parts = endpoint(target)
        return keep(target, parts) if parts is not None and check(parts) else None

    return select


def _whole(target: Target, parts: Endpoint) -> Target:
    return target.model_copy(update={"host": parts.host} if target.url is None else {"url": parts.url})


def _port(target: Target, parts: Endpoint) -> Target:
    return Target(host=parts.host, port=parts.port, trusted=target.trusted, expect=target.expect)


def _handshake(target: Target, parts: Endpoint) -> Target:
    url = Endpoint(host=parts.host, port=parts.port, scheme="tls").url
    return Target(url=url, trusted=target.trusted, expect=target.expect)


def _host(target: Target, parts: Endpoint) -> Target:
    return Target(host=parts.host, trusted=target.trusted)


def _probe(name: str, title: str, select: Callable[[Target], Target | None] | None) -> Probe:
    return Probe(
        name=name,
        title=title,
        image=CURL_IMAGE,
        select=select,
        command=probe_command,
        environment=probe_environment,
        assess=assess_control if name == CONTROL else assess_target,
        timeout_s=TIMEOUT_S,
    )


BUILTIN_PROBES = (
    _probe(CONTROL, "our own side", None),
    _probe("grpc", "health of a gRPC server", _select(lambda at: at.scheme in {"grpc", "grpcs"}, keep=_whole)),
    _probe("http", "answer of a URL", _select(lambda at: at.scheme in {"http", "https"}, keep=_whole)),
    _probe("tls", "certificate", _select(lambda at: at.uses_tls and at.port is not None, keep=_handshake)),
    _probe("tcp", "connection to a port", _select(lambda at: at.port is not None, keep=_port)),
    _probe("dns", "resolution of a name", _select(lambda at: literal_address(at.host) is None, keep=_host)),
)
"""The control, then the checks, the one with the most stages first: it includes all that the later ones check."""

ENTRY_POINT_GROUP = "airflow_incident_provider.probes"
"""The entry point group by which a package adds a probe; each entry point names a :class:`Probe`."""

FORMER_NAMES = {"host_facts": CONTROL}
"""Names in version 0.1.0."""

_NAME = re.compile(r"[a-z][a-z0-9_-]{0,39}")


@cache
def catalogue() -> tuple[Probe, ...]:
    """Return every probe: the built-in ones, then those of installed packages, by name.

    :raises TypeError: an entry point does not name a :class:`Probe`.
    :raises ValueError: a probe has a name that is taken or malformed.
    """
    probes = {probe.name: probe for probe in BUILTIN_PROBES}
    for entry_point in sorted(entry_points(group=ENTRY_POINT_GROUP), key=lambda each: each.name):
        probe = entry_point.load()
        if not isinstance(probe, Probe):
            raise TypeError(f"The entry point {entry_point.name} ({entry_point.value}) does not name a Probe.")
        if probe.name in probes or not _NAME.fullmatch(probe.name):
            raise ValueError(f"The probe name {probe.name!r} of {entry_point.value} is taken or malformed.")
        probes[probe.name] = probe
    return tuple(probes.values())


def get_probe(name: str) -> Probe:
    """Return the probe of this name, or former name.

    :raises LookupError: there is no such probe; the message lists those that there are.
    """
    wanted = FORMER_NAMES.get(name, name)
    builtin = next((probe for probe in BUILTIN_PROBES if probe.name == wanted), None)
    probe = builtin or next((probe for probe in catalogue() if probe.name == wanted), None)
    if probe is None:
        raise LookupError(f"There is no probe {name!r}: there are {', '.join(each.name for each in catalogue())}.")
    return probe
