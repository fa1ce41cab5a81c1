"""Environments of our own side."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow_incident_provider.engine import EngineAddress, EngineError
from airflow_incident_provider.models import Finding
from airflow_incident_provider.probes import ProbeSettings, unknown_finding
from benchmarks.probes.environments import (
    CONTROL,
    FAIL,
    HEALTHY,
    HTTPS_OK,
    OK,
    OK_ANSWER,
    UNCHECKED,
    UNKNOWN,
    WARN,
    Check,
    add,
    control,
    environment,
    http,
    https,
    in_network6,
    on_bridge,
)
from benchmarks.probes.lab import Lab
from benchmarks.probes.servers import answer, hang_up, wait_for_end

OUR_SIDE = r"resolver [0-9., ]+ answers; routes for IPv4(?: and IPv6)?; load [0-9.]+ on \d+ CPUs"
add(CONTROL, "network in order", OK, OUR_SIDE, lambda _lab: control(), quick=True)
add(CONTROL, "network with IPv6", OK, OUR_SIDE, lambda lab: control(**in_network6(lab)))
for _code in ("SERVFAIL", "REFUSED"):
    add(
        CONTROL,
        f"resolver of internal names only, {_code} for the root",
        OK,
        OUR_SIDE,
        lambda lab, code=_code: control(**on_bridge(lab.resolver(lab.free_address(), root=code))),
    )
add(
    CONTROL,
    "resolver that is gone",
    FAIL,
    r"no resolver answers \([0-9.]+\)",
    lambda lab: control(**on_bridge(lab.deserted)),
    quick=True,
)
add(
    CONTROL,
    "resolver with an address that leads nowhere",
    FAIL,
    r"no resolver answers \(2001:db8::53\)",
    lambda _lab: control(**on_bridge("2001:db8::53")),
)
add(
    CONTROL,
    "one of two resolvers is gone",
    WARN,
    rf"resolver [0-9.]+ does not answer; {OUR_SIDE}",
    lambda lab: control(**on_bridge(lab.deserted, lab.address)),
)
add(
    CONTROL,
    "no network",
    FAIL,
    r"the container has no address; the container has no route; no resolver answers \(.+\)",
    lambda _lab: control(network="none"),
)
add(
    CONTROL,
    "proxy that answers",
    OK,
    r"resolver [0-9.]+ answers; routes for IPv4; the proxy answers; load .+",
    lambda lab: control(
        settings=ProbeSettings(proxy=f"http://{lab.address}:{lab.serve(answer('502 Bad Gateway'))}")
    ),
)
add(
    CONTROL,
    "proxy that is gone",
    FAIL,
    r"the proxy that leads out of the network does not answer",
    lambda lab: control(settings=ProbeSettings(proxy=f"http://{lab.address}:{lab.refused()}")),
)


# --- clocks -----------------------------------------------------------------------------------------------

for _ahead, _words in (
    (timedelta(minutes=5), r"the engine's clock is (?:29|30)\d s behind the worker's"),
    (timedelta(days=-2), r"the engine's clock is 17\d{4} s ahead of the worker's"),
):
    add(
        CONTROL,
        f"worker's clock that is {_ahead} ahead",
        WARN,
        rf"{_words}; {OUR_SIDE}",
        lambda _lab, ahead=_ahead: control(clock_ahead=ahead),
    )
add(
    CONTROL,
    "worker's clock that is 20 s ahead",
    OK,
    OUR_SIDE,
    lambda _lab: control(clock_ahead=timedelta(seconds=20)),
)
for _ahead, _verdict in ((timedelta(days=100), "fast"), (timedelta(days=-100), "slow")):
    add(
        UNCHECKED,
        f"sound certificate, and a worker's clock that is 100 days {_verdict}",
        UNKNOWN,
        r"certificate is valid by the engine's clock only, 100 days from the worker's \(.+\)",
        lambda lab, ahead=_ahead: https(lab, OK_ANSWER, clock_ahead=ahead),
        quick=_verdict == "fast",
    )
add(
    UNCHECKED,
    "old certificate, and a worker's clock that is 100 days slow",
    UNKNOWN,
    r"certificate is valid by the worker's clock only, 100 days from the engine's \(.+\)",
    lambda lab: https(
        lab,
        OK_ANSWER,
        lab.tls(name := lab.name(), days=-5, starts_in_days=-300),
        host=name,
        clock_ahead=timedelta(days=-100),
    ),
)
add(
    HEALTHY,
    "sound certificate, and a worker's clock that is five minutes fast",
    OK,
    HTTPS_OK,
    lambda lab: https(lab, OK_ANSWER, clock_ahead=timedelta(minutes=5)),
)

# --- resolvers, proxies and engines -----------------------------------------------------------------------

add(
    CONTROL,
    "resolver that answers with garbage",
    FAIL,
    r"no resolver answers \([0-9.]+\)",
    lambda lab: control(**on_bridge(lab.resolver(lab.free_address(), everything="GARBAGE"))),
)
add(
    CONTROL,
    "resolver that takes three seconds",
    OK,
    OUR_SIDE,
    lambda lab: control(**on_bridge(lab.resolver(lab.free_address(), delay_s=1.5))),
)
add(
    CONTROL,
    "proxy that says nothing",
    FAIL,
    r"the proxy that leads out of the network does not answer",
    lambda lab: control(settings=ProbeSettings(proxy=f"http://{lab.address}:{lab.serve(wait_for_end)}")),
)


@dataclass(frozen=True, kw_only=True)
class OtherEngine:
    """The check of a sound server by way of an engine that is not well."""

    check: Check
    url: str
    timeout_s: int = 2

    def result(self, _lab: Lab) -> Finding:
        """Return the finding."""
        started_at = datetime.now(UTC)
        try:
            EngineAddress(url=self.url).connect(timeout_s=self.timeout_s)
        except EngineError as error:
            return unknown_finding(self.check.run, str(error), started_at=started_at)
        raise AssertionError(f"{self.url} is an engine")


_NO_ENGINE = r"the container could not run: no Docker Engine answers at tcp://[0-9.]+:\d+: .+"
for _name, _script in (
    ("that is gone", None),
    ("that says nothing", wait_for_end),
    ("that hangs up", hang_up),
    ("that is a web server", answer("200 OK", b"<html>welcome</html>", Content_Type="text/html")),
    ("that answers 403", answer("403 Forbidden", b'{"message": "denied by the authorization plugin"}')),
    ("that answers 500", answer("500 Internal Server Error", b"\xff\xfe")),
):

    @environment(UNCHECKED, f"engine {_name}", UNKNOWN, _NO_ENGINE)
    def _engine(lab: Lab, script: Any = _script) -> OtherEngine:
        port = lab.refused() if script is None else lab.serve(script)
        return OtherEngine(check=http(lab, OK_ANSWER), url=f"tcp://{lab.address}:{port}")
