"""Command-line options and their environment variables."""

from __future__ import annotations

from pathlib import Path

import pytest
from incident_docker_proxy.command_line import Command, parse_command
from incident_docker_proxy.settings import MIB, Settings
from incident_docker_proxy.streams import TcpAddress, UnixAddress


def test_defaults_are_loopback_and_the_engine_socket() -> None:
    assert parse_command(["--allow-image", "alpine:3.23"], {}) == Command(
        TcpAddress("127.0.0.1", 2375),
        UnixAddress(Path("/var/run/docker.sock")),
        Settings(images=("alpine:3.23",)),
    )


def test_environment_supplies_missing_options() -> None:
    environment = {
        "INCIDENT_DOCKER_PROXY_LISTEN": "unix:///run/proxy.sock",
        "INCIDENT_DOCKER_PROXY_UPSTREAM": "tcp://engine:2375",
        "INCIDENT_DOCKER_PROXY_ALLOW_IMAGES": "alpine:3.23, curlimages/curl:*",
        "INCIDENT_DOCKER_PROXY_ALLOW_NETWORKS": "demo",
        "INCIDENT_DOCKER_PROXY_ALLOW_PULL": "true",
        "INCIDENT_DOCKER_PROXY_MAX_MEMORY": "64m",
        "INCIDENT_DOCKER_PROXY_MAX_CPUS": "0.5",
        "INCIDENT_DOCKER_PROXY_MAX_PIDS": "32",
    }
    assert parse_command([], environment) == Command(
        UnixAddress(Path("/run/proxy.sock")),
        TcpAddress("engine", 2375),
        Settings(
            images=("alpine:3.23", "curlimages/curl:*"),
            networks=("demo",),
            pull=True,
            memory=64 * MIB,
            nano_cpus=500_000_000,
            pids=32,
        ),
    )


def test_option_overrides_the_environment() -> None:
    command = parse_command(["--allow-image", "a:1"], {"INCIDENT_DOCKER_PROXY_ALLOW_IMAGES": "b:1"})
    assert command.settings.images == ("a:1",)


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--allow-image", "a:1", "--allow-network", "host"],
        ["--allow-image", "a:1", "--listen", "2375"],
        ["--allow-image", "a:1", "--upstream", "ssh://engine"],
        ["--allow-image", "a:1", "--max-memory", "much"],
    ],
)
def test_invalid_option_exits_with_a_message(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_info:
        parse_command(arguments, {})
    assert exit_info.value.code == 2
    assert "error:" in capsys.readouterr().err
