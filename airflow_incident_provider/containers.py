"""
One locked-down container, from creation to removal, whatever happens in between.

The caller gives what to run; how it is locked down is not negotiable. A container cannot write outside a
small ``/tmp``, gains no privilege, has no capability, no mount and no host namespace, and ends in time.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Literal

from docker.errors import APIError, DockerException, ImageNotFound  # noqa: TID253 - only in execute
from requests.exceptions import ConnectionError as RequestsConnectionError
from requests.exceptions import RequestException, Timeout

from airflow_incident_provider.probes import MAX_OUTPUT_BYTES, ContainerOutput

if TYPE_CHECKING:
    from docker import APIClient

log = logging.getLogger(__name__)

LABEL = "airflow_incident_provider"
LABEL_VALUE = "investigation"
OWNER_LABEL = f"{LABEL}.task"
EXPIRES_LABEL = f"{LABEL}.expires"

UNPRIVILEGED_USER = "65534:65534"
MEMORY = "64m"
PIDS = 64
ONE_CPU = 1_000_000_000
PULL_TIMEOUT_S = 60

_EXPIRY_GRACE = timedelta(minutes=2)
_GONE_OR_GOING = frozenset({HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT})


@dataclass(frozen=True, kw_only=True)
class ContainerSpec:
    """What to run, and within which bounds.

    :param entrypoint: the argument list that replaces the image's entry point, or ``None`` to keep it.
    :param command: the arguments for the entry point.
    :param network: a Docker network's name, ``bridge`` or ``none``.
    :param dns: addresses of resolvers; empty for the engine's own.
    :param timeout_s: seconds after which the container is killed from outside.
    :param owner: who runs it (one task instance): a later attempt removes what an earlier one left.
    :param pull: whether an image that is not there is pulled, or its absence reported at once.
    """

    image: str
    owner: str
    entrypoint: Sequence[str] | None = None
    command: Sequence[str] | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    network: str = "bridge"
    dns: Sequence[str] = ()
    timeout_s: int = 20
    pull: Literal["missing", "never"] = "missing"


class EngineError(Exception):
    """The Docker Engine, or the image, is not there; the message is for the room."""


class LockedDownContainer:
    """Runs one container on an engine and tells what came of it.

    :param client: docker's low-level client.
    :param spec: what to run.
    :param host: the name of this machine, for the finding.
    """

    def __init__(self, client: APIClient, spec: ContainerSpec, *, host: str) -> None:
        self.client = client
        self.spec = spec
        self.host = host
        self.id: str | None = None

    def run(self) -> ContainerOutput:
        """Run to the end or to the time limit, remove the container, and return what it left.

        :raises EngineError: when the engine does not answer, or the image is not there.
        """
        started_at, clock = datetime.now(UTC), time.monotonic()
        try:
            digest = self._image_digest()
            outcome = self._outcome(self._create())
        except (DockerException, RequestException) as error:
            raise EngineError(_in_words(error)) from error
        finally:
            self.remove()
        return ContainerOutput(
            started_at=started_at,
            duration_ms=round((time.monotonic() - clock) * 1000),
            image_digest=digest,
            host=self.host,
            **outcome,
        )

    def remove(self) -> None:
        """Kill and remove the container; one that is gone already is fine."""
        if self.id is None:
            return
        _remove(self.client, self.id)
        self.id = None

    def _image_digest(self) -> str:
        """Return the id of the image, pulling it first if that is wanted."""
        try:
            return self._inspect_image()
        except ImageNotFound:
            if self.spec.pull == "never":
                raise EngineError(f"the image {self.spec.image} is not on this engine") from None
        try:
            for _ in self.client.pull(self.spec.image, stream=True, decode=True):
                pass
            return self._inspect_image()
        except (DockerException, RequestException) as error:
            raise EngineError(
                f"the image {self.spec.image} is not on this engine and could not be pulled ({_in_words(error)})"
            ) from error

    def _inspect_image(self) -> str:
        return str(self.client.inspect_image(self.spec.image)["Id"])  # type: ignore[no-untyped-call]

    def _create(self) -> str:
        expires = datetime.now(UTC) + timedelta(seconds=self.spec.timeout_s) + _EXPIRY_GRACE
        created = self.client.create_container(
            image=self.spec.image,
            entrypoint=list(self.spec.entrypoint) if self.spec.entrypoint is not None else None,
            command=list(self.spec.command) if self.spec.command is not None else None,
            environment=dict(self.spec.environment),
            user=UNPRIVILEGED_USER,
            labels={
                LABEL: LABEL_VALUE,
                OWNER_LABEL: self.spec.owner,
                EXPIRES_LABEL: str(int(expires.timestamp())),
            },
            stop_timeout=1,
            host_config=self.client.create_host_config(**self._host_limits()),
        )
        self.id = str(created["Id"])
        self.client.start(self.id)
        return self.id

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
            # Two files: an only one is emptied when it is full, and a reader finds next to nothing just then.
            "log_config": {"Type": "json-file", "Config": {"max-size": "1m", "max-file": "2"}},
        }

    def _outcome(self, container: str) -> dict[str, Any]:
        """Wait for the end, then read: the engine's own log is bounded, and so is what we take of it."""
        timed_out = False
        try:
            exit_code = self.client.wait(container, timeout=self.spec.timeout_s)["StatusCode"]
        except (Timeout, RequestsConnectionError):
            # requests reports a read that timed out while streaming as a ConnectionError.
            self.client.kill(container)
            timed_out, exit_code = True, None
        state = self.client.inspect_container(container)["State"]
        stdout, truncated = self._output(container)
        return {
            "stdout": stdout,
            "truncated": truncated,
            "exit_code": exit_code,
            "timed_out": timed_out,
            "oom_killed": bool(state.get("OOMKilled")),
        }

    def _output(self, container: str) -> tuple[bytes, bool]:
        output = bytearray()
        for chunk in self.client.logs(container, stdout=True, stderr=True, stream=True, follow=False):
            output += chunk
            if len(output) > MAX_OUTPUT_BYTES:
                return bytes(output[:MAX_OUTPUT_BYTES]), True
        return bytes(output), False


def reap(client: APIClient, *, owner: str | None = None) -> int:
    """Remove containers that were left behind: those of ``owner``, and all that have expired.

    A worker that is killed cannot clean up after itself; every container carries the label that this looks for.
    Whoever investigated meanwhile may be at the same: nothing that fails here is worth a failed task.

    :returns: how many were removed.
    """
    now = datetime.now(UTC).timestamp()
    try:
        found = client.containers(all=True, filters={"label": f"{LABEL}={LABEL_VALUE}"})
    except (DockerException, RequestException) as error:
        log.warning("Containers that were left behind could not be looked for: %s", _in_words(error))
        return 0
    return sum(_remove(client, container["Id"]) for container in found if _may_go(container, now, owner))


def _may_go(container: Mapping[str, Any], now: float, owner: str | None) -> bool:
    labels = container.get("Labels") or {}
    expired = float(labels.get(EXPIRES_LABEL, "inf")) < now
    return expired or (owner is not None and labels.get(OWNER_LABEL) == owner)


def _remove(client: APIClient, container: str) -> bool:
    """Kill and remove a container and return whether we did; one that is gone, or going, already is fine."""
    try:
        client.remove_container(container, force=True, v=True)
    except (DockerException, RequestException) as error:
        if getattr(error, "status_code", None) not in _GONE_OR_GOING:
            # It carries an expiry label: a later investigation on this engine removes it.
            log.warning("Container %s could not be removed: %s", container[:12], _in_words(error))
        return False
    return True


def _in_words(error: Exception) -> str:
    """Return what the engine said, short enough for the room."""
    if isinstance(error, APIError):
        return str(error.explanation or error)[:300]
    if isinstance(error, RequestException):
        return f"the Docker Engine does not answer: {type(error).__name__}"
    return str(error)[:300]
