"""The command that runs the proxy. Each option has an environment variable for compose files."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import re
import signal
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from incident_docker_proxy import checks, log
from incident_docker_proxy.engine import Engine
from incident_docker_proxy.policy import Policy
from incident_docker_proxy.server import Proxy
from incident_docker_proxy.settings import Settings
from incident_docker_proxy.streams import Address, parse_address

ENVIRONMENT_PREFIX = "INCIDENT_DOCKER_PROXY_"
SOCKET_UMASK = 0o117
"""The socket that is listened on is for its owner and group."""


@dataclass(frozen=True, slots=True)
class Command:
    """What the command line asks for."""

    listen: Address
    upstream: Address
    settings: Settings


def parse_command(arguments: Sequence[str], environment: Mapping[str, str]) -> Command:
    """Return what the arguments ask for, with the environment for what they leave out.

    Exits with status 2 and a message when they make no sense.
    """
    parser = _parser(environment)
    given = parser.parse_args(arguments)
    try:
        settings = Settings(
            images=tuple(given.allow_image or _words(environment, "ALLOW_IMAGES")),
            networks=tuple(given.allow_network or _words(environment, "ALLOW_NETWORKS") or ["bridge"]),
            pull=given.allow_pull,
            memory=given.max_memory,
            nano_cpus=int(given.max_cpus * 1_000_000_000),
            pids=given.max_pids,
        )
    except ValueError as error:
        parser.error(str(error))
    return Command(given.listen, given.upstream, settings)


def main() -> None:
    """Run the proxy until SIGTERM or SIGINT."""
    command = parse_command(sys.argv[1:], os.environ)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    os.umask(SOCKET_UMASK)
    asyncio.run(_run(command))


async def _run(command: Command) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    proxy = Proxy(Policy(command.settings), Engine(command.upstream))
    server = await command.listen.listen(proxy.serve)
    settings = command.settings
    log.started(str(command.listen), str(command.upstream), settings.images, settings.networks)
    await stop.wait()
    server.close()  # what is still streaming is cut when the loop ends


def _parser(environment: Mapping[str, str]) -> argparse.ArgumentParser:
    def default(name: str, value: str) -> str:
        return environment.get(ENVIRONMENT_PREFIX + name, value)

    parser = argparse.ArgumentParser(
        prog="python -m incident_docker_proxy",
        description="A Docker Engine API that can run an investigation's container and nothing else.",
        epilog=f"Each option has an environment variable: {ENVIRONMENT_PREFIX}LISTEN, _UPSTREAM, _ALLOW_IMAGES and "
        "_ALLOW_NETWORKS (lists with commas), _ALLOW_PULL (true), _MAX_MEMORY, _MAX_CPUS, _MAX_PIDS.",
    )
    add = parser.add_argument
    add("--listen", type=parse_address, default=default("LISTEN", "tcp://127.0.0.1:2375"), metavar="ADDRESS")
    add(
        "--upstream",
        type=parse_address,
        default=default("UPSTREAM", "unix:///var/run/docker.sock"),
        metavar="ADDRESS",
    )
    add("--allow-image", action="append", metavar="PATTERN", help="such as 'alpine:3.*'; may be repeated")
    add("--allow-network", action="append", metavar="NAME", help="instead of bridge; may be repeated")
    add("--allow-pull", action="store_true", default=default("ALLOW_PULL", "false").lower() == "true")
    add("--max-memory", type=_size, default=default("MAX_MEMORY", "256m"), help="of a container, such as 256m")
    add("--max-cpus", type=float, default=default("MAX_CPUS", "1"), help="of a container, such as 0.5")
    add("--max-pids", type=int, default=default("MAX_PIDS", "256"), help="of a container")
    return parser


def _size(text: str) -> int:
    found = checks.size(text)
    if found is None:
        raise ValueError(text)
    return found


def _words(environment: Mapping[str, str], name: str) -> list[str]:
    return re.findall(r"[^,\s]+", environment.get(ENVIRONMENT_PREFIX + name, ""))
