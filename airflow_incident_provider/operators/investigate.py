"""Step 5: run a probe in a locked-down container and report what it saw."""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from airflow.providers.docker.operators.docker import DockerOperator
from airflow.sdk import Context
from airflow.sdk.exceptions import AirflowException, AirflowFailException

from airflow_incident_provider.config import settings
from airflow_incident_provider.containers import (
    ContainerSpec,
    LockedDownContainer,
    ProbeSettingsError,
    bounded_container,
    probe_container,
    reap,
)
from airflow_incident_provider.engine import EngineError, connect, engine_address
from airflow_incident_provider.models import Finding, ProbeRun, Verdict
from airflow_incident_provider.operators.base import Clock
from airflow_incident_provider.probes import (
    MAX_REDIRECTS,
    ContainerOutput,
    after_redirect,
    custom_finding,
    interpret,
    redirected_run,
    skipped_finding,
)

if TYPE_CHECKING:
    from docker import APIClient

Parser = Callable[[ContainerOutput], Finding]


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
        ``ok``, 126 and 127 (a shell could not run the command) ``unknown``, and anything else ``fail``, with the
        output as evidence. It is called only when the container came to its own end: after a timeout, out of
        memory, killed, or with too much output the finding is ``unknown``.
    :param container_timeout: seconds after which a container of your own is killed.
    :param network_mode: ``bridge``, ``none`` or a network's name; default: ``[incident] docker_network``.
        The host's network is refused.
    :param dns: resolvers for the container; default: ``[incident] docker_dns``.
    :param pull: ``missing`` pulls an image that is not there; ``never`` reports it.
    :param if_unavailable: what to do without an engine or image: ``unknown`` returns a finding that says so,
        ``fail`` fails the task.
    :param fail_on: verdicts that fail the task, after the finding is pushed to XCom, such as ``("fail",)`` or
        ``("fail", "unknown")``; by default none, because a failing target is a result of an investigation.
    :param retry_on_failure: whether the task is retried after a verdict of ``fail_on``, as with the check operators
        of the SQL provider. A retry runs the check again, and its finding replaces the earlier one.
    :param docker_url: the engine's URL; default: that of the connection, else Docker's environment variables.
    :param docker_conn_id: an Airflow connection of type ``docker`` for the engine or a private registry; default:
        ``[incident] docker_conn_id``. (templated)
    :returns: a :class:`~airflow_incident_provider.models.Finding`, pushed to XCom.
    :raises AirflowException: the verdict is one of ``fail_on``; without ``retry_on_failure``, its subclass
        ``AirflowFailException``.
    :raises EngineError: there is no engine or image, and ``if_unavailable`` is ``fail``.

    .. code-block:: python

        InvestigateInContainerOperator(
            task_id="can_we_reach_the_warehouse",
            image="alpine:3.23",
            command=["nc", "-z", "-w", "3", "warehouse.internal", "5432"],
            fail_on=("fail",),
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
        fail_on: Sequence[Verdict | str] = (),
        retry_on_failure: bool = True,
        docker_url: str | None = None,
        **kwargs: Any,
    ) -> None:
        if (probe is None) == (image is None):
            raise ValueError("Give either a probe of the catalogue or an image of your own, not both and not none.")
        if network_mode == "host" or str(network_mode).startswith("container:"):
            raise ValueError(f"network_mode {network_mode!r} would leave the container; use a network's name.")
        if isinstance(command, str):
            raise ValueError('command is a list of arguments: write ["nc", "-z", "db.internal", "5432"].')
        if isinstance(fail_on, str):
            raise ValueError(f'fail_on is a sequence of verdicts: write ("{fail_on}",).')
        super().__init__(
            image=image or "",
            # Another task's output is resolved when the task runs.
            command=list(command) if isinstance(command, Sequence) else command,
            network_mode=network_mode,
            dns=dns,
            docker_url=docker_url,
            mount_tmp_dir=False,
            auto_remove="force",
            **kwargs,
        )
        self.probe = probe
        self.parser = parser
        self.container_timeout = container_timeout
        self.pull = pull
        self.if_unavailable = if_unavailable
        self.fail_on = tuple(Verdict(verdict) for verdict in fail_on)
        self.retry_on_failure = retry_on_failure
        self.engine_url = docker_url or ""

    def execute(self, context: Context) -> dict[str, Any]:  # type: ignore[override]
        """Run the container and return the finding."""
        clock = Clock()
        if self.probe is None:
            finding = self._read_own(self._run_container(self._own_container(_owner(context)), clock))
        else:
            finding = self._check(ProbeRun.model_validate(self.probe), _owner(context), clock)
        self.log.info("%s %s: %s: %s", finding.probe, finding.target, finding.verdict, finding.summary)
        value = finding.timed(clock.timing()).to_xcom()
        if finding.verdict in self.fail_on:
            context["ti"].xcom_push(key="return_value", value=value)
            failure = AirflowException if self.retry_on_failure else AirflowFailException
            raise failure(f"{finding.verdict.upper()} {finding.probe} {finding.target}: {finding.summary}")
        return value

    @property
    def label(self) -> str:
        """What Airflow's UI calls this instance: the probe and its target."""
        if self.probe is None:
            return self.task_id
        run = ProbeRun.model_validate(self.probe)
        return f"{run.probe} {run.target}" if run.target is not None else run.probe

    def on_kill(self) -> None:
        """Remove the container when the task is stopped."""
        if self._running is not None:
            self._running.remove()

    _running: LockedDownContainer | None = None

    def _check(self, run: ProbeRun, owner: str, clock: Clock) -> Finding:
        """Return the finding of a run of the catalogue, its redirects followed where the routing table says so."""
        finding = self._check_once(run, owner, clock)
        for _ in range(MAX_REDIRECTS):
            following = redirected_run(run, finding)
            if following is None:
                break
            run = following
            finding = after_redirect(finding, self._check_once(run, owner, clock))
        return finding

    def _check_once(self, run: ProbeRun, owner: str, clock: Clock) -> Finding:
        if run.refused is not None:
            return skipped_finding(run, started_at=clock.started_at)
        try:
            spec = probe_container(run, **self._bounds(owner))
        except ProbeSettingsError as error:
            return interpret(run, ContainerOutput(started_at=clock.started_at, error=str(error)))
        return interpret(run, self._run_container(spec, clock))

    def _own_container(self, owner: str) -> ContainerSpec:
        return bounded_container(
            image=self.image,
            entrypoint=self.command,
            environment=self.environment,
            timeout_s=self.container_timeout,
            **self._bounds(owner),
        )

    def _bounds(self, owner: str) -> dict[str, Any]:
        return {"owner": owner, "network": self.network_mode, "dns": self.dns, "pull": self.pull}

    def _run_container(self, spec: ContainerSpec, clock: Clock) -> ContainerOutput:
        host = socket.gethostname()
        try:
            client = self._engine()
            self._running = LockedDownContainer(client, spec, host=host)
            output = self._running.run()
            reap(client, owner=spec.owner, now=self._running.engine_time)
            return output
        except EngineError as error:
            if self.if_unavailable == "fail":
                raise
            self.log.warning("The probe could not run: %s", error)
            took = clock.timing().duration_ms
            return ContainerOutput(started_at=clock.started_at, duration_ms=took, error=str(error), host=host)

    def _engine(self) -> APIClient:
        tls = (self.tls_ca_cert or "", self.tls_client_cert or "", self.tls_client_key or "")
        conn_id = self.docker_conn_id or settings().docker_conn_id
        return connect(engine_address(self.engine_url, conn_id, tls), conn_id)

    def _read_own(self, output: ContainerOutput) -> Finding:
        """Return the finding of the caller's own image."""
        if self.parser is not None and output.failure is None:
            return self.parser(output)
        command = tuple(self.command) if isinstance(self.command, list | tuple) else ()
        return custom_finding(output, name=self.task_id, image=self.image, command=command)


def _owner(context: Context) -> str:
    ti = context["ti"]
    return f"{ti.dag_id}/{ti.run_id}/{ti.task_id}/{ti.map_index}"
