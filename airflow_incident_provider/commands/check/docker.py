"""Docker: the engine, the probes' images and network, and a hardened container that really runs."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

from airflow_incident_provider.commands.check.results import (
    NotCheckableError,
    Results,
    doubtful,
    good,
    required,
    wrong,
)
from airflow_incident_provider.commands.check.site import Site
from airflow_incident_provider.config import settings
from airflow_incident_provider.models import ProbeRun, Verdict
from airflow_incident_provider.probes import CONTROL, catalogue, command_for, environment_for, get_probe, interpret

if TYPE_CHECKING:
    from airflow_incident_provider.containers import ContainerSpec

_OUTSIDE_GRACE_S = 5


def engine(site: Site) -> Results:
    """Check that a Docker Engine answers."""
    try:
        told = site.engine.version()
    except NotCheckableError as error:
        yield wrong(
            "engine",
            f"{error} at {site.engine_address}: probes could not run",
            "Start it, set DOCKER_HOST, or let this user use its socket.",
        )
        return
    yield good("engine", f"{told.get('Version')} at {site.engine_address}")


def images(site: Site) -> Results:
    """Check that each probe's image is on the engine."""
    from docker.errors import DockerException, ImageNotFound

    for image in sorted({probe.image for probe in catalogue()}):
        try:
            digest = str(site.engine.inspect_image(image)["Id"])
        except ImageNotFound:
            yield doubtful(f"image {image}", "not here: an incident would wait for it", f"Run: docker pull {image}")
        except DockerException as error:
            yield wrong(f"image {image}", type(error).__name__, "See the Docker Engine's log.")
        else:
            yield good(f"image {image}", digest[:19])


def network(site: Site) -> Results:
    """Check that the network that probes run in exists."""
    from docker.errors import APIError, NotFound

    name = settings().docker_network
    try:
        site.engine.inspect_network(name)
    except NotFound:
        fix = f"Create it (docker network create {name}), or correct [incident] docker_network."
        yield wrong("network", f"the engine has no network {name}", fix)
        return
    except APIError:
        raise NotCheckableError("the engine, or a proxy before it, does not let networks be looked at") from None
    yield good("network", name)


def hardened(site: Site) -> Results:
    """Check that the control probe runs, locked down as every probe is."""
    from airflow_incident_provider.containers import EngineError, LockedDownContainer

    try:
        output = LockedDownContainer(site.engine, _control(), host=socket.gethostname()).run()
    except EngineError as error:
        yield wrong("hardened container", str(error), "Pull the image, or see what the engine refuses.")
        return
    finding = interpret(ProbeRun(probe=CONTROL), output)
    if finding.verdict is Verdict.UNKNOWN:
        yield wrong("hardened container", finding.summary, "See what the engine, its proxy or its runtime refuses.")
    else:
        fix = "Correct [incident] docker_network and docker_dns: probes could not reach anything."
        yield required("hardened container", finding.verdict is Verdict.OK, finding.summary, fix)


def _control() -> ContainerSpec:
    """Return the control probe's container, as the investigation makes it."""
    from airflow_incident_provider.containers import ContainerSpec

    probe = get_probe(CONTROL)
    dns = list(settings().docker_dns)
    return ContainerSpec(
        image=probe.image,
        owner="airflow incident check",
        entrypoint=command_for(probe),
        environment=environment_for(ProbeRun(probe=CONTROL)),
        network=settings().docker_network,
        dns=dns,
        timeout_s=probe.timeout_s + _OUTSIDE_GRACE_S,
        pull="never",
    )
