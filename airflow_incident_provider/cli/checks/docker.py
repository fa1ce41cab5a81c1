"""Docker: the engine, the probes' images and network, and a locked-down container that really runs."""

from __future__ import annotations

import socket

from airflow_incident_provider.cli.checks.context import CheckContext, NotCheckableError, Result, Results, Subject
from airflow_incident_provider.config import settings
from airflow_incident_provider.containers import LockedDownContainer, ProbeSettingsError, probe_container
from airflow_incident_provider.engine import EngineError, engine_address
from airflow_incident_provider.models import ProbeRun, Verdict
from airflow_incident_provider.probes import CONTROL, catalogue, interpret


def engine(context: CheckContext, subject: Subject) -> Result:
    """Check that a Docker Engine answers."""
    try:
        version = context.engine.version()
    except NotCheckableError as error:
        return subject.failure(
            f"{error}; no probe can run",
            "Start the engine, set DOCKER_HOST, or give this user access to its socket. Test it:",
            "docker version",
        )
    return subject.passed(f"{version.get('Version')} at {engine_address()}")


def images(context: CheckContext, _: Subject) -> Results:
    """Check that each probe's image is on the engine."""
    from docker.errors import DockerException, ImageNotFound

    for image in sorted({probe.image for probe in catalogue()}):
        subject = Subject(f"image {image}")
        try:
            digest = str(context.engine.inspect_image(image)["Id"])
        except ImageNotFound:
            yield subject.warning("not pulled: an incident would wait for it", "Pull it:", f"docker pull {image}")
        except DockerException as error:
            yield subject.failure(type(error).__name__, "See the Docker Engine's log.")
        else:
            yield subject.passed(digest[:19])


def network(context: CheckContext, subject: Subject) -> Result:
    """Check that the probes' network exists."""
    from docker.errors import APIError, NotFound

    name = settings().docker_network
    try:
        context.engine.inspect_network(name)
    except NotFound:
        return subject.failure(
            f"the engine has no network {name}",
            "Correct [incident] docker_network, or create it:",
            f"docker network create {name}",
        )
    except APIError:
        raise NotCheckableError("the engine, or a proxy before it, does not allow network inspection") from None
    return subject.passed(name)


def hardened(context: CheckContext, subject: Subject) -> Result:
    """Check that the control probe runs in a locked-down container, as every probe does."""
    run = ProbeRun(probe=CONTROL)
    try:
        spec = probe_container(run, owner="airflow incident check", pull="never")
        output = LockedDownContainer(context.engine, spec, host=socket.gethostname()).run()
    except ProbeSettingsError as error:
        return subject.failure(str(error), "Correct the setting: no probe can run. See [incident] above.")
    except EngineError as error:
        return subject.failure(str(error), "Pull the image, or see what the engine refuses.")
    finding = interpret(run, output)
    if finding.verdict is Verdict.UNKNOWN:
        return subject.failure(finding.summary, "See what the engine, its proxy or its runtime refuses.")
    fix = "Correct [incident] docker_network and docker_dns: probes could not reach anything."
    return subject.required(finding.verdict is not Verdict.FAIL, finding.summary, fix)
