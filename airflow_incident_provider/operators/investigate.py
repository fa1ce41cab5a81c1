"""Step 5: run a probe in a locked-down container and say what it saw."""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from airflow.providers.docker.operators.docker import DockerOperator
from airflow.sdk.exceptions import AirflowException

from airflow_incident_provider.config import settings
from airflow_incident_provider.models import Finding, ProbeRun, Verdict
from airflow_incident_provider.operators.base import Clock
from airflow_incident_provider.probes import (
    ContainerOutput,
    command_for,
    environment_for,
    evidence_text,
    get_probe,
    interpret,
    skipped_finding,
)

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_incident_provider.containers import ContainerSpec, LockedDownContainer

Parser = Callable[[ContainerOutput], Finding]

_OUTSIDE_GRACE_S = 5
"""How much longer the container may take than the probe's own limit inside it."""


class InvestigateInContainerOperator(DockerOperator):
    """Run one probe of the catalogue, or any image with any arguments, in a locked-down container.

    The container runs as nobody, with a read-only root, no capabilities, no new privileges, bounded memory,
    CPU, processes, output and time, and no mounts. It is removed whatever happens; what a killed worker leaves
    is removed by the next investigation on the same engine. An alert's text reaches it through the environment
    only: nothing of ``probe`` is rendered by Jinja or becomes part of a command.

    :param probe: a :class:`~airflow_incident_provider.models.ProbeRun`, as ``plan_investigation`` returns them.
        Give this, or ``image`` with ``command``.
    :param image: an image of your own. (templated)
    :param command: its argument list, replacing the image's entry point. (templated)
    :param environment: environment variables for an image of your own. (templated)
    :param parser: makes the finding of an image of your own out of its output; by default exit code 0 is
        ``ok``, anything else ``fail``, with the output as evidence.
    :param container_timeout: seconds after which a container of your own is killed.
    :param network_mode: ``bridge``, ``none`` or a network's name; default: ``[incident] docker_network``.
        The host's network is refused.
    :param dns: resolvers for the container; default: ``[incident] docker_dns``.
    :param pull: ``missing`` pulls an image that is not there; ``never`` reports it.
    :param if_unavailable: what to do without an engine or image: ``unknown`` returns a finding that says so,
        ``fail`` fails the task.
    :param docker_conn_id: an Airflow connection of type ``docker`` for a private registry. (templated)
    :returns: a :class:`~airflow_incident_provider.models.Finding`, pushed to XCom.

    .. code-block:: python

        InvestigateInContainerOperator(
            task_id="can_we_reach_the_warehouse",
            image="alpine:3.23",
            command=["nc", "-z", "-w", "3", "warehouse.internal", "5432"],
        )
    """

    returns_findings = True
    """Whether the task's value is a finding, for the summary of the run."""

    template_fields: Sequence[str] = ("image", "command", "environment", "docker_conn_id")
    template_ext: Sequence[str] = ()
    ui_color = "#e8f3ec"

    def __init__(
        self,
        *,
        probe: ProbeRun | Mapping[str, Any] | None = None,
        image: str | None = None,
        command: Sequence[str] | None = None,
        parser: Parser | None = None,
        container_timeout: int = 20,
        network_mode: str | None = None,
        dns: list[str] | None = None,
        pull: Literal["missing", "never"] = "missing",
        if_unavailable: Literal["unknown", "fail"] = "unknown",
        **kwargs: Any,
    ) -> None:
        if (probe is None) == (image is None):
            raise ValueError("Give either a probe of the catalogue or an image of your own, not both and not none.")
        if network_mode == "host" or str(network_mode).startswith("container:"):
            raise ValueError(f"network_mode {network_mode!r} would leave the container; use a network's name.")
        super().__init__(
            image=image or "",
            command=list(command) if command is not None else None,
            network_mode=network_mode,
            dns=dns,
            mount_tmp_dir=False,
            auto_remove="force",
            **kwargs,
        )
        self.probe = probe
        self.parser = parser
        self.container_timeout = container_timeout
        self.pull = pull
        self.if_unavailable = if_unavailable

    def execute(self, context: Context) -> dict[str, Any]:  # type: ignore[override]
        """Run the container and return the finding."""
        clock = Clock()
        run = ProbeRun.model_validate(self.probe) if self.probe is not None else None
        if run is not None and run.refused is not None:
            finding = skipped_finding(run, started_at=clock.started_at)
        else:
            output = self._run_container(self._spec(run, _owner(context)), clock)
            finding = interpret(run, output) if run is not None else self._read_own(output)
        self.log.info("%s %s: %s: %s", finding.probe, finding.target, finding.verdict, finding.summary)
        return finding.timed(clock.timing()).to_xcom()

    @property
    def label(self) -> str:
        """What Airflow's UI calls this instance: the probe and its target."""
        if self.probe is None:
            return self.image
        run = ProbeRun.model_validate(self.probe)
        return f"{run.probe} {run.target}" if run.target is not None else run.probe

    def on_kill(self) -> None:
        """Remove the container when the task is stopped."""
        if self._running is not None:
            self._running.remove()

    _running: LockedDownContainer | None = None

    def _spec(self, run: ProbeRun | None, owner: str) -> ContainerSpec:
        from airflow_incident_provider.containers import ContainerSpec

        dns = self.dns or list(settings().docker_dns)
        network = self.network_mode or settings().docker_network
        if run is None:
            return ContainerSpec(
                image=self.image,
                entrypoint=self.command,
                environment=self.environment,
                timeout_s=self.container_timeout,
                owner=owner,
                network=network,
                dns=dns,
                pull=self.pull,
            )
        declared = get_probe(run.probe)
        return ContainerSpec(
            image=declared.image,
            entrypoint=command_for(declared),
            environment=environment_for(run),
            timeout_s=declared.timeout_s + _OUTSIDE_GRACE_S,
            owner=owner,
            network=network if declared.needs_network else "none",
            dns=dns,
            pull=self.pull,
        )

    def _run_container(self, spec: ContainerSpec, clock: Clock) -> ContainerOutput:
        from airflow_incident_provider.containers import EngineError, LockedDownContainer, reap

        host = socket.gethostname()
        try:
            client = self._engine()
            self._running = LockedDownContainer(client, spec, host=host)
            output = self._running.run()
            reap(client, owner=spec.owner)
            return output
        except EngineError as error:
            if self.if_unavailable == "fail":
                raise
            self.log.warning("The probe could not run: %s", error)
            return ContainerOutput(
                started_at=clock.started_at,
                duration_ms=clock.timing().duration_ms,
                error=str(error),
                host=host,
            )

    def _engine(self) -> Any:
        from docker.errors import DockerException

        from airflow_incident_provider.containers import EngineError

        try:
            return self.cli
        except (AirflowException, DockerException) as error:
            raise EngineError(f"no Docker Engine answers at {self.docker_url}") from error

    def _read_own(self, output: ContainerOutput) -> Finding:
        """Return the finding of the caller's own image."""
        if self.parser is not None and output.error is None:
            return self.parser(output)
        verdict, summary = _plain_reading(output)
        return Finding(
            probe=self.task_id,
            target=self.image,
            verdict=verdict,
            summary=summary,
            evidence=evidence_text(output.stdout),
            command=tuple(self.command or ()),
            exit_code=output.exit_code,
            started_at=output.started_at,
            duration_ms=output.duration_ms,
            image=self.image,
            image_digest=output.image_digest,
            host=output.host,
        )


def _owner(context: Context) -> str:
    ti = context["ti"]
    return f"{ti.dag_id}/{ti.run_id}/{ti.task_id}/{ti.map_index}"


def _plain_reading(output: ContainerOutput) -> tuple[Verdict, str]:
    if output.error is not None:
        return Verdict.UNKNOWN, f"the container could not run: {output.error}"
    if output.timed_out:
        return Verdict.UNKNOWN, "the container did not end in time"
    if output.oom_killed:
        return Verdict.UNKNOWN, "the container ran out of memory"
    verdict = Verdict.OK if output.exit_code == 0 else Verdict.FAIL
    return verdict, f"exit code {output.exit_code}"
