"""What holds a script in check from inside its container, and the shell's judgement against Python's."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest
from airflow_incident_provider.probes.declaration import ALPINE_IMAGE, CURL_IMAGE
from airflow_incident_provider.probes.scripts import script_for, supervised
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from airflow_incident_provider.models import ProbeRun, Verdict
from airflow_incident_provider.probes import MAX_OUTPUT_BYTES, interpret
from airflow_incident_provider.probes.safety import classify, may_touch

from .conftest import Sandbox  # isort: skip

pytestmark = pytest.mark.docker

ALLOWED = (
    "10.20.0.0/16",
    "192.168.7.0/25",
    "127.0.0.0/8",
    "100.64.0.0/10",
    "fd12:3456::/32",
    "198.18.0.0/15",
    "::1/128",
)


@pytest.mark.parametrize("image", [ALPINE_IMAGE, CURL_IMAGE])
def test_exit_code_output_and_errors_come_through(sandbox: Sandbox, image: str) -> None:
    output = sandbox.run(image, supervised("echo out; echo @bad=1 >&2; exit 7", timeout_s=5), {})
    assert (output.stdout, output.exit_code) == (b"out\n| @bad=1\n", 7)


def test_script_that_hangs_is_ended_with_all_its_children(sandbox: Sandbox) -> None:
    script = "trap '' TERM; echo before; sleep 100 & sleep 100"
    output = sandbox.run(ALPINE_IMAGE, supervised(script, timeout_s=1), {})
    assert interpret(ProbeRun(probe="host_facts"), output).summary == "the probe did not finish within 20 s"
    assert output.stdout.startswith(b"before\n")
    assert output.exit_code in {137, 143}
    assert output.duration_ms < 20_000


def test_output_is_capped(sandbox: Sandbox) -> None:
    output = sandbox.run(ALPINE_IMAGE, supervised("yes | head -c 5000000; echo @complete=yes", timeout_s=5), {})
    assert len(output.stdout) <= MAX_OUTPUT_BYTES + 4096
    assert b"@complete=yes" not in output.stdout


def test_memory_bound_gives_unknown(sandbox: Sandbox) -> None:
    script = "awk 'BEGIN { s = \"x\"; while (1) s = s s }'; echo @complete=yes"
    output = sandbox.run(ALPINE_IMAGE, supervised(script, timeout_s=15), {})
    finding = interpret(ProbeRun(probe="host_facts"), output)
    assert finding.verdict is Verdict.UNKNOWN


def test_shell_judges_addresses_as_python_does(sandbox: Sandbox) -> None:
    addresses = sorted(_addresses(), key=str)
    assert len(addresses) >= 400
    script = (
        script_for("dns").rpartition("\nanswer=$(look_up")[0] + "\nprintf '%s\\n' \"$GIVEN\" | classify_addresses"
    )
    output = sandbox.run(
        ALPINE_IMAGE,
        ["/bin/sh", "-c", script],
        {"ALLOWED_NETWORKS": " ".join(ALLOWED), "GIVEN": "\n".join(map(str, addresses))},
    )
    expected = [f"{a} {classify(a)} {'yes' if may_touch(a, ALLOWED) else 'no'}" for a in addresses]
    assert output.stdout.decode().splitlines() == expected


def test_shell_takes_no_odd_notation_for_an_address(sandbox: Sandbox) -> None:
    odd = [
        "1.2.3",
        "1.2.3.4.5",
        "01.2.3.4",
        "256.1.1.1",
        "0x7f.0.0.1",
        "2852039166",
        "1::2::3",
        ":::",
        "12345::",
        "g::",
    ]
    odd += [
        "::1%eth0",
        "1:2:3:4:5:6:7",
        "1:2:3:4:5:6:7:8:9",
        "::1.2.3",
        "",
        "1.2.3.4 ",
        "::ffff:1.2.3.256",
        "1:2:3:4:5:6:7::8:9",
    ]
    script = (
        script_for("dns").rpartition("\nanswer=$(look_up")[0] + "\nprintf '%s\\n' \"$GIVEN\" | classify_addresses"
    )
    output = sandbox.run(
        ALPINE_IMAGE, ["/bin/sh", "-c", script], {"ALLOWED_NETWORKS": "0.0.0.0/0 ::/0", "GIVEN": "\n".join(odd)}
    )
    assert output.stdout.decode().splitlines() == [f"{text} malformed no" for text in odd]


def _addresses() -> set[IPv4Address | IPv6Address]:
    """Made by hypothesis, which knows the special ranges; and the edges of every range of the table."""
    from airflow_incident_provider.probes.safety import address_ranges

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
    for _, network in address_ranges():
        for edge in (int(network[0]) - 1, int(network[0]), int(network[-1]), int(network[-1]) + 1):
            if 0 <= edge < 2**network.max_prefixlen:
                made.add(type(network[0])(edge))
    for network in ALLOWED:
        made.add(ip_address(network.partition("/")[0]))
    return made
