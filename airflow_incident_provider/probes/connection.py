"""What the readings of the probes that resolve and connect have in common."""

from __future__ import annotations

from airflow_incident_provider.models import ProbeRun, Target, Verdict
from airflow_incident_provider.probes.declaration import FactValue, MissingFactError, ProbeOutput, Reading
from airflow_incident_provider.probes.targets import Endpoint, endpoint

# What curl's exit codes mean to a reader; see curl(1), "EXIT CODES".
_CURL_WORDS = {
    1: "the answer is not HTTP",
    8: "the answer is not HTTP",
    16: "the answer breaks the rules of HTTP/2",
    35: "the TLS handshake failed",
    52: "the server closed the connection without an answer",
    55: "the connection broke while the request was sent",
    56: "the connection broke before the answer was complete",
    92: "the answer breaks the rules of HTTP/2",
}
_COULD_NOT_CONNECT = 7
TIMED_OUT = 28
STOPPED_READING = 23


def host_environment(run: ProbeRun) -> dict[str, str]:
    """Return the variables of a probe that needs a host."""
    return {"TARGET_HOST": _parts(run).host}


def port_environment(run: ProbeRun) -> dict[str, str]:
    """Return the variables of a probe that needs a host and a port."""
    parts = _parts(run)
    return {"TARGET_HOST": parts.host, "TARGET_PORT": str(parts.port)}


def url_environment(run: ProbeRun) -> dict[str, str]:
    """Return the variables of a probe that needs a URL."""
    return {"TARGET_URL": _parts(run).url, **port_environment(run)}


def port_target(target: Target) -> Target | None:
    """Return the host and port of a target, if it has both."""
    parts = endpoint(target)
    if parts is None or parts.port is None:
        return None
    return Target(host=parts.host, port=parts.port, trusted=target.trusted)


def resolution_failure(resolution: str) -> str:
    """Return in words why a name has no addresses."""
    match resolution:
        case "NXDOMAIN":
            return "no such name (NXDOMAIN)"
        case "NOERROR":
            return "the name has no address"
        case "TIMEOUT":
            return "no name server answered"
    return f"the name server could not answer ({resolution})"


def unresolved(output: ProbeOutput) -> Reading | None:
    """Return the reading of a probe that had no address to connect to, or None if it had one."""
    if output.has("addresses"):
        return None
    resolution = output.required("resolution")
    facts: dict[str, FactValue] = {"resolution": resolution}
    return Reading(verdict=Verdict.FAIL, summary=resolution_failure(resolution), facts=facts)


def milliseconds(output: ProbeOutput) -> tuple[int, int, int, int]:
    """Return what curl measured since it began: connected, TLS agreed (or 0), first byte, end.

    :raises MissingFactError: the script did not print the four times.
    """
    try:
        connected, agreed, first_byte, end = (round(seconds * 1000) for seconds in output.numbers("timings"))
    except (ValueError, OverflowError) as error:
        raise MissingFactError("timings") from error
    return connected, agreed, first_byte, end


def connection_failure(output: ProbeOutput, seconds: tuple[int, int]) -> str:
    """Return in words why curl got no answer.

    :param seconds: how long it waited to connect, and altogether.
    """
    code, refusal = output.number("curl_exit_code"), output.text("connect_failure")
    if code == _COULD_NOT_CONNECT:
        return refusal.lower() if refusal else "could not connect"
    if code == TIMED_OUT:
        connected = any(output.numbers("timings")[:1])
        return f"no answer within {seconds[1]} s" if connected else f"no connection within {seconds[0]} s"
    return _CURL_WORDS.get(code, f"no answer (curl exit code {code})")


def _parts(run: ProbeRun) -> Endpoint:
    parts = endpoint(run.target) if run.target else None
    if parts is None:
        raise ValueError(f"The probe {run.probe} needs a target with a host; this run has {run.target}.")
    return parts
