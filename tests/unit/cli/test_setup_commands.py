"""``airflow incident setup``: Slack's manifest, Datadog's webhook, Airflow's connections."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from airflow_incident_provider.cli.run import ExitCode
from airflow_incident_provider.cli.setup.datadog import SECRET_VARIABLE, WEBHOOK_NAME
from airflow_incident_provider.intake import load_routing_table, payload_template
from airflow_incident_provider.slack.access import SCOPES

from .conftest import DAGS, SECRET, Ended  # isort: skip

Run = Callable[..., Ended]
URL = "https://airflow.acme.example/incidents/webhook/datadog"


class TestSlack:
    def test_the_manifest_asks_for_exactly_the_scopes_in_use(self, incident: Run) -> None:
        ended = incident("setup", "slack")
        assert ended.code == ExitCode.OK
        assert yaml.safe_load(ended.out)["oauth_config"]["scopes"]["bot"] == list(SCOPES)

    def test_it_is_json_too_and_takes_a_name(self, incident: Run) -> None:
        made = json.loads(incident("setup", "slack", "--app-name", "Incidents: EU", "--output", "json").out)
        assert made["display_information"]["name"] == "Incidents: EU"

    @pytest.mark.parametrize("name", ["", "x" * 36])
    def test_a_name_that_slack_would_refuse(self, incident: Run, name: str) -> None:
        ended = incident("setup", "slack", "--app-name", name)
        assert ended.code == ExitCode.USAGE
        assert "Slack takes 1 to 35" in ended.err


@pytest.fixture
def datadog(slack: Any, connect_datadog: Callable[..., None], connect_webhook: Callable[..., None]) -> Any:
    connect_datadog()
    connect_webhook()
    return slack.workspace.datadog


class TestDatadog:
    def test_it_creates_then_updates(self, incident: Run, datadog: Any) -> None:
        first = incident("setup", "datadog", "--url", URL)
        assert first.code == ExitCode.OK, first.err
        assert first.out.count("Created") == 2
        webhook, variable = datadog.webhooks[WEBHOOK_NAME], datadog.custom_variables[SECRET_VARIABLE]
        assert (webhook["url"], webhook["payload"], webhook["encode_as"]) == (URL, payload_template(), "json")
        assert json.loads(webhook["custom_headers"]) == {"X-Incident-Secret": f"${SECRET_VARIABLE}"}
        assert (variable["value"], variable["is_secret"]) == (SECRET, True)

        again = incident("setup", "datadog", "--url", "https://elsewhere.acme.example/")
        assert again.out.count("Updated") == 2
        assert datadog.webhooks[WEBHOOK_NAME]["url"] == "https://elsewhere.acme.example/"
        assert SECRET not in first.out + first.err + again.out + again.err

    def test_the_url_comes_from_the_base_url(
        self, incident: Run, datadog: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("AIRFLOW__API__BASE_URL", "https://airflow.acme.example/")
        assert incident("setup", "datadog", "--name", "other").code == ExitCode.OK
        assert datadog.webhooks["other"]["url"] == URL

    def test_by_hand_it_changes_nothing_and_tells_no_secret(self, incident: Run, datadog: Any) -> None:
        ended = incident("setup", "datadog", "--print", "--url", URL)
        assert ended.code == ExitCode.OK
        assert payload_template().rstrip() in ended.out
        assert URL in ended.out
        assert SECRET not in ended.out
        assert not datadog.webhooks

    @pytest.mark.usefixtures("datadog")
    @pytest.mark.parametrize(
        ("arguments", "says"),
        [
            ([], "Name it with --url, or set [api] base_url."),
            (["--url", "airflow.acme.example"], "Begin it with https://"),
            (["--url", URL, "--name", "a/b"], "is no name of a webhook"),
        ],
    )
    def test_arguments_that_are_wrong(self, incident: Run, arguments: list[str], says: str) -> None:
        ended = incident("setup", "datadog", *arguments)
        assert ended.code == ExitCode.USAGE
        assert says in ended.err

    def test_keys_that_datadog_refuses(
        self, incident: Run, datadog: Any, connect_datadog: Callable[..., None]
    ) -> None:
        connect_datadog(app_key="a-wrong-application-key")
        ended = incident("setup", "datadog", "--url", URL)
        assert ended.code == ExitCode.UNAVAILABLE
        assert "Correct api_key and app_key" in ended.err
        assert "a-wrong-application-key" not in ended.err
        assert not datadog.webhooks

    @pytest.mark.parametrize("missing", ["AIRFLOW_CONN_DATADOG_DEFAULT", "AIRFLOW_CONN_INCIDENT_WEBHOOK"])
    def test_a_connection_that_is_missing(
        self, incident: Run, datadog: Any, missing: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv(missing)
        ended = incident("setup", "datadog", "--url", URL)
        assert ended.code == ExitCode.UNAVAILABLE
        assert "airflow incident setup airflow" in ended.err
        assert not datadog.webhooks


@pytest.fixture
def stored(airflow_home: Path) -> Iterator[Callable[[str], Any]]:
    """Return a connection as Airflow's database holds it; forget all of them afterwards."""
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
    @pytest.fixture
    def secrets(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for name, value in {
            "SLACK_BOT_TOKEN": "xoxb-a-token",
            "DD_API_KEY": "the-api-key",
            "DD_APP_KEY": "the-app-key",
            "DD_SITE": "datadoghq.eu",
        }.items():
            monkeypatch.setenv(name, value)

    @pytest.mark.usefixtures("secrets")
    def test_first_it_only_tells(self, incident: Run, deployed: Callable[..., None], stored: Any) -> None:
        deployed(is_paused=True)
        ended = incident("setup", "airflow", "--output", "json")
        told = {row["what"]: row["action"] for row in ended.json}
        assert told == {
            "connection slack_api_default": "create",
            "connection datadog_default": "create",
            "connection incident_webhook": "create",
            "pool default_pool": "keep",
            "DAG incident_response": "update",
            "setting [incident] routing_table": "by hand",
        }
        assert ended.code == ExitCode.OK
        assert stored("slack_api_default") is None
        assert "Nothing was changed. Do it with --yes." in incident("setup", "airflow").out

    @pytest.mark.usefixtures("secrets")
    def test_with_yes_it_does_it(
        self, incident: Run, deployed: Callable[..., None], stored: Any, route_by: Any
    ) -> None:
        route_by({})
        deployed(is_paused=True)
        ended = incident("setup", "airflow", "--yes")
        assert ended.code == ExitCode.OK, ended.out
        assert stored("slack_api_default").password == "xoxb-a-token"
        assert stored("datadog_default").extra_dejson == {
            "api_key": "the-api-key",
            "app_key": "the-app-key",
            "api_host": "https://api.datadoghq.eu",
        }
        made = stored("incident_webhook").password
        assert len(made) > 40
        assert incident("trigger", "--title", "T").code == ExitCode.OK
        for secret in ("xoxb-a-token", "the-api-key", "the-app-key", made):
            assert secret not in ended.out + ended.err

        again = incident("setup", "airflow", "--yes", "--output", "json")
        assert {row["what"]: row["action"] for row in again.json}["connection incident_webhook"] == "keep"
        assert stored("incident_webhook").password == made

    @pytest.mark.usefixtures("secrets", "deployed")
    def test_what_a_connection_says_besides_stays(self, incident: Run, stored: Any) -> None:
        incident("setup", "airflow", "--yes")
        change_extra("slack_api_default", {"base_url": "https://proxy.acme.example/"})
        incident("setup", "airflow", "--yes")
        assert stored("slack_api_default").extra_dejson == {"base_url": "https://proxy.acme.example/"}

    @pytest.mark.usefixtures("secrets", "deployed")
    def test_elsewhere_than_at_slack_and_datadog(
        self, incident: Run, stored: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("SLACK_BASE_URL", "http://sandbox:8765/api/")
        monkeypatch.setenv("DATADOG_HOST", "http://sandbox:8765")
        incident("setup", "airflow", "--yes")
        assert stored("slack_api_default").extra_dejson == {"base_url": "http://sandbox:8765/api/"}
        assert stored("datadog_default").extra_dejson["api_host"] == "http://sandbox:8765"

    @pytest.mark.usefixtures("stored")
    def test_the_pool_of_slack_is_made_before_the_dag_is_parsed(
        self, incident: Run, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("AIRFLOW__INCIDENT__SLACK_POOL", "slack-of-a-new-machine")
        ended = incident("setup", "airflow", "--output", "json")
        assert {row["what"]: row["action"] for row in ended.json}["pool slack-of-a-new-machine"] == "create"

    @pytest.mark.usefixtures("deployed")
    def test_without_secrets_it_names_what_a_person_has_to_do(self, incident: Run, stored: Any) -> None:
        ended = incident("setup", "airflow", "--yes")
        assert ended.code == ExitCode.FAILED
        assert "SLACK_BOT_TOKEN" in ended.out
        assert stored("slack_api_default") is None

    @pytest.mark.usefixtures("secrets", "deployed")
    def test_a_connection_of_the_environment_is_left_alone(
        self, incident: Run, stored: Any, connect: Callable[..., Any]
    ) -> None:
        connect()
        ended = incident("setup", "airflow", "--yes", "--output", "json")
        [row] = [row for row in ended.json if row["what"] == "connection slack_api_default"]
        assert row["action"] == "keep"
        assert stored("slack_api_default") is None

    @pytest.mark.usefixtures("deployed", "stored")
    @pytest.mark.parametrize(
        ("variable", "value", "says"),
        [
            ("SLACK_BOT_TOKEN", "xoxp-a-person's", "begins with xoxb-"),
            ("INCIDENT_WEBHOOK_SECRET", "short", "fewer than 16 characters"),
        ],
    )
    def test_a_secret_that_cannot_be_right(
        self, incident: Run, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, says: str
    ) -> None:
        monkeypatch.setenv(variable, value)
        ended = incident("setup", "airflow", "--yes")
        assert ended.code == ExitCode.USAGE
        assert says in ended.err
        assert value not in ended.err + ended.out


@pytest.fixture
def dags_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "dags"
    folder.mkdir()
    return folder


class TestFiles:
    def told(self, ended: Ended) -> dict[str, str]:
        return {row["what"]: row["action"] for row in ended.json}

    def test_first_it_only_tells(self, incident: Run, dags_folder: Path, monkeypatch: Any, tmp_path: Path) -> None:
        monkeypatch.setenv("AIRFLOW__INCIDENT__ROUTING_TABLE", str(tmp_path / "config" / "routing.yaml"))
        ended = incident("setup", "files", "--to", str(dags_folder), "--output", "json")
        assert ended.code == ExitCode.OK
        assert self.told(ended) == {
            **{f"DAG file {path.name}": "create" for path in sorted(DAGS.glob("*.py"))},
            "routing table": "create",
        }
        assert list(dags_folder.iterdir()) == []
        assert not (tmp_path / "config").exists()

    def test_what_it_writes_is_what_ships(
        self, incident: Run, dags_folder: Path, monkeypatch: Any, tmp_path: Path
    ) -> None:
        table = tmp_path / "config" / "routing.yaml"
        monkeypatch.setenv("AIRFLOW__INCIDENT__ROUTING_TABLE", str(table))
        assert incident("setup", "files", "--to", str(dags_folder), "--yes").code == ExitCode.OK
        for path in DAGS.glob("*.py"):
            assert (dags_folder / path.name).read_bytes() == path.read_bytes()
        assert load_routing_table(table.read_text()).rules
        again = incident("setup", "files", "--to", str(dags_folder), "--yes", "--output", "json")
        assert set(self.told(again).values()) == {"keep"}

    def test_what_a_person_changed_is_kept(
        self, incident: Run, dags_folder: Path, route_by: Callable[..., None]
    ) -> None:
        route_by({"rules": []})
        mine = dags_folder / "incident_response.py"
        mine.write_text("# mine")
        kept = incident("setup", "files", "--to", str(dags_folder), "--yes", "--output", "json")
        assert kept.code == ExitCode.FAILED
        assert self.told(kept)["DAG file incident_response.py"] == "by hand"
        assert mine.read_text() == "# mine"
        assert incident("setup", "files", "--to", str(dags_folder), "--yes", "--replace").code == ExitCode.OK
        assert mine.read_bytes() == (DAGS / "incident_response.py").read_bytes()

    def test_a_folder_that_is_not_there(self, incident: Run, tmp_path: Path) -> None:
        ended = incident("setup", "files", "--to", str(tmp_path / "nowhere"), "--yes")
        assert ended.code == ExitCode.USAGE
        assert "--to" in ended.err


def change_extra(conn_id: str, extra: dict[str, str]) -> None:
    from airflow.models.connection import Connection
    from airflow.utils.session import create_session
    from sqlalchemy import select

    with create_session() as session:
        session.scalars(select(Connection).where(Connection.conn_id == conn_id)).one().set_extra(json.dumps(extra))
