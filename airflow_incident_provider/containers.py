"""
One locked-down container, from creation to removal, whatever happens in between.

The caller says what to run; how it is locked down is not negotiable. A container cannot write outside a small
``/tmp``, gains no privilege, has no capability, no mount and no host namespace, and ends in time.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from airflow.sdk import BaseHook
from docker.errors import APIError, DockerException, ImageNotFound  # noqa: TID253 - only in execute
from requests.exceptions import ConnectionError as RequestsConnectionError
from requests.exceptions import RequestException, Timeout

from airflow_incident_provider.config import settings
from airflow_incident_provider.engine import EngineError, reason_of
from airflow_incident_provider.models import ProbeRun
from airflow_incident_provider.probes import MAX_OUTPUT_BYTES, ContainerOutput, ProbeSettings, get_probe
from airflow_incident_provider.text import one_line

if TYPE_CHECKING:
    from docker import APIClient

log = logging.getLogger(__name__)

LABEL = "airflow_incident_provider"
LABEL_VALUE = "investigation"
OWNER_LABEL = f"{LABEL}.task"
LIFETIME_LABEL = f"{LABEL}.lifetime_s"
"""How many seconds after its creation a container may be removed by anybody; both times are the engine's."""

UNPRIVILEGED_USER = "65534:65534"
MEMORY = "64m"
PIDS = 64
ONE_CPU = 1_000_000_000
OUTSIDE_GRACE_S = 5
"""How much longer a container may take than its probe's own limit inside it."""

PULL_TIMEOUT_S = 60
"""Seconds that a pull may take altogether."""

_LIFETIME_GRACE_S = 120
_GONE_OR_GOING = frozenset({HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT})
_CERTIFICATE = re.compile(
    r"-----BEGIN (?:X509 |TRUSTED )?CERTIFICATE-----[^-]+-----END (?:X509 |TRUSTED )?CERTIFICATE-----"
)
_FRACTION = re.compile(r"(\.\d{1,6})\d*")

# Limits that an engine may be unable to set, by what it says then (cgroups without a controller, rootless engines).
# Nothing that isolates the container is among them.
_OPTIONAL_LIMITS = {
    "nano_cpus": re.compile(r"nanocpu|cpu cfs|cpu.{0,20}(?:quota|controller)", re.IGNORECASE),
    "pids_limit": re.compile(r"pids", re.IGNORECASE),
    "memswap_limit": re.compile(r"swap", re.IGNORECASE),
    "mem_limit": re.compile(r"memory", re.IGNORECASE),
}


@dataclass(frozen=True, kw_only=True)
class ContainerSpec:
    """What to run, and within which bounds.

    :param entrypoint: the argument list that replaces the image's entry point, or ``None`` to keep it.
    :param network: a Docker network's name, ``bridge`` or ``none``.
    :param dns: addresses of resolvers; empty for the engine's own.
    :param timeout_s: seconds after which the container is killed from outside.
    :param owner: who runs it (one task instance): a later attempt removes what an earlier one left.
    :param pull: whether an image that is not there is pulled, or its absence reported at once.
    :param mirror: prefix of images without a registry of their own, such as ``registry.example/dockerhub``.
    """

    image: str
    owner: str
    entrypoint: Sequence[str] | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    network: str = "bridge"
    dns: Sequence[str] = ()
    timeout_s: int = 20
    pull: Literal["missing", "never"] = "missing"
    mirror: str = ""

    @property
    def reference(self) -> str:
        """The image's reference with the mirror's prefix, if the image comes from the default registry."""
        first = self.image.partition("/")[0]
        has_registry = "/" in self.image and ("." in first or ":" in first or first == "localhost")
        return self.image if has_registry or not self.mirror else f"{self.mirror.rstrip('/')}/{self.image}"


class LockedDownContainer:
    """Runs one container on an engine and reports what came of it.

    :param client: docker's low-level client.
    :param spec: what to run.
    :param host: the name of this machine, for the finding.
    """

    def __init__(self, client: APIClient, spec: ContainerSpec, *, host: str) -> None:
        self.client = client
        self.spec = spec
        self.host = host
        self.id: str | None = None
        self.dropped_limits: tuple[str, ...] = ()
        self.engine_time: float | None = None
        """When the container ended, by the engine's clock, in seconds since 1970."""

    def run(self) -> ContainerOutput:
        """Run to the end or to the time limit, remove the container, and return what it left.

        :raises EngineError: when the engine does not answer, or the image is not there.
        """
        started_at, clock = datetime.now(UTC), time.monotonic()
        try:
            digest = self._image_digest()
            outcome = self._outcome(self._start())
        except (DockerException, RequestException) as error:
            raise EngineError(reason_of(error)) from error
        finally:
            self.remove()
        return ContainerOutput(
            started_at=started_at,
            duration_ms=round((time.monotonic() - clock) * 1000),
            image_digest=digest,
            host=self.host,
            network=self.spec.network,
            internal=self._is_internal(),
            **outcome,
        )

    def _is_internal(self) -> bool:
        """Return whether the engine says that the network has no way out; one that does not say has one."""
        if self.spec.network in {"bridge", "none"}:
            return False
        try:
            return bool(self.client.inspect_network(self.spec.network).get("Internal"))
        except (DockerException, RequestException):
            return False

    def remove(self) -> None:
        """Kill and remove the container; one that is gone already is fine."""
        if self.id is None:
            return
        _remove(self.client, self.id)
        self.id = None

    def _image_digest(self) -> str:
        """Return the id of the image, pulling it first if that is wanted."""
        image = self.spec.reference
        try:
            return self._inspect_image()
        except ImageNotFound:
            if self.spec.pull == "never":
                raise EngineError(f"the image {image} is not on this engine") from None
        try:
            self._pull(image)
            return self._inspect_image()
        except (DockerException, RequestException) as error:
            raise EngineError(
                f"the image {image} is not on this engine and could not be pulled ({reason_of(error)})"
            ) from error

    def _pull(self, image: str) -> None:
        """Pull the image.

        :raises EngineError: it took too long, or the engine reported an error in the course of the pull.
        """
        deadline = time.monotonic() + PULL_TIMEOUT_S
        for progress in self.client.pull(image, stream=True, decode=True):
            if error := progress.get("error"):
                raise EngineError(f"the image {image} could not be pulled: {one_line(str(error))[:300]}")
            if time.monotonic() > deadline:
                raise EngineError(f"the image {image} could not be pulled within {PULL_TIMEOUT_S} s")

    def _inspect_image(self) -> str:
        return str(self.client.inspect_image(self.spec.reference)["Id"])  # type: ignore[no-untyped-call]

    def _start(self) -> str:
        """Create and start the container, without a limit that the engine cannot set; return its id."""
        limits = self._host_limits()
        while True:
            try:
                self.id = self._create(limits)
                self.client.start(self.id)
                return self.id
            except APIError as error:
                rejected = _rejected_limit(error, limits)
                if rejected is None:
                    raise
                self.remove()
                log.warning("The engine cannot set %s: %s", rejected, reason_of(error))
                self.dropped_limits = (*self.dropped_limits, rejected)
                del limits[rejected]
                if rejected == "mem_limit":
                    limits.pop("memswap_limit", None)

    def _create(self, limits: Mapping[str, Any]) -> str:
        created = self.client.create_container(
            image=self.spec.reference,
            entrypoint=list(self.spec.entrypoint) if self.spec.entrypoint is not None else None,
            environment=dict(self.spec.environment),
            user=UNPRIVILEGED_USER,
            labels={
                LABEL: LABEL_VALUE,
                OWNER_LABEL: self.spec.owner,
                LIFETIME_LABEL: str(self.spec.timeout_s + _LIFETIME_GRACE_S),
            },
            stop_timeout=1,
            host_config=self.client.create_host_config(**limits),
        )
        return str(created["Id"])

    def _host_limits(self) -> dict[str, Any]:
        return {
            "network_mode": self.spec.network,
            "dns": list(self.spec.dns) or None,
            "read_only": True,
            "cap_drop": ["ALL"],
            "security_opt": ["no-new-privileges:true"],
            "mem_limit": MEMORY,
            "memswap_limit": MEMORY,
            "nano_cpus": ONE_CPU,
            "pids_limit": PIDS,
            "tmpfs": {"/tmp": "rw,noexec,nosuid,nodev,size=8m"},  # noqa: S108 - inside the container
            # Several files, because the engine empties the oldest when they are full. They are large enough that
            # more output than is read is noticed, even in lines of one character.
            "log_config": {"Type": "json-file", "Config": {"max-size": "10m", "max-file": "5"}},
        }

    def _outcome(self, container: str) -> dict[str, Any]:
        """Wait for the end, then read: the engine's own log is bounded, and so is what is read of it."""
        timed_out = False
        try:
            exit_code = self.client.wait(container, timeout=self.spec.timeout_s)["StatusCode"]
        except (Timeout, RequestsConnectionError):
            # requests reports a read that timed out while streaming as a ConnectionError.
            timed_out, exit_code = self._kill(container), None
        state = self.client.inspect_container(container)["State"]
        self.engine_time = _seconds(state.get("FinishedAt"))
        stdout, truncated = self._output(container)
        return {
            "stdout": stdout,
            "truncated": truncated,
            "exit_code": exit_code if timed_out or exit_code is not None else state.get("ExitCode"),
            "timed_out": timed_out,
            "oom_killed": bool(state.get("OOMKilled")),
        }

    def _kill(self, container: str) -> bool:
        """Kill the container and return whether that was needed: it may have ended just before."""
        try:
            self.client.kill(container)
        except APIError as error:
            if error.status_code == HTTPStatus.CONFLICT:
                return False
            raise
        return True

    def _output(self, container: str) -> tuple[bytes, bool]:
        output = bytearray()
        for chunk in self.client.logs(container, stdout=True, stderr=True, stream=True, follow=False):
            output += chunk
            if len(output) > MAX_OUTPUT_BYTES:
                return bytes(output[:MAX_OUTPUT_BYTES]), True
        return bytes(output), False


def reap(client: APIClient, *, owner: str, now: float | None) -> int:
    """Remove containers that were left behind: those of ``owner``, and all whose lifetime is over.

    A worker that is killed cannot clean up after itself; every container carries the labels that this looks for.
    Another worker may do the same concurrently, so an error here does not fail the task.

    :param now: the time by the engine's clock, in seconds since 1970; without it only ``owner``'s are removed. The
        worker's clock may be ahead, and would end the probes of others.
    :returns: how many were removed.
    """
    try:
        found = client.containers(all=True, filters={"label": f"{LABEL}={LABEL_VALUE}"})
    except (DockerException, RequestException) as error:
        log.warning("Containers that were left behind could not be listed: %s", reason_of(error))
        return 0
    return sum(_remove(client, container["Id"]) for container in found if _is_left(container, now, owner))


def _is_left(container: Mapping[str, Any], now: float | None, owner: str) -> bool:
    labels = container.get("Labels") or {}
    if labels.get(OWNER_LABEL) == owner:
        return True
    lifetime = str(labels.get(LIFETIME_LABEL, ""))
    if now is None or not lifetime.isdecimal():
        return False
    return float(container.get("Created") or now) + int(lifetime) < now


def _remove(client: APIClient, container: str) -> bool:
    """Kill and remove a container and return whether we did; one that is gone, or going, already is fine."""
    try:
        client.remove_container(container, force=True, v=True)
    except (DockerException, RequestException) as error:
        if getattr(error, "status_code", None) not in _GONE_OR_GOING:
            # Its lifetime is in a label: a later investigation on this engine removes it.
            log.warning("Container %s could not be removed: %s", container[:12], reason_of(error))
        return False
    return True


def _rejected_limit(error: APIError, limits: Mapping[str, Any]) -> str | None:
    """Return the limit that the engine says it cannot set, if it is one that a container may go without."""
    said = str(error.explanation or error)
    if not re.search(
        r"can ?not|not supported|not support|unsupported|no such file|not mounted|controller", said, re.IGNORECASE
    ):
        return None
    return next((name for name, words in _OPTIONAL_LIMITS.items() if name in limits and words.search(said)), None)


def _seconds(timestamp: object) -> float | None:
    """Return the engine's time as seconds since 1970; Python reads six digits of its nine."""
    try:
        return datetime.fromisoformat(_FRACTION.sub(r"\1", str(timestamp)).replace("Z", "+00:00")).timestamp()
    except ValueError:
        return None


# --- the container of a probe ---------------------------------------------------------------------------


class ProbeSettingsError(Exception):
    """A setting of the probes, or a connection that a target needs, cannot be used."""


def probe_settings(run: ProbeRun) -> ProbeSettings:
    """Return what the installation adds to a run: proxy, authorities, and the target's client certificate.

    :raises ProbeSettingsError: a file or connection is missing or incomplete.
    """
    conf = settings()
    expected = run.target.expect if run.target else None
    return ProbeSettings(
        proxy=conf.probe_proxy,
        no_proxy=conf.probe_no_proxy,
        ca_pem=_read_ca(conf.probe_ca_file),
        client_pem=_client_pem(expected.client_certificate) if expected and expected.client_certificate else "",
    )


def probe_container(run: ProbeRun, **options: Any) -> ContainerSpec:
    """Return the container of a run of the catalogue.

    :param options: what else :func:`bounded_container` takes, the ``owner`` among it.
    :raises ProbeSettingsError: a setting, or a connection that the target needs, cannot be used.
    """
    probe = get_probe(run.probe)
    return bounded_container(
        image=probe.image,
        entrypoint=tuple(probe.command(run)),
        environment=dict(probe.environment(run, probe_settings(run))),
        timeout_s=probe.timeout_s + OUTSIDE_GRACE_S,
        **options,
    )


def bounded_container(
    *, network: str | None = None, dns: Sequence[str] | None = None, **options: Any
) -> ContainerSpec:
    """Return a container in the network, with the resolvers and from the mirror of ``[incident]``."""
    return ContainerSpec(
        network=network or settings().docker_network,
        dns=dns or settings().docker_dns,
        mirror=settings().docker_image_mirror,
        **options,
    )


def _read_ca(path: str | None) -> str:
    if path is None:
        return ""
    try:
        # Comments of a bundle are in any script and of no use.
        found = _CERTIFICATE.findall(Path(path).read_text(encoding="utf-8", errors="replace"))
    except OSError as error:
        raise ProbeSettingsError(
            f"[incident] probe_ca_file {path} cannot be read: {type(error).__name__}"
        ) from error
    if not found:
        raise ProbeSettingsError(f"[incident] probe_ca_file {path} holds no certificate in PEM")
    return "\n".join(found) + "\n"


def _client_pem(conn_id: str) -> str:
    """Return the client certificate and key of a connection: extras ``certificate`` and ``private_key``, in PEM."""
    try:
        connection = BaseHook.get_connection(conn_id)
    except Exception as error:
        raise ProbeSettingsError(f"the connection {conn_id} of the client certificate does not exist") from error
    extra = connection.extra_dejson
    certificate, key = extra.get("certificate"), extra.get("private_key") or connection.password
    if not certificate or not key:
        raise ProbeSettingsError(f"the connection {conn_id} has no extras certificate and private_key")
    return f"{certificate}\n{key}\n"
