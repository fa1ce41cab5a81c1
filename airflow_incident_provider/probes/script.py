"""
How a built-in probe is started: its command, its environment, and curl's configuration.

The script is the same for every run. Text from an alert arrives in environment variables, which it quotes, and in a
configuration for curl, which is written here.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from ipaddress import ip_network

from airflow_incident_provider.models import Expectation, ProbeRun
from airflow_incident_provider.probes.dns import queries
from airflow_incident_provider.probes.probe import CONTROL, ProbeSettings
from airflow_incident_provider.probes.safety import address_rules, literal_address
from airflow_incident_provider.probes.targets import Endpoint, endpoint

CONNECT_S = 4
"""Seconds for TCP and TLS together."""

TOTAL_S = 10
"""Seconds for a whole transfer."""

TIMEOUT_S = 25
_GRACE_S = 2

# The first shell is process 1 of the container, which signals from inside cannot end: it must outlive the script,
# not be it. When it exits, the kernel ends all the rest.
_SUPERVISOR = f'timeout -k {_GRACE_S} {TIMEOUT_S - 4} /bin/sh -c "$0"; exit $?'

_GRPC_HEALTH = "/grpc.health.v1.Health/Check"
_GRPC_HEADERS = (("content-type", "application/grpc"), ("te", "trailers"))


@cache
def _script() -> str:
    return files("airflow_incident_provider.probes").joinpath("probe.sh").read_text(encoding="utf-8")


def probe_command(_run: ProbeRun) -> list[str]:
    """Return the entry point of every built-in probe, to be used with no further arguments."""
    return ["/bin/sh", "-c", _SUPERVISOR, _script()]


def probe_environment(run: ProbeRun, settings: ProbeSettings) -> dict[str, str]:
    """Return what the container is given: the target, the rules for addresses, and the configuration of curl."""
    if run.probe == CONTROL:
        return {"KIND": CONTROL, "DNS_QUERIES": queries(None), "PROXY": settings.proxy}
    parts = endpoint_of(run)
    literal = literal_address(parts.host)
    proxy = settings.proxy if uses_proxy(run, parts, settings) else ""
    return {
        "KIND": run.probe if run.probe in {"dns", "tcp"} else "http",
        "HOST": parts.host,
        "PORT": str(parts.port or ""),
        "LITERAL": str(literal or ""),
        "ADDRESS_RULES": address_rules(run.allowed_networks),
        "DNS_QUERIES": "" if literal else queries(parts.host),
        "CURL_CONFIG": _curl_config(run, parts, proxied=bool(proxy)),
        "PROXY": proxy,
        "CA_PEM": settings.ca_pem,
        "CLIENT_PEM": settings.client_pem,
        "REQUEST_HEX": _grpc_request(parts).hex() if run.probe == "grpc" else "",
    }


def endpoint_of(run: ProbeRun) -> Endpoint:
    """Return the parts of a run's target.

    :raises ValueError: it has none that the probe could check.
    """
    parts = endpoint(run.target) if run.target else None
    if parts is None:
        raise ValueError(f"The probe {run.probe} needs a target with a host; this run has {run.target}.")
    return parts


def speaks_tls(run: ProbeRun, parts: Endpoint) -> bool:
    """Return whether the check begins with a TLS handshake."""
    return run.probe == "tls" or (run.probe in {"http", "grpc"} and parts.uses_tls)


def uses_proxy(run: ProbeRun, parts: Endpoint, settings: ProbeSettings) -> bool:
    """Return whether a run goes through the proxy.

    Only web requests to targets of the routing table do: the proxy resolves names itself, so what it contacts for
    a name that an alert brought could not be checked.
    """
    if not settings.proxy or run.probe not in {"http", "grpc", "tls"} or run.target is None:
        return False
    return run.target.trusted and not any(_is_exempt(parts, each) for each in settings.no_proxy)


def _is_exempt(parts: Endpoint, entry: str) -> bool:
    """Return whether an entry of ``probe_no_proxy`` is about an endpoint, written as in ``NO_PROXY``."""
    if entry == "*":
        return True
    name, colon, port = entry.rpartition(":")
    if colon and port.isdecimal() and (":" not in name or name.startswith("[")):
        return int(port) == parts.port and _is_within(parts.host, name.strip("[]"))
    return _is_within(parts.host, entry)


def _is_within(host: str, domain_or_network: str) -> bool:
    address = literal_address(host)
    try:
        network = ip_network(domain_or_network)
    except ValueError:
        domain = domain_or_network.lower().removeprefix("*").removeprefix(".")
        return host == domain or host.endswith(f".{domain}")
    return address is not None and address in network


def pasteable_command(run: ProbeRun) -> tuple[str, ...]:
    """Return the command by which a person can look at the run's target; nothing for the control."""
    if run.target is None:
        return ()
    parts = endpoint_of(run)
    match run.probe:
        case "dns":
            return ("dig", "+noall", "+comments", "+answer", parts.host, "A", parts.host, "AAAA")
        case "tcp":
            return ("nc", "-vz", "-w", "3", parts.host, str(parts.port))
        case "tls":
            return ("openssl", "s_client", "-connect", parts.authority, "-servername", parts.host)
        case "grpc":
            plaintext = () if speaks_tls(run, parts) else ("-plaintext",)
            return ("grpcurl", *plaintext, parts.authority, _GRPC_HEALTH.removeprefix("/"))
        case _:
            headers = (part for name, value in expectation(run).headers for part in ("-H", f"{name}: {value}"))
            return ("curl", "-sv", "--max-time", str(TOTAL_S), *headers, parts.url)


def expectation(run: ProbeRun) -> Expectation:
    """Return what the routing table expects of a run's target."""
    return (run.target.expect if run.target else None) or Expectation()


def _curl_config(run: ProbeRun, parts: Endpoint, *, proxied: bool) -> str:
    """Return curl's configuration."""
    expected = expectation(run)
    scheme = "https" if speaks_tls(run, parts) else "http"
    resource, grpc_headers = (_GRPC_HEALTH, _GRPC_HEADERS) if run.probe == "grpc" else (parts.resource or "/", ())
    lines = [
        ("url", f"{scheme}://{parts.authority}{resource}"),
        ("proto", "=http,https"),
        ("cacert", "/tmp/ca.pem"),  # noqa: S108 - in the container
        ("connect-timeout", str(CONNECT_S)),
        ("max-time", str(TOTAL_S)),
        ("max-redirs", "0"),
        ("user-agent", "airflow-incident-provider"),
        *(("header", f"{name}: {value}") for name, value in (*grpc_headers, *expected.headers)),
    ]
    flags = ["globoff", "compressed"]
    if not proxied:
        lines.append(("noproxy", "*"))
    if expected.client_certificate:
        lines += [("cert", "/tmp/client.pem"), ("key", "/tmp/client.pem")]  # noqa: S108
    if run.probe == "grpc":
        lines.append(("data-binary", "@/tmp/request"))
        flags.append("http2" if speaks_tls(run, parts) else "http2-prior-knowledge")
    if run.probe == "tls":
        flags.append("head")
    return "\n".join([*(f"{name} = {_quoted(value)}" for name, value in lines), *flags])


def _quoted(value: str) -> str:
    """Return a value as curl's configuration wants it; a line break would begin another option."""
    if "\n" in value or "\r" in value or "\0" in value:
        raise ValueError("a value for curl holds a line break")
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _grpc_request(parts: Endpoint) -> bytes:
    """Return a health check request (grpc.health.v1) for the service that the URL's path names, or the server."""
    service = parts.resource.strip("/").encode()
    message = bytes([0x0A, len(service)]) + service if service and len(service) < 128 else b""  # noqa: PLR2004
    return b"\0" + len(message).to_bytes(4, "big") + message
