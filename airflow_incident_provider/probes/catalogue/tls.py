"""Which certificate the target shows, and for how long it is still good."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime
from ipaddress import ip_address

from airflow_incident_provider.models import ProbeRun, Target, Verdict
from airflow_incident_provider.probes.connection import (
    connection_failure,
    milliseconds,
    port_environment,
    port_target,
    unresolved,
)
from airflow_incident_provider.probes.declaration import (
    CURL_IMAGE,
    FactValue,
    MissingFactError,
    Probe,
    ProbeOutput,
    Reading,
)
from airflow_incident_provider.probes.safety import is_literal
from airflow_incident_provider.probes.targets import endpoint

SOON_DAYS = 14
"""Under how many days of remaining life a certificate is a warning."""

_HTTPS_PORT = 443
_CONNECT_S, _TOTAL_S = 4, 6
_DAY_S = 86_400
_ACCEPTED, _REJECTED = "accepted", "rejected"
_NOT_AUTHENTIC = 60  # curl: "the peer's certificate cannot be authenticated"
_COMMON_NAME = re.compile(r"(?:^|[,/]\s*)CN\s*=\s*([^,/]+)")
_NAME = re.compile(r"(DNS|IP Address):([^,\s]+)")


def _aim(target: Target) -> Target | None:
    parts = endpoint(target)
    if parts is None or (parts.scheme != "https" and not (parts.scheme == "" and parts.port == _HTTPS_PORT)):
        return None
    return port_target(target)


def _parse(run: ProbeRun, output: ProbeOutput) -> Reading:
    if (nothing := unresolved(output)) is not None:
        return nothing
    if not output.has("not_after"):
        failure = connection_failure(output, (_CONNECT_S, _TOTAL_S))
        facts: dict[str, FactValue] = {"curl_exit_code": output.number("curl_exit_code")}
        if output.has("connect_failure"):
            facts["connect_failure"] = output.text("connect_failure")
        return Reading(verdict=Verdict.FAIL, summary=failure, facts=facts)
    facts = _certificate_facts(run, output)
    verdict, summary = _judge(facts)
    return Reading(verdict=verdict, summary=summary, facts=facts)


def _certificate_facts(run: ProbeRun, output: ProbeOutput) -> dict[str, FactValue]:
    expires = _moment(output.required("not_after"))
    connected, agreed, _, _ = milliseconds(output)
    host = run.target.host if run.target and run.target.host else ""
    facts: dict[str, FactValue] = {
        "subject": _common_name(output.text("subject")),
        "issuer": _common_name(output.text("issuer")),
        "not_after": expires.isoformat(),
        "days_left": math.floor((expires - output.at).total_seconds() / _DAY_S),
        "not_yet_valid": output.has("not_before") and _moment(output.text("not_before")) > output.at,
        "name_matches": _matches(host, output.text("alternative_names")),
        "verification": _verification(output),
        "handshake_ms": agreed - connected,
    }
    if facts["verification"] == _REJECTED:
        facts["rejection"] = output.text("verification")
    return facts


def _verification(output: ProbeOutput) -> str:
    """Return whether a client that verifies would have accepted the certificate.

    Such a client may accept the certificate and fail afterwards, because what listens is no web server.
    """
    if output.decimal("verified_handshake") > 0:
        return _ACCEPTED
    return _REJECTED if output.number("verification_code") == _NOT_AUTHENTIC else "not known"


def _judge(facts: dict[str, FactValue]) -> tuple[Verdict, str]:
    days, date = int(facts["days_left"]), str(facts["not_after"])[:10]
    expiry = f"{date}, CN={facts['subject']}"
    if days < 0:
        ago = "less than a day ago" if days == -1 else f"{-days - 1} day{_s(-days - 1)} ago"
        return Verdict.FAIL, f"certificate expired {ago} ({expiry})"
    remaining = "in less than a day" if days == 0 else f"in {days} day{_s(days)}"
    summary = f"certificate expires {remaining} ({expiry})"
    if facts["not_yet_valid"]:
        return Verdict.FAIL, f"certificate is not valid yet; {summary}"
    if not facts["name_matches"]:
        return Verdict.FAIL, f"certificate is for another name; {summary}"
    if facts["verification"] == _REJECTED:
        return Verdict.WARN, f"{summary}; clients that know only the usual authorities reject it"
    return (Verdict.WARN if days < SOON_DAYS else Verdict.OK), summary


def _moment(text: str) -> datetime:
    """Return the time that OpenSSL writes as ``Nov 29 12:00:00 2026 GMT``."""
    try:
        return datetime.strptime(text, "%b %d %H:%M:%S %Y %Z").replace(tzinfo=UTC)
    except ValueError as error:
        raise MissingFactError(f"readable date in {text!r}") from error


def _common_name(subject: str) -> str:
    match = _COMMON_NAME.search(subject)
    return match[1].strip() if match else subject


def _matches(host: str, alternative_names: str) -> bool:
    """Return whether a certificate's names cover the host (RFC 6125: a star stands for one whole label)."""
    wanted = host.removesuffix(".").lower()
    names = [(kind, name.lower()) for kind, name in _NAME.findall(alternative_names)]
    if is_literal(wanted):
        return any(kind == "IP Address" and _same_address(name, wanted) for kind, name in names)
    starred = "*." + wanted.partition(".")[2]
    return any(kind == "DNS" and name in {wanted, starred} for kind, name in names)


def _same_address(left: str, right: str) -> bool:
    return is_literal(left) and ip_address(left) == ip_address(right)


def _s(count: int) -> str:
    return "" if count == 1 else "s"


PROBE = Probe(
    name="tls",
    title="certificate",
    image=CURL_IMAGE,
    aim=_aim,
    environment=port_environment,
    parse=_parse,
)
