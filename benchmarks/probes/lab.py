"""The Docker networks, addresses, names and certificates that the environments are made of."""

from __future__ import annotations

import ssl
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cached_property
from ipaddress import IPv4Address, IPv6Address, ip_address
from itertools import count
from pathlib import Path
from typing import Any
from uuid import uuid4

import trustme
from incident_sandbox.demo.network import LABEL

from airflow_incident_provider.models import Finding, ProbeRun
from airflow_incident_provider.probes import ContainerOutput, ProbeSettings, get_probe, interpret
from benchmarks.probes.servers import Behaviour, Resolver, Script, Server, refused_port, silent_port

DOMAIN = "lab.test"
"""RFC 6761 keeps ``test`` out of the real DNS."""

_names = count(1)
_numbers = count(210)


@dataclass
class Network:
    """A Docker network with the machine's own addresses in it.

    :param addresses: the gateway's IPv4 address, and further ones.
    :param address6: the gateway's IPv6 address, if the network has IPv6.
    """

    name: str
    bridge: str
    subnet: str
    addresses: tuple[str, ...]
    address6: str | None = None


@dataclass
class Lab:
    """Everything that stands while environments are made and probed."""

    engine: Any
    network: Network
    network6: Network
    folder: Path
    stack: ExitStack
    zone: dict[str, Behaviour] = field(default_factory=dict)

    @property
    def address(self) -> str:
        """The address that servers listen on unless an environment needs another."""
        return self.network.addresses[0]

    @property
    def deserted(self) -> str:
        """An address of the network that nobody has."""
        return self.address.rpartition(".")[0] + ".199"

    def name(self, *addresses: str, label: str | None = None, **behaviour: Any) -> str:
        """Return a new name with these addresses; by default that of the lab's servers."""
        name = f"{label or 'host'}-{next(_names)}.{DOMAIN}"
        self.zone[name.lower()] = Behaviour(records=addresses or (self.address,), **behaviour)
        return name

    def serve(
        self, script: Script, *, at: str | None = None, tls: ssl.SSLContext | None = None, port: int = 0
    ) -> int:
        """Return the port of a server that does this with each connection."""
        server = Server(at or self.address, script, tls, port=port)
        self.stack.callback(server.close)
        return server.port

    def free_address(self) -> str:
        """Return an address of the network that no resolver has yet."""
        address = f"{self.network.addresses[0].rpartition('.')[0]}.{next(_numbers)}"
        _add_address(address, self.network.bridge)
        return address

    def nat64(self) -> str:
        """Return the address by which a NAT64 gateway (RFC 6052) would lead to the second network's gateway."""
        embedded = int(IPv4Address(self.network6.addresses[0]))
        address = str(IPv6Address((0x64FF9B << 96) + embedded))
        _add_address(address, self.network6.bridge)
        return address

    def serve_grpc(self, state: int | None, name: str | None, code: str | None, *, delay_s: float = 0) -> int:
        """Return the port of a gRPC server.

        :param state: what its health service answers (grpc.health.v1); without one it has no such service.
        :param name: makes it a TLS server with a certificate for this name.
        :param code: the error that its health service ends with instead.
        :param delay_s: how long its health service takes.
        """
        import grpc

        def answer(_request: bytes, context: Any) -> bytes:
            time.sleep(delay_s)
            if code is not None:
                context.abort(getattr(grpc.StatusCode, code), "as the case asks")
            return bytes([0x08, state or 0])

        server = grpc.server(ThreadPoolExecutor(2))
        if state is not None:
            method = grpc.unary_unary_rpc_method_handler(answer)
            handler = grpc.method_handlers_generic_handler("grpc.health.v1.Health", {"Check": method})
            server.add_generic_rpc_handlers((handler,))
        where = f"{self.address}:0"
        if name is None:
            port = server.add_insecure_port(where)
        else:
            issued = self.authority.issue_cert(name)
            chain = b"".join(pem.bytes() for pem in issued.cert_chain_pems)
            credentials = grpc.ssl_server_credentials([(issued.private_key_pem.bytes(), chain)])
            port = server.add_secure_port(where, credentials)
        server.start()
        self.stack.callback(server.stop, None)
        return int(port)

    def refused(self, at: str | None = None) -> int:
        """Return a port that refuses connections."""
        return refused_port(at or self.address, self.stack)

    def silent(self, at: str | None = None) -> int:
        """Return a port that drops connections."""
        return silent_port(at or self.address, self.stack)

    def rejected(self, how: str) -> int:
        """Return a port that a firewall rejects connections to, in one of iptables' ways."""
        port = self.refused()
        rule = [
            "INPUT",
            "-d",
            self.address,
            "-p",
            "tcp",
            "--dport",
            str(port),
            "-j",
            "REJECT",
            "--reject-with",
            how,
        ]
        subprocess.run(["iptables", "-I", *rule], check=True)
        self.stack.callback(subprocess.run, ["iptables", "-D", *rule], check=True)
        return port

    def resolver(self, at: str, **behaviour: Any) -> str:
        """Return the address of a resolver that behaves like this."""
        resolver = Resolver(at, self.zone, **behaviour)
        self.stack.callback(resolver.close)
        return at

    @cached_property
    def authority(self) -> trustme.CA:
        """The authority that the probes trust besides the usual ones."""
        return trustme.CA()

    @cached_property
    def ca_pem(self) -> str:
        """Its certificate."""
        return self.authority.cert_pem.bytes().decode()

    def tls(
        self,
        *names: str,
        days: float = 90,
        starts_in_days: float = -30,
        authority: trustme.CA | None = None,
        without_chain: bool = False,
        clients: trustme.CA | None = None,
        versions: tuple[ssl.TLSVersion, ssl.TLSVersion] | None = None,
    ) -> ssl.SSLContext:
        """Return the context of a TLS server with a certificate for these names.

        :param clients: the authority of client certificates, which are then required.
        """
        now = datetime.now(UTC)
        issued = (authority or self.authority).issue_cert(
            *names, not_before=now + timedelta(days=starts_in_days), not_after=now + timedelta(days=days)
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        if without_chain:
            pem = self.folder / f"{uuid4().hex}.pem"
            pem.write_bytes(issued.private_key_pem.bytes() + issued.cert_chain_pems[0].bytes())
            context.load_cert_chain(pem)
        else:
            issued.configure_cert(context)
        if clients is not None:
            clients.configure_trust(context)
            context.verify_mode = ssl.CERT_REQUIRED
        if versions is not None:
            context.minimum_version, context.maximum_version = versions
        return context

    def probe(
        self,
        run: ProbeRun,
        *,
        network: str | None = None,
        dns: tuple[str, ...] | None = None,
        settings: ProbeSettings | None = None,
        image: str | None = None,
        search: str | None = None,
        clock_ahead: timedelta = timedelta(),
    ) -> Finding:
        """Run one probe in a hardened container, as the operator does, and return its finding.

        :param search: the search domain of an engine that is configured with one.
        :param clock_ahead: how far the worker's clock is ahead.
        """
        from airflow_incident_provider.containers import ContainerSpec, EngineError, LockedDownContainer

        probe = get_probe(run.probe)
        chosen = settings or ProbeSettings(ca_pem=self.ca_pem)
        spec = ContainerSpec(
            image=image or probe.image,
            owner="benchmarks.probes",
            entrypoint=tuple(probe.command(run)),
            environment=probe.environment(run, chosen),
            network=network or self.network.name,
            dns=dns if dns is not None else (self.address,),
            timeout_s=probe.timeout_s + 5,
            pull="never",
        )
        engine = self.engine if search is None else _Searching(self.engine, search)
        try:
            output = LockedDownContainer(engine, spec, host="lab").run()
            return interpret(run, replace(output, started_at=output.started_at + clock_ahead))
        except EngineError as error:
            return interpret(run, ContainerOutput(started_at=datetime.now(UTC), error=str(error)))


class _Searching:
    """An engine whose containers have a search domain, as those of an engine of a company do."""

    def __init__(self, engine: Any, domain: str) -> None:
        self._engine, self._domain = engine, domain

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    def create_host_config(self, **limits: Any) -> Any:
        return self._engine.create_host_config(**limits, dns_search=[self._domain])


@contextmanager
def lab(folder: Path) -> Iterator[Lab]:
    """Make two Docker networks with servers' addresses in them, and clear everything away at the end."""
    import docker

    with ExitStack() as stack:
        client = docker.from_env()
        stack.callback(client.close)
        network = _network(client, stack, extra=3)
        network6 = _network(client, stack, extra=0, ipv6=True)
        made = Lab(client.api, network, network6, folder, stack)
        made.resolver(made.address)
        made.resolver(network6.addresses[0])
        yield made


def _network(client: Any, stack: ExitStack, *, extra: int, ipv6: bool = False) -> Network:
    """Make an internal network. Its bridge gets further addresses of this machine, for servers and resolvers."""
    from docker.types import IPAMConfig, IPAMPool

    options: dict[str, Any] = {}
    prefix = uuid4().hex[:8]
    if ipv6:
        subnet6 = f"fd00:{prefix[:4]}:{prefix[4:]}::/64"
        pool = IPAMPool(subnet=subnet6, gateway=subnet6.replace("/64", "1"))
        options = {"enable_ipv6": True, "ipam": IPAMConfig(pool_configs=[pool])}
    network = client.networks.create(
        f"incident-lab-{prefix}", driver="bridge", internal=True, labels={LABEL: "1"}, **options
    )
    stack.callback(network.remove)
    network.reload()
    configs = network.attrs["IPAM"]["Config"]
    config = next(each for each in configs if ":" not in each["Subnet"])
    gateway = config["Gateway"]
    bridge = f"br-{network.id[:12]}"
    addresses = [gateway]
    for number in range(200, 200 + extra):
        address = f"{gateway.rpartition('.')[0]}.{number}"
        subprocess.run(["ip", "addr", "add", f"{address}/32", "dev", bridge], check=True)
        addresses.append(address)
    address6 = None
    if ipv6:
        address6 = next(each["Gateway"].partition("/")[0] for each in configs if ":" in each["Subnet"])
        # Docker's own assignment stays tentative until a container is there, and cannot be bound until then.
        subprocess.run(["ip", "addr", "del", f"{address6}/64", "dev", bridge], check=True)
        _add_address(address6, bridge, bits=64)
    return Network(network.name, bridge, config["Subnet"], tuple(addresses), address6)


def _add_address(address: str, bridge: str, *, bits: int | None = None) -> None:
    """Give this machine a further address in a network; it goes with the network's bridge."""
    prefix = f"{address}/{bits or ip_address(address).max_prefixlen}"
    options = ["nodad"] if ":" in address else []
    subprocess.run(["ip", "addr", "add", prefix, "dev", bridge, *options], check=True)
