"""Test ``airflow incident setup``: Slack manifest, Datadog webhook, Airflow objects and files."""

# ruff: noqa: ARG002, PLR0917 - fixtures used for their effects

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from sqlalchemy.exc import OperationalError

from airflow_incident_provider.cli.run import ExitCode
from airflow_incident_provider.cli.setup.datadog import SECRET_VARIABLE, WEBHOOK_NAME
from airflow_incident_provider.config import settings
from airflow_incident_provider.intake import load_routing_table, payload_template
from airflow_incident_provider.slack.access import OPTIONAL, SCOPES

from .conftest import DAGS, SECRET, CommandResult

Run = Callable[..., CommandResult]
URL = "https://airflow.acme.example/incidents/webhook/datadog"


class TestSlack:
    def test_manifest_requests_exactly_the_scopes_in_use(self, incident: Run) -> None:
        result = incident("setup", "slack")
        assert result.code == ExitCode.OK
        assert yaml.safe_load(result.out)["oauth_config"]["scopes"]["bot"] == [*SCOPES, *OPTIONAL]

    def test_manifest_as_json_with_a_custom_name(self, incident: Run) -> None:
        manifest = json.loads(incident("setup", "slack", "--app-name", "Incidents: EU", "--output", "json").out)
        assert manifest["display_information"]["name"] == "Incidents: EU"

    def test_socket_mode_manifest_has_interactivity_without_urls(
        self, incident: Run, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("AIRFLOW__API__BASE_URL", "https://airflow.acme.example")
        manifest = yaml.safe_load(incident("setup", "slack", "--socket-mode").out)
        assert manifest["settings"]["socket_mode_enabled"] is True
        assert manifest["settings"]["interactivity"] == {"is_enabled": True}
        assert manifest["features"]["slash_commands"][0]["command"] == "/incident"
        assert manifest["oauth_config"]["scopes"]["bot"] == [*SCOPES, *OPTIONAL, "commands"]
        assert "airflow.acme.example" not in json.dumps(manifest)

    def test_manifest_with_a_public_url_has_request_urls(
        self, incident: Run, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("AIRFLOW__API__BASE_URL", "https://airflow.acme.example")
        manifest = yaml.safe_load(incident("setup", "slack").out)
        assert manifest["settings"]["socket_mode_enabled"] is False
        urls = {
            manifest["features"]["slash_commands"][0]["url"],
            manifest["settings"]["interactivity"]["request_url"],
        }
        assert urls == {f"https://airflow.acme.example/incidents/slack/{name}" for name in ("commands", "actions")}

    @pytest.mark.parametrize("name", ["", "x" * 36])
    def test_invalid_app_name_is_rejected(self, incident: Run, name: str) -> None:
        result = incident("setup", "slack", "--app-name", name)
        assert result.code == ExitCode.USAGE
        assert "Slack allows 1 to 35" in result.err


@pytest.fixture
def datadog(slack: Any, connect_datadog: Callable[..., None], connect_webhook: Callable[..., None]) -> Any:
    connect_datadog()
    connect_webhook()
    return slack.workspace.datadog


class TestDatadog:
    def test_changes_are_shown_then_applied(self, incident: Run, datadog: Any) -> None:
        preview = incident("setup", "datadog", "--url", URL)
        assert (preview.code, datadog.webhooks) == (ExitCode.OK, {}), preview.err
        assert "Nothing was changed. Apply it with --yes." in preview.out
        first = incident("setup", "datadog", "--url", URL, "--yes", "--output", "json")
        assert [row["action"] for row in first.json] == ["create", "create"]
        webhook, variable = datadog.webhooks[WEBHOOK_NAME], datadog.custom_variables[SECRET_VARIABLE]
        assert (webhook["url"], webhook["payload"], webhook["encode_as"]) == (URL, payload_template(), "json")
        assert json.loads(webhook["custom_headers"]) == {"X-Incident-Secret": f"${SECRET_VARIABLE}"}
        assert (variable["value"], variable["is_secret"]) == (SECRET, True)
        repeated = incident("setup", "datadog", "--url", URL, "--yes", "--output", "json").json
        assert [row["action"] for row in repeated] == ["update", "keep"]
        moved = incident("setup", "datadog", "--url", "https://other.acme.example/", "--yes")
        assert "changes url" in moved.out
        assert datadog.webhooks[WEBHOOK_NAME]["url"] == "https://other.acme.example/"
        assert SECRET not in preview.out + first.out + first.err + moved.out + moved.err

    def test_remove_deletes_webhook_and_variable(self, incident: Run, datadog: Any) -> None:
        incident("setup", "datadog", "--url", URL, "--yes")
        assert incident("setup", "datadog", "--remove").code == ExitCode.OK
        assert datadog.webhooks
        assert incident("setup", "datadog", "--remove", "--yes").code == ExitCode.OK
        assert (datadog.webhooks, datadog.custom_variables) == ({}, {})
        assert incident("setup", "datadog", "--remove", "--yes", "-o", "json").json == []

    def test_url_defaults_to_the_base_url(
        self, incident: Run, datadog: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("AIRFLOW__API__BASE_URL", "https://airflow.acme.example/")
        assert incident("setup", "datadog", "--name", "other", "--yes").code == ExitCode.OK
        assert datadog.webhooks["other"]["url"] == URL

    @pytest.mark.usefixtures("datadog")
    @pytest.mark.parametrize(
        ("url", "message"),
        [
            ("http://127.0.0.1:8080/x", "only reachable from this machine"),
            ("https://localhost/x", "only reachable from this machine"),
            ("http://airflow.acme.example/x", "not encrypted"),
            ("https://airflow.acme.example/x", ""),
        ],
    )
    def test_unsuitable_url_is_a_warning(self, incident: Run, url: str, message: str) -> None:
        result = incident("setup", "datadog", "--url", url)
        assert result.code == ExitCode.OK
        assert message in result.err
        assert bool(message) == ("Warning" in result.err)

    @pytest.mark.parametrize("option", ["--print", "--terraform"])
    def test_printed_steps_change_nothing_and_contain_no_secret(
        self, incident: Run, datadog: Any, option: str
    ) -> None:
        result = incident("setup", "datadog", option, "--url", URL)
        assert result.code == ExitCode.OK
        unindented = "\n".join(line.strip() for line in result.out.splitlines())
        assert all(line.strip() in unindented for line in payload_template().splitlines())
        assert URL in result.out
        assert SECRET not in result.out
        assert not datadog.webhooks
        health = f'url    = "{URL.partition("/incidents/")[0]}/incidents/health"'
        assert (health in result.out) == (option == "--terraform")

    @pytest.mark.usefixtures("datadog")
    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ([], "Give --url, or set [api] base_url."),
            (["--url", "airflow.acme.example"], "Begin it with https://"),
            (["--url", URL, "--name", "a/b"], "is not a webhook name"),
        ],
    )
    def test_invalid_arguments_are_rejected(self, incident: Run, arguments: list[str], message: str) -> None:
        result = incident("setup", "datadog", *arguments)
        assert result.code == ExitCode.USAGE
        assert message in result.err

    def test_rejected_datadog_keys_are_reported(
        self, incident: Run, datadog: Any, connect_datadog: Callable[..., None]
    ) -> None:
        connect_datadog(app_key="a-wrong-application-key")
        result = incident("setup", "datadog", "--url", URL, "--yes")
        assert result.code == ExitCode.UNAVAILABLE
        assert "Correct api_key and app_key" in result.err
        assert "a-wrong-application-key" not in result.err
        assert not datadog.webhooks

    @pytest.mark.parametrize("missing", ["AIRFLOW_CONN_DATADOG_DEFAULT", "AIRFLOW_CONN_INCIDENT_WEBHOOK"])
    def test_missing_connection_is_reported(
        self, incident: Run, datadog: Any, missing: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv(missing)
        result = incident("setup", "datadog", "--url", URL, "--yes")
        assert result.code == ExitCode.UNAVAILABLE
        assert "airflow incident setup airflow" in result.err
        assert not datadog.webhooks


@pytest.fixture
def stored(airflow_home: Path) -> Iterator[Callable[[str], Any]]:
    """Return a function that reads a connection from Airflow's database; delete all connections afterwards."""
    from airflow.models.connection import Connection
    from airflow.utils.session import create_session
    from sqlalchemy import delete, select

    def read(conn_id: str) -> Any:
        with create_session() as session:
            return session.scalar(select(Connection).where(Connection.conn_id == conn_id))

    with create_session() as session:
        session.execute(delete(Connection))
    yield read
    with create_session() as session:
        session.execute(delete(Connection))


class TestAirflow:
    @pytest.fixture(autouse=True)
    def new_files(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
        """Use an empty DAGs folder, whose new files Airflow has not parsed."""
        folder = tmp_path / "dags"
        folder.mkdir()
        monkeypatch.setenv("AIRFLOW__CORE__DAGS_FOLDER", str(folder))
        return folder

    @pytest.fixture
    def secrets(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for name, value in {
            "SLACK_BOT_TOKEN": "xoxb-a-token",
            "DD_API_KEY": "the-api-key",
            "DD_APP_KEY": "the-app-key",
            "DD_SITE": "datadoghq.eu",
        }.items():
            monkeypatch.setenv(name, value)

    def actions(self, result: CommandResult) -> dict[str, str]:
        return {row["what"]: row["action"] for row in result.json}

    @pytest.mark.usefixtures("secrets")
    def test_changes_are_shown_first(self, incident: Run, deployed: Callable[..., None], stored: Any) -> None:
        deployed(is_paused=True)
        result = incident("setup", "airflow", "--output", "json")
        preview = self.actions(result)
        assert preview["connection slack_api_default"] == "create"
        assert preview["connection datadog_default"] == "create"
        assert preview["connection incident_webhook"] == "create"
        assert (preview["DAG incident_response"], preview["DAG incident_update"]) == ("update", "keep")
        assert preview["setting [incident] routing_table"] == "manual"
        assert result.code == ExitCode.OK
        assert stored("slack_api_default") is None
        assert "Nothing was changed. Apply it with --yes." in incident("setup", "airflow").out

    @pytest.mark.usefixtures("secrets")
    def test_changes_are_applied(
        self, incident: Run, deployed: Callable[..., None], stored: Any, route_by: Any
    ) -> None:
        route_by({})
        deployed(is_paused=True)
        result = incident("setup", "airflow", "--yes")
        assert result.code == ExitCode.OK, result.out
        assert stored("slack_api_default").password == "xoxb-a-token"
        assert stored("datadog_default").extra_dejson == {
            "api_key": "the-api-key",
            "app_key": "the-app-key",
            "api_host": "https://api.datadoghq.eu",
        }
        webhook_secret = stored("incident_webhook").password
        assert len(webhook_secret) > 40
        assert incident("trigger", "--title", "T").code == ExitCode.OK
        for secret in ("xoxb-a-token", "the-api-key", "the-app-key", webhook_secret):
            assert secret not in result.out + result.err
        rerun = incident("setup", "airflow", "--yes", "--output", "json")
        assert self.actions(rerun)["connection incident_webhook"] == "keep"
        assert stored("incident_webhook").password == webhook_secret

    def test_every_paused_incident_dag_is_unpaused(
        self, incident: Run, deployed: Callable[..., None], stored: Any, connect: Any, route_by: Any
    ) -> None:
        connect()
        route_by({})
        set_all_paused()
        incident("setup", "airflow", "--yes")
        assert {dag for dag, paused in paused_dags().items() if paused} == {"slack_directory_refresh"}

    def test_datadog_is_optional(
        self, incident: Run, deployed: Any, stored: Any, connect: Any, route_by: Any
    ) -> None:
        connect()
        route_by({})
        result = incident("setup", "airflow", "--yes", "--output", "json")
        assert (result.code, self.actions(result)["connection datadog_default"]) == (ExitCode.OK, "optional")

    def test_single_datadog_key_is_an_error(
        self, incident: Run, deployed: Any, stored: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("DD_API_KEY", "the-api-key")
        result = incident("setup", "airflow", "--yes")
        assert (result.code, "DD_APP_KEY is not set." in result.err) == (ExitCode.USAGE, True)

    def test_sandbox_connection_is_replaced_by_real_credentials(
        self, incident: Run, deployed: Any, stored: Any, route_by: Any, slack: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        route_by({})
        preview = incident("setup", "airflow", "--sandbox", slack.url)
        assert (preview.code, stored("slack_api_default")) == (ExitCode.OK, None)
        assert incident("setup", "airflow", "--sandbox", slack.url, "--yes").code == ExitCode.OK
        assert stored("slack_api_default").password == slack.token
        assert stored("slack_api_default").extra_dejson == {"base_url": slack.slack_base_url}
        assert stored("datadog_default").extra_dejson["api_host"] == slack.datadog_url
        assert incident("check", "--only", "slack,datadog").code == ExitCode.OK
        # The real token must also replace the base URL of the sandbox.
        monkeypatch.setenv("SLACK_BOT_TOKEN", "xoxb-a-token")
        incident("setup", "airflow", "--yes")
        assert (stored("slack_api_default").password, stored("slack_api_default").extra_dejson) == (
            "xoxb-a-token",
            {},
        )

    @pytest.mark.usefixtures("secrets", "deployed")
    def test_sandbox_does_not_replace_a_real_connection(self, incident: Run, stored: Any, slack: Any) -> None:
        incident("setup", "airflow", "--yes")
        result = incident("setup", "airflow", "--sandbox", slack.url, "--yes", "--output", "json")
        assert self.actions(result)["connection slack_api_default"] == "manual"
        assert result.code == ExitCode.FAILED
        assert stored("slack_api_default").password == "xoxb-a-token"

    @pytest.mark.usefixtures("secrets", "stored")
    def test_new_dag_files_are_parsed_before_their_dags_are_listed(
        self, incident: Run, deployed: Any, route_by: Any, new_files: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        route_by({})
        file = new_files / "payments.py"
        file.write_text("from airflow_incident_provider import incident_dag")
        assert self.actions(incident("setup", "airflow", "--output", "json"))["DAG file payments.py"] == "update"
        monkeypatch.setattr("airflow_incident_provider.cli.setup.airflow._parse", file.unlink)
        incident("setup", "airflow", "--yes")
        assert not file.exists()

    @pytest.mark.parametrize(("address", "code"), [("127.0.0.1:1", 2), ("http://127.0.0.1:1", 3)])
    def test_unreachable_sandbox_is_an_error(
        self, incident: Run, deployed: Any, stored: Any, address: str, code: int
    ) -> None:
        assert incident("setup", "airflow", "--sandbox", address, "--yes").code == code

    @pytest.mark.usefixtures("secrets")
    def test_team_connection_is_created(self, incident: Run, deployed: Any, stored: Any, route_by: Any) -> None:
        route_by({})
        incident("setup", "airflow", "--slack-conn-id", "slack_logistics", "--yes")
        assert stored("slack_logistics").password == "xoxb-a-token"
        result = incident("setup", "airflow", "--slack-conn-id", "slack_logistics", "--yes")
        # The shipped DAGs use another connection, which does not exist.
        assert result.code == ExitCode.FAILED
        assert "Left to do by hand: 1 line above, marked manual." in result.out
        assert stored("slack_api_default") is None

    @pytest.mark.usefixtures("secrets", "deployed")
    def test_other_fields_of_a_connection_are_kept(self, incident: Run, stored: Any) -> None:
        incident("setup", "airflow", "--yes")
        change_extra("slack_api_default", {"base_url": "https://proxy.acme.example/"})
        incident("setup", "airflow", "--yes")
        assert stored("slack_api_default").extra_dejson == {"base_url": "https://proxy.acme.example/"}

    @pytest.mark.usefixtures("secrets", "deployed")
    def test_custom_slack_and_datadog_hosts_are_stored(
        self, incident: Run, stored: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("SLACK_BASE_URL", "http://sandbox:8765/api/")
        monkeypatch.setenv("DATADOG_HOST", "http://sandbox:8765")
        incident("setup", "airflow", "--yes")
        assert stored("slack_api_default").extra_dejson == {"base_url": "http://sandbox:8765/api/"}
        assert stored("datadog_default").extra_dejson["api_host"] == "http://sandbox:8765"

    @pytest.mark.usefixtures("secrets", "deployed")
    def test_interactivity_credentials_are_stored(
        self, incident: Run, stored: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("SLACK_SIGNING_SECRET", "a-signing-secret")
        monkeypatch.setenv("SLACK_APP_TOKEN", "xapp-a-token")
        result = incident("setup", "airflow", "--yes")
        assert stored("slack_api_default").extra_dejson == {
            "signing_secret": "a-signing-secret",
            "app_token": "xapp-a-token",
        }
        assert not any(secret in result.out + result.err for secret in ("a-signing-secret", "xapp-a-token"))
        monkeypatch.setenv("SLACK_APP_TOKEN", "xoxb-a-token")
        refused = incident("setup", "airflow", "--yes")
        assert (refused.code, "It begins with xapp-" in refused.err) == (ExitCode.USAGE, True)

    @pytest.mark.usefixtures("stored")
    def test_slack_pool_is_created_before_the_dag_is_parsed(
        self, incident: Run, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("AIRFLOW__INCIDENT__SLACK_POOL", "slack-of-a-new-machine")
        result = incident("setup", "airflow", "--output", "json")
        assert {row["what"]: row["action"] for row in result.json}["pool slack-of-a-new-machine"] == "create"

    @pytest.mark.usefixtures("deployed")
    def test_missing_secrets_are_listed(self, incident: Run, stored: Any) -> None:
        result = incident("setup", "airflow", "--yes")
        assert result.code == ExitCode.FAILED
        assert "SLACK_BOT_TOKEN" in result.out
        assert stored("slack_api_default") is None

    @pytest.mark.usefixtures("secrets", "deployed")
    def test_connection_from_the_environment_is_unchanged(
        self, incident: Run, stored: Any, connect: Callable[..., Any]
    ) -> None:
        connect()
        result = incident("setup", "airflow", "--yes", "--output", "json")
        [row] = [row for row in result.json if row["what"] == "connection slack_api_default"]
        assert row["action"] == "keep"
        assert stored("slack_api_default") is None

    @pytest.mark.usefixtures("deployed", "stored")
    @pytest.mark.parametrize(
        ("variable", "value", "message"),
        [
            ("SLACK_BOT_TOKEN", "xoxp-a-person's", "begins with xoxb-"),
            ("INCIDENT_WEBHOOK_SECRET", "short", "fewer than 16 characters"),
        ],
    )
    def test_invalid_secret_is_rejected(
        self, incident: Run, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, message: str
    ) -> None:
        monkeypatch.setenv(variable, value)
        result = incident("setup", "airflow", "--yes")
        assert result.code == ExitCode.USAGE
        assert message in result.err
        assert value not in result.err + result.out


@pytest.fixture
def dags_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "dags"
    folder.mkdir()
    return folder


class TestFiles:
    @pytest.fixture(autouse=True)
    def table(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
        path = tmp_path / "config" / "routing.yaml"
        monkeypatch.setenv("AIRFLOW__INCIDENT__ROUTING_TABLE", str(path))
        return path

    def actions(self, result: CommandResult) -> dict[str, str]:
        return {row["what"]: row["action"] for row in result.json}

    def test_changes_are_shown_first(self, incident: Run, dags_folder: Path, table: Path) -> None:
        result = incident("setup", "files", "--to", str(dags_folder), "--output", "json")
        assert result.code == ExitCode.OK
        assert self.actions(result) == {
            **{f"DAG file {path.name}": "create" for path in sorted(DAGS.glob("*.py"))},
            "routing table": "create",
            "example of a routing table": "create",
        }
        assert list(dags_folder.iterdir()) == []
        assert not table.parent.exists()

    def test_shipped_files_and_a_safe_routing_table_are_installed(
        self, incident: Run, dags_folder: Path, table: Path
    ) -> None:
        assert incident("setup", "files", "--to", str(dags_folder), "--yes").code == ExitCode.OK
        for path in DAGS.glob("*.py"):
            assert (dags_folder / path.name).read_bytes() == path.read_bytes()
        routing = load_routing_table(table.read_text())
        assert [rule.name for rule in routing.rules] == ["drill"]
        assert (routing.defaults.responders, routing.allowed_networks, routing.triage.channel) == ((), (), None)
        assert load_routing_table((table.parent / "routing.example.yaml").read_text()).rules
        rerun = incident("setup", "files", "--to", str(dags_folder), "--yes", "--output", "json")
        assert set(self.actions(rerun).values()) == {"keep"}

    def test_routing_table_contains_the_responders(self, incident: Run, dags_folder: Path, table: Path) -> None:
        names = ["--responders", "dana@acme.example, @sre-oncall", "--responders", 'José "Pepe" García']
        assert incident("setup", "files", "--to", str(dags_folder), *names, "--yes").code == ExitCode.OK
        routing = load_routing_table(table.read_text())
        assert routing.defaults.responders == ("dana@acme.example", "@sre-oncall", 'José "Pepe" García')

    def test_missing_folder_is_created(self, incident: Run, tmp_path: Path) -> None:
        assert incident("setup", "files", "--to", str(tmp_path / "new" / "dags"), "--yes").code == ExitCode.OK
        assert (tmp_path / "new" / "dags" / "incident_response.py").is_file()

    def test_edited_files_are_kept_compared_and_replaced_with_a_backup(
        self, incident: Run, dags_folder: Path
    ) -> None:
        mine = dags_folder / "incident_response.py"
        mine.write_text("# mine")
        kept = incident("setup", "files", "--to", str(dags_folder), "--yes", "--output", "json")
        assert kept.code == ExitCode.FAILED
        assert self.actions(kept)["DAG file incident_response.py"] == "manual"
        assert mine.read_text() == "# mine"
        diff = incident("setup", "files", "--to", str(dags_folder), "--diff")
        assert "-# mine" in diff.out
        assert incident("setup", "files", "--to", str(dags_folder), "--yes", "--replace").code == ExitCode.OK
        assert mine.read_bytes() == (DAGS / "incident_response.py").read_bytes()
        assert (dags_folder / "incident_response.py.bak").read_text() == "# mine"

    def test_diff_keeps_the_indentation_of_a_patch(self, incident: Run, dags_folder: Path) -> None:
        shipped = (DAGS / "incident_update.py").read_text()
        (dags_folder / "incident_update.py").write_text(f"{shipped}# mine\n")
        diff = incident("setup", "files", "--to", str(dags_folder), "--diff").out.splitlines()
        assert diff[-4:] == [*(f" {line}" for line in shipped.splitlines()[-3:]), "-# mine"]

    def test_file_in_place_of_the_folder_is_rejected(self, incident: Run, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("")
        result = incident("setup", "files", "--to", str(tmp_path / "file"), "--yes")
        assert (result.code, "--to" in result.err) == (ExitCode.USAGE, True)

    def test_remove_keeps_edited_files(self, incident: Run, dags_folder: Path, table: Path, tmp_path: Path) -> None:
        incident("setup", "files", "--to", str(dags_folder), "--responders", "dana@acme.example", "--yes")
        (dags_folder / "incident_update.py").write_text("# mine")
        preview = incident("setup", "files", "--to", str(dags_folder), "--remove")
        assert preview.code == ExitCode.OK
        assert table.exists()
        removed = incident("setup", "files", "--to", str(dags_folder), "--remove", "--yes")
        assert removed.code == ExitCode.FAILED
        assert [path.name for path in dags_folder.iterdir()] == ["incident_update.py"]
        forced = incident("setup", "files", "--to", str(dags_folder), "--remove", "--replace", "--yes")
        assert forced.code == ExitCode.OK
        assert list(dags_folder.iterdir()) == list(table.parent.iterdir()) == []

    def test_files_in_another_encoding_count_as_edited(self, incident: Run, dags_folder: Path, table: Path) -> None:
        incident("setup", "files", "--to", str(dags_folder), "--yes")
        edited = dags_folder / "incident_update.py"
        for path in (edited, table):
            path.write_bytes(path.read_bytes() + b"# caf\xe9\n")
        assert f"{edited} differs" in incident("setup", "files", "--to", str(dags_folder)).out
        assert "+++" in incident("setup", "files", "--to", str(dags_folder), "--diff").out
        assert f"{table} was edited" in incident("setup", "files", "--to", str(dags_folder), "--remove").out

    def test_file_that_cannot_be_written_does_not_stop_the_others(
        self, incident: Run, dags_folder: Path, table: Path
    ) -> None:
        dags_folder.mkdir(exist_ok=True)
        (dags_folder / "incident_update.py").symlink_to("/proc/nothing/here")
        ended = incident("setup", "files", "--to", str(dags_folder), "--yes")
        assert ended.code == ExitCode.FAILED
        assert "manual  DAG file incident_update.py" in ended.out
        assert "No such file or directory" in ended.out
        assert (dags_folder / "incident_response.py").exists()


class TestRemove:
    def test_remove_after_setup_leaves_nothing(
        self, incident: Run, deployed: Any, stored: Any, slack: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        monkeypatch.setenv("AIRFLOW__INCIDENT__ROUTING_TABLE", str(tmp_path / "home" / "routing.yaml"))
        monkeypatch.setenv("AIRFLOW__INCIDENT__SLACK_POOL", "slack_of_this_test")
        monkeypatch.setenv("AIRFLOW_HOME", str(tmp_path / "home"))
        to = ("--to", str(tmp_path / "home" / "dags"))
        assert incident("setup", "files", *to, "--responders", "dana@acme.example", "--yes").code == ExitCode.OK
        settings().state_folder.mkdir()
        (settings().state_folder / "routing_table_1.yaml").write_text("version: 1")
        assert incident("setup", "airflow", "--sandbox", slack.url, "--yes").code == ExitCode.OK
        assert incident("setup", "datadog", "--url", URL, "--yes").code == ExitCode.OK
        assert "slack_of_this_test" in pools()
        preview = incident("setup", "remove", *to, "--output", "json")
        assert {row["action"] for row in preview.json} == {"remove"}, preview.out
        assert stored("slack_api_default") is not None
        remove = [row["what"] for row in preview.json if row["what"].startswith("DAG incident")]
        assert remove == ["DAG incident_response", "DAG incident_update"]
        keep_dag_history(monkeypatch)
        assert incident("setup", "remove", *to, "--yes").code == ExitCode.OK
        assert [path for path in (tmp_path / "home").rglob("*") if path.is_file()] == []
        assert [stored(conn_id) for conn_id in ("slack_api_default", "datadog_default", "incident_webhook")] == [
            None
        ] * 3
        assert "slack_of_this_test" not in pools()
        assert (slack.workspace.datadog.webhooks, slack.workspace.datadog.custom_variables) == ({}, {})

    def test_database_deadlock_is_retried(
        self, incident: Run, deployed: Any, stored: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        attempts: list[str] = []

        def delete(dag_id: str) -> None:
            attempts.append(dag_id)
            if len(attempts) == 1:
                raise OperationalError("DELETE FROM dag", {}, Exception("deadlock detected"))

        monkeypatch.setattr("airflow_incident_provider.cli.setup.airflow.delete_dag", delete)
        assert incident("setup", "remove", "--to", "/nowhere", "--yes").code == ExitCode.OK
        assert attempts[:2] == ["incident_response"] * 2
        assert "incident_update" in attempts[2:]

    def test_objects_not_created_by_setup_are_kept_and_listed(
        self, incident: Run, deployed: Any, stored: Any, connect: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        connect()
        keep_dag_history(monkeypatch)
        result = incident("setup", "remove", "--to", "/nowhere", "--yes", "--output", "json")
        [row] = [row for row in result.json if row["what"] == "connection slack_api_default"]
        assert (row["action"], result.code) == ("manual", ExitCode.FAILED)


def keep_dag_history(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the DAGs of the session, which other tests use."""
    monkeypatch.setattr("airflow_incident_provider.cli.setup.airflow.delete_dag", str)


def pools() -> set[str]:
    from airflow.models.pool import Pool
    from airflow.utils.session import create_session
    from sqlalchemy import select

    with create_session() as session:
        return {str(pool) for pool in session.scalars(select(Pool.pool))}


def paused_dags() -> dict[str, bool]:
    from airflow.models.dag import DagModel
    from airflow.utils.session import create_session
    from sqlalchemy import select

    wanted = ("incident_response", "incident_update", "payments_incident", "slack_directory_refresh")
    with create_session() as session:
        rows = session.execute(select(DagModel.dag_id, DagModel.is_paused).where(DagModel.dag_id.in_(wanted)))
        return {row.dag_id: bool(row.is_paused) for row in rows}


def set_all_paused() -> None:
    from airflow.models.dag import DagModel
    from airflow.utils.session import create_session
    from sqlalchemy import update

    with create_session() as session:
        session.execute(update(DagModel).values(is_paused=True))


def change_extra(conn_id: str, extra: dict[str, str]) -> None:
    from airflow.models.connection import Connection
    from airflow.utils.session import create_session
    from sqlalchemy import select

    with create_session() as session:
        session.scalars(select(Connection).where(Connection.conn_id == conn_id)).one().set_extra(json.dumps(extra))
