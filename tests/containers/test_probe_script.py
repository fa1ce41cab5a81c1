"""What holds a script in check from inside its container, and the shell's judgement against Python's."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from airflow_incident_provider.models import ProbeRun, Target, Verdict
from airflow_incident_provider.probes import CURL_IMAGE, ContainerOutput, interpret
from airflow_incident_provider.probes.output import read_measurements
from airflow_incident_provider.probes.safety import address_rules, classify, is_permitted
from airflow_incident_provider.probes.script import _script as probe_script
from airflow_incident_provider.probes.script import probe_command

from .conftest import Sandbox  # isort: skip

pytestmark = pytest.mark.docker

SCRIPT = probe_script()

ALLOWED = (
    "10.20.0.0/16",
    "192.168.7.0/25",
    "127.0.0.0/8",
    "100.64.0.0/10",
    "fd12:3456::/32",
    "198.18.0.0/15",
    "::1/128",
)


PUBLIC_URL = Target(url="http://8.8.8.8/")
PRELUDE = SCRIPT[: SCRIPT.index("\nprepare\n")]
"""The functions of the script, without what it does with them."""


def run_script(sandbox: Sandbox, script: str, **environment: str) -> ContainerOutput:
    command = probe_command(ProbeRun(probe="http", target=PUBLIC_URL))
    return sandbox.run(CURL_IMAGE, [*command[:3], script], environment)


def test_script_that_hangs_is_ended_with_all_its_children(sandbox: Sandbox) -> None:
    output = run_script(sandbox, "trap '' TERM; echo before; sleep 100 & sleep 100")
    finding = interpret(ProbeRun(probe="control"), output)
    assert finding.verdict is Verdict.UNKNOWN
    assert output.stdout.startswith(b"before\n")
    assert output.exit_code in {137, 143}
    assert output.duration_ms < 40_000


def test_memory_bound_gives_unknown(sandbox: Sandbox) -> None:
    output = run_script(sandbox, "awk 'BEGIN { s = \"x\"; while (1) s = s s }' || exit 137; echo complete")
    assert interpret(ProbeRun(probe="control"), output).verdict is Verdict.UNKNOWN


def test_measurement_is_cut_where_the_script_says(sandbox: Sandbox) -> None:
    output = run_script(sandbox, PRELUDE + "\nyes | put flood 1000\nprintf 'complete\\n'")
    found = read_measurements(output.stdout)
    assert (len(found.values["flood"]), found.complete) == (1000, True)


def judged(sandbox: Sandbox, texts: list[str], allowed: tuple[str, ...]) -> list[list[str]]:
    script = PRELUDE + '\nprintf "%s\\n" "$GIVEN" | judge\n'
    output = run_script(sandbox, script, GIVEN="\n".join(texts), ADDRESS_RULES=address_rules(allowed))
    return [line.split() for line in output.stdout.decode().splitlines()]


def test_container_judges_addresses_as_python_does(sandbox: Sandbox) -> None:
    addresses = sorted(_addresses(), key=str)
    assert len(addresses) >= 400
    found: list[list[str]] = []
    for start in range(0, len(addresses), 200):
        found += judged(sandbox, [str(each) for each in addresses[start : start + 200]], ALLOWED)
    expected = [[str(a), "yes" if is_permitted(a, ALLOWED) else "no", str(classify(a))] for a in addresses]
    assert [row[:3] for row in found] == expected


def test_container_takes_no_odd_notation_for_an_address(sandbox: Sandbox) -> None:
    odd = ["1.2.3", "1.2.3.4.5", "256.1.1.1", "0x7f.0.0.1", "2852039166", "1::2::3", "12345::", "g::", "::1%eth0"]
    odd += ["1:2:3:4:5:6:7", "1:2:3:4:5:6:7:8:9", "::1.2.3", "1:2:3:4:5:6:7::8:9", "-h", "a;b", "$(id)"]
    rows = judged(sandbox, odd, ("0.0.0.0/0", "::/0"))
    assert [row[:3] for row in rows] == [[text, "no", "malformed"] for text in odd]


def _addresses() -> set[IPv4Address | IPv6Address]:
    """Made by hypothesis, which knows the special ranges; and the edges of every range of the table."""
    from airflow_incident_provider.probes.safety import RANGES

    made: set[IPv4Address | IPv6Address] = set()

    @settings(
        max_examples=400,
        database=None,
        derandomize=True,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(st.ip_addresses())
    def collect(address: IPv4Address | IPv6Address) -> None:
        made.add(address)

    collect()
    for _, network in RANGES:
        for edge in (int(network[0]) - 1, int(network[0]), int(network[-1]), int(network[-1]) + 1):
            if 0 <= edge < 2**network.max_prefixlen:
                made.add(type(network[0])(edge))
    for network in ALLOWED:
        made.add(ip_address(network.partition("/")[0]))
    return made
