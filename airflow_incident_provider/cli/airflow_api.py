"""A client for the part of Airflow's REST API that the commands, the demo and the tests use."""

from __future__ import annotations

import time
from typing import Any
from urllib.parse import quote

import httpx

from airflow_incident_provider.exceptions import IncidentError

FINAL_RUN_STATES = frozenset({"success", "failed"})
POLL_SECONDS = 0.1
PAGE = 100
"""Rows per request: Airflow's default maximum."""

_FIXES: dict[int, str] = {
    httpx.codes.UNAUTHORIZED: "Log in again: the token or password is wrong, or the token has expired.",
    httpx.codes.FORBIDDEN: "Use a valid token of a user with this permission.",
}


class AirflowApiError(IncidentError):
    """Airflow did not answer, refused a call, or did not finish a run in time.

    :param status: the HTTP status, if there was a response.
    """

    def __init__(self, message: str, *, fix: str | None = None, status: int | None = None) -> None:
        super().__init__(message, fix=fix)
        self.status = status


class AirflowApi:
    """A client of one Airflow, as one user.

    With a username and password, it logs in at the first call, and again when a token is refused.

    :param base_url: such as ``http://127.0.0.1:8080``.
    :param username: a user of Airflow's simple or FAB auth manager.
    :param password: the user's password; never part of an error.
    :param token: an API token instead of username and password; never part of an error.
    :param trust_env: whether to use the proxy and certificates of the environment.
    """

    def __init__(
        self,
        base_url: str,
        *,
        username: str | None = None,
        password: str | None = None,
        token: str | None = None,
        trust_env: bool = False,
    ) -> None:
        self.base_url = base_url.rstrip("/")
        self._username = username
        self._password = password
        self._http = httpx.Client(base_url=self.base_url, timeout=30, trust_env=trust_env)
        if token is not None:
            self._http.headers["Authorization"] = f"Bearer {token}"

    def close(self) -> None:
        """Close the connections. The client can be used again."""
        self._http.close()

    def health(self) -> dict[str, Any]:
        """Return the health of the components; empty while the server does not answer."""
        try:
            response = self._http.get("/api/v2/monitor/health")
        except httpx.TransportError:
            return {}
        return dict(response.json()) if response.is_success else {}

    def execution_api_answers(self) -> bool:
        """Return whether the task execution API answers.

        The first request makes the server build that API's routes, which takes 3 s that a task would wait for.
        """
        try:
            return self._http.get("/execution/health").is_success
        except httpx.TransportError:
            return False

    def dag(self, dag_id: str) -> dict[str, Any] | None:
        """Return a DAG; ``None`` if it has not been parsed (yet)."""
        response = self._send("GET", f"/api/v2/dags/{_part(dag_id)}")
        if response.status_code == httpx.codes.NOT_FOUND:
            return None
        return dict(_answer(response))

    def dag_ids(self, *, tag: str) -> list[str]:
        """Return the ids of the DAGs with a tag."""
        answer = self._call("GET", "/api/v2/dags", params={"tags": tag, "limit": PAGE})
        return [dag["dag_id"] for dag in answer["dags"]]

    def import_errors(self) -> list[dict[str, Any]]:
        """Return the DAG files that failed to import, each with its stack trace."""
        return list(self._call("GET", "/api/v2/importErrors")["import_errors"])

    def unpause(self, dag_id: str) -> None:
        """Unpause a DAG."""
        self._call("PATCH", f"/api/v2/dags/{_part(dag_id)}", json={"is_paused": False})

    def trigger(
        self, dag_id: str, conf: dict[str, Any] | None = None, *, run_id: str | None = None
    ) -> dict[str, Any]:
        """Start a run without a logical date, as the webhook does.

        :returns: the run, with its id under ``dag_run_id``.
        """
        body: dict[str, Any] = {"logical_date": None, "conf": conf or {}}
        if run_id is not None:
            body["dag_run_id"] = run_id
        return self._call("POST", f"/api/v2/dags/{_part(dag_id)}/dagRuns", json=body)

    def act(self, key: str, command: str) -> dict[str, Any]:
        """Act on an incident, in the grammar of ``/incident``.

        :returns: ``outcome`` and ``reply``.
        """
        return self._call("POST", f"/incidents/api/incidents/{_part(key)}/actions", json={"command": command})

    def run(self, dag_id: str, run_id: str) -> dict[str, Any]:
        """Return a run."""
        return self._call("GET", _run_path(dag_id, run_id))

    def runs(self, dag_id: str) -> list[str]:
        """Return the ids of a DAG's newest runs, newest first."""
        return [run["dag_run_id"] for run in self.latest_runs(dag_id)]

    def latest_runs(self, dag_id: str, *, limit: int = PAGE) -> list[dict[str, Any]]:
        """Return a DAG's newest runs, newest first."""
        path = f"/api/v2/dags/{_part(dag_id)}/dagRuns"
        return list(self._call("GET", path, params={"limit": limit, "order_by": "-id"})["dag_runs"])

    def wait_for_run(self, dag_id: str, run_id: str, *, timeout: float = 120) -> dict[str, Any]:
        """Wait until a run has succeeded or failed, and return it.

        :param timeout: seconds.
        :raises AirflowApiError: it is still running; the message names its tasks' states.
        """
        deadline = time.monotonic() + timeout
        while (run := self.run(dag_id, run_id))["state"] not in FINAL_RUN_STATES:
            if time.monotonic() > deadline:
                states = {task["task_id"]: task["state"] for task in self.task_instances(dag_id, run_id)}
                raise AirflowApiError(
                    f"The run {run_id} of {dag_id} is {run['state']} after {timeout:.0f} s: {states}."
                )
            time.sleep(POLL_SECONDS)
        return run

    def task_instances(self, dag_id: str, run_id: str) -> list[dict[str, Any]]:
        """Return a run's task instances: the latest try of each."""
        path = f"{_run_path(dag_id, run_id)}/taskInstances"
        return list(self._call("GET", path, params={"limit": PAGE})["task_instances"])

    def xcom(
        self, dag_id: str, run_id: str, task_id: str, *, key: str = "return_value", map_index: int = -1
    ) -> Any:
        """Return a value that a task pushed.

        :raises AirflowApiError: there is none with this key.
        """
        path = f"{_task_path(dag_id, run_id, task_id)}/xcomEntries/{_part(key)}"
        return self._call("GET", path, params={"map_index": map_index, "deserialize": True})["value"]

    def asset_id(self, name: str, uri: str) -> int | None:
        """Return the id of an asset; ``None`` if Airflow does not know it."""
        assets = self._call("GET", "/api/v2/assets", params={"name_pattern": name, "limit": PAGE})["assets"]
        return next((asset["id"] for asset in assets if (asset["name"], asset["uri"]) == (name, uri)), None)

    def asset_state(self, asset_id: int, key: str) -> Any:
        """Return an entry of an asset's state store.

        :raises AirflowApiError: there is none with this key.
        """
        return self._call("GET", f"/api/v2/assets/{asset_id}/state-store/{_part(key)}")["value"]

    def asset_states(self, asset_id: int) -> dict[str, Any]:
        """Return all entries of an asset's state store."""
        path, offset = f"/api/v2/assets/{asset_id}/state-store", 0
        found: dict[str, Any] = {}
        while entries := self._call("GET", path, params={"limit": PAGE, "offset": offset})["asset_state_store"]:
            found |= {entry["key"]: entry["value"] for entry in entries}
            offset += len(entries)
        return found

    def logs(self, dag_id: str, run_id: str, task_id: str, *, try_number: int = 1, map_index: int = -1) -> str:
        """Return the log of one try of a task, one event per line."""
        path = f"{_task_path(dag_id, run_id, task_id)}/logs/{try_number}"
        content = self._call("GET", path, params={"map_index": map_index, "full_content": True})["content"]
        return "\n".join(str(line["event"] if isinstance(line, dict) else line) for line in content)

    def clear(self, dag_id: str, run_id: str, task_ids: list[str] | None = None) -> None:
        """Clear tasks of a run, so that they run again, whatever their state.

        :param task_ids: only these; ``None`` for all.
        """
        body: dict[str, Any] = {"dry_run": False, "dag_run_id": run_id, "only_failed": False}
        if task_ids is not None:
            body["task_ids"] = task_ids
        self._call("POST", f"/api/v2/dags/{_part(dag_id)}/clearTaskInstances", json=body)

    def answer(self, dag_id: str, run_id: str, task_id: str, option: str) -> None:
        """Answer a human-in-the-loop task with one of its options."""
        path = f"{_task_path(dag_id, run_id, task_id)}/-1/hitlDetails"
        self._call("PATCH", path, json={"chosen_options": [option], "params_input": {}})

    def _call(self, method: str, path: str, **request: Any) -> dict[str, Any]:
        return dict(_answer(self._send(method, path, **request)))

    def _send(self, method: str, path: str, **request: Any) -> httpx.Response:
        if "Authorization" not in self._http.headers:
            self._log_in()
        response = self._once(method, path, **request)
        if response.status_code == httpx.codes.UNAUTHORIZED and self._username is not None:
            self._log_in()
            response = self._once(method, path, **request)
        return response

    def _log_in(self) -> None:
        credentials = {"username": self._username, "password": self._password}
        token = _answer(self._once("POST", "/auth/token", json=credentials))["access_token"]
        self._http.headers["Authorization"] = f"Bearer {token}"

    def _once(self, method: str, path: str, **request: Any) -> httpx.Response:
        try:
            return self._http.request(method, path, **request)
        except httpx.HTTPError as error:
            raise AirflowApiError(
                f"The Airflow at {self.base_url} did not answer: {type(error).__name__}.",
                fix="Check the address, and whether its API server is running.",
            ) from error


def _part(text: str) -> str:
    """Quote one part of a path: run ids contain colons and plus signs."""
    return quote(text, safe="")


def _run_path(dag_id: str, run_id: str) -> str:
    return f"/api/v2/dags/{_part(dag_id)}/dagRuns/{_part(run_id)}"


def _task_path(dag_id: str, run_id: str, task_id: str) -> str:
    return f"{_run_path(dag_id, run_id)}/taskInstances/{_part(task_id)}"


def _answer(response: httpx.Response) -> Any:
    """Return the body of a successful response; raise Airflow's error otherwise."""
    request = response.request
    if not response.is_success:
        raise AirflowApiError(
            f"{request.method} {request.url.path} returned {response.status_code}: {_detail(response)}",
            fix=_FIXES.get(response.status_code),
            status=response.status_code,
        )
    try:
        return response.json()
    except ValueError:
        raise AirflowApiError(
            f"{request.method} {request.url.path} returned a page instead of Airflow's JSON.",
            fix="Check the address: use that of the API server, such as https://airflow.acme.example.",
            status=response.status_code,
        ) from None


def _detail(response: httpx.Response) -> str:
    """Return the error text of a response: Airflow's ``detail``, else whatever a proxy sent."""
    try:
        detail = response.json()["detail"]
    except (ValueError, KeyError, TypeError):
        detail = response.text
    return str(detail)[:500]
